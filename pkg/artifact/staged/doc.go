// Package staged watches the folder in which Argo's wait container stages the
// outputs of a pod for upload, and measures them.
//
// It only reads. It trusts that nobody but wait writes into that folder (the
// gate sees to it), that wait writes an archive there from the beginning to the
// end, and nothing about the bytes: a main container made them. Of what the
// emissary packs for wait, where main can write, it trusts nothing; it is read
// because there is time then, and counts only for staged bytes with the same
// SHA-256. What it lists of a directory's files leaves the pod with the digests,
// in the termination message that the kubelet carries, or in the log of which
// that message has the digest.
package staged
