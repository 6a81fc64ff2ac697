// Package argo is the only one that knows what a pod of Argo Workflows looks
// like (v3.7 and v4.0): which pods are Argo's, which artifacts a step consumes and
// produces and where they lie, and whether init, wait and the emissary are as
// Argo makes them. What a Workflow says is package definition.
//
// It trusts the API server for what a pod says, and nobody for
// the content: templates, patches and metadata are the workflow author's, so
// every name, path, key and size is bounded and what is unknown is refused. It
// is pure: no Kubernetes client, no network. Argo's rules are restated here in
// small structs of our own rather than imported; the golden pods of package
// argotest are Argo's.
package argo
