package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// report is what -o json prints. Fields may be added; none is renamed.
type report struct {
	Verified bool `json:"verified"`
	// Reason and Message say why not.
	Reason  reason.Code `json:"reason,omitempty"`
	Message string      `json:"message,omitempty"`
	// The rest is there if verified.
	File    string         `json:"file,omitempty"`
	Subject *reportSubject `json:"subject,omitempty"`
	Level   string         `json:"level,omitempty"`
	Log     *reportLog     `json:"log,omitempty"`
	KeyHint string         `json:"keyHint,omitempty"`
	// Statement is the signed in-toto statement.
	Statement json.RawMessage `json:"statement,omitempty"`
}

type reportSubject struct {
	Name       string `json:"name"`
	SHA256     string `json:"sha256"`
	Form       string `json:"form"`
	TreeSHA256 string `json:"treeSha256"`
	Size       int64  `json:"size"`
	Output     string `json:"output"`
}

type reportLog struct {
	URL   string `json:"url"`
	Index int64  `json:"index"`
}

func writeJSON(w io.Writer, v *verified, failure error) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if failure != nil {
		return encoder.Encode(report{Reason: reason.Of(failure), Message: failure.Error()})
	}
	return encoder.Encode(report{
		Verified: true,
		File:     v.file,
		Subject: &reportSubject{
			Name: v.subject.URI, SHA256: string(v.subject.SHA256), Form: string(v.subject.Form), TreeSHA256: string(v.subject.Tree),
			Size: v.subject.Size, Output: v.subject.Output,
		},
		Level:     string(v.result.Statement.Builder.Level),
		Log:       &reportLog{URL: v.result.LogURL, Index: v.result.LogIndex},
		KeyHint:   v.result.KeyHint,
		Statement: v.result.Payload,
	})
}

func writeText(w io.Writer, v *verified) error {
	s := v.result.Statement
	if _, err := fmt.Fprintf(w, "Verified: %s is what the step produced.\n\n", printable(v.file)); err != nil {
		return err
	}
	// What goes wrong in writing a row is kept until Flush.
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	row("Location", "%s", v.subject.URI)
	row("Digest", "sha256:%s", v.subject.SHA256)
	row("Size", "%d bytes", v.subject.Size)
	row("Output", "%s of template %s", v.subject.Output, s.Definition.Template)
	row("Workflow", "%s/%s (%s)", s.Step.Namespace, s.Step.Workflow.Name, s.Step.Workflow.UID)
	row("Step", "%s", s.Step.NodeName)
	row("Pod", "%s (%s)", s.Step.Pod.Name, s.Step.Pod.UID)
	row("Outcome", "%s", outcome(s.Outcome))
	row("Finished", "%s", s.FinishedAt.UTC().Format(time.RFC3339))
	for _, input := range s.Inputs {
		row("Input", "%s (%s)", input.URI, heldTo(input))
	}
	row("Builder", "%s", s.BuilderID())
	row("Level", "%s, mode %s", s.Builder.Level, s.Mode)
	row("Log", "%s, index %d", v.result.LogURL, v.result.LogIndex)
	if v.result.Proven.IsZero() {
		row("Time", "none is proven: the log gives none")
	} else {
		row("Time", "proven to be there at %s", v.result.Proven.UTC().Format(time.RFC3339))
	}
	if v.result.Identity != "" {
		row("Identity", "%s", v.result.Identity)
	} else {
		row("Key", "%s", v.result.KeyHint)
	}
	return table.Flush()
}

// heldTo says what an input was held to.
func heldTo(i provenance.Input) string {
	text := "any content"
	switch {
	case i.SHA256 != "":
		text = "sha256:" + string(i.SHA256)
	case i.Tree != "":
		text = "tree digest " + string(i.Tree)
	}
	if i.Policy != "" {
		text += ", admitted by ClusterProvenancePolicy " + i.Policy
	}
	return text
}

// outcome names the containers that did not end well.
func outcome(o provenance.Outcome) string {
	text := string(o.Result)
	for _, e := range o.Exits {
		if e.Code != 0 {
			text += fmt.Sprintf(", %s exited with %d", e.Container, e.Code)
		}
	}
	return text
}

// printable keeps text of others on its line and out of the terminal's hands.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}
