// Package verify says whether a bundle is a seal of ours. It checks the notary's
// signature and the log's proof offline, with sigstore-go, and reads the statement
// strictly.
//
// It trusts only the root that it is given: log keys from a standard
// trusted_root.json, and the notary's public keys. Bundles are hostile, and are
// bounded before they are parsed, and their log entries are held to what logs store:
// libraries read more, and do much work for it. It says nothing about the artifact at
// hand: the caller has to compare location and digest with a subject of the statement.
package verify
