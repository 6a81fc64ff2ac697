// Package notary turns the status of a finished pod into a published seal.
//
// It trusts the API server and the kubelet as reporters of what they store
// and ran, the admission tag if it opens under our keys, and its own signing
// key and trusted root. It trusts nothing that a tenant can write: a stored
// envelope counts only once it has verified, and of what the pod says only the
// digests reach a statement. A log, where the kubelet's message is too short, has
// to be what that message says, to the byte.
//
// One pod, one Provenance named by the pod's UID; creating it claims the pod.
// From there every write is a compare-and-swap, in an order in which a crash
// between any two loses nothing:
//
//  1. create the Provenance                  it is ours for the claim duration
//  2. sign, store the envelope               the facts no longer need the pod
//  3. log it, verify the bundle              now it is a seal
//  4. write the ArtifactSeals                the gate: a seal is on its way
//  5. store the bundle, Sealed=True          the gate: here it is
//
// Steps 4 and 5 are in this order because the gate reads an ArtifactSeal first
// and its Provenance second: an ArtifactSeal without a bundle is "not yet",
// while a final Provenance without its ArtifactSeals would read as "never".
//
// All replicas are active. A record whose holder has not renewed its claim is
// taken over by whoever is first; a crash may leave a second log entry, never
// a lost or a wrong seal.
package notary
