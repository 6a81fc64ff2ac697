package trace

import (
	_ "embed"
	"html/template"
	"io"

	"github.com/argoseal/argoseal/pkg/text"
)

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("page").Parse(page))

// HTML writes the graph as one file that needs no other, and no network: a drawing,
// and everything that it stands for in tables.
func (g *Graph) HTML(to io.Writer) error {
	return pageTemplate.Execute(to, g.shown().draw())
}

// shown is the graph with all names that others chose as text on one line, in which what is
// not printable is seen: control characters, and marks that turn the direction of writing. No
// form's own quoting does that.
func (g *Graph) shown() *Graph {
	to := &Graph{Root: g.Root, Image: g.Image}
	for _, i := range g.Items {
		c := *i
		printable(&c.URI, &c.Why)
		to.Items = append(to.Items, &c)
	}
	for _, s := range g.Steps {
		c := *s
		printable(&c.Record, &c.Namespace, &c.Workflow, &c.WorkflowUID, &c.Node, &c.Template, &c.TemplateRef, &c.Builder, &c.Level, &c.Mode, &c.Verdict, &c.Outcome, &c.LogURL)
		c.Images, c.Inputs = nil, nil
		for _, i := range s.Images {
			printable(&i.Container, &i.Image)
			c.Images = append(c.Images, i)
		}
		for _, in := range s.Inputs {
			printable(&in.Name)
			c.Inputs = append(c.Inputs, in)
		}
		to.Steps = append(to.Steps, &c)
	}
	for _, n := range g.Notes {
		printable(&n)
		to.Notes = append(to.Notes, n)
	}
	return to
}

func printable(all ...*string) {
	for _, s := range all {
		*s = text.Printable(*s)
	}
}
