// Package trace walks from an artifact back to everything that it was made from:
// the step that made it, what that step took, who made that, across workflows, to
// the sources. Where a chain ends, it says why. It is pure: others say what the
// records are, and whether a bundle holds.
//
// It trusts only statements of verified bundles. What a record says beside its
// bundle only finds candidates.
package trace
