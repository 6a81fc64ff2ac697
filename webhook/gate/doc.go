// Package gate decides whether a pod may be created, changed or deleted in a
// labelled namespace: docs/design.md, section 9, in that order, with one reason
// code and one line for every way to fail.
//
// It believes the API server about what it stores, our own tag keys and the
// trusted root. ArtifactSeals only point to evidence: what counts is the bundle
// in the Provenance, verified here and bound to pod, workflow, location and
// digest. The files that a Provenance lists for a directory are unsigned, and
// count only if they give the tree digest of the verified subject. The mutating webhook's result is no evidence either; the validating
// side evaluates anew and wants the pod to say the same.
//
// Deny is the zero value. A lookup that failed is "not now" (429), never "no"
// and never "yes". A final refusal (403) that rests on evidence is only given
// after the API server itself, not a cache, has said the same.
package gate
