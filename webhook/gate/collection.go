package gate

import (
	"maps"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// collection is what has been found of an input that several steps stored.
type collection struct {
	in     argo.Input
	prefix artifact.Location
	// nearest directory with a seal that the input may be a part of; nil if it is none.
	nearest *artifact.Location
	seals   []v1alpha1.ArtifactSeal
	parts   []*part
	// files by their paths below the prefix, and what a directory above has at the key
	// itself, which Argo takes before all that lies below.
	files  map[string]storedFile
	object *storedFile
	dirs   []string
	level  provenance.Level
	// order is that of the steps, where the definition has one.
	order *graph.Order
	// came are two parts of which it is known whether one came before the other: it is asked
	// for each file that both have.
	came map[[2]*part]bool
}

// part is what one step stored.
type part struct {
	vouched
	at  artifact.Location
	run provenance.Run
	// unfit is why nothing of it may be consumed. What a later step stored over it does
	// not matter.
	unfit *reason.Error
}

// storedFile is a file as the last step stored it that stored one of its path.
type storedFile struct {
	sha256 artifact.Digest
	by     *part
}

// sum is the file by itself.
func (f storedFile) sum() content.Sum {
	sum := content.Sum{Form: content.FormFile, SHA256: f.sha256, Tree: content.FileTree(f.sha256)}
	if f.by.Subject.Form == content.FormLookalikes {
		sum.Form = content.FormLookalike
	}
	return sum
}

// before says whether one step had ended when another began. The definition says so of
// tries of one step, and of steps that wait for others, whatever clocks say: those of
// nodes differ, and the record of an end may come after the next pod. (Whoever is
// wrong here names other bytes than lie there, and the check in the pod stops it.)
func (c *collection) before(one, other *part) bool {
	parts := [2]*part{one, other}
	came, known := c.came[parts]
	if !known {
		a, b := one.Statement.Step.NodeName, other.Statement.Step.NodeName
		came = c.order.Precedes(a, b) || !c.order.Precedes(b, a) && one.run.Before(other.run)
		c.came[parts] = came
	}
	return came
}

// maxCollected bounds the files that are looked at for one input: more than a pin has
// room for, because steps can store the same ones again and again.
const maxCollected = 16 << 10

// latest is what lies at a path once another file was stored there. Of two the later one
// does; of two steps that ran beside each other nobody knows which that is.
func (c *collection) latest(f storedFile, have *storedFile, path string) (storedFile, *reason.Error) {
	switch {
	case have == nil, c.before(have.by, f.by):
		return f, nil
	case c.before(f.by, have.by), have.sha256 == f.sha256 && have.by.unfit == nil:
		return *have, nil
	case have.sha256 == f.sha256:
		return f, nil
	}
	return f, reason.New(reason.PrefixUnsupported, "two steps that ran beside each other stored %.200q there, and not the same: which one is there is chance", path)
}

// add takes a file that a step stored.
func (c *collection) add(path string, sha256 artifact.Digest, by *part) *reason.Error {
	var have *storedFile
	if known, twice := c.files[path]; twice {
		have = &known
	} else if len(c.files) == maxCollected {
		return reason.New(reason.PrefixUnsupported, "with its files there are more than %d", maxCollected)
	}
	last, no := c.latest(storedFile{sha256, by}, have, path)
	c.files[path] = last
	return no
}

// unfit refuses what is there, of a step of which nothing may be consumed, and that no
// step stored anew. Of a step that is tried again the tries before are such.
func (c *collection) unfit() *reason.Error {
	if c.object != nil {
		return c.object.by.whyUnfit(strings.TrimSuffix(c.prefix.Key, "/"))
	}
	for _, path := range slices.Sorted(maps.Keys(c.files)) {
		if no := c.files[path].by.whyUnfit(c.prefix.Key + path); no != nil {
			return no
		}
	}
	return nil
}

// whyUnfit says why a file of the part may not be consumed.
func (p *part) whyUnfit(key string) *reason.Error {
	if p.unfit == nil {
		return nil
	}
	return reason.Wrap(p.unfit.Code, p.unfit, "%.200s: %s, and no step stored it anew", key, p.unfit.Detail)
}

// onlyPart is the only part of which there are files, if there is one.
func (c *collection) onlyPart() *part {
	var one *part
	for _, f := range c.files {
		if one != nil && f.by != one {
			return nil
		}
		one = f.by
	}
	return one
}

func (c *collection) attribution() map[string]string {
	seals := make(map[string]string, len(c.files))
	for path, f := range c.files {
		seals[path] = f.by.Seal.Name
	}
	return seals
}

func (c *collection) list() []content.File {
	files := make([]content.File, 0, len(c.files))
	for path, f := range c.files {
		files = append(files, content.File{Path: path, SHA256: f.sha256})
	}
	return files
}

// addPart takes what a directory has at a path: a file, and what lies below it.
func (c *collection) addPart(files content.Files, path string, by *part) *reason.Error {
	for _, f := range files {
		if f.Path == path && c.in.Location().Kind == artifact.KindObject {
			last, no := c.latest(storedFile{f.SHA256, by}, c.object, path)
			if c.object = &last; no != nil {
				return no
			}
		}
		if rest, below := strings.CutPrefix(f.Path, path+"/"); below {
			if no := c.add(rest, f.SHA256, by); no != nil {
				return no
			}
		}
	}
	return nil
}

// rivals are the writers that may have changed what lies at a part's location: who was
// to store something at, above or below it, where the input lies. Whose seal is there is
// another part and none of them, unless it stored the same object.
func (c *collection) rivals(writers evidence.Writers, at artifact.Location) evidence.Writers {
	return writers.Declaring(func(l artifact.Location) bool { return at.Overlaps(l) && c.in.Location().Overlaps(l) }).ButSealed(func(uid string) bool {
		return slices.ContainsFunc(c.seals, func(s v1alpha1.ArtifactSeal) bool {
			l := evidence.LocationOf(&s)
			return s.Spec.Provenance == uid && l.Overlaps(at) && (l != at || at.Kind == artifact.KindPrefix)
		})
	})
}
