// Package pin is what admission approved for the inputs of a pod, and the check in the
// pod that they are what was approved: each pinned input, each that the template gives
// itself, and nothing beside what Argo's init alone leaves.
//
// It trusts the pins that it is given. It trusts nothing on the volumes that it looks
// at: an object may have been replaced since admission, and a download may have written
// beside its place. It is pure (no network, no Kubernetes types) and follows no link.
package pin
