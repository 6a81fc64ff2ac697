// Package notary turns the status of a finished pod into a published seal.
//
// It trusts the API server and the kubelet as reporters of what they store
// and ran, the admission tag if it opens under our keys, and its own signing
// key and trusted root. It trusts nothing that a tenant can write: a stored
// envelope counts only once it has verified, and of what the pod says only the
// digests reach a statement. The sidecar's container log, where the kubelet's message
// is too short, has to be what that message says, to the byte.
//
// One pod, one Provenance named by the pod's UID; creating it claims the pod.
// From there every write is a compare-and-swap, in an order in which a crash
// between any two loses nothing:
//
//  1. create the Provenance                  it is ours for the claim duration
//  2. sign, log it, verify the bundle        now it is a seal
//  3. write the ArtifactSeals                the gate: a seal is on its way
//  4. store the bundle, Sealed=True          the gate: here it is
//
// After a crash before step 4, another replica states the same facts again, from the
// pod and its Workflow. Our webhook holds back the pod's deletion until step 4, for ten
// minutes. Nobody holds back the Workflow's deletion: if it goes in the same moment,
// there is no seal (WorkflowGone). Where the transparency log is late, or has no answer,
// the envelope is stored meanwhile: from then on the facts no longer need the pod,
// however long it is down.
//
// Steps 3 and 4 are in this order because the gate reads an ArtifactSeal first
// and its Provenance second: an ArtifactSeal without a bundle is "not yet",
// while a final Provenance without its ArtifactSeals would read as "never".
//
// All replicas are active. Each begins with the pods that are its own by hash, among
// the replicas whose Leases hold, so that they do not race; nothing but speed depends
// on that. A record whose holder has not renewed its claim is taken over by whoever is
// first; a crash may leave a second transparency log entry, never a lost or a wrong
// seal.
//
// What grows with the number of pods is notes of some hundred bytes (Watched); a pod
// itself is kept until it is sealed, as far as there is room. A backlog drains fairly
// over namespaces.
package notary
