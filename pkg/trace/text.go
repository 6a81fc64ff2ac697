package trace

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

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
				_, t.err = fmt.Fprintf(to, "  %s: %s\n", text.Printable(e.URI), text.Printable(e.Why))
			}
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
		t.step(t.g.StepByID(id), rest+branch, rest+under)
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
		t.item(t.g.ItemByID(in.Item), rest+branch+text.Printable(in.Name)+": ", rest+under)
	}
}

// DOT writes the graph for Graphviz, from the sources to the artifact.
func (g *Graph) DOT(to io.Writer) error {
	var b strings.Builder
	b.WriteString("digraph provenance {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n")
	for _, i := range g.Items {
		fmt.Fprintf(&b, "  %s [shape=%s, label=%s];\n", i.ID, map[Kind]string{KindSealed: "box", KindSource: "folder", KindExternal: "note", KindBroken: "octagon"}[i.Kind], strconv.Quote(label(i.URI)+"\n"+short(string(i.SHA256))))
	}
	for _, s := range g.Steps {
		fmt.Fprintf(&b, "  %s [shape=ellipse, label=%s];\n", s.ID, strconv.Quote(s.Namespace+"/"+s.Workflow+"\n"+s.Template))
	}
	g.edges(func(from, to, name string) {
		fmt.Fprintf(&b, "  %s -> %s [label=%s];\n", from, to, strconv.Quote(name))
	})
	b.WriteString("}\n")
	_, err := io.WriteString(to, b.String())
	return err
}

// Mermaid writes the graph as a Mermaid flowchart.
func (g *Graph) Mermaid(to io.Writer) error {
	quoted := func(s string) string {
		s = strings.Map(func(r rune) rune {
			if r != '\n' && !unicode.IsPrint(r) {
				return '?'
			}
			return r
		}, s)
		return `"` + strings.NewReplacer(`"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", "<br/>").Replace(s) + `"`
	}
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, i := range g.Items {
		shape := map[Kind][2]string{KindSealed: {"[", "]"}, KindSource: {"[/", "/]"}, KindExternal: {"[(", ")]"}, KindBroken: {"{{", "}}"}}[i.Kind]
		fmt.Fprintf(&b, "  %s%s%s%s\n", i.ID, shape[0], quoted(label(i.URI)+"\n"+short(string(i.SHA256))), shape[1])
	}
	for _, s := range g.Steps {
		fmt.Fprintf(&b, "  %s(%s)\n", s.ID, quoted(s.Namespace+"/"+s.Workflow+"\n"+s.Template))
	}
	g.edges(func(from, to, name string) {
		if name != "" {
			name = "|" + quoted(name) + "|"
		}
		fmt.Fprintf(&b, "  %s -->%s %s\n", from, name, to)
	})
	_, err := io.WriteString(to, b.String())
	return err
}

// edges tells each edge, in the direction in which things were made.
func (g *Graph) edges(tell func(from, to, name string)) {
	for _, i := range g.Items {
		for _, s := range i.By {
			tell(s, i.ID, "")
		}
	}
	for _, s := range g.Steps {
		for _, in := range s.Inputs {
			tell(in.Item, s.ID, in.Name)
		}
	}
}

// label is a URI of bounded length, as text: its end tells most.
func label(uri string) string {
	const most = 48
	runes := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, uri))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:12]) + "…" + string(runes[len(runes)-most+13:])
}
