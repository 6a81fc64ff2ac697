// Package evidence reads what one decision of the gate rests on, each thing once:
// which pods of the workflow may have written an artifact, what their records say,
// and what a seal states once its bundle has verified.
//
// It trusts the API server about what it stores, our own tag keys and the trusted
// root. An ArtifactSeal only points to evidence. What counts is the bundle in the
// Provenance, verified here and bound to pod, location and digest. The files that a
// Provenance lists for a directory are unsigned. They count only if they give the
// tree digest of the verified subject.
//
// A read that failed is LookupFailed, which passes, and never an empty answer. The
// package decides nothing beyond that: policies, origins and pins are the gate's.
package evidence
