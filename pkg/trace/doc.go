// Package trace walks from an artifact back to everything that it was made from: the
// step that made it, what that step took, who made that, across workflows, to the
// sources. Where a chain ends it says why. Pure: what the records are, and whether a
// bundle holds, others say.
//
// It trusts only statements of verified bundles. What a record says beside its bundle
// finds candidates, and no more.
package trace
