// Package server puts the gate behind HTTPS: decoding, limits, deadlines,
// drain, modes, events, metrics, and the readers of the API server that the gate
// looks through.
//
// It trusts the API server that calls it for what a request says. Anybody in
// the cluster can call it too: a request that does not come from the API server
// gets an answer and causes reads and, at most, a rate-limited event; a tag it
// may obtain that way is worthless, because the validating side binds tags to
// the user name the API server authenticated.
//
// Whatever goes wrong in here, a panic included, is a refusal.
package server
