package argo

import (
	"fmt"
	"path"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Kind is the type of the template a pod runs.
type Kind string

const (
	KindContainer Kind = "container"
	KindScript    Kind = "script"
	// KindContainerSet has several containers. The one named main has the inputs,
	// and its own files are the outputs' unless these lie on a volume.
	KindContainerSet Kind = "containerSet"
	// KindResource is a resource template without artifacts: nothing of it is
	// sealed or pinned, so it runs without our containers.
	KindResource Kind = "resource"
	// KindData is a data template without artifacts: it makes a list, such as of
	// what is in a bucket, and that is a parameter.
	KindData Kind = "data"
)

// executor says whether main itself is Argo's executor, and there is no wait.
func (k Kind) executor() bool { return k == KindResource || k == KindData }

// Source says where an input artifact comes from.
type Source string

const (
	// SourceStore is an object in an S3 store: Location is set unless Problem is.
	SourceStore Source = "store"
	// SourceRaw is inline content: part of the template.
	SourceRaw Source = "raw"
	// SourceGit and SourceHTTP are fetched from elsewhere: Remote is set unless
	// Problem is.
	SourceGit  Source = "git"
	SourceHTTP Source = "http"
	// SourceOther is fetched from elsewhere too; Problem is set.
	SourceOther Source = "other"
	// SourceAbsent is an input that was not supplied. Argo skips it where it is
	// optional and fails the step where it is not.
	SourceAbsent Source = "absent"
)

// Input is one input artifact of a step.
type Input struct {
	Name     string
	Path     string
	Optional bool
	// Mode is what Argo sets on the root of what it unpacked; nil for none.
	Mode   *int32
	Source Source
	// Location and Archive, what Argo does to the stored bytes, are set for
	// SourceStore without a Problem, and only then.
	Location artifact.Location
	// Remote is the one spelling of where it comes from, for SourceGit
	// (artifact.Git) and SourceHTTP (a URL) without a Problem; empty for others.
	Remote string
	// Archive is what Argo is told to do to what it fetched, for Pinned inputs
	// without a Problem; empty for others. It never does anything to a checkout of
	// SourceGit, which is ArchiveNone.
	Archive content.Archive
	// Mount is the step's own mount on which the path lies, for Pinned inputs and
	// SourceRaw; nil for what Argo mounts from its volume of inputs. Init leaves
	// the input there instead.
	Mount *Mount
	// RawSHA256 is the SHA-256 of what Argo's raw driver writes to the disk, the
	// inline data, for SourceRaw; empty for every other.
	RawSHA256 artifact.Digest
	// Doubts are about where it comes from, for Pinned inputs without a Problem.
	Doubts []Doubt
	// Problem says why the input cannot be checked, or that main may not read it
	// where the template says; the gate refuses it.
	Problem *reason.Error
}

// Mount is a volume of the template's as main mounts it.
type Mount struct {
	// Volume is the volume's name, Path where main has it, SubPath the part of it
	// that is mounted there.
	Volume  string
	Path    string
	SubPath string
	// Own says that nobody but init and the step's main containers can write to
	// the volume: an emptyDir that no other container mounts.
	Own bool
}

// Pinned says whether the input needs evidence, or a policy that admits it
// without, and a pin: it is not part of the template.
func (i Input) Pinned() bool {
	return i.Source == SourceStore || i.Source == SourceGit || i.Source == SourceHTTP
}

// Holds says whether the input is raw and has that content.
func (i Input) Holds(text string) bool {
	return i.Source == SourceRaw && i.RawSHA256 == artifact.DigestOfText(text)
}

// URI is the one spelling of where the input comes from; empty if it has a
// Problem or is part of the template.
func (i Input) URI() string {
	switch {
	case i.Remote != "":
		return i.Remote
	case i.Location != artifact.Location{}:
		return i.Location.URI()
	}
	return ""
}

// Locations are the locations, in this order, of which Argo may take a
// SourceStore's input without a Problem: the object and, where there is none,
// all that lies below its key. No object has a key that ends in a slash.
func (i Input) Locations() []artifact.Location {
	if i.Location.Kind == artifact.KindPrefix {
		return []artifact.Location{i.Location}
	}
	return []artifact.Location{i.Location, i.Location.Prefix()}
}

// Above are the prefixes of which a SourceStore's input without a Problem may be
// a part, the nearest one first.
func (i Input) Above() []artifact.Location { return i.Location.Above() }

// LiesAt says whether a URI is the one spelling of where the input may come
// from.
func (i Input) LiesAt(uri string) bool {
	if i.Source != SourceStore || i.Problem != nil {
		return uri != "" && uri == i.URI()
	}
	return slices.ContainsFunc(i.Locations(), func(l artifact.Location) bool { return l.URI() == uri })
}

// Label names the input for people: its name and, where known, its place.
func (i Input) Label() string { return label(i.Name, artifact.Shown(i.URI())) }

// Output is one output artifact of a step.
type Output struct {
	Name     string
	Path     string
	Optional bool
	// Location and Archive, the strategy it is stored with, are set unless
	// Problem is. What is stored without an archive may turn out to be a
	// directory: then it goes to Location's Prefix, which Location is if the key
	// ends in a slash.
	Location artifact.Location
	Archive  content.Archive
	// Log is the container whose log it is; empty for what the template declares.
	// See WithLogs.
	Log string
	// Volume is the volume of the template's on which the path lies, or that of
	// the inputs if one lies at, above or below it; empty for main's own files.
	// Somebody else may have written what is there.
	Volume string
	// Problem says why the output cannot be sealed: ArchiveUnsupported,
	// StoreUnsupported, MountUnsupported, LocationInvalid or DaemonUnsupported. The
	// step runs all the same.
	Problem *reason.Error

	// meant is where it goes if there is a Problem; zero if that is not known.
	meant artifact.Location
}

// refuse gives the output a Problem.
func (o *Output) refuse(problem *reason.Error) {
	o.meant = o.Location
	o.Location, o.Archive, o.Volume, o.Problem = artifact.Location{}, "", "", problem.For(o.Name)
}

// Locations are the locations to which the output may go.
func (o Output) Locations() []artifact.Location {
	switch {
	case o.Problem != nil:
		return nil
	case o.Archive == content.ArchiveNone && o.Location.Kind == artifact.KindObject && o.Log == "":
		return []artifact.Location{o.Location, o.Location.Prefix()}
	}
	return []artifact.Location{o.Location}
}

// Unsealed are the locations to which the output may go without a seal, because
// it has a Problem; none if they are not known.
func (o Output) Unsealed() []artifact.Location {
	if o.Problem == nil || o.meant == (artifact.Location{}) {
		return nil
	}
	return []artifact.Location{o.meant, o.meant.Prefix()}
}

// At is where the output lies that was measured as this form, or why it cannot
// lie there: no file is stored under a key that ends in a slash.
func (o Output) At(form content.Form) (artifact.Location, error) {
	switch {
	case form.IsDirectory() && o.Log != "":
		return artifact.Location{}, fmt.Errorf("a log is a file, not a %s", form)
	case form.IsDirectory():
		return o.Location.Prefix(), o.Location.Prefix().Validate()
	case o.Location.Kind == artifact.KindPrefix:
		return artifact.Location{}, fmt.Errorf("key %q ends in a slash, and the output is a file", o.Location.Key)
	}
	return o.Location, nil
}

// Staged is what Argo's wait makes of the output before it uploads it.
func (o Output) Staged() measurement.Staged {
	s := measurement.Staged{Output: o.Name, Archive: o.Archive, Log: o.Log != ""}
	switch {
	case s.Log:
		s.File = logFile(o.Log)
	case o.Archive == content.ArchiveNone:
		s.File = path.Base(o.Path)
	case o.Archive == content.ArchiveTar && o.Volume == "":
		return s.Packed(path.Clean(o.Path))
	}
	return s
}

// Label names the output for people: its name and, where known, its location.
func (o Output) Label() string {
	if o.Location == (artifact.Location{}) {
		return o.Name
	}
	return label(o.Name, o.Location.URI())
}

func label(name, uri string) string {
	if uri == "" {
		return name
	}
	return name + " (" + uri + ")"
}

// Step is what a pod of Argo's says about itself. Nothing of it counts
// before Genuine and CheckStructure have agreed.
type Step struct {
	Kind Kind
	// Namespace and Pod are the pod's own.
	Namespace string
	Pod       string
	// Workflow and WorkflowUID are the controller owner's.
	Workflow    string
	WorkflowUID string
	// NodeID and NodeName are Argo's annotations.
	NodeID   string
	NodeName string
	// Template is the template's name; empty for one given inline.
	Template string
	// TemplateDigest is the digest of ARGO_TEMPLATE as Argo's init reads it.
	TemplateDigest artifact.Digest
	// ScriptSHA256 is the SHA-256 of the script that Argo's init writes to
	// /argo/staging/script, for KindScript; empty for every other.
	ScriptSHA256 artifact.Digest
	Inputs       []Input
	Outputs      []Output

	template *template
	// written is the template as Argo wrote it into init's environment, JSON; the
	// kubelet makes $ of $$.
	written string
	// What Genuine judges.
	owners []metav1.OwnerReference
	label  string
	images []image
}

// Mains names the containers whose exit codes are the step's outcome, one at
// least: main, or those of a container set, and main for artifacts, which Argo
// gives to no other container.
func (s *Step) Mains() []string {
	names := s.template.mains()
	declared := len(s.template.Inputs.Artifacts) + len(s.template.Outputs.Artifacts)
	if (len(names) == 0 || declared > 0) && !slices.Contains(names, layout.ContainerMain) {
		names = append(names, layout.ContainerMain)
	}
	return names
}

// Node is the step as a workflow's definition has to have it.
func (s *Step) Node() definition.Node {
	made := []string{s.written}
	if literal := unescape(s.written); literal != s.written {
		made = append(made, literal) // see Literal
	}
	return definition.Node{Name: s.NodeName, Template: s.Template, Made: made}
}

// Sealable lists the outputs that can be sealed, in the template's order.
func (s *Step) Sealable() []Output {
	var out []Output
	for _, o := range s.Outputs {
		if o.Problem == nil {
			out = append(out, o)
		}
	}
	return out
}

// PinnedInputs lists the inputs that are Pinned, in the template's order, those
// with a Problem included.
func (s *Step) PinnedInputs() []Input {
	var in []Input
	for _, i := range s.Inputs {
		if i.Pinned() {
			in = append(in, i)
		}
	}
	return in
}
