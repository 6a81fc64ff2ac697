package policy

import (
	"cmp"
	"slices"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Revoking is the set with the cluster's revocations in it. No policy lifts one.
func (s Set) Revoking(all []v1alpha1.Revocation) Set {
	s.revocations = slices.SortedFunc(slices.Values(all), func(a, b v1alpha1.Revocation) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// RevokedBy names what of a statement a revocation takes trust back from, or gives "".
// That is its own outputs, and what it was made from directly; what was made from those
// in turn is for the caller to follow.
func RevokedBy(r *v1alpha1.Revocation, st *provenance.Statement) string {
	spec := (*specification)(&r.Spec)
	if slices.Contains(spec.Workflows, st.Step.Workflow.UID) {
		return "workflow " + st.Step.Workflow.UID
	}
	for _, i := range slices.Concat(st.Images, st.Mounted) {
		if i.SHA256 != "" && slices.Contains(spec.Images, string(i.SHA256)) {
			return "image sha256:" + string(i.SHA256)
		}
	}
	for _, i := range st.Inputs {
		if what := spec.takes(i.URI, i.SHA256, i.Tree); what != "" {
			return what
		}
	}
	return ""
}

// takes says what of an artifact the specification speaks of: its bytes, or its commit.
func (spec *specification) takes(uri string, digests ...artifact.Digest) string {
	for _, d := range digests {
		if d != "" && slices.Contains(spec.Digests, string(d)) {
			return "artifact sha256:" + string(d)
		}
	}
	if g, err := artifact.ParseGit(uri); err == nil && g.Commit != "" && slices.Contains(spec.Commits, g.Commit) {
		return "commit " + g.Commit
	}
	return ""
}

// Revoked refuses what a revocation speaks of: the artifact itself, wherever it comes
// from, and, if there is one, the statement about it.
func (s Set) Revoked(st *provenance.Statement, uri string, digests ...artifact.Digest) *reason.Error {
	for i := range s.revocations {
		r := &s.revocations[i]
		what := (*specification)(&r.Spec).takes(uri, digests...)
		if what == "" && st != nil {
			what = RevokedBy(r, st)
		}
		if what != "" {
			return reason.New(reason.Revoked, "%s is revoked by Revocation %s: %s", what, r.Name, r.Spec.Reason)
		}
	}
	return nil
}

// specification has methods of ours.
type specification v1alpha1.RevocationSpec
