// Package keeper has the trusted root of a domain follow a TUF repository. It reads the
// repository, joins what that says with what is trusted beside it, and writes both and what it
// has verified into one ConfigMap, which webhook and notary follow.
//
// It trusts whoever may write that ConfigMap, as everybody does, and the API server's clock.
// Whatever the repository does, or does not, the trusted root that is there stays until a newer
// one has verified.
package keeper
