package gate

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

// pinSealed pins what a seal speaks of, if somebody measured what the input's
// strategy makes of that. The pin names the seal if a policy is needed too,
// because the one of the consumer's workflow goes without saying.
func pinSealed(in argo.Input, subject provenance.Subject, by vouched) (accepted, *reason.Error) {
	tree, how, err := subject.Fetched(in.Archive())
	if err != nil {
		return accepted{}, reason.From(err)
	}
	if in.Recurse && how == content.ArchiveTar && by.Statement.Version < 2 {
		return accepted{}, reason.New(reason.ModeUnsupported, "recurseMode changes the modes of all its files, and an older release sealed it")
	}
	pin := pin.Pin{
		Input: in.Name, Location: subject.URI, SHA256: subject.SHA256, Archive: how, Tree: tree, Mode: in.Mode, Recurse: in.Recurse, Policy: by.policy.Policy,
	}
	if in.Recurse && how == content.ArchiveTar {
		pin.Plain = subject.Plain
	}
	if pin.Policy != "" {
		pin.Seal = by.Seal.Namespace + "/" + by.Seal.Name
	}
	return accepted{pin: pin, level: by.policy.Level}, nil
}

// pinPart pins a part of a directory.
func pinPart(in argo.Input, dir artifact.Location, part content.Sum, by vouched) (accepted, *reason.Error) {
	at := in.Location()
	if part.Form.IsDirectory() {
		at = at.Prefix()
	}
	found, no := pinSealed(in, provenance.Subject{URI: at.URI(), Sum: part}, by)
	if no == nil {
		found.pin.Within = dir.URI()
	}
	return found, no
}

// pinOne pins what one of several seals alone vouches for.
func (e *evaluation) pinOne(c *collection, by *part, sum content.Sum) (accepted, *reason.Error) {
	found, no := pinPart(c.in, by.at, sum, by.vouched)
	if no != nil {
		return accepted{}, no
	}
	if by.at == c.prefix {
		found.pin.Within = ""
	}
	if name := by.Seal.Name; name != artifact.SealName(by.at, e.step.WorkflowUID) {
		found.pin.Seals = name + "\n"
	}
	found.level = c.level
	return found, nil
}

// pinAbsent pins that an input is not there.
func pinAbsent(in argo.Input) accepted {
	return accepted{pin: pin.Pin{Input: in.Name, Location: in.URI(), Archive: in.Archive(), Absent: true}}
}

// refuseUnlistedNested refuses an input of which no tree is pinned (a clone, any content,
// nothing) in or around another one on a volume. Argo puts one into the other: what the
// outer one brings under the name that Argo downloads the inner one to stays there, in
// a clone beside what its commit has. Only a tree tells.
func refuseUnlistedNested(step *argo.Step, pins []pin.Pin) *reason.Error {
	for _, p := range pins {
		i := slices.IndexFunc(step.Inputs, func(in argo.Input) bool { return in.Name == p.Input })
		if p.Tree != "" || i < 0 || step.Inputs[i].Mount() == nil {
			continue
		}
		in := step.Inputs[i]
		for _, other := range step.Inputs {
			inOrAround := strings.HasPrefix(other.Path+"/", in.Path+"/") || strings.HasPrefix(in.Path+"/", other.Path+"/")
			if other.Name != in.Name && other.Mount() != nil && other.Source != argo.SourceAbsent && inOrAround {
				return reason.New(reason.MountUnsupported, "input %.80q lies in it or around it, and what it is to have is not known file by file", other.Name).For(in.Label())
			}
		}
	}
	return nil
}

// refuseUnlistedBesideMany refuses an input of which no tree is pinned (a clone, any content)
// beside one that Argo fetches as many objects. A store may keep dots in keys: the object
// DIRECTORY/../CLONE/FILE is listed below DIRECTORY, and Argo joins the path and puts it
// into the clone, before or after git does (GetDirectory in workflow/artifacts/s3, v3.7.18
// and v4.0.2). Only a tree tells: what belongs to the directory is all there.
func refuseUnlistedBesideMany(step *argo.Step, pins []pin.Pin) *reason.Error {
	many := slices.IndexFunc(pins, fetchedAsMany)
	if many < 0 {
		return nil
	}
	for i, p := range pins {
		if p.Tree == "" && !p.Absent && i != many {
			return reason.New(reason.PrefixUnsupported, "it is fetched object by object, and one of these could be put among the files of input %.80q, which nobody knows one by one", p.Input).
				For(labelOf(step, pins[many].Input))
		}
	}
	return nil
}

// fetchedAsMany says whether what lies below a key may be what is pinned. An object that
// a policy lets in by its name, whatever it has, is taken for one.
func fetchedAsMany(p pin.Pin) bool {
	unsealed := p.Policy != "" && p.Seal == ""
	fetched := slices.ContainsFunc([]string{"git+", "http:", "https:"}, func(scheme string) bool { return strings.HasPrefix(p.Location, scheme) })
	return !fetched && !p.Absent &&
		(strings.HasSuffix(p.Location, "/") || unsealed && p.Tree != "" && p.SHA256 == "" && (p.Archive == content.ArchiveNone || p.Archive == content.ArchiveDetect))
}

// fit refuses what the admission tag has no room for.
func fit(pins []pin.Pin) *reason.Error {
	err := tag.Fit(pins)
	switch {
	case err == nil:
		return nil
	case slices.ContainsFunc(pins, func(p pin.Pin) bool { return p.Files != "" }):
		return reason.Wrap(reason.PrefixUnsupported, err, "%v", err)
	}
	return reason.Wrap(reason.UnsupportedPod, err, "%v", err).Advise(fewerInputs)
}

// samePins says whether the pod has exactly the pins that the evidence gives.
// (That its containers check those of its tag is sidecar.Check's part.)
func samePins(step *argo.Step, want, have []pin.Pin) *reason.Error {
	given := make(map[string]pin.Pin, len(have))
	for _, p := range have {
		if _, twice := given[p.Input]; twice {
			return reason.New(reason.PinMismatch, "input %q is pinned twice", p.Input)
		}
		given[p.Input] = p
	}
	for _, w := range want {
		h, ok := given[w.Input]
		if !ok {
			return reason.New(reason.PinsMissing, "its seal came after the pod was prepared").For(labelOf(step, w.Input))
		}
		if !EqualPins(w, h) {
			return reason.New(reason.PinMismatch, "the pod pins %s, the evidence says %s", describePin(h), describePin(w)).For(labelOf(step, w.Input))
		}
	}
	if len(have) != len(want) {
		return reason.New(reason.PinMismatch, "the pod has %d pins, the evidence gives %d", len(have), len(want))
	}
	return nil
}

// describePin says what a pin rests on, in few words.
func describePin(p pin.Pin) string {
	text := "any content"
	switch {
	case p.Absent:
		return "that it is absent"
	case p.SHA256 != "":
		text = fmt.Sprintf("sha256:%.12s", p.SHA256)
	case p.Tree != "":
		text = fmt.Sprintf("tree %.12s", p.Tree)
	}
	if p.Policy != "" {
		text += " by ClusterProvenancePolicy " + p.Policy
	}
	return text
}

// EqualPins says whether two pins are the same.
func EqualPins(a, b pin.Pin) bool { return equality.Semantic.DeepEqual(a, b) }

func labelOf(step *argo.Step, input string) string {
	for _, in := range step.Inputs {
		if in.Name == input {
			return in.Label()
		}
	}
	return input
}
