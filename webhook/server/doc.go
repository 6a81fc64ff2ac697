// Package server puts the gate behind HTTPS: decoding, limits, deadlines,
// drain, modes, events, metrics, and the readers of the API server that the gate
// looks through.
//
// It trusts the API server that calls it for what a request says. Anybody in the cluster can
// call it. Such a request costs reads and at most a rate-limited event. A tag obtained that
// way is worthless: the validating side binds tags to the user name that the API server
// authenticated.
//
// Whatever goes wrong in here, a panic included, is a refusal.
package server
