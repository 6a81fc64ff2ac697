package main

import (
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// whole is a verified statement about a whole workflow, or the summary of one.
type whole struct {
	subjects  []provenance.WorkflowSubject
	builder   provenance.Builder
	namespace string
	workflow  provenance.Ref
	// Of facts and summary it has one.
	facts   *provenance.WorkflowFacts
	summary *provenance.SummaryFacts
}

// wholeOf reads a statement of that kind, which whoever signed may state.
func wholeOf(signed *verify.Signed, kind provenance.Kind) (*whole, error) {
	var w *whole
	if kind == provenance.KindSummary {
		f, err := provenance.ParseSummary(signed.Payload)
		if err != nil {
			return nil, err
		}
		w = &whole{f.Subjects, f.Builder, f.Namespace, f.Workflow, nil, &f}
	} else {
		f, err := provenance.ParseWorkflow(signed.Payload)
		if err != nil {
			return nil, err
		}
		w = &whole{f.Subjects, f.Builder, f.Namespace, f.Workflow, &f, nil}
	}
	if err := signed.MayState(w.builder.ID()); err != nil {
		return nil, err
	}
	return w, nil
}

// matchWhole finds the subject that is the content, as match does. A directory's location
// ends in a slash, and no file's does.
func (o *verifyOptions) matchWhole(w *whole, c contents) (provenance.Subject, error) {
	if _, err := artifact.ParseDigest(string(c.digest)); err != nil {
		return provenance.Subject{}, reason.Wrap(reason.DigestMismatch, err, "no digest to compare with")
	}
	folder := c.kind == kindFolder || c.kind == kindUnknown && strings.HasSuffix(o.name, "/")
	var at, same *provenance.WorkflowSubject
	for i := range w.subjects {
		s := &w.subjects[i]
		if o.name != "" && s.URI != o.name {
			continue
		}
		at = s
		if s.SHA256 != c.digest {
			continue
		}
		same = s
		if strings.HasSuffix(s.URI, "/") == folder {
			return provenance.Subject{URI: s.URI, Sum: content.Sum{SHA256: s.SHA256, Tree: s.Tree}, Output: s.Output}, nil
		}
	}
	switch {
	case same != nil && folder:
		return provenance.Subject{}, reason.New(reason.DigestMismatch, "%s is a file, and what was given is not", same.URI)
	case same != nil:
		return provenance.Subject{}, reason.New(reason.DigestMismatch, "%s is a directory, and what was given is not", same.URI)
	case o.name == "":
		return provenance.Subject{}, reason.New(reason.DigestMismatch, "none of the %d artifacts that left the workflow has the digest sha256:%s", len(w.subjects), c.digest)
	case at == nil:
		return provenance.Subject{}, reason.New(reason.SubjectMismatch, "nothing that left the workflow is named %s", o.name)
	}
	return provenance.Subject{}, reason.New(reason.DigestMismatch, "%s is stated with sha256:%s, not sha256:%s", at.URI, at.SHA256, c.digest)
}

// hasFile says whether an output is a file with this digest.
func (w *whole) hasFile(digest artifact.Digest) bool {
	return slices.ContainsFunc(w.subjects, func(s provenance.WorkflowSubject) bool {
		return s.SHA256 == digest && !strings.HasSuffix(s.URI, "/")
	})
}

// maker is who made it, as far as the statement says.
func (w *whole) maker() maker {
	m := maker{namespace: w.namespace, workflow: w.workflow.Name, builder: w.builder}
	if w.facts != nil {
		m.workflowTemplate, m.clusterTemplate = referred(w.facts.WorkflowTemplate, false), referred(w.facts.WorkflowTemplate, true)
		m.mode = w.facts.Mode
	} else if w.summary.Passed {
		m.mode = v1alpha1.ModeEnforce // that is what the policy says that it passed
	}
	return m
}

// acceptsWhole says whether the statement is about a workflow that was asked for.
// If a flag asks for something that such a statement does not say, it is refused.
func (p *producer) acceptsWhole(w *whole) error {
	m := w.maker()
	template := p.workflowTemplate + p.clusterTemplate
	if w.summary != nil && template != "" {
		return reason.New(reason.ProducerMismatch, "the summary of a workflow does not say which template it refers to: give the bundle of its provenance, or ask for the Workflow by name")
	}
	if err := p.who(m, suggest(m, true)); err != nil {
		return err
	}
	switch {
	case template != "" && p.overrides != anything:
		return reason.New(reason.ProducerMismatch, "a statement about a whole workflow does not say whether the template ran as it is: add --overrides any, or give the seal of the step")
	case p.outcome == string(provenance.Failed):
		return reason.New(reason.ProducerFailed, "what leaves a workflow is of steps that succeeded, asked for is one that failed")
	case w.summary != nil && !w.summary.Passed && p.mode != anything:
		return reason.New(reason.ModeTooLow, "the summary says that some step was admitted in a mode in which nothing is refused")
	}
	return p.how(m)
}

// rows are what the statement says.
func (w *whole) rows(t table, s provenance.Subject) {
	for _, of := range w.subjects {
		if of.URI == s.URI {
			t.row("Output", "%s of pod %s", of.Output, of.Pod)
		}
	}
	t.row("Workflow", "%s/%s (%s)", w.namespace, w.workflow.Name, w.workflow.UID)
	if w.summary != nil {
		result := "FAILED"
		if w.summary.Passed {
			result = "PASSED, " + provenance.SummaryLevel(w.builder.Level)
		}
		t.row("Summary", "%s, %s", result, provenance.SummaryPolicy)
		t.row("Made", "%s", w.summary.Verified.UTC().Format(time.RFC3339))
		t.row("Provenance", "sha256:%s", w.summary.Statement)
	} else {
		f := w.facts
		if f.WorkflowTemplate != nil {
			t.row("Template", "%s", f.WorkflowTemplate.Name)
		}
		t.row("Steps", "%d with a seal", f.StepCount)
		if f.Unsealed > 0 {
			t.row("Unsealed", "%d outputs of these", f.Unsealed)
		}
		t.row("Finished", "%s", f.FinishedAt.UTC().Format(time.RFC3339))
		for _, i := range f.Inputs {
			t.row("Input", "%s (%s)", i.URI, heldTo(provenance.Input{SHA256: i.SHA256, Tree: i.Tree, Policy: i.Policy}))
		}
		t.row("Mode", "%s", f.Mode)
	}
	t.row("Builder", "%s", w.builder.ID())
	t.row("Level", "%s", w.builder.Level)
}
