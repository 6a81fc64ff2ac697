// Package scrub compares what lies in artifact stores with what was sealed there.
//
// It trusts ArtifactSeals as the API server has them: the policy argoseal-records lets
// only the notary write one. It trusts nothing that a store says: names, sizes and bytes
// are bounded before they are used, and what could not be read is unknown, never intact.
// It reads, and never writes to a store. What it finds stops nobody: a consumer is held to
// the sealed digest in its own pod.
package scrub
