package trace

import (
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/argoseal/argoseal/pkg/text"
)

// short is the beginning of a digest.
func short(s string) string {
	if len(s) > 12 {
		return s[:12]
	}
	return s
}

// Text writes the graph as a tree for a terminal. What was told once is referred to.
func (g *Graph) Text(to io.Writer) error {
	t := &tree{g: g, to: to, told: map[string]bool{}}
	if g.Image != "" {
		t.line("", "image sha256:%s lay in it:", g.Image)
	}
	t.item(g.ItemByID(g.Root), "", "")
	if t.err == nil {
		_, t.err = fmt.Fprintf(to, "\n%d steps, %d artifacts and sources", len(g.Steps), len(g.Items))
	}
	ends := g.Ends()
	if t.err == nil && len(ends) == 0 {
		_, t.err = fmt.Fprint(to, "; every chain ends at a source or at a step without inputs\n")
	} else if t.err == nil {
		_, t.err = fmt.Fprintf(to, "; for want of evidence %d end early:\n", len(ends))
		for _, e := range ends {
			if t.err == nil {
				_, t.err = fmt.Fprintf(to, "  %s: %s\n", text.Printable(e.Name), text.Printable(e.Why))
			}
		}
	}
	if t.err == nil && len(g.Notes) > 0 {
		_, t.err = fmt.Fprint(to, "\nNotes:\n")
		for _, n := range g.Notes {
			t.line("  ", "%s", n)
		}
	}
	return t.err
}

type tree struct {
	g    *Graph
	to   io.Writer
	told map[string]bool
	err  error
}

func (t *tree) line(indent, format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.to, "%s%s\n", indent, text.Printable(fmt.Sprintf(format, args...)))
	}
}

// maxIndent bounds what stands before a line: chains are longer than any terminal is wide.
const maxIndent = 120

// deeper is what stands before lines one level down.
func deeper(rest, under string) string {
	if utf8.RuneCountInString(rest) >= maxIndent {
		return rest
	}
	return rest + under
}

// item writes an item, with what leads to it before it.
func (t *tree) item(item *Item, first, rest string) {
	if item == nil || t.err != nil {
		return
	}
	name := item.URI
	if item.SHA256 != "" {
		name += " (sha256:" + short(string(item.SHA256)) + ")"
	}
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.to, "%s%s\n", first, text.Printable(name))
	}
	if item.Why != "" {
		t.line(rest+"   ", "%s", item.Why)
	}
	for i, id := range item.By {
		last := i == len(item.By)-1
		branch, under := "├─ ", "│  "
		if last {
			branch, under = "└─ ", "   "
		}
		t.step(t.g.StepByID(id), rest+branch, deeper(rest, under))
	}
}

func (t *tree) step(s *Step, first, rest string) {
	if s == nil || t.err != nil {
		return
	}
	if t.told[s.ID] {
		t.line(first, "%s, told above", s.ID)
		return
	}
	t.told[s.ID] = true
	t.line(first, "%s: step %s of workflow %s/%s, template %s", s.ID, s.Node, s.Namespace, s.Workflow, s.Template)
	t.line(rest, "%s, %s, mode %s; log %s, index %d", s.Outcome, s.Level, s.Mode, s.LogURL, s.LogIndex)
	if why := s.unproven(); why != "" {
		t.line(rest, "%s", why)
	}
	for _, i := range s.Images {
		digest := "digest unknown"
		if i.SHA256 != "" {
			digest = "sha256:" + short(string(i.SHA256))
		}
		t.line(rest, "image of %s: %s (%s)", i.Container, i.Image, digest)
	}
	for i, in := range s.Inputs {
		branch, under := "├─ ", "│  "
		if i == len(s.Inputs)-1 {
			branch, under = "└─ ", "   "
		}
		t.item(t.g.ItemByID(in.Item), rest+branch+text.Printable(in.Name)+": ", deeper(rest, under))
	}
}
