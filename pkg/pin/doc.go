// Package pin is what admission approved for the inputs of a pod, and the check in
// the pod that nothing else is there. Each pinned input has to be what was
// approved, each raw input what the template says, and beside them only what Argo's
// init leaves.
//
// It trusts the pins that it is given. It trusts nothing on the volumes that it
// looks at: an object may have been replaced since admission, and a download may
// have written beside its place. It is pure (no network, no Kubernetes types) and
// follows no link.
package pin
