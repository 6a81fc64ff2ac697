package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/trace"
	"github.com/argoseal/argoseal/pkg/verify"
)

// touched is what a Revocation was found to touch.
type touched struct {
	revocation *v1alpha1.Revocation
	root       *verify.Root
	// whoever is root with keys that count at any time and for any builder, in whosever
	// hands they are.
	whoever          *verify.Root
	links            []trace.Link
	directories      []trace.Made
	records, leftOut int
	now              time.Time
	// late is how many of those that are pending have been for long.
	pending, late int
	// unproven are the records that do not say what their steps took, and why.
	unproven []string
	// unidentified is how many steps used an image of which no manifest's digest is known.
	unidentified int
}

// record looks at a record. One that does not hold is told of, and left out. But one whose
// key or log has ended, is in other hands, or speaks for another builder now, is followed: the gate
// refuses it, and not what was made from it under another key.
func (t *touched) record(tell io.Writer, p *v1alpha1.Provenance) error {
	if p.Status.Bundle == "" {
		return t.unsealed(p)
	}
	t.records++
	result, err := t.root.InspectRecorded([]byte(p.Status.Bundle), p.CreationTimestamp.Time)
	if err != nil && slices.Contains(outdated, reason.Of(err)) {
		why := err
		if result, err = t.whoever.InspectRecorded([]byte(p.Status.Bundle), p.CreationTimestamp.Time); err == nil {
			doubt := "may be forged"
			if reason.Of(why) == reason.BuilderNotTrusted {
				doubt = "is of another builder, by a key of this installation"
			}
			_, _ = fmt.Fprintf(tell, "record %s/%s %s: %s\n", p.Namespace, p.Name, doubt, printable(why.Error()))
		}
	}
	if err == nil && (result.Statement.Step.Namespace != p.Namespace || result.Statement.Step.Pod.UID != p.Name) {
		err = fmt.Errorf("it is the seal of another pod")
	}
	if err != nil {
		t.leftOut++
		_, _ = fmt.Fprintf(tell, "record %s/%s is left out: %s\n", p.Namespace, p.Name, printable(err.Error()))
		return nil
	}
	s := result.Statement
	if s.Verdict != "" {
		t.doubt(p, string(s.Verdict))
	}
	if slices.ContainsFunc(slices.Concat(s.Images, s.Mounted), func(i provenance.Image) bool { return i.SHA256 == "" || i.DigestOf != "" }) {
		t.unidentified++
	}
	named := namedIn(t.revocation, s, result.KeyHint)
	having, because := directoriesWith(t.revocation, p, s)
	t.directories = append(t.directories, having...)
	l := trace.LinkOf(s, cmp.Or(named, because, mayHaveTaken(s)))
	l.Made = append(l.Made, unsealedOf(p)...)
	return t.link(l)
}

func (t *touched) link(l trace.Link) error {
	if t.links = append(t.links, l); len(t.links) > maxEntries {
		return usage(fmt.Errorf("there are more than %d records: name namespaces", maxEntries))
	}
	return nil
}

// doubt keeps a record that does not say what its step took.
func (t *touched) doubt(p *v1alpha1.Provenance, why string) {
	t.unproven = append(t.unproven, fmt.Sprintf("%s/%s (%s)", p.Namespace, p.Name, why))
}

// unsealed counts a record without a seal, and follows it if its workflow is revoked. A step that
// stored nothing hands nothing on.
func (t *touched) unsealed(p *v1alpha1.Provenance) error {
	if !mayHaveStored(p) {
		return nil
	}
	if why := whyUnsealed(p); why == string(reason.Pending) {
		t.pending++
		if p.CreationTimestamp.Time.Before(t.now.Add(-pendingFor)) {
			t.late++
		}
	} else {
		t.doubt(p, why)
	}
	uid := string(p.Spec.Workflow.UID)
	if !slices.Contains(t.revocation.Spec.Workflows, uid) {
		return nil
	}
	return t.link(trace.Link{Namespace: p.Namespace, Record: p.Name, Workflow: p.Spec.Workflow.Name, Named: "workflow " + uid + " (no seal)", Made: unsealedOf(p)})
}

// unsealedOf are the places where a record says that something without a seal may have been
// stored.
func unsealedOf(p *v1alpha1.Provenance) []trace.Made {
	all := []trace.Made{}
	for _, o := range p.Status.Outputs {
		sealed := p.Status.Bundle != "" && o.SHA256 != ""
		if why := cmp.Or(o.Reason, whyUnsealed(p)); !sealed && o.Location != "" && !storedNothing(why) {
			all = append(all, trace.Made{URI: o.Location})
		}
	}
	return all
}

// mayHaveTaken says why a step is listed whose statement does not name what it took: mode warn or
// audit let it run with something that is revoked. It may have been by another Revocation: the
// code is all that is stated.
func mayHaveTaken(s *provenance.Statement) string {
	if s.Verdict != reason.Revoked {
		return ""
	}
	return "may have taken it: admission said " + string(reason.Revoked)
}

// namedIn is what a Revocation names of a step: what it made, or what it was made from
// directly.
func namedIn(r *v1alpha1.Revocation, s *provenance.Statement, key string) string {
	spec := r.Spec
	named := policy.RevokedBy(r, s, key)
	for _, i := range slices.Concat(s.Images, s.Mounted) {
		// Whoever names an image's manifest as an artifact means the image, too. The gate
		// does not refuse such a step.
		if d := string(i.SHA256); d != "" && (slices.Contains(spec.Images, d) || slices.Contains(spec.Digests, d)) {
			named = "used image sha256:" + d
		}
	}
	for _, sub := range s.Subjects {
		for _, d := range spec.Digests {
			if string(sub.SHA256) == d || string(sub.Tree) == d {
				named = "artifact sha256:" + d
			}
		}
		if slices.Contains(spec.Images, string(sub.SHA256)) {
			named = "image sha256:" + string(sub.SHA256)
		}
	}
	for _, m := range s.Measured {
		if slices.Contains(spec.Digests, string(m.Digest)) || slices.Contains(spec.Images, string(m.Digest)) {
			named = "image sha256:" + string(m.Digest)
		}
	}
	return named
}

// directoriesWith are the directories of a record that have a file that the Revocation names,
// as far as their files are listed, and why the record is touched. A list counts only if it
// is the sealed directory's: it is not signed.
func directoriesWith(r *v1alpha1.Revocation, p *v1alpha1.Provenance, s *provenance.Statement) (having []trace.Made, because string) {
	if len(r.Spec.Digests) == 0 {
		return nil, ""
	}
	for _, sub := range s.Subjects {
		for _, o := range p.Status.Outputs {
			if o.Files == "" || o.Location != sub.URI || sub.Tree == "" {
				continue
			}
			list, err := content.ParseFiles(o.Files)
			if err != nil || list.Tree() != sub.Tree {
				continue
			}
			if what := policy.RevokedIn(r, list); what != "" {
				having = append(having, trace.Made{URI: sub.URI, SHA256: sub.Tree})
				because = cmp.Or(because, "stored "+sub.URI+" with "+what)
				break
			}
		}
	}
	return having, because
}

// pendingFor is how long a seal may be on its way before a list without it is an error.
const pendingFor = time.Minute

// notWhole is why the list may lack somebody; nil if it does not. Of a seal that is on its way
// nobody knows what its step took, so each is relevant.
func (t *touched) notWhole() error {
	code, why := reason.ProvenancePending, []string{}
	if t.leftOut > 0 {
		code = reason.ProvenanceInvalid
		why = append(why, fmt.Sprintf("%d of %d records do not verify, and what was made from these is not listed: give the keys and the trusted root of when they were made (argoseal trust export)", t.leftOut, t.records))
	}
	if t.late > 0 {
		why = append(why, fmt.Sprintf("%d seals have been on their way for more than a minute, and what these steps made is not listed: see what keeps the notary from sealing, and list again with --dry-run", t.late))
	}
	if len(why) == 0 {
		return nil
	}
	return reason.New(code, "%s", strings.Join(why, "; "))
}

// outdated are the codes of records that held once, as far as anybody knows.
var outdated = []reason.Code{reason.SignerCompromised, reason.SignerExpired, reason.LogExpired, reason.BuilderNotTrusted}
