// Package trust keeps at hand what Argoseal's programs judge by: the keys of
// admission tags, the trusted root, and the notary's public keys. They are objects
// of Argoseal's own namespace. Both the webhook and the notary read them with this
// package.
//
// It reads these objects at the API server, bounds and parses them, and does so
// again when one of them changes. The last good state stays until another good one
// replaces it. It says what is in use and since when.
//
// It overwrites nothing but the tag key, which the program that made it also
// rotates. It trusts whoever may write these objects: a guard of the chart says who
// that is.
package trust
