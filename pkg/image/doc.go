// Package image says how container images are named, as kubelets and runtimes read
// their names, and where a pod has them. It is pure, and trusts nothing.
//
// A name says where an image is asked for; only a digest says which one it is.
package image
