package main

import (
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// againOf reads a statement about a second run, of whoever is trusted about that. It has
// to say that the run made the same.
func againOf(signed *verify.Signed) (*provenance.ReproductionFacts, error) {
	f, err := provenance.ParseReproduction(signed.Payload)
	if err != nil {
		return nil, err
	}
	if err := signed.MayReproduce(); err != nil {
		return nil, err
	}
	if f.Verdict != provenance.WasReproduced {
		return nil, reason.New(reason.NotReproduced, "the statement says %s of pod %s", f.Verdict, f.First.Pod.Name)
	}
	return f, nil
}

// matchAgain finds the first run's output that is the content, as match does.
func (o *verifyOptions) matchAgain(f *provenance.ReproductionFacts, c contents) (provenance.Subject, error) {
	folder := c.kind == kindFolder || c.kind == kindUnknown && strings.HasSuffix(o.name, "/")
	named := false
	for _, out := range f.Outputs {
		if out.First.SHA256 == "" || o.name != "" && out.URI != o.name {
			continue
		}
		named = true
		if out.First.SHA256 == c.digest && strings.HasSuffix(out.URI, "/") == folder {
			return provenance.Subject{URI: out.URI, Sum: content.Sum{SHA256: out.First.SHA256, Tree: out.First.Tree}, Output: out.Name}, nil
		}
	}
	if !named {
		return provenance.Subject{}, reason.New(reason.SubjectMismatch, "no output that was made again is named %s", o.name)
	}
	return provenance.Subject{}, reason.New(reason.DigestMismatch, "no output of the first run has the digest sha256:%s", c.digest)
}

// acceptsAgain says whether the first run is one that was asked for. If a flag asks for
// something that such a statement does not say, it is refused; and so is one with caveats,
// unless these are tolerated.
func (p *producer) acceptsAgain(f *provenance.ReproductionFacts, tolerate bool) error {
	r := f.First
	if p.workflowTemplate+p.clusterTemplate != "" {
		return reason.New(reason.ProducerMismatch, "a statement about a second run does not say which template the Workflow refers to: give the seal of the step, or ask for the Workflow by name")
	}
	m := maker{namespace: r.Namespace, workflow: r.Workflow.Name, builder: r.Builder}
	if err := p.who(m, suggest(m, true)); err != nil {
		return err
	}
	// The rules of whoever only reproduces name no builders, and another cluster may have a
	// namespace of that name, too.
	if !p.any && p.builder == "" {
		return reason.New(reason.ProducerUnstated, "whoever ran it again may speak of any cluster's steps: add --builder %s", quoted(r.Builder.Cluster))
	}
	switch {
	case p.level == string(provenance.LevelIsolated) && r.Builder.Level != provenance.LevelIsolated:
		return reason.New(reason.LevelTooLow, "its level is %s, not %s", r.Builder.Level, p.level)
	case p.outcome == string(provenance.Failed):
		return reason.New(reason.ProducerFailed, "statements about a second run are about steps that succeeded, asked for is one that failed")
	case p.mode != anything:
		return reason.New(reason.ModeTooLow, "a statement about a second run does not say in which mode the step was admitted: add --mode any, or give the seal of the step")
	case len(f.Caveats) > 0 && !tolerate:
		return reason.New(reason.NotComparable, "%d things were not checked, which --tolerate-caveats accepts. The first: %s", len(f.Caveats), f.Caveats[0])
	}
	return nil
}

// rowsAgain are what a statement about a second run says.
func rowsAgain(t table, f *provenance.ReproductionFacts, s provenance.Subject) {
	t.row("Output", "%s of template %s", s.Output, f.First.Template)
	for _, o := range f.Outputs {
		if o.Name == s.Output && o.First.SHA256 != o.Second.SHA256 {
			t.row("", "the same once unpacked (tree %s): the second run stored other bytes, sha256:%s", o.First.Tree, o.Second.SHA256)
		}
	}
	runRows(t, "First run", f.First)
	runRows(t, "Second run", f.Second)
	t.row("Compared", "%s, by argoseal %s", f.Compared.UTC().Format(time.RFC3339), f.Argoseal)
	for _, c := range f.Caveats {
		t.row("Not checked", "%s", c)
	}
}

func runRows(t table, which string, r provenance.SealedRun) {
	t.row(which, "Workflow %s/%s (%s), pod %s", r.Namespace, r.Workflow.Name, r.Workflow.UID, r.Pod.UID)
	t.row("", "seal sha256:%s of %s", r.Statement, r.Builder.ID())
}
