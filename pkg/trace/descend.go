package trace

import (
	"cmp"
	"slices"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
)

// Descendant is a step that was touched, and why.
type Descendant struct {
	Namespace string `json:"namespace"`
	// Record is the name of its Provenance.
	Record   string `json:"record"`
	Workflow string `json:"workflow"`
	// Template is empty where the record has no seal.
	Template string `json:"template"`
	// Because says what of it was named, or which artifact it took.
	Because string `json:"because"`
	// Distance is how many steps lie between: 0 for what was named directly.
	Distance int `json:"distance"`
	// Made are the artifacts that it stored.
	Made []Made `json:"made"`
}

// Made is an artifact. Without a digest it is what has no seal and may have been stored: nobody
// knows which bytes.
type Made struct {
	URI    string          `json:"uri"`
	SHA256 artifact.Digest `json:"sha256,omitempty"`
	Tree   artifact.Digest `json:"treeSha256,omitempty"`
	// Images are the digests of container images that lay in it.
	Images []artifact.Digest `json:"images,omitempty"`
}

// Taken is an input. Without a seal it came from outside, by a policy: with the bytes or
// the tree that the policy wants, wherever they lie, or with any content.
type Taken struct {
	Made
	Sealed bool
}

// Link is what descending needs of a verified statement: small, so that there may be
// many.
type Link struct {
	Namespace, Record, Workflow, Template string
	// Named says what of it was named; empty for nothing.
	Named string
	Made  []Made
	Took  []Taken
	// Used are the digests of images that it ran or had mounted.
	Used []artifact.Digest
}

// LinkOf is the link of a verified statement.
func LinkOf(s *provenance.Statement, named string) Link {
	l := Link{Namespace: s.Step.Namespace, Record: s.Step.Pod.UID, Workflow: s.Step.Workflow.Name, Template: s.Definition.Template, Named: named}
	for _, sub := range s.Subjects {
		m := Made{URI: sub.URI, SHA256: sub.SHA256, Tree: sub.Tree}
		for _, i := range s.ImagesOf(sub.Output) {
			m.Images = append(m.Images, i.Digest)
		}
		l.Made = append(l.Made, m)
	}
	for _, in := range s.Inputs {
		l.Took = append(l.Took, Taken{Made{URI: in.URI, SHA256: in.SHA256, Tree: in.Tree}, in.Seal != ""})
	}
	for _, i := range slices.Concat(s.Images, s.Mounted) {
		if i.SHA256 != "" && !slices.Contains(l.Used, i.SHA256) {
			l.Used = append(l.Used, i.SHA256)
		}
	}
	return l
}

// Descend finds every step that was named, and every step that took something which
// a step that was found had stored, or used a container image that it had made, and so on.
// It also counts steps that took only a part of a stored directory, and those that may have
// taken it.
func Descend(all []Link) []Descendant {
	var out []Descendant
	touched := map[string]bool{}
	add := func(l Link, because string, distance int) {
		touched[l.Namespace+"/"+l.Record] = true
		out = append(out, Descendant{l.Namespace, l.Record, l.Workflow, l.Template, because, distance, l.Made})
	}
	front := 0
	var left []held
	for _, l := range all {
		if l.Named != "" {
			add(l, l.Named, 0)
		} else {
			left = append(left, hold(l))
		}
	}
	for distance := 1; front < len(out); distance++ {
		// What the rounds before have found touches nobody who is left: they were held to it.
		tainted := newStock()
		for _, d := range out[front:] {
			for _, m := range d.Made {
				tainted.add(m)
			}
		}
		front = len(out)
		others := left[:0]
		for _, l := range left {
			if touched[l.Namespace+"/"+l.Record] {
				continue
			}
			if because := tainted.touches(l); because != "" {
				add(l.Link, because, distance)
			} else {
				others = append(others, l)
			}
		}
		left = others
	}
	slices.SortStableFunc(out, func(a, b Descendant) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Workflow, b.Workflow), cmp.Compare(a.Record, b.Record))
	})
	return out
}

// held is a link with the locations of what it took, read once; nil for what is none.
type held struct {
	Link
	at []*artifact.Location
}

func hold(l Link) held {
	h := held{Link: l, at: make([]*artifact.Location, len(l.Took))}
	for i, in := range l.Took {
		if at, err := artifact.ParseLocation(in.URI); err == nil {
			h.at[i] = &at
		}
	}
	return h
}

// stock is what the steps of a round have stored.
type stock struct {
	places map[place]bool
	// at has the locations alone, and all has them once each.
	at  map[string]bool
	all []artifact.Location
	// directories are those of them below which something lies.
	directories []artifact.Location
	// unsealed are places at which, above or below which something may lie that has no seal.
	unsealed []artifact.Location
	// content says where bytes, or a tree, were stored first, and images where an image was:
	// its manifest, or a layout with it.
	content, images map[artifact.Digest]string
}

func newStock() *stock {
	return &stock{places: map[place]bool{}, at: map[string]bool{}, content: map[artifact.Digest]string{}, images: map[artifact.Digest]string{}}
}

// touches says what of the stock a step took or used; empty for nothing.
func (s *stock) touches(l held) string {
	for i, in := range l.Took {
		if because := s.taken(in, l.at[i]); because != "" {
			return because
		}
	}
	for _, d := range l.Used {
		if from := s.images[d]; from != "" {
			return "used image sha256:" + string(d) + ", which lay at " + from
		}
	}
	return ""
}

// place is a location with what lay there at a time.
type place struct {
	uri    string
	sha256 artifact.Digest
}

func (s *stock) add(m Made) {
	known := s.places[place{m.URI, m.SHA256}]
	s.places[place{m.URI, m.SHA256}] = true
	if m.SHA256 == "" {
		if l, err := artifact.ParseLocation(m.URI); err == nil && !known {
			s.unsealed = append(s.unsealed, l)
		}
		return
	}
	for _, d := range []artifact.Digest{m.SHA256, m.Tree} {
		if d != "" && s.content[d] == "" {
			s.content[d] = m.URI
		}
	}
	for _, d := range append([]artifact.Digest{m.SHA256}, m.Images...) {
		if d != "" && s.images[d] == "" {
			s.images[d] = m.URI
		}
	}
	if s.at[m.URI] {
		return
	}
	s.at[m.URI] = true
	l, err := artifact.ParseLocation(m.URI)
	if err != nil {
		return
	}
	s.all = append(s.all, l)
	if l.Kind == artifact.KindPrefix {
		s.directories = append(s.directories, l)
	}
}

// taken says what of the stock an input is, lies in or may be; empty for nothing. A seal
// says who made an input: others may have made the same elsewhere. What has no seal is taken
// only where any content is admitted.
func (s *stock) taken(in Taken, at *artifact.Location) string {
	if in.SHA256 != "" && s.places[place{in.URI, in.SHA256}] {
		return "took " + in.URI
	}
	took, among := "took ", s.directories
	if at != nil {
		if !in.Sealed && in.SHA256 == "" && in.Tree == "" {
			took = "may have taken "
			for _, l := range s.unsealed {
				if l.Overlaps(*at) {
					return took + l.URI()
				}
			}
			if at.Kind == artifact.KindPrefix {
				among = s.all
			} else if s.at[in.URI] {
				return took + in.URI
			}
		}
		for _, l := range among {
			if l.Overlaps(*at) {
				return took + l.URI()
			}
		}
	}
	if in.Sealed {
		return ""
	}
	for _, d := range []artifact.Digest{in.SHA256, in.Tree} {
		if from := s.content[d]; d != "" && from != "" {
			if from == in.URI {
				return "took " + from
			}
			return "took what " + from + " was, from " + in.URI
		}
	}
	return ""
}
