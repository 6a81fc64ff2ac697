// Package verify says whether a bundle is a seal of ours: it checks the notary's
// signature and the log's proof offline, with sigstore-go, and reads the
// statement strictly.
//
// It trusts the root it is given (log keys from a standard trusted_root.json,
// and the notary's public keys) and nothing else: bundles are hostile and are
// bounded before they are parsed. It says nothing about the artifact at hand;
// comparing location and digest with a subject of the statement is the caller's
// part.
package verify
