// Package measurement carries digests out of a pod: a Watcher measures the outputs
// that Argo's wait container stages for upload, and a Measurement is what it found, as
// the termination message that the kubelet carries or, where that has no room, as the
// log of which the message has the digest.
//
// The Watcher only reads. It trusts that nobody but wait writes into the folder where
// outputs are staged (the gate sees to it), that wait writes an archive there from the
// beginning to the end, and nothing about the bytes: a main container made them. Of
// what the emissary packs for wait, where main can write, it trusts nothing; it is read
// because there is time then, and counts only for staged bytes with the same SHA-256.
//
// Whoever decodes a message trusts that the kubelet carried it, and nothing that it
// says. The package is pure: no network, no Kubernetes types.
package measurement
