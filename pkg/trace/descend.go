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
	Template string `json:"template"`
	// Because says what of it was named, or which artifact it took.
	Because string `json:"because"`
	// Distance is how many steps lie between: 0 for what was named directly.
	Distance int `json:"distance"`
	// Made are the artifacts that it stored.
	Made []Made `json:"made"`
}

// Made is an artifact.
type Made struct {
	URI    string          `json:"uri"`
	SHA256 artifact.Digest `json:"sha256"`
}

// Link is what descending needs of a verified statement: small, so that there may be
// many.
type Link struct {
	Namespace, Record, Workflow, Template string
	// Named says what of it was named; empty for nothing.
	Named string
	Made  []Made
	// Took are its inputs, each by location and digest.
	Took []Made
}

// LinkOf is the link of a verified statement.
func LinkOf(s *provenance.Statement, named string) Link {
	l := Link{Namespace: s.Step.Namespace, Record: s.Step.Pod.UID, Workflow: s.Step.Workflow.Name, Template: s.Definition.Template, Named: named}
	for _, sub := range s.Subjects {
		l.Made = append(l.Made, Made{sub.URI, sub.SHA256})
	}
	for _, in := range s.Inputs {
		l.Took = append(l.Took, Made{in.URI, in.SHA256})
	}
	return l
}

// Descend finds every step that was named, and every step that took something which
// a step that was found had stored, and so on. It also counts steps that took only
// a part of a stored directory.
func Descend(all []Link) []Descendant {
	var out []Descendant
	touched := map[string]bool{}
	tainted := map[Made]string{}
	var directories []Made
	add := func(l Link, because string, distance int) {
		touched[l.Namespace+"/"+l.Record] = true
		out = append(out, Descendant{l.Namespace, l.Record, l.Workflow, l.Template, because, distance, l.Made})
	}
	front := 0
	for _, l := range all {
		if l.Named != "" {
			add(l, l.Named, 0)
		}
	}
	for distance := 1; front < len(out); distance++ {
		for _, d := range out[front:] {
			for _, m := range d.Made {
				if tainted[m] == "" {
					tainted[m] = m.URI
					if l, err := artifact.ParseLocation(m.URI); err == nil && l.Kind == artifact.KindPrefix {
						directories = append(directories, m)
					}
				}
			}
		}
		front = len(out)
		for _, l := range all {
			if touched[l.Namespace+"/"+l.Record] {
				continue
			}
			for _, in := range l.Took {
				if uri := lies(in, tainted, directories); uri != "" {
					add(l, "took "+uri, distance)
					break
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Descendant) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Workflow, b.Workflow), cmp.Compare(a.Record, b.Record))
	})
	return out
}

// lies gives the tainted artifact that an input is, or lies in.
func lies(in Made, tainted map[Made]string, directories []Made) string {
	if uri := tainted[in]; uri != "" {
		return uri
	}
	at, err := artifact.ParseLocation(in.URI)
	if err != nil {
		return ""
	}
	for _, d := range directories {
		if l, err := artifact.ParseLocation(d.URI); err == nil && (l.Overlaps(at)) {
			return d.URI
		}
	}
	return ""
}
