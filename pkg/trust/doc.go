// Package trust keeps at hand what Argoseal's programs judge by: the keys of admission
// tags, the trusted root, and the notary's public keys. They are objects of Argoseal's own
// namespace, and both the webhook and the notary take them from here.
//
// It reads these objects at the API server, bounds and parses them, and does so again
// when one of them changes. What was good once stays until something good replaces it.
// It says what is in use and since when.
//
// The program that makes the tag key also rotates it. Nothing that exists is overwritten
// but that. Package trust trusts whoever may write these objects: a guard of the chart
// says who that is.
package trust
