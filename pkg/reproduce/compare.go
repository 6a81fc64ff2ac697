package reproduce

import (
	"fmt"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Verdict is the result for an output, or for all. The zero value is none.
type Verdict string

const (
	// Same says that both runs made the same, to the last file.
	Same Verdict = "same"
	// Differs says that it is something else.
	Differs Verdict = "differs"
	// NotComparable says that nobody can tell, and is no word for or against.
	NotComparable Verdict = "notComparable"
)

// Result is what a second run says of the first.
type Result struct {
	Verdict Verdict `json:"verdict"`
	// Why the runs cannot be compared; empty if they can.
	Why     string   `json:"why,omitempty"`
	Outputs []Output `json:"outputs,omitempty"`
	// Notes say what nothing has checked.
	Notes []string `json:"notes,omitempty"`
}

// Output is one of the step's outputs.
type Output struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why,omitempty"`
	// First and Second are the tree digests of what the two runs made.
	First  artifact.Digest `json:"first,omitempty"`
	Second artifact.Digest `json:"second,omitempty"`
	// Files are those that differ, where both runs' files are known one by one.
	Files []File `json:"files,omitempty"`
}

// File is one that differs.
type File struct {
	Path   string `json:"path"`
	Change Change `json:"change"`
}

// Change is what differs about a file.
type Change string

// The changes of a file, from the first run to the second.
const (
	Changed Change = "changed"
	Added   Change = "added"
	Removed Change = "removed"
)

// Listings are lists of files (content.Files), by the names of outputs. They count only
// where their tree is the one that the statement has.
type Listings map[string]string

// Compare says whether two runs of a step made the same. Both statements have to be
// verified, and the second to be of what Make planned (Owns).
func Compare(first, second *provenance.Statement, ofFirst, ofSecond Listings) Result {
	var r Result
	if r.Why = unlike(first, second); r.Why != "" {
		r.Verdict = NotComparable
		return r
	}
	r.Notes = doubts(first, second)
	same, differs, unknown := 0, 0, 0
	for _, name := range declared(first) {
		o := compare(name, first, second)
		if o.Verdict == Differs && o.First != "" && o.Second != "" {
			o.Files = files(listing(first, name, ofFirst), listing(second, name, ofSecond))
		}
		switch o.Verdict {
		case Same:
			same++
		case Differs:
			differs++
		default:
			unknown++
		}
		r.Outputs = append(r.Outputs, o)
	}
	switch {
	case differs > 0:
		r.Verdict = Differs
	case unknown > 0:
		r.Verdict, r.Why = NotComparable, "of an output nothing is known"
	case same > 0:
		r.Verdict = Same
	default:
		r.Verdict, r.Why = NotComparable, "the first run stored nothing but logs"
	}
	return r
}

// isLog says whether an output is a container's log. The template does not declare
// it, and a log has times in it.
func isLog(s *provenance.Statement, output string) bool {
	container, suffixed := strings.CutSuffix(output, "-logs")
	return suffixed && slices.ContainsFunc(s.Images, func(i provenance.Image) bool { return i.Container == container })
}

// declared are the outputs of the first run, sealed or not, but for logs.
func declared(s *provenance.Statement) []string {
	var names []string
	for _, subject := range s.Subjects {
		names = append(names, subject.Output)
	}
	for _, u := range s.Unsealed {
		names = append(names, u.Output)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return isLog(s, name) })
	slices.Sort(names)
	return names
}

// fate is what became of an output in one run: a subject, or why there is none.
func fate(s *provenance.Statement, output string) (*provenance.Subject, reason.Code) {
	for i := range s.Subjects {
		if s.Subjects[i].Output == output {
			return &s.Subjects[i], ""
		}
	}
	for _, u := range s.Unsealed {
		if u.Output == output {
			return nil, u.Reason
		}
	}
	return nil, reason.NotSealed
}

func compare(name string, first, second *provenance.Statement) Output {
	o := Output{Name: name}
	a, noA := fate(first, name)
	b, noB := fate(second, name)
	if a != nil {
		o.First = a.Tree
	}
	if b != nil {
		o.Second = b.Tree
	}
	switch {
	case a != nil && b != nil && a.Form != b.Form:
		o.Verdict, o.Why = Differs, fmt.Sprintf("the first run stored it as %s, the second as %s", form(a.Form), form(b.Form))
	case a != nil && b != nil && a.Tree == b.Tree && a.Tree != "":
		o.Verdict = Same
	case a != nil && b != nil && a.Tree != "" && b.Tree != "":
		o.Verdict = Differs
	case a != nil && b != nil:
		o.Verdict, o.Why = NotComparable, "a seal has no tree digest of it"
	case noA == reason.OutputAbsent && noB == reason.OutputAbsent:
		o.Verdict, o.Why = Same, "neither run made it"
	case a != nil && noB == reason.OutputAbsent:
		o.Verdict, o.Why = Differs, "the second run did not make it"
	case b != nil && noA == reason.OutputAbsent:
		o.Verdict, o.Why = Differs, "the first run did not make it"
	case a == nil:
		o.Verdict, o.Why = NotComparable, fmt.Sprintf("it is not sealed in the first run: %s", noA)
	default:
		o.Verdict, o.Why = NotComparable, fmt.Sprintf("it is not sealed in the second run: %s", noB)
	}
	return o
}

// form is a form as people name it.
func form(f content.Form) string {
	if f == content.FormTar {
		return "an archive"
	}
	return string(f)
}

// listing is what a run stored of a directory, if that is known file by file.
func listing(s *provenance.Statement, output string, of Listings) content.Files {
	subject, _ := fate(s, output)
	if subject == nil || !subject.Form.IsDirectory() || of[output] == "" {
		return nil
	}
	list, err := content.ParseFiles(of[output])
	if err != nil || list.Tree() != subject.Tree {
		return nil
	}
	return list
}

// files are those in which two directories differ.
func files(a, b content.Files) []File {
	if a == nil || b == nil {
		return nil
	}
	before := map[string]artifact.Digest{}
	for _, f := range a {
		before[f.Path] = f.SHA256
	}
	var list []File
	for _, f := range b {
		was, there := before[f.Path]
		switch {
		case !there:
			list = append(list, File{f.Path, Added})
		case was != f.SHA256:
			list = append(list, File{f.Path, Changed})
		}
		delete(before, f.Path)
	}
	for path := range before {
		list = append(list, File{path, Removed})
	}
	slices.SortFunc(list, func(a, b File) int { return content.WalkCompare(a.Path, b.Path) })
	return list
}

// unlike says why two runs cannot be compared: they did not begin with the same.
func unlike(first, second *provenance.Statement) string {
	if a, b := first.Outcome.Result, second.Outcome.Result; a != b {
		return fmt.Sprintf("the first run %s, the second %s", a, b)
	}
	if why := otherImage("container", own(first.Images), own(second.Images)); why != "" {
		return why
	}
	if why := otherImage("volume", first.Mounted, second.Mounted); why != "" {
		return why
	}
	if why := otherInput(first.Inputs, second.Inputs); why != "" {
		return why
	}
	return otherPod(first.Definition.Overrides, second.Definition.Overrides)
}

// own are the images of the containers that are the step's: not Argo's, nor ours, whose
// names are reserved. These may be of another release.
func own(images []provenance.Image) []provenance.Image {
	return slices.DeleteFunc(slices.Clone(images), func(i provenance.Image) bool {
		return i.Container == layout.ContainerInit || i.Container == layout.ContainerWait || strings.HasPrefix(i.Container, "argoseal-")
	})
}

func otherImage(what string, first, second []provenance.Image) string {
	if len(first) != len(second) {
		return fmt.Sprintf("the first run had %d images of a %s, the second %d", len(first), what, len(second))
	}
	for _, a := range first {
		i := slices.IndexFunc(second, func(b provenance.Image) bool { return b.Container == a.Container })
		switch {
		case i < 0:
			return fmt.Sprintf("the second run had no %s %.80q", what, a.Container)
		case a.SHA256 == "" || second[i].SHA256 == "":
			return fmt.Sprintf("nobody knows which image %s %.80q had in both runs", what, a.Container)
		case a.SHA256 != second[i].SHA256 || a.DigestOf != second[i].DigestOf:
			return fmt.Sprintf("%s %.80q ran another image: sha256:%s, and sha256:%s the second time", what, a.Container, a.SHA256, second[i].SHA256)
		}
	}
	return ""
}

func otherInput(first, second []provenance.Input) string {
	for _, a := range first {
		i := slices.IndexFunc(second, func(b provenance.Input) bool { return b.Name == a.Name })
		if i < 0 {
			return fmt.Sprintf("the second run was not held to input %.80q: is there a policy that admits it there?", a.Name)
		}
		if b := second[i]; a.SHA256 != b.SHA256 || a.Tree != b.Tree || a.Archive != b.Archive || a.SHA256 == "" && a.Tree == "" && a.URI != b.URI {
			return fmt.Sprintf("input %.80q was another one", a.Name)
		}
	}
	if len(second) != len(first) {
		return fmt.Sprintf("the first run was held to %d inputs, the second to %d", len(first), len(second))
	}
	return ""
}

// otherPod compares how the pods differ from their template. A webhook, or a
// parameter in a patch, may have made the step do anything.
func otherPod(first, second []provenance.Override) string {
	const ofPod = "pod."
	pod := func(list []provenance.Override) []provenance.Override {
		return slices.DeleteFunc(slices.Clone(list), func(o provenance.Override) bool { return !strings.HasPrefix(o.Field, ofPod) })
	}
	if a, b := pod(first), pod(second); !slices.Equal(a, b) {
		return fmt.Sprintf("beside their templates %d things of the first pod were changed, and %d of the second, and these are not the same", len(a), len(b))
	}
	return ""
}

// doubts say what the statements leave open.
func doubts(first, second *provenance.Statement) []string {
	var list []string
	for _, i := range first.Inputs {
		if i.SHA256 == "" && i.Tree == "" {
			if g, err := artifact.ParseGit(i.URI); err != nil || g.Commit == "" {
				list = append(list, fmt.Sprintf("what input %.80q held is not known of either run", i.Name))
			}
		}
	}
	for _, run := range []*provenance.Statement{first, second} {
		for _, s := range run.Subjects {
			if s.Volume != "" {
				list = append(list, fmt.Sprintf("output %.80q was stored from volume %.80q, where others may have written", s.Output, s.Volume))
			}
		}
	}
	for _, s := range first.Subjects {
		if isLog(first, s.Output) {
			list = append(list, logNote(s.Output))
		}
	}
	if second.Verdict != "" {
		list = append(list, fmt.Sprintf("admission let the second run pass in mode %s: %s", second.Mode, second.Verdict))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func logNote(output string) string { return fmt.Sprintf("%.80q is a log, and is left out", output) }
