package policy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Revoking is the set with the cluster's revocations in it. No policy lifts one.
func (s Set) Revoking(all []v1alpha1.Revocation) Set {
	s.revocations = slices.SortedFunc(slices.Values(all), func(a, b v1alpha1.Revocation) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// RevokedBy names what of a statement a revocation takes trust back from, or gives
// "". It looks at the statement's own outputs and at what they were made from
// directly. The caller has to follow the rest of the chain. key is the hint of the
// key that signed the statement; empty if a certificate did.
func RevokedBy(r *v1alpha1.Revocation, st *provenance.Statement, key string) string {
	spec := (*specification)(&r.Spec)
	if key != "" && slices.Contains(spec.Keys, key) {
		return "signing key " + key
	}
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

// Revokes says whether there is any revocation.
func (s Set) Revokes() bool { return len(s.revocations) > 0 }

// empty says whether it names nothing. The API server takes no such revocation, but another
// schema makes one of any that is there: it leaves out what it does not know.
func (spec *specification) empty() bool {
	return len(spec.Digests)+len(spec.Images)+len(spec.Commits)+len(spec.Workflows)+len(spec.Keys) == 0
}

// ofNothing refuses everything for the sake of a revocation that names nothing.
func ofNothing(r *v1alpha1.Revocation) *reason.Error {
	if !(*specification)(&r.Spec).empty() {
		return nil
	}
	return reason.New(reason.PolicyInvalid, "Revocation %s revokes nothing: if it did, its CustomResourceDefinition has lost what it named", r.Name)
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

// Revoked refuses what a revocation speaks of. That can be the artifact itself,
// wherever it comes from. If there is a statement about it, it can also be that, or
// the key that signed it. A revocation of nothing refuses everything (PolicyInvalid).
func (s Set) Revoked(st *provenance.Statement, key, uri string, digests ...artifact.Digest) *reason.Error {
	for i := range s.revocations {
		r := &s.revocations[i]
		if no := ofNothing(r); no != nil {
			return no
		}
		what := (*specification)(&r.Spec).takes(uri, digests...)
		if what == "" && st != nil {
			what = RevokedBy(r, st, key)
		}
		if what != "" {
			return refusedBy(r, what)
		}
	}
	return nil
}

// RevokedImage refuses an output in which an image lay that is revoked, as an image or as
// what was made: an OCI image layout, for all that is in it.
func (s Set) RevokedImage(st *provenance.Statement, output string) *reason.Error {
	for i := range s.revocations {
		r := &s.revocations[i]
		for _, image := range st.ImagesOf(output) {
			if slices.Contains(r.Spec.Images, string(image.Digest)) || slices.Contains(r.Spec.Digests, string(image.Digest)) {
				return refusedBy(r, "image sha256:"+string(image.Digest)+" in it")
			}
		}
	}
	return nil
}

func refusedBy(r *v1alpha1.Revocation, what string) *reason.Error {
	return reason.New(reason.Revoked, "%s is revoked by Revocation %s: %s", what, r.Name, r.Spec.Reason)
}

// RevokesContent says whether a revocation speaks of any bytes. Only then is it
// worth looking into a directory.
func (s Set) RevokesContent() bool {
	return slices.ContainsFunc(s.revocations, func(r v1alpha1.Revocation) bool { return len(r.Spec.Digests) > 0 })
}

// RevokedAmong refuses a directory with a file of which a revocation speaks, by the
// file's bytes or by the tree digest that it would have as an artifact of its own.
func (s Set) RevokedAmong(files content.Files) *reason.Error {
	by := map[artifact.Digest]*v1alpha1.Revocation{}
	for i := range s.revocations {
		for _, d := range s.revocations[i].Spec.Digests {
			by[artifact.Digest(d)] = &s.revocations[i]
		}
	}
	if r, what := among(by, files); r != nil {
		return refusedBy(r, what+",")
	}
	return nil
}

// RevokedIn names the file of a directory that a revocation takes trust back from, or gives
// "". Whoever takes the directory whole is refused. What was made from it is not, until the
// directory is revoked itself: see RevokedBy.
func RevokedIn(r *v1alpha1.Revocation, files content.Files) string {
	by := map[artifact.Digest]*v1alpha1.Revocation{}
	for _, d := range r.Spec.Digests {
		by[artifact.Digest(d)] = r
	}
	_, what := among(by, files)
	return what
}

// among finds the first file that is revoked.
func among(by map[artifact.Digest]*v1alpha1.Revocation, files content.Files) (*v1alpha1.Revocation, string) {
	if len(by) == 0 {
		return nil, ""
	}
	for _, f := range files {
		for _, d := range []artifact.Digest{f.SHA256, content.FileTree(f.SHA256)} {
			if r := by[d]; r != nil {
				return r, fmt.Sprintf("%.200q in it, artifact sha256:%s", f.Path, d)
			}
		}
	}
	return nil, ""
}

// specification has methods of ours.
type specification v1alpha1.RevocationSpec
