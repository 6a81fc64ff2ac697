// Package oci says which container images lie whole in an OCI image layout (OCI Image
// Format Specification 1.1, "Image Layout"): a directory with oci-layout, index.json and
// blobs, or a tar archive of one, which gzip may have compressed.
//
// A Layout is shown the files while somebody else reads them, in any order and each
// once, in bounded memory. It names an image only if its manifest's bytes have the
// digest, and its config and all layers lie there with the digests and sizes that the
// manifest states. It trusts nothing: a step made the bytes. A layout that is no layout,
// lies, is too large or takes too long has no images; that is no error. The package is pure.
package oci
