package trace

import (
	"fmt"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/text"
)

// Sizes of the drawing, in pixels.
const (
	boxWidth, boxHeight = 230, 62
	// layerGap is between a layer and the next, gap between boxes of one.
	layerGap, gap = 46, 22
	margin        = 20
	// bend is the room of a line that passes between boxes.
	bend = 14
	// maxBends bounds them. Where there would be more, lines go behind boxes.
	maxBends = 4096
	// sheet is how much room most windows have.
	sheet = 1160
)

// box is an item or a step with its place in the drawing.
type box struct {
	ID, Title, Line, Note, Class string
	// Round is how steps are drawn.
	Round bool
	// Full is what Title has the end of.
	Full       string
	X, Y, W, H int
}

type drawing struct {
	Graph         *Graph
	Root          *Item
	Ends          []End
	Boxes         []*box
	Paths         []string
	Width, Height int
	// Down says that the artifact is at the top, not on the right.
	Down bool
}

// slot is the place of a box in its layer, or of a line that passes there.
type slot struct {
	box *box
	// size is what it takes of its layer, mid where the middle of that is.
	size, mid int
	// toward are the slots of the layer before that it leads to.
	toward []*slot
}

// want is about where a slot should be: in the middle of what it leads to.
func (s *slot) want() int {
	sum := 0
	for _, t := range s.toward {
		sum += t.mid
	}
	return sum / max(1, len(s.toward))
}

// boxes are those of the items, then those of the steps.
func (g *Graph) boxes() (all []*box) {
	for _, i := range g.Items {
		b := &box{ID: i.ID, Title: tail(i.URI), Line: "sha256:" + short(string(i.SHA256)), Note: string(i.Kind), Class: string(i.Kind), Full: i.URI}
		if i.SHA256 == "" {
			b.Line = "any content"
		}
		if at := strings.LastIndex(i.URI, "@"); i.Kind == KindSource && at >= 0 { // else its end would be all that is seen
			b.Title, b.Line = tail(i.URI[:at]), "commit "+short(i.URI[at+1:])
		}
		all = append(all, b)
	}
	for _, s := range g.Steps {
		b := &box{
			ID: s.ID, Title: tail(s.Template), Line: tail(s.Namespace + "/" + s.Workflow), Note: s.Level + ", " + s.Outcome, Class: "step", Round: true,
			Full: s.Namespace + "/" + s.Workflow + ": " + s.Template,
		}
		if s.Verdict != "" {
			b.Note, b.Class = "inputs not proven", "broken"
		}
		all = append(all, b)
	}
	return all
}

// draw puts the artifact on the right, and what it was made from to its left: each layer
// has what is as far from it, by the longest way. Chains that are too long for a window go down,
// if that is narrower.
func (g *Graph) draw() drawing {
	// What each box was made from.
	from := map[string][]string{}
	g.edges(func(a, b, _ string) { from[b] = append(from[b], a) })
	depth := depths(g.Root, from)
	most := 0
	for _, d := range depth {
		most = max(most, d)
	}
	d := drawing{Graph: g, Root: g.ItemByID(g.Root), Ends: g.Ends(), Boxes: g.boxes()}
	layers, at := make([][]*slot, most+1), map[string]*slot{}
	for _, b := range d.Boxes {
		at[b.ID] = &slot{box: b}
		layers[depth[b.ID]] = append(layers[depth[b.ID]], at[b.ID])
	}
	widest := 0
	for _, layer := range layers {
		widest = max(widest, len(layer))
	}
	right, down := along(most+1, boxWidth), 2*margin+widest*(boxWidth+gap)-gap
	d.Down = right > sheet && down < right
	lines := g.lines(depth, layers, at)
	if d.Down {
		d.Width, d.Height = arrange(layers, boxWidth), along(most+1, boxHeight)
	} else {
		d.Width, d.Height = right, arrange(layers, boxHeight)
	}
	for n, layer := range layers {
		for _, s := range layer {
			if b := s.box; b != nil {
				b.W, b.H = boxWidth, boxHeight
				b.X, b.Y = d.point(min(d.entryAt(n), d.exitAt(n)), s.mid)
				if d.Down {
					b.X -= boxWidth / 2
				} else {
					b.Y -= boxHeight / 2
				}
			}
		}
	}
	for _, l := range lines {
		d.Paths = append(d.Paths, d.path(l))
	}
	return d
}

// along is how long so many layers are, one behind the other.
func along(layers, size int) int { return 2*margin + layers*(size+layerGap) - layerGap }

// line leads from a box to another one, by a slot of each layer between.
type line struct {
	// first and last are the layers of its ends. The slots between are of those between, if
	// there are any.
	first, last int
	slots       []*slot
}

// lines are the edges, in the direction in which things were made. Each slot between has its
// room in a layer.
func (g *Graph) lines(depth map[string]int, layers [][]*slot, at map[string]*slot) (all []line) {
	bends := 0
	g.edges(func(a, b, _ string) { bends += max(0, depth[a]-depth[b]-1) })
	g.edges(func(a, b, _ string) {
		l := line{first: depth[a], last: depth[b], slots: []*slot{at[a]}}
		last := at[a]
		for n := depth[a] - 1; n > depth[b] && bends <= maxBends; n-- {
			between := &slot{}
			layers[n] = append(layers[n], between)
			last.toward = append(last.toward, between)
			l.slots, last = append(l.slots, between), between
		}
		if depth[a] > depth[b] {
			last.toward = append(last.toward, at[b])
		}
		l.slots = append(l.slots, at[b])
		all = append(all, l)
	})
	return all
}

// arrange gives each slot its place in its layer, where boxes have a size, and says how much
// room all have.
func arrange(layers [][]*slot, size int) (room int) {
	total := make([]int, len(layers))
	for n, layer := range layers {
		total[n] = -gap
		for _, s := range layer {
			if s.size = bend; s.box != nil {
				s.size = size
			}
			total[n] += s.size + gap
		}
		room = max(room, total[n])
	}
	room += 2 * margin
	for n, layer := range layers {
		slices.SortStableFunc(layer, func(a, b *slot) int { return a.want() - b.want() })
		next := (room - total[n]) / 2
		for _, s := range layer {
			s.mid, next = next+s.size/2, next+s.size+gap
		}
	}
	return room
}

// entryAt and exitAt are where lines enter a layer, and leave it.
func (d *drawing) entryAt(layer int) int {
	if d.Down {
		return margin + layer*(boxHeight+layerGap) + boxHeight
	}
	return d.Width - margin - boxWidth - layer*(boxWidth+layerGap)
}

func (d *drawing) exitAt(layer int) int {
	if d.Down {
		return d.entryAt(layer) - boxHeight
	}
	return d.entryAt(layer) + boxWidth
}

// point is one along the layers and across.
func (d *drawing) point(along, across int) (x, y int) {
	if d.Down {
		return across, along
	}
	return along, across
}

// path is a line as SVG draws it.
func (d *drawing) path(l line) string {
	var b strings.Builder
	to := func(command string, along, across int) {
		x, y := d.point(along, across)
		fmt.Fprintf(&b, "%s%d,%d", command, x, y)
	}
	last := l.slots[0]
	to("M", d.exitAt(l.first), last.mid)
	layer := l.first
	for i, s := range l.slots[1:] {
		from := d.exitAt(layer)
		layer--
		if i == len(l.slots)-2 {
			layer = l.last
		}
		half := (from + d.entryAt(layer)) / 2
		to(" C", half, last.mid)
		to(" ", half, s.mid)
		to(" ", d.entryAt(layer), s.mid)
		if s.box == nil {
			to(" L", d.exitAt(layer), s.mid)
		}
		last = s
	}
	return b.String()
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

// tail is the end of a name, as much as a box has room for.
func tail(name string) string { return text.Middle(name, 0, 21) }
