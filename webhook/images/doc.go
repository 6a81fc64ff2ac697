// Package images decides whether a pod may have the container images that it is to
// run or mount. It looks at what policies ask of images by their names, and whether
// a digest is listed or a seal says who made it. It looks at every pod of a
// labelled namespace, Argo's or not, and asks no registry.
//
// An image is known by its digest alone, and the runtime holds the image to it.
// That digest is the SHA-256 of the image's manifest. If a step hands out its
// image's manifest as an output, stored as it is, then the output's seal has just
// that digest, measured by our sidecar. If it hands out an OCI image layout, the seal
// names the images that lay whole in it; a policy says which of the two it wants.
//
// It trusts the API server about what it stores, and the trusted root. It asks the
// API server itself, not a cache, which seals there are. Deny is the zero value; a
// lookup that failed is "not now".
package images
