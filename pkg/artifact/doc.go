// Package artifact says where an artifact lies and what its bytes are:
// locations, digests of stored bytes, digests of the tree they unpack to, and
// the measurement that carries those digests out of a pod.
//
// It trusts nothing: every byte it reads is a tenant's. It is pure (no network,
// no Kubernetes types) and needs constant memory whatever an artifact's size.
package artifact
