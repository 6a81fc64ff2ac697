package trace

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("page").Parse(page))

// HTML writes the graph as one file that needs no other, and no network: a drawing,
// and everything that it stands for in tables.
func (g *Graph) HTML(to io.Writer) error {
	return pageTemplate.Execute(to, g.draw())
}
