// Package measurement carries digests out of a pod. A Watcher measures the outputs
// that Argo's wait container stages for upload. A Measurement is what it found: the
// termination message that the kubelet carries, or, if that has no room, a log of
// which the message has the digest.
//
// The Watcher only reads. It trusts that nobody but wait writes into the folder
// where outputs are staged (the gate sees to it), and that wait writes each archive
// there from the beginning to the end. It does not trust the bytes: a main
// container made them. It also reads what the emissary packs for wait, because
// there is time then. Main can write there, so the result counts only for staged
// bytes with the same SHA-256.
//
// Whoever decodes a message trusts that the kubelet carried it, and nothing that it
// says. The package is pure: no network, no Kubernetes types.
package measurement
