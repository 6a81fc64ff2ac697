package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/argoseal/argoseal/pkg/trace"
)

// taintReport is what -o json prints.
type taintReport struct {
	Revocation string `json:"revocation,omitempty"`
	DryRun     bool   `json:"dryRun,omitempty"`
	// Records is how many seals were read, LeftOut how many of them nobody can follow: they
	// do not verify.
	Records int `json:"records"`
	LeftOut int `json:"leftOut"`
	// Namespaces are those that were looked through; empty for all.
	Namespaces []string `json:"namespaces,omitempty"`
	// Pending is how many seals are on their way, Late how many of these have been for more than a
	// minute. Unproven is how many records do not say what the step took: it has ended without a
	// seal, or ran without proof of its inputs. UnprovenRecords names these, each with why.
	Pending         int      `json:"pending"`
	Late            int      `json:"late"`
	Unproven        int      `json:"unproven"`
	UnprovenRecords []string `json:"unprovenRecords,omitempty"`
	// Unidentified is how many steps ran or mounted an image of which no manifest's digest is
	// known: nobody can say where it was made.
	Unidentified int                `json:"unidentified"`
	Descendants  []trace.Descendant `json:"descendants"`
}

// tell takes over what was found.
func (r *taintReport) tell(t *touched) {
	r.Records, r.LeftOut, r.Unidentified = t.records, t.leftOut, t.unidentified
	r.Pending, r.Late, r.Unproven, r.UnprovenRecords = t.pending, t.late, len(t.unproven), t.unproven
	r.Descendants = append(r.Descendants, trace.Descend(t.links)...)
}

func (r taintReport) table(to io.Writer) error {
	err := r.list(to)
	if err == nil && r.Pending > 0 {
		_, err = fmt.Fprintf(to, "\n%d seals are on their way: what these steps took is not known yet.\n", r.Pending)
	}
	if err == nil && r.Unproven > 0 {
		_, err = fmt.Fprintf(to, "\n%d records do not say what their steps took: these ended without a seal, or ran although their inputs were not proven.\n", r.Unproven)
	}
	if err == nil && r.Unidentified > 0 {
		_, err = fmt.Fprintf(to, "\n%d steps used an image of which no manifest's digest is known: nobody can say which step made it.\n", r.Unidentified)
	}
	if err == nil && len(r.Namespaces) > 0 {
		_, err = fmt.Fprintf(to, "\nRecords of other namespaces than %s were not looked through.\n", printable(strings.Join(r.Namespaces, ", ")))
	}
	return err
}

// maxDoubts bounds the records that are told of beside a list; JSON has all.
const maxDoubts = 100

// tellDoubts names records that do not say what their steps took.
func tellDoubts(to io.Writer, unproven []string) {
	for _, u := range unproven[:min(len(unproven), maxDoubts)] {
		_, _ = fmt.Fprintf(to, "record %s does not say what its step took\n", printable(u))
	}
	if more := len(unproven) - maxDoubts; more > 0 {
		_, _ = fmt.Fprintf(to, "and %d records more: -o json has them\n", more)
	}
}

func (r taintReport) list(to io.Writer) error {
	if len(r.Descendants) == 0 {
		_, err := fmt.Fprintf(to, "No record was touched, of %d.\n", r.Records-r.LeftOut)
		return err
	}
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "STEPS BETWEEN\tNAMESPACE\tWORKFLOW\tTEMPLATE\tBECAUSE\tMADE")
	for _, d := range r.Descendants {
		made := make([]string, 0, len(d.Made))
		for _, m := range d.Made {
			made = append(made, m.URI)
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", d.Distance, printable(d.Namespace), printable(d.Workflow), printable(d.Template), printable(d.Because), printable(strings.Join(made, " ")))
	}
	return t.Flush()
}

// advise says what the Revocation of a file leaves. The lines are there to be pasted: a
// command has nothing of a tenant's in it, not even as a comment, which some shells take for
// arguments, and a location does nothing.
func advise(to io.Writer, directories []trace.Made) {
	if len(directories) == 0 {
		return
	}
	_, _ = fmt.Fprintln(to, "These directories have it. Whoever takes one whole is refused; what was made from one is admitted until the directory is revoked, too:")
	for _, d := range directories {
		_, _ = fmt.Fprintf(to, "  '%s'\n    argoseal taint sha256:%s\n", strings.ReplaceAll(printable(d.URI), "'", `'\''`), d.SHA256)
	}
}
