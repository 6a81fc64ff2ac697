// Package inject turns the pod that Argo's controller submits into the one
// that runs in a labelled namespace: our containers, the admission tag, template
// and fixed kill command of wait. Pure: pod in, pod out.
//
// It trusts the tag and the pins its caller made; the pod is hostile.
package inject
