// Package artifact says how an artifact is named: where it lies, at a location in a
// store or at an address outside, and by which digest its bytes are known. All that is
// known of a kind of store is one StoreKind, in a file of its own.
//
// It trusts nothing: every name it reads is a tenant's. It is pure (no network, no
// files, no Kubernetes types).
package artifact
