// Package images decides whether a pod may have the container images that it is to run
// or mount: what policies ask of images by their names, and whether a digest is listed or
// a seal says who made it. It looks at every pod of a labelled namespace, Argo's or not,
// and asks no registry.
//
// An image is known by its digest alone, which the runtime holds it to. That digest is
// the SHA-256 of its manifest: a step that hands out its image's manifest as an output,
// stored as it is, has a seal of just that digest, measured by our sidecar.
//
// It trusts the API server about what it stores, and the trusted root. Which seals there
// are is asked of the API server itself, not of a cache. Deny is the zero value; a lookup
// that failed is "not now".
package images
