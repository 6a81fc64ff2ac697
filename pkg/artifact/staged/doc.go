// Package staged watches the folder in which Argo's wait container stages the
// outputs of a pod for upload, and measures them.
//
// It only reads. It trusts that nobody but wait writes into that folder (the
// gate sees to it) and nothing about the bytes that lie there: a main container
// made them. What it lists of a directory's files leaves the pod with the digests,
// in the termination message that the kubelet carries, or in the log of which that
// message has the digest.
package staged
