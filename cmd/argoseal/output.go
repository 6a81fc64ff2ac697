package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
)

// report is what -o json prints. Fields may be added; none is renamed.
type report struct {
	Verified bool `json:"verified"`
	// Reason and Message say why not.
	Reason  reason.Code `json:"reason,omitempty"`
	Message string      `json:"message,omitempty"`
	// The rest is there if verified.
	File string `json:"file,omitempty"`
	// Kind is what the statement is about: step, workflow, summary, or reproduction.
	Kind    string         `json:"kind,omitempty"`
	Subject *reportSubject `json:"subject,omitempty"`
	Level   string         `json:"level,omitempty"`
	Log     *reportLog     `json:"log,omitempty"`
	KeyHint string         `json:"keyHint,omitempty"`
	// Caveats say what nobody checked, in a statement about a second run.
	Caveats []string `json:"caveats,omitempty"`
	// Statement is the signed in-toto statement.
	Statement json.RawMessage `json:"statement,omitempty"`
}

type reportSubject struct {
	Name       string `json:"name"`
	SHA256     string `json:"sha256"`
	Form       string `json:"form,omitempty"` // of a step's seal only, and so is the size
	TreeSHA256 string `json:"treeSha256"`
	Size       *int64 `json:"size,omitempty"`
	Output     string `json:"output"`
}

type reportLog struct {
	URL   string `json:"url"`
	Index int64  `json:"index"`
}

func writeJSON(w io.Writer, v *verified, failure error) error {
	if failure != nil {
		return writeIndented(w, report{Reason: reason.Of(failure), Message: failure.Error()})
	}
	r := report{
		Verified: true,
		File:     v.file,
		Kind:     v.kind(),
		Subject: &reportSubject{
			Name: v.subject.URI, SHA256: string(v.subject.SHA256), Form: string(v.subject.Form), TreeSHA256: string(v.subject.Tree), Output: v.subject.Output,
		},
		Level:     string(v.builder().Level),
		Log:       &reportLog{URL: v.signed.LogURL, Index: v.signed.LogIndex},
		KeyHint:   v.signed.KeyHint,
		Statement: v.signed.Payload,
	}
	if v.statement != nil {
		r.Subject.Size = &v.subject.Size
	}
	if v.again != nil {
		r.Caveats = v.again.Caveats
	}
	return writeIndented(w, r)
}

// kind is what the statement is about.
func (v *verified) kind() string {
	switch {
	case v.again != nil:
		return "reproduction"
	case v.whole == nil:
		return "step"
	case v.whole.summary != nil:
		return "summary"
	}
	return "workflow"
}

func (v *verified) builder() provenance.Builder {
	switch {
	case v.whole != nil:
		return v.whole.builder
	case v.again != nil:
		return v.again.First.Builder
	}
	return v.statement.Builder
}

// table writes rows of a name and a text.
type table struct{ to *tabwriter.Writer }

// row adds one. What goes wrong in writing it is kept until Flush.
func (t table) row(name, format string, args ...any) {
	_, _ = fmt.Fprintf(t.to, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
}

func writeText(w io.Writer, v *verified) error {
	what := "what the step produced"
	switch {
	case v.whole != nil:
		what = "what left the workflow"
	case v.again != nil:
		what = "what the step produced, and it produced the same again"
	}
	if _, err := fmt.Fprintf(w, "Verified: %s is %s.\n\n", printable(v.file), what); err != nil {
		return err
	}
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("Location", "%s", v.subject.URI)
	t.row("Digest", "sha256:%s", v.subject.SHA256)
	switch {
	case v.whole != nil:
		v.whole.rows(t, v.subject)
	case v.again != nil:
		rowsAgain(t, v.again, v.subject)
	default:
		v.rows(t)
	}
	t.row("Log", "%s, index %d", v.signed.LogURL, v.signed.LogIndex)
	if v.signed.Proven.IsZero() {
		t.row("Time", "none is proven: the log gives none")
	} else {
		t.row("Time", "proven to be there at %s", v.signed.Proven.UTC().Format(time.RFC3339))
	}
	if v.signed.Identity != "" {
		t.row("Identity", "%s", v.signed.Identity)
	} else {
		t.row("Key", "%s", v.signed.KeyHint)
	}
	return t.to.Flush()
}

// rows are what a step's seal says.
func (v *verified) rows(t table) {
	s := v.statement
	t.row("Size", "%d bytes", v.subject.Size)
	t.row("Output", "%s of template %s", v.subject.Output, s.Definition.Template)
	t.row("Workflow", "%s/%s (%s)", s.Step.Namespace, s.Step.Workflow.Name, s.Step.Workflow.UID)
	t.row("Step", "%s", s.Step.NodeName)
	t.row("Pod", "%s (%s)", s.Step.Pod.Name, s.Step.Pod.UID)
	t.row("Outcome", "%s", outcome(s.Outcome))
	t.row("Finished", "%s", s.FinishedAt.UTC().Format(time.RFC3339))
	for _, input := range s.Inputs {
		t.row("Input", "%s (%s)", input.URI, heldTo(input))
	}
	t.row("Builder", "%s", s.BuilderID())
	t.row("Level", "%s", s.Builder.Level)
	t.row("Admission", "%s", admission(s))
}

// admission says how the step was admitted.
func admission(s *provenance.Statement) string {
	if s.Verdict == "" {
		return fmt.Sprintf("mode %s", s.Mode)
	}
	return fmt.Sprintf("mode %s, without proof of its inputs: %s", s.Mode, s.Verdict)
}

// heldTo says what an input was held to.
func heldTo(i provenance.Input) string {
	held := "any content"
	switch {
	case i.SHA256 != "":
		held = "sha256:" + string(i.SHA256)
	case i.Tree != "":
		held = "tree digest " + string(i.Tree)
	}
	if i.Policy != "" {
		held += ", admitted by ClusterProvenancePolicy " + i.Policy
	}
	return held
}

// outcome names the containers that did not end well.
func outcome(o provenance.Outcome) string {
	all := string(o.Result)
	for _, e := range o.Exits {
		if e.Code != 0 {
			all += fmt.Sprintf(", %s exited with %d", e.Container, e.Code)
		}
	}
	return all
}

// printable keeps text of others on its line and out of the terminal's hands.
func printable(s string) string { return text.Printable(s) }

// writeIndented writes a value as JSON, with all that is not printable escaped: JSON itself
// lets much of it through.
func writeIndented(to io.Writer, v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := to.Write(escaped(b.Bytes()))
	return err
}

// escaped spells as JSON does whatever is not printable. Outside of texts JSON has nothing
// that is not, but ends of lines.
func escaped(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		if r == '\n' || unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			out = append(out, raw[:n]...)
		} else {
			for _, u := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, `\u%04x`, u)
			}
		}
		raw = raw[n:]
	}
	return out
}
