package gate

import (
	"cmp"
	"context"
	"slices"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// Verdict is what the evidence says about a step's inputs. The zero value
// refuses.
type Verdict struct {
	Allowed bool
	// Pins of the inputs whose evidence holds, also where another's does not.
	Pins []pin.Pin
	// Refusal is the first final one, else the first that may pass later; set
	// unless Allowed.
	Refusal *reason.Error
	// Levels are the levels of the builders, sorted, each once.
	Levels []provenance.Level
	// Read is what policies and Revocations it went by; the zero value: none was needed.
	Read policy.Reading
	// Learned is the workflow's definition with the templates that Argo had not stored, as
	// they were read for this verdict; nil if none was read.
	Learned *graph.Graph
}

// Evaluate decides on the inputs of a step of a workflow from the evidence:
// first by what is quick to read, and if that would refuse for good, by the API
// server itself.
func (g *Gate) Evaluate(ctx context.Context, step *argo.Step, wf *definition.Workflow, mode v1alpha1.Mode, trust evidence.Trust) Verdict {
	return g.evaluate(ctx, step, wf, mode, trust, g.Quick)
}

// EvaluateLive decides by the API server itself alone.
func (g *Gate) EvaluateLive(ctx context.Context, step *argo.Step, wf *definition.Workflow, mode v1alpha1.Mode, trust evidence.Trust) Verdict {
	return g.evaluate(ctx, step, wf, mode, trust, nil)
}

// Policies are those that apply in a namespace. An error is a *reason.Error: they
// have not been read, or one cannot be evaluated.
type Policies interface {
	For(ctx context.Context, namespace string) (policy.Set, error)
	// Images are the same, and whether one of them speaks of container images. Where none
	// does, whatever else cannot be evaluated is no error.
	Images(ctx context.Context, namespace string) (applies policy.Set, about bool, err error)
}

func (g *Gate) evaluate(ctx context.Context, step *argo.Step, wf *definition.Workflow, mode v1alpha1.Mode, trust evidence.Trust, quick evidence.Source) Verdict {
	if step == nil {
		return Verdict{Refusal: reason.New(reason.Internal, "there is no step to decide on")}
	}
	if refusal := problem(step); refusal != nil {
		return Verdict{Refusal: refusal}
	}
	if len(step.PinnedInputs()) > 0 {
		if refusal := g.held(ctx, wf); refusal != nil {
			return Verdict{Refusal: refusal}
		}
	}
	from, known, refusal := g.origins(ctx, step, wf)
	if refusal != nil {
		return Verdict{Refusal: refusal}
	}
	learned := known
	if own, err := wf.Graph(); err == nil && own == known {
		learned = nil
	}
	if len(step.PinnedInputs()) == 0 {
		return Verdict{Allowed: true, Learned: learned}
	}
	policies, err := g.Policies.For(ctx, step.Namespace)
	if err != nil {
		return Verdict{Refusal: reason.From(err)}
	}
	if policies.Reading().At.IsZero() {
		return Verdict{Refusal: reason.New(reason.PolicyNotSynced, "nobody knows when the policies and revocations were read")}
	}
	consumer, err := g.consumer(step, wf, mode)
	if err != nil {
		return Verdict{Refusal: reason.Wrap(reason.OriginUnknown, err, "%v", err)}
	}
	look := func(source evidence.Source, live bool) (Verdict, bool) {
		e := evaluation{
			gate: g, step: step, origins: from, graph: known, order: known.Order(), policies: policies, live: live,
			consumer: consumer,
			view: evidence.NewView(source, trust, g.Verified, evidence.Consumer{
				Namespace: step.Namespace, Workflow: step.Workflow, WorkflowUID: step.WorkflowUID, Pod: step.Pod,
			}),
		}
		v := e.inputs(ctx)
		v.Read, v.Learned = policies.Reading(), learned
		return v, e.unsure
	}
	if quick != nil && !stale(quick) {
		v, unsure := look(quick, false)
		if !unsure && (v.Allowed || v.Refusal.Code.Retryable()) {
			return v
		}
	}
	v, _ := look(g.Live, true)
	return v
}

// stale says whether a source is not to be asked: what it knows may be too old.
func stale(source evidence.Source) bool {
	s, ok := source.(evidence.Aging)
	return ok && s.Stale() != ""
}

// consumer is the step, as policies know it.
func (g *Gate) consumer(step *argo.Step, wf *definition.Workflow, mode v1alpha1.Mode) (policy.Consumer, error) {
	c := policy.Consumer{Namespace: step.Namespace, WorkflowUID: step.WorkflowUID, Mode: mode, Cluster: g.Cluster}
	d, err := wf.Definition(step.Template)
	if err != nil {
		return c, err
	}
	if d.TemplateRef != nil {
		c.Template = &provenance.WorkflowTemplate{Name: d.TemplateRef.Name, ClusterScope: d.TemplateRef.ClusterScope}
	}
	c.Early = c.Template == nil && !wf.Stored()
	c.Made, err = wf.Made()
	return c, err
}

// maxInputs is more than the admission tag has room to pin. Each input costs
// reads of the API server: what cannot be admitted shall not begin them.
const maxInputs = 256

// fewerInputs is what to do about a step with more inputs than a tag has room for.
const fewerInputs = "Hand many inputs over as fewer artifacts, such as one directory"

// problem is the first input that no evidence could help. What has no store
// object and is part of the spec, or is not supplied, needs none.
func problem(step *argo.Step) *reason.Error {
	if n := len(step.PinnedInputs()); n > maxInputs {
		return reason.New(reason.UnsupportedPod, "it has %d inputs from stores, at most %d can be pinned", n, maxInputs).Advise(fewerInputs)
	}
	for _, in := range step.Inputs {
		if in.Problem() != nil {
			return in.Problem().For(in.Label())
		}
		switch in.Source {
		case argo.SourceStore, argo.SourceGit, argo.SourceHTTP, argo.SourceRaw, argo.SourceAbsent:
		default:
			return reason.New(reason.StoreUnsupported, "its source is %.40q", string(in.Source)).For(in.Label())
		}
	}
	return nil
}

// evaluation is one look at one step's inputs.
type evaluation struct {
	gate *Gate
	view *evidence.View
	step *argo.Step
	// graph is the workflow's definition; nil: it says nothing.
	graph *graph.Graph
	// order is that of its nodes.
	order *graph.Order
	// origins of the inputs, by name, as the workflow's definition has them.
	origins map[string]graph.Origins
	// fillers are who else fills the place of an input, by its name, as far as that was
	// asked for.
	fillers  map[string][]graph.Output
	consumer policy.Consumer
	policies policy.Set
	// live: the view is of the API server itself.
	live bool
	// unsure: something was left out that runs, by what is quick to read. It may have
	// ended.
	unsure bool
}

// accepted is an input whose evidence holds, or that a policy admits without.
type accepted struct {
	pin pin.Pin
	// level of the builder; empty for what has no seal.
	level provenance.Level
}

// inputs decides on all of the step's inputs that need evidence.
func (e *evaluation) inputs(ctx context.Context) Verdict {
	inputs := e.step.PinnedInputs()
	var v Verdict
	if v.Refusal = e.view.Prepare(ctx, inputs); v.Refusal != nil {
		return v
	}
	for _, in := range inputs {
		if no := evidence.InTime(ctx); no != nil {
			v.Refusal = cmp.Or(v.Refusal, no)
			return v
		}
		found, refusal := e.input(ctx, in)
		if refusal == nil {
			// A part of a directory, and what comes from outside, have no statement that says so.
			refusal = e.policies.Revoked(nil, "", found.pin.Location, found.pin.SHA256, found.pin.Tree)
		}
		if refusal == nil {
			found.pin.Optional = !found.pin.Absent && e.mayBeGone(in)
			v.Pins = append(v.Pins, found.pin)
			if found.level != "" && !slices.Contains(v.Levels, found.level) {
				v.Levels = append(v.Levels, found.level)
			}
			continue
		}
		if v.Refusal == nil || v.Refusal.Code.Retryable() && !refusal.Code.Retryable() {
			v.Refusal = refusal.For(in.Label())
		}
	}
	slices.Sort(v.Levels)
	if v.Refusal == nil {
		v.Refusal = refuseUnlistedNested(e.step, v.Pins)
	}
	if v.Refusal == nil {
		v.Refusal = refuseUnlistedBesideMany(e.step, v.Pins)
	}
	if v.Refusal == nil {
		v.Refusal = fit(v.Pins)
	}
	v.Allowed = v.Refusal == nil && len(v.Pins) == len(inputs)
	return v
}

// candidate is a seal that may vouch for an input, or for a part of it.
type candidate struct {
	in argo.Input
	// namespace has the seal, which is for the location at.
	namespace string
	seal      *v1alpha1.ArtifactSeal
	at        artifact.Location
	// part is the input's path below it; empty if it is the whole.
	part string
	// writers may have written there since.
	writers evidence.Writers
	// foreign: it is another workflow's.
	foreign bool
	// originChecked: whether the definition names who sealed it was looked at.
	originChecked bool
	// replaced: what another step stored later may be all that is there now. So it is
	// asked, too, whether it would hold if its step had not failed.
	replaced bool
}

// vouched is a candidate that holds.
type vouched struct {
	evidence.Sealed
	policy policy.Verdict
	// failed is why it does not hold, of a candidate that may be replaced: because its
	// step failed, and for nothing else.
	failed *reason.Error
}

// vouch says whether a seal holds: decisions 3 to 6, in the design's order.
func (e *evaluation) vouch(ctx context.Context, c candidate) (vouched, *reason.Error) {
	sealed, no := e.view.Verify(ctx, c.namespace, c.seal, c.at)
	if no != nil {
		return vouched{}, no
	}
	if no := e.revokedInside(ctx, c, sealed); no != nil {
		return vouched{}, no
	}
	return e.judge(ctx, c, sealed)
}

// revokedInside refuses a directory that is taken whole and has a file that is revoked. Of
// one without a list of its files nothing is known: it can be revoked by its own digest.
func (e *evaluation) revokedInside(ctx context.Context, c candidate, sealed evidence.Sealed) *reason.Error {
	if c.part != "" || !sealed.Subject.Form.IsDirectory() || !e.policies.RevokesContent() {
		return nil
	}
	files, no := e.view.Files(ctx, sealed)
	switch {
	case no != nil && no.Code == reason.FilesUnknown:
		return nil
	case no != nil:
		return no
	}
	return e.policies.RevokedAmong(files)
}

// revoked refuses what a seal is about, where a revocation speaks of it or of its statement.
func (e *evaluation) revoked(sealed evidence.Sealed) *reason.Error {
	if no := e.policies.Revoked(sealed.Statement, sealed.KeyHint, sealed.Subject.URI, sealed.Subject.SHA256, sealed.Subject.Tree); no != nil {
		return no
	}
	return e.policies.RevokedImage(sealed.Statement, sealed.Subject.Output)
}

// judge says whether one that verifies holds: decisions 4 to 6.
func (e *evaluation) judge(ctx context.Context, c candidate, sealed evidence.Sealed) (vouched, *reason.Error) {
	// First of all: what no policy would trust may come in as one from outside, unless it
	// is said to be revoked.
	if no := e.revoked(sealed); no != nil {
		return vouched{}, no
	}
	statement := sealed.Statement
	if c.foreign {
		// The record is read by a namespace that a policy trusts: the statement has
		// to be of that one.
		if statement.Step.Namespace != c.namespace {
			return vouched{}, reason.New(reason.ProvenanceInvalid, "Provenance %s of namespace %s carries a statement of namespace %s", c.seal.Spec.Provenance, c.namespace, statement.Step.Namespace)
		}
		statement = elsewhere(statement, e.step.Workflow)
	}
	others := policy.Others{
		Remade: func(again *policy.ReproductionCase) *reason.Error {
			return e.view.Reproduced(ctx, sealed, asStored(c, sealed.Subject.Sum), again)
		},
		Described: func(of *policy.SBOMCase) *reason.Error {
			return e.view.Described(ctx, sealed.Namespace, sealed.Subject.SHA256, evidence.DigestsOf(sealed.Subject.Form), of)
		},
	}
	verdict := e.policies.Sealed(sealed.Statement, sealed.Logs, others, e.consumer, e.gate.Clock.Now())
	var failed *reason.Error
	if c.replaced && sealed.Statement.Outcome.Result == provenance.Failed {
		if failed = verdict.Refusal; verdict.Allowed {
			failed = needsPolicy(verdict)
		}
		succeeded := *sealed.Statement
		succeeded.Outcome.Result = provenance.Succeeded
		verdict = e.policies.Sealed(&succeeded, sealed.Logs, others, e.consumer, e.gate.Clock.Now())
	}
	if !verdict.Allowed {
		return vouched{}, verdict.Refusal
	}
	if no := e.checkOrigin(c.in, statement, sealed.Subject, c.part); no != nil && !c.originChecked {
		return vouched{}, no
	}
	if no := c.writers.Pending(e.gate.Clock.Now()); no != nil {
		return vouched{}, no
	}
	if no := c.writers.Overwritten(ctx, sealed.Statement, e.order.Precedes); no != nil {
		return vouched{}, no
	}
	return vouched{Sealed: sealed, policy: verdict, failed: failed}, nil
}

// asStored says whether a step gets an archive as it is stored: by its strategy, or because
// it takes several objects, of which Argo unpacks none.
func asStored(c candidate, s content.Sum) bool {
	if s.Form != content.FormTar && s.Form != content.FormZip {
		return false // its tree is that of its bytes
	}
	_, how, err := s.Fetched(c.in.Archive())
	return err != nil || c.replaced || how == content.ArchiveNone
}

func needsPolicy(v policy.Verdict) *reason.Error {
	return reason.New(reason.PrefixUnsupported, "it needs ClusterProvenancePolicy %s, which counts for inputs with one seal only", v.Policy)
}
