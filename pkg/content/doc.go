// Package content says what an artifact's bytes are: in which form Argo stores them,
// their digest, the digest of the tree they unpack to, and the list of a directory's
// files.
//
// It trusts nothing: every byte it reads is a tenant's. It is pure (no network, no
// Kubernetes types) and needs constant memory whatever an artifact's size.
package content
