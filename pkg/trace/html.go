package trace

import (
	_ "embed"
	"html/template"
	"io"
	"slices"
)

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("page").Parse(page))

// Sizes of the drawing, in pixels.
const (
	boxWidth, boxHeight = 230, 62
	gapX, gapY          = 46, 22
	margin              = 20
)

// box is an item or a step with its place in the drawing.
type box struct {
	ID, Title, Line, Note, Class string
	X, Y, W, H                   int
	depth                        int
	// height is about where it should be, from the top.
	height int
}

type edge struct{ X1, Y1, C1, C2, X2, Y2 int }

type drawing struct {
	Graph         *Graph
	Root          *Item
	Ends          []*Item
	Boxes         []box
	Edges         []edge
	Width, Height int
}

// HTML writes the graph as one file that needs no other, and no network: a drawing,
// and everything that it stands for in tables.
func (g *Graph) HTML(to io.Writer) error {
	return pageTemplate.Execute(to, g.draw())
}

// draw puts the artifact on the right, and what it was made from to its left: each
// column has what is as far from it, by the longest way.
func (g *Graph) draw() drawing {
	// What each box was made from, and what it went into.
	from, into := map[string][]string{}, map[string][]string{}
	g.edges(func(a, b, _ string) { from[b], into[a] = append(from[b], a), append(into[a], b) })
	depth := depths(g.Root, from)
	most := 0
	for _, d := range depth {
		most = max(most, d)
	}
	columns := make([][]box, most+1)
	for _, i := range g.Items {
		b := box{ID: i.ID, Title: tail(i.URI), Line: "sha256:" + short(string(i.SHA256)), Note: string(i.Kind), Class: string(i.Kind), depth: depth[i.ID]}
		if i.SHA256 == "" {
			b.Line = "any content"
			if i.Kind == KindSource {
				b.Line = "a commit"
			}
		}
		columns[b.depth] = append(columns[b.depth], b)
	}
	for _, s := range g.Steps {
		b := box{ID: s.ID, Title: tail(s.Template), Line: tail(s.Namespace + "/" + s.Workflow), Note: s.Level + ", " + s.Outcome, Class: "step", depth: depth[s.ID]}
		columns[b.depth] = append(columns[b.depth], b)
	}
	d := drawing{Graph: g, Root: g.ItemByID(g.Root), Ends: g.Ends()}
	rows := 0
	for _, c := range columns {
		rows = max(rows, len(c))
	}
	d.Height = 2*margin + rows*(boxHeight+gapY) - gapY
	d.Width = 2*margin + len(columns)*(boxWidth+gapX) - gapX
	at := map[string]box{}
	for n, c := range columns {
		for i := range c {
			c[i].height = height(into[c[i].ID], at)
		}
		slices.SortStableFunc(c, func(a, b box) int { return a.height - b.height })
		top := (d.Height - len(c)*(boxHeight+gapY) + gapY) / 2
		for i := range c {
			c[i].X = d.Width - margin - boxWidth - n*(boxWidth+gapX)
			c[i].Y, c[i].W, c[i].H = top+i*(boxHeight+gapY), boxWidth, boxHeight
			at[c[i].ID] = c[i]
			d.Boxes = append(d.Boxes, c[i])
		}
	}
	g.edges(func(from, to, _ string) {
		a, b := at[from], at[to]
		e := edge{X1: a.X + boxWidth, Y1: a.Y + boxHeight/2, X2: b.X, Y2: b.Y + boxHeight/2}
		e.C1, e.C2 = e.X1+gapX/2, e.X2-gapX/2
		d.Edges = append(d.Edges, e)
	})
	return d
}

// depths are the longest ways from the artifact. For records that refer to each
// other in a circle there would be no longest way. No step takes what was made
// after it, but this code does not depend on that: it leaves out what closes a circle.
func depths(root string, from map[string][]string) map[string]int {
	// Each box comes after all that it was made from, circles apart.
	place := map[string]int{root: -1}
	var order []string
	type visit struct {
		id   string
		left []string
	}
	for way := []visit{{root, from[root]}}; len(way) > 0; {
		last := &way[len(way)-1]
		if len(last.left) == 0 {
			place[last.id] = len(order)
			order = append(order, last.id)
			way = way[:len(way)-1]
			continue
		}
		next := last.left[0]
		last.left = last.left[1:]
		if _, seen := place[next]; !seen {
			place[next] = -1
			way = append(way, visit{next, from[next]})
		}
	}
	depth := map[string]int{root: 0}
	for _, id := range slices.Backward(order) {
		for _, f := range from[id] {
			if place[f] < place[id] {
				depth[f] = max(depth[f], depth[id]+1)
			}
		}
	}
	return depth
}

// height is about where a box should be: the mean height of what it leads to.
func height(into []string, at map[string]box) int {
	sum, n := 0, 0
	for _, id := range into {
		if b, ok := at[id]; ok {
			sum += b.Y
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// tail is the end of a name, as much as a box has room for.
func tail(name string) string {
	const most = 27
	if runes := []rune(name); len(runes) > most {
		return "…" + string(runes[len(runes)-most+1:])
	}
	return name
}
