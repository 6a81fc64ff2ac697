package gate

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// collect pins the parts that have these seals.
func (e *evaluation) collect(ctx context.Context, in argo.Input, seals []v1alpha1.ArtifactSeal, writers evidence.Writers) (accepted, *reason.Error) {
	switch {
	case in.Archive() != content.ArchiveDetect && in.Archive() != content.ArchiveNone:
		return accepted{}, reason.New(reason.ArchiveMismatch, "it is a directory that steps stored in parts, and the input's strategy is %s", in.Archive())
	case len(seals) > pin.MaxFiles:
		return accepted{}, reason.New(reason.PrefixUnsupported, "%d outputs were sealed there", len(seals))
	}
	// A pod's directories come one after the other, so that its lists are read once.
	slices.SortStableFunc(seals, func(a, b v1alpha1.ArtifactSeal) int { return strings.Compare(a.Spec.Provenance, b.Spec.Provenance) })
	c := collection{prefix: in.Location().Prefix(), seals: seals, files: map[string]storedFile{}, graph: e.graph}
	for i := range seals {
		if no := e.collectOne(ctx, &c, in, &seals[i], writers); no != nil {
			why := reason.Wrap(no.Code, no, "%s: %s", seals[i].Spec.Location.Key, no.Detail)
			return accepted{}, why.InPlace(no.RetryAfter)
		}
	}
	if no := c.leftovers(); no != nil {
		return accepted{}, no
	}
	pin := pin.Pin{Input: in.Name, Location: c.prefix.URI(), Mode: in.Mode, Recurse: in.Recurse}
	err := pin.Collect(c.list(), c.dirs)
	if !apart(seals) {
		// A directory may have files of several steps.
		err = pin.Collect(c.list(), nil)
		if err == nil {
			err = pin.Attribute(c.attribution())
		}
	}
	if err != nil {
		return accepted{}, reason.Wrap(reason.PrefixUnsupported, err, "%v", err)
	}
	return accepted{pin: pin, level: c.level}, nil
}

// apart says whether no part is at or below another one. It sorts the seals by their
// keys.
func apart(seals []v1alpha1.ArtifactSeal) bool {
	// With a slash at each end, what lies below a key directly follows it.
	slices.SortFunc(seals, func(a, b v1alpha1.ArtifactSeal) int {
		return strings.Compare(evidence.LocationOf(&a).Prefix().Key, evidence.LocationOf(&b).Prefix().Key)
	})
	for i := 1; i < len(seals); i++ {
		if evidence.LocationOf(&seals[i-1]).Overlaps(evidence.LocationOf(&seals[i])) {
			return false
		}
	}
	return true
}

// collection is what has been found of an input that several steps stored.
type collection struct {
	prefix artifact.Location
	seals  []v1alpha1.ArtifactSeal
	// files by their paths below the prefix.
	files map[string]storedFile
	dirs  []string
	level provenance.Level
	// graph orders the steps, where the definition does.
	graph *graph.Graph
}

// storedFile is a file as the last step stored it that stored one of its path.
type storedFile struct {
	sha256 artifact.Digest
	seal   string
	run    provenance.Run
	node   string
	// left is why it does not count, because its step failed; nil if it does.
	left *reason.Error
}

// before says whether one step had ended when another began. The definition says so of
// tries of one step, and of steps that wait for others, whatever clocks say: those of
// nodes differ, and the record of an end may come after the next pod. (Whoever is
// wrong here names other bytes than lie there, and the check in the pod stops it.)
func (c *collection) before(one, other storedFile) bool {
	switch {
	case c.graph.Precedes(one.node, other.node):
		return true
	case c.graph.Precedes(other.node, one.node):
		return false
	}
	return one.run.Before(other.run)
}

// add takes a file that a step stored. Of two at one path the later one lies there;
// of two steps that ran beside each other nobody knows which that is.
func (c *collection) add(path string, file storedFile) *reason.Error {
	have, twice := c.files[path]
	switch {
	case !twice && len(c.files) == pin.MaxFiles:
		return reason.New(reason.PrefixUnsupported, "with its files there are more than %d, and a pin has room for no more", pin.MaxFiles)
	case !twice, c.before(have, file):
		c.files[path] = file
	case c.before(file, have):
	case have.sha256 == file.sha256:
		if have.left != nil {
			c.files[path] = file // whichever is there is what a step that counts stored, too
		}
	default:
		return reason.New(reason.PrefixUnsupported, "two steps that ran beside each other stored %.200q there, and not the same: which one is there is chance", path)
	}
	return nil
}

// leftovers refuses files that a step left which failed, and that no step stored anew.
// Of a step that is tried again the tries before are such, where they stored something.
func (c *collection) leftovers() *reason.Error {
	for _, path := range slices.Sorted(maps.Keys(c.files)) {
		if no := c.files[path].left; no != nil {
			return reason.Wrap(no.Code, no, "%.200s: %s, and no step stored it anew", c.prefix.Key+path, no.Detail)
		}
	}
	return nil
}

func (c *collection) attribution() map[string]string {
	seals := make(map[string]string, len(c.files))
	for path, f := range c.files {
		seals[path] = f.seal
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

// collectOne adds one part: an object, which Argo leaves as it is when it fetches
// many, or a directory without an archive. Whether a file of that looks like an
// archive does not matter: of many objects Argo unpacks none.
func (e *evaluation) collectOne(ctx context.Context, c *collection, in argo.Input, seal *v1alpha1.ArtifactSeal, writers evidence.Writers) *reason.Error {
	at := evidence.LocationOf(seal)
	if err := at.Validate(); err != nil {
		return reason.Wrap(reason.LocationInvalid, err, "%v", err)
	}
	found, no := e.vouch(ctx, candidate{
		in: in, namespace: e.step.Namespace, seal: seal, at: at, writers: c.rivals(writers, at), replaced: true,
	})
	switch {
	case no != nil:
		return no
	case found.failed != nil:
	case found.policy.Policy != "":
		return needsPolicy(found.policy)
	case c.level == "" || found.policy.Level == provenance.LevelObserved:
		c.level = found.policy.Level
	}
	stored := func(sha256 artifact.Digest) storedFile {
		return storedFile{sha256, seal.Name, provenance.RunOf(seal.Spec.Producer), found.Statement.Step.NodeName, found.failed}
	}
	path := strings.TrimPrefix(at.Key, c.prefix.Key)
	if at.Kind != artifact.KindPrefix {
		return c.add(path, stored(found.Subject.SHA256))
	}
	files, no := e.view.Files(ctx, found.Sealed)
	if no != nil {
		return no
	}
	if dir := strings.TrimSuffix(path, "/"); dir != "" {
		c.dirs = append(c.dirs, dir)
		path = dir + "/"
	}
	for _, f := range files {
		if no := c.add(path+f.Path, stored(f.SHA256)); no != nil {
			return no
		}
	}
	return nil
}

func needsPolicy(v policy.Verdict) *reason.Error {
	return reason.New(reason.PrefixUnsupported, "it needs ClusterProvenancePolicy %s, which counts for inputs with one seal only", v.Policy)
}

// rivals are the writers that may have changed what lies at a part's location: who was
// to store something at, above or below it. Whose seal is there is another part and
// none of them, unless it stored the same object.
func (c *collection) rivals(writers evidence.Writers, at artifact.Location) evidence.Writers {
	return writers.Declaring(at.Overlaps).ButSealed(func(uid string) bool {
		return slices.ContainsFunc(c.seals, func(s v1alpha1.ArtifactSeal) bool {
			l := evidence.LocationOf(&s)
			return s.Spec.Provenance == uid && l.Overlaps(at) && (l != at || at.Kind == artifact.KindPrefix)
		})
	})
}
