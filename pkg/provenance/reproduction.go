package provenance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// ReproductionType is the predicate type of statements about a second run of a step;
// docs/buildtypes/reproduction-v1.md is its page.
const ReproductionType = "https://argoseal.dev/reproduction/v1"

// Bounds of what a second run leaves open, in numbers and in bytes of each.
const (
	maxCaveats = 64
	maxCaveat  = 1024
)

// Reproduced is what a second run says of the first, or of one of its outputs. The zero
// value is none.
type Reproduced string

const (
	// WasReproduced says that both runs made the same, to the last file.
	WasReproduced Reproduced = "Reproduced"
	// NotReproduced says that the second run made something else.
	NotReproduced Reproduced = "NotReproduced"
	// NotComparable, of an output, says that nobody can tell.
	NotComparable Reproduced = "NotComparable"
)

// ReproductionFacts is everything that a statement about a second run says. Whoever signs
// it has compared the two seals; it is not a seal itself.
type ReproductionFacts struct {
	// Verdict is Reproduced or NotReproduced: of what is not comparable nothing is stated.
	Verdict Reproduced
	// First is the run that the statement is about, and Second the one that it was held
	// against.
	First, Second SealedRun
	// Outputs are those of the first run, sealed or not, but for logs. The sealed ones are
	// the subjects.
	Outputs []ReproducedOutput
	// Caveats say what nothing has checked.
	Caveats []string
	// Argoseal is the version of the program that compared.
	Argoseal string
	// Compared is when it did.
	Compared time.Time
}

// SealedRun is a run by its seal.
type SealedRun struct {
	// Statement is the digest of the seal's payload. It alone says which seal is meant:
	// all else is in that statement, too.
	Statement artifact.Digest
	Builder   Builder
	Namespace string
	Workflow  Ref
	Pod       Ref
	Template  string
}

// ReproducedOutput is one output in both runs. A run that did not make it, or has no seal
// of it, has no digests of it.
type ReproducedOutput struct {
	Name    string
	Verdict Reproduced
	// URI is where the first run stored it.
	URI           string
	First, Second ReproducedContent
}

// ReproducedContent is what one run made: the stored bytes and, what is compared, the tree.
type ReproducedContent struct {
	SHA256 artifact.Digest `json:"sha256,omitempty"`
	Tree   artifact.Digest `json:"treeSha256,omitempty"`
}

// RunOfStatement is the run that a verified statement is about.
func RunOfStatement(s StepStatement) SealedRun {
	return SealedRun{
		Statement: s.SHA256, Builder: s.Builder, Namespace: s.Step.Namespace, Workflow: s.Step.Workflow, Pod: s.Step.Pod, Template: s.Definition.Template,
	}
}

// BuildReproduction makes the payload of a statement about a second run.
func BuildReproduction(f ReproductionFacts) ([]byte, error) {
	f = f.sorted()
	if err := f.validate(); err != nil {
		return nil, err
	}
	predicate, err := toStruct(f.wire())
	if err != nil {
		return nil, err
	}
	return statementOf(f.subjects(), ReproductionType, predicate)
}

func (f ReproductionFacts) sorted() ReproductionFacts {
	f.Outputs = sortedBy(f.Outputs, func(o ReproducedOutput) string { return o.Name })
	f.Caveats = slices.Compact(sortedBy(f.Caveats, func(c string) string { return c }))
	f.Compared = f.Compared.UTC().Truncate(time.Second)
	return f
}

// subjects are the first run's sealed outputs: what somebody who has one of these looks up.
func (f *ReproductionFacts) subjects() []WorkflowSubject {
	var all []WorkflowSubject
	for _, o := range f.Outputs {
		if o.First.SHA256 != "" {
			all = append(all, WorkflowSubject{URI: o.URI, SHA256: o.First.SHA256, Tree: o.First.Tree, Output: o.Name, Pod: f.First.Pod.UID})
		}
	}
	return sortedBy(all, func(s WorkflowSubject) string { return s.URI })
}

// Speaks says whether a statement has reproduced just this output of just this seal: the
// digest is that of the seal's payload. Who takes an archive as it is stored (asIs) gets its
// bytes, of which the tree leaves out times, owners and what follows the end: for him both
// runs have to have stored the same.
func (f *ReproductionFacts) Speaks(statement artifact.Digest, s Subject, asIs bool) bool {
	if statement == "" || f.First.Statement != statement || s.Tree == "" {
		return false
	}
	return slices.ContainsFunc(f.Outputs, func(o ReproducedOutput) bool {
		return o.Verdict == WasReproduced && o.URI == s.URI && o.Name == s.Output && o.First.SHA256 == s.SHA256 && o.First.Tree == s.Tree &&
			(!asIs || o.Second.SHA256 == s.SHA256)
	})
}

func (f *ReproductionFacts) validate() error {
	problems := []error{
		f.First.validate("first"), f.Second.validate("second"), checkText("version of argoseal", f.Argoseal, maxName),
		(&Facts{StartedAt: f.Compared, FinishedAt: f.Compared}).validateTimes(),
	}
	switch {
	case f.Verdict != WasReproduced && f.Verdict != NotReproduced:
		problems = append(problems, fmt.Errorf("verdict %.200q is neither %s nor %s", f.Verdict, WasReproduced, NotReproduced))
	case len(f.subjects()) == 0:
		problems = append(problems, errors.New("the first run has no sealed output that was compared"))
	case len(f.Outputs) > maxList || len(f.Caveats) > maxCaveats:
		problems = append(problems, fmt.Errorf("%d outputs and %d caveats, at most %d and %d are allowed", len(f.Outputs), len(f.Caveats), maxList, maxCaveats))
	default:
		problems = append(problems, validateLeaving(f.subjects()))
	}
	outputs := names{}
	differ := false
	for _, o := range f.Outputs {
		problems = append(problems, outputs.add("output", o.Name), o.validate())
		differ = differ || o.Verdict == NotReproduced
		if f.Verdict == WasReproduced && o.Verdict != WasReproduced {
			problems = append(problems, fmt.Errorf("output %.200q is %.200q, and all of it Reproduced", o.Name, o.Verdict))
		}
	}
	if f.Verdict == NotReproduced && !differ {
		problems = append(problems, errors.New("no output differs"))
	}
	if f.First.Statement == f.Second.Statement || f.First.Pod.UID == f.Second.Pod.UID {
		problems = append(problems, errors.New("a run is held against itself"))
	}
	for _, c := range f.Caveats {
		problems = append(problems, checkText("caveat", c, maxCaveat))
	}
	return errors.Join(problems...)
}

func (r *SealedRun) validate(which string) error {
	return errors.Join(
		checkDigest(which+" statement", r.Statement), r.Builder.validate(), checkText("namespace", r.Namespace, maxName),
		r.Workflow.validate("workflow"), r.Pod.validate("pod"), checkText("template", r.Template, maxName),
	)
}

func (o *ReproducedOutput) validate() error {
	a, b := o.First, o.Second
	var problems []error
	for _, c := range []ReproducedContent{a, b} {
		if c.SHA256 != "" {
			problems = append(problems, checkDigest("output", c.SHA256))
		}
		if c.Tree != "" {
			problems = append(problems, checkDigest("tree", c.Tree))
		}
		if c.SHA256 == "" && c.Tree != "" {
			problems = append(problems, fmt.Errorf("output %.200q has a tree without the stored bytes", o.Name))
		}
	}
	if (a.SHA256 == "") != (o.URI == "") {
		problems = append(problems, fmt.Errorf("output %.200q has a place without digests, or digests without a place", o.Name))
	}
	// What both runs left out is the same, too: then neither has digests.
	switch same := a.Tree == b.Tree && (a.Tree != "" || a.SHA256 == "" && b.SHA256 == ""); {
	case o.Verdict != WasReproduced && o.Verdict != NotReproduced && o.Verdict != NotComparable:
		problems = append(problems, fmt.Errorf("output %.200q has the verdict %.200q", o.Name, o.Verdict))
	case o.Verdict == WasReproduced && !same:
		problems = append(problems, fmt.Errorf("output %.200q is Reproduced, and the trees differ", o.Name))
	}
	return errors.Join(problems...)
}

// ParseReproduction reads a payload that BuildReproduction made, and accepts no other. Its
// errors have the code StatementInvalid.
func ParseReproduction(payload []byte) (*ReproductionFacts, error) {
	f, err := parseReproduction(payload)
	if err != nil {
		return nil, reason.Wrap(reason.StatementInvalid, err, "%v", err)
	}
	return f, nil
}

func parseReproduction(payload []byte) (*ReproductionFacts, error) {
	var w wireReproduction
	if err := decode(payload, &w, "type "+ReproductionType); err != nil {
		return nil, err
	}
	p := &w.Predicate
	f := &ReproductionFacts{Verdict: p.Verdict, Caveats: p.Caveats, Argoseal: p.Verifier.Version[ofArgoseal]}
	var err error
	if f.First, err = p.First.read(); err != nil {
		return nil, err
	}
	if f.Second, err = p.Second.read(); err != nil {
		return nil, err
	}
	if f.Compared, err = time.Parse(time.RFC3339, p.ComparedOn); err != nil {
		return nil, fmt.Errorf("comparedOn: %w", err)
	}
	for _, o := range p.Outputs {
		out := ReproducedOutput{Name: o.Name, Verdict: o.Verdict, URI: o.URI}
		if o.First != nil {
			out.First = *o.First
		}
		if o.Second != nil {
			out.Second = *o.Second
		}
		f.Outputs = append(f.Outputs, out)
	}
	again, err := BuildReproduction(*f)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, payload) {
		return nil, errors.New("not in canonical form, or it contradicts itself")
	}
	return f, nil
}

// ofArgoseal is the name of our own version among versions.
const ofArgoseal = "argoseal"

func (f *ReproductionFacts) wire() wireReproduced {
	w := wireReproduced{Verdict: f.Verdict, First: f.First.wire(), Second: f.Second.wire(), Caveats: f.Caveats, ComparedOn: f.Compared.Format(time.RFC3339)}
	w.Verifier.Version = map[string]string{ofArgoseal: f.Argoseal}
	for _, o := range f.Outputs {
		out := wireReproducedOutput{Name: o.Name, Verdict: o.Verdict, URI: o.URI}
		if o.First != (ReproducedContent{}) {
			out.First = &o.First
		}
		if o.Second != (ReproducedContent{}) {
			out.Second = &o.Second
		}
		w.Outputs = append(w.Outputs, out)
	}
	return w
}

func (r *SealedRun) wire() wireSealedRun {
	w := wireSealedRun{Statement: wireDigest{r.Statement}, Namespace: r.Namespace, Workflow: r.Workflow, Pod: r.Pod, Template: r.Template}
	w.Builder.ID = r.Builder.ID()
	return w
}

func (w *wireSealedRun) read() (SealedRun, error) {
	b, err := ParseBuilderID(w.Builder.ID)
	return SealedRun{w.Statement.SHA256, b, w.Namespace, w.Workflow, w.Pod, w.Template}, err
}

type wireReproduction struct {
	wireLeaving
	Predicate wireReproduced `json:"predicate"`
}

type wireReproduced struct {
	Verdict  Reproduced             `json:"verdict"`
	First    wireSealedRun          `json:"first"`
	Second   wireSealedRun          `json:"second"`
	Outputs  []wireReproducedOutput `json:"outputs"`
	Caveats  []string               `json:"caveats,omitempty"`
	Verifier struct {
		Version map[string]string `json:"version"`
	} `json:"verifier"`
	ComparedOn string `json:"comparedOn"`
}

type wireSealedRun struct {
	Statement wireDigest `json:"statement"`
	Builder   struct {
		ID string `json:"id"`
	} `json:"builder"`
	Namespace string `json:"namespace"`
	Workflow  Ref    `json:"workflow"`
	Pod       Ref    `json:"pod"`
	Template  string `json:"template"`
}

type wireReproducedOutput struct {
	Name    string             `json:"name"`
	Verdict Reproduced         `json:"verdict"`
	URI     string             `json:"uri,omitempty"`
	First   *ReproducedContent `json:"first,omitempty"`
	Second  *ReproducedContent `json:"second,omitempty"`
}
