package trace

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/argoseal/argoseal/pkg/text"
)

// DOT writes the graph for Graphviz, from the sources to the artifact.
func (g *Graph) DOT(to io.Writer) error {
	g = g.shown()
	var b strings.Builder
	b.WriteString("digraph provenance {\n")
	for _, n := range g.Notes {
		fmt.Fprintf(&b, "  // %s\n", n)
	}
	b.WriteString("  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n")
	for _, i := range g.Items {
		fmt.Fprintf(&b, "  %s [shape=%s, label=%s];\n", i.ID, map[Kind]string{KindSealed: "box", KindSource: "folder", KindExternal: "note", KindBroken: "octagon"}[i.Kind], quotedDOT(label(i.URI)+"\n"+short(string(i.SHA256))))
	}
	for _, s := range g.Steps {
		style := ""
		if s.Verdict != "" {
			style = ", color=red"
		}
		fmt.Fprintf(&b, "  %s [shape=ellipse%s, label=%s];\n", s.ID, style, quotedDOT(s.lines()))
	}
	g.edges(func(from, to, name string) {
		fmt.Fprintf(&b, "  %s -> %s [label=%s];\n", from, to, quotedDOT(name))
	})
	b.WriteString("}\n")
	_, err := io.WriteString(to, b.String())
	return err
}

// lines are what a step's box says.
func (s *Step) lines() string {
	all := s.Namespace + "/" + s.Workflow + "\n" + s.Template
	if s.Verdict != "" {
		all += "\nunproven inputs: " + s.Verdict + ", mode " + s.Mode
	}
	return all
}

// quotedDOT is a label: Graphviz knows sequences that begin with a backslash, and entities
// of HTML.
func quotedDOT(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;", "\n", `\n`).Replace(s) + `"`
}

// Mermaid writes the graph as a Mermaid flowchart.
func (g *Graph) Mermaid(to io.Writer) error {
	g = g.shown()
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, n := range g.Notes {
		fmt.Fprintf(&b, "  %%%% %s\n", entities(n))
	}
	for _, i := range g.Items {
		shape := map[Kind][2]string{KindSealed: {"[", "]"}, KindSource: {"[/", "/]"}, KindExternal: {"[(", ")]"}, KindBroken: {"{{", "}}"}}[i.Kind]
		fmt.Fprintf(&b, "  %s%s%s%s\n", i.ID, shape[0], quotedMermaid(label(i.URI)+"\n"+short(string(i.SHA256))), shape[1])
	}
	for _, s := range g.Steps {
		fmt.Fprintf(&b, "  %s(%s)\n", s.ID, quotedMermaid(s.lines()))
		if s.Verdict != "" {
			fmt.Fprintf(&b, "  style %s stroke:#c53030\n", s.ID)
		}
	}
	g.edges(func(from, to, name string) {
		if name != "" {
			name = "|" + quotedMermaid(name) + "|"
		}
		fmt.Fprintf(&b, "  %s -->%s %s\n", from, name, to)
	})
	_, err := io.WriteString(to, b.String())
	return err
}

func quotedMermaid(s string) string {
	return `"` + strings.ReplaceAll(entities(s), "\n", "<br/>") + `"`
}

// entities spells by number what Mermaid may take for more than a character: quotes, HTML,
// entities of its own, and directives, which it looks for everywhere, even in comments.
func entities(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\n' || unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" /:.,-_+@=()…", r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
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

// label is the beginning and the end of a URI: its end tells most.
func label(uri string) string { return text.Middle(uri, 12, 35) }
