package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/reproduce"
)

// reproduced is what -o json prints. Fields may be added; none is renamed.
type reproduced struct {
	// Reason and Message say why it did not make the same.
	Reason  reason.Code       `json:"reason,omitempty"`
	Message string            `json:"message,omitempty"`
	First   *reproducedRun    `json:"first,omitempty"`
	Second  *reproducedRun    `json:"second,omitempty"`
	Result  *reproduce.Result `json:"result,omitempty"`
}

// reproducedRun is one of the two runs.
type reproducedRun struct {
	Namespace  string `json:"namespace"`
	Workflow   string `json:"workflow"`
	Provenance string `json:"provenance,omitempty"`
	Template   string `json:"template,omitempty"`
	Level      string `json:"level,omitempty"`
}

func runOf(s *provenance.Statement) *reproducedRun {
	return &reproducedRun{s.Step.Namespace, s.Step.Workflow.Name, s.Step.Pod.UID, s.Definition.Template, string(s.Builder.Level)}
}

// judged is nil if both runs made the same.
func judged(r *reproduce.Result) error {
	switch r.Verdict {
	case reproduce.Same:
		return nil
	case reproduce.Differs:
		n := 0
		for _, o := range r.Outputs {
			if o.Verdict == reproduce.Differs {
				n++
			}
		}
		return reason.New(reason.NotReproduced, "%d of %d outputs differ", n, len(r.Outputs))
	case reproduce.NotComparable:
	}
	return reason.New(reason.NotComparable, "%s", r.Why)
}

// text writes the result for people.
func (r *reproduced) text(w io.Writer) error {
	what := map[reproduce.Verdict]string{
		reproduce.Same: "Reproduced: the second run made the same.", reproduce.Differs: "Not reproduced: the second run made something else.",
	}[r.Result.Verdict]
	if what == "" {
		what = "Not comparable: " + printable(r.Result.Why) + "."
	}
	if _, err := fmt.Fprintf(w, "%s\n\n", what); err != nil {
		return err
	}
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	for i, run := range []*reproducedRun{r.First, r.Second} {
		t.row([]string{"First run", "Second run"}[i], "Workflow %s/%s, Provenance %s, level %s", run.Namespace, run.Workflow, run.Provenance, run.Level)
	}
	for _, o := range r.Result.Outputs {
		said := string(o.Verdict)
		if o.Why != "" {
			said += ": " + o.Why
		}
		t.row("Output "+printable(o.Name), "%s", said)
		if o.Verdict == reproduce.Same && o.First != "" {
			t.row("", "tree %s", o.First)
			continue
		}
		if o.First != "" {
			t.row("", "first run: tree %s", o.First)
		}
		if o.Second != "" {
			t.row("", "second run: tree %s", o.Second)
		}
		for _, f := range o.Files[:min(len(o.Files), maxShown)] {
			t.row("", "%s: %s", f.Change, f.Path)
		}
		if more := len(o.Files) - maxShown; more > 0 {
			t.row("", "and %d more (-o json lists all)", more)
		}
		if len(o.Files) == 0 && o.First != "" && o.Second != "" {
			t.row("", "which files differ is not on record: compare the two artifacts")
		}
	}
	for _, n := range r.Result.Notes {
		t.row("Not checked", "%s", n)
	}
	return t.to.Flush()
}
