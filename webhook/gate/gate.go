package gate

import (
	"context"
	"slices"
	"time"

	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/tag"
)

// Gate decides. Its fields are set once; it is safe for concurrent use.
type Gate struct {
	Identity argo.Identity
	Sidecar  sidecar.Config
	// Cluster is this cluster's name in builder.id.
	Cluster string
	// Quick may lag behind the API server; Live is the API server.
	Quick Evidence
	Live  Evidence
	// Policies gives the policies that apply in a namespace. An error is a
	// *reason.Error: they have not been read, or one cannot be evaluated.
	Policies func(namespace string) (policy.Set, error)
	// Workflow gets a live Workflow: nil if there is none.
	Workflow func(ctx context.Context, namespace, name string) (*definition.Workflow, error)
	// Template gets a live WorkflowTemplate of a namespace, or one of the cluster:
	// nil if there is none.
	Template func(ctx context.Context, namespace string, ref graph.Ref) (map[string]any, error)
	Facts    *Facts
	// Epochs says since when the guards have held in a namespace, by what the API
	// server says now. An error that is no *reason.Error is the API server's.
	Epochs func(ctx context.Context, namespace string) (epoch.Moment, error)
	// Settled remembers namespaces whose mode has counted for long enough; nil:
	// nothing is remembered.
	Settled *lru.Cache
	Clock   clock.PassiveClock
	// Requeue is how long Argo's controller waits before it tries to make a pod
	// again.
	Requeue time.Duration
}

// Trust is what one decision rests on: the keys and the root of this moment.
type Trust struct {
	Keys tag.Keys
	// Root is nil as long as there is none.
	Root Verifier
}

// Verdict is what the evidence says about a step's inputs. The zero value
// refuses.
type Verdict struct {
	Allowed bool
	// Pins of the inputs whose evidence holds, also where another's does not.
	Pins []pin.Pin
	// Refusal is the first final one, else the first that may pass later; set
	// unless Allowed.
	Refusal *reason.Error
	// RetryAfter asks the client to try again in place after so many seconds;
	// zero: in its own time.
	RetryAfter int32
	// Levels are the levels of the builders, sorted, each once.
	Levels []provenance.Level
}

// Evaluate decides on the inputs of a step of a workflow from the evidence:
// first by what is quick to read, and if that would refuse for good, by the API
// server itself.
func (g *Gate) Evaluate(ctx context.Context, step *argo.Step, wf *definition.Workflow, mode v1alpha1.Mode, trust Trust) Verdict {
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
	from, refusal := g.origins(ctx, step, wf)
	if refusal != nil {
		return Verdict{Refusal: refusal}
	}
	if len(step.PinnedInputs()) == 0 {
		return Verdict{Allowed: true}
	}
	policies, err := g.Policies(step.Namespace)
	if err != nil {
		return Verdict{Refusal: Refusal(err)}
	}
	look := evaluation{
		gate: g, evidence: g.Quick, trust: trust, step: step, origins: from, policies: policies,
		consumer: policy.Consumer{Namespace: step.Namespace, WorkflowUID: step.WorkflowUID, Mode: mode, Cluster: g.Cluster},
	}
	v := look.inputs(ctx)
	if v.Allowed || v.Refusal.Code.Retryable() {
		return v
	}
	look.evidence, look.live = g.Live, true
	return look.inputs(ctx)
}

// maxInputs is more than the admission tag has room to pin. Each input costs
// reads of the API server: what cannot be admitted shall not begin them.
const maxInputs = 256

// problem is the first input that no evidence could help. What has no store
// object and is part of the spec, or is not supplied, needs none.
func problem(step *argo.Step) *reason.Error {
	if n := len(step.PinnedInputs()); n > maxInputs {
		return reason.New(reason.UnsupportedPod, "it has %d inputs from stores, at most %d can be pinned", n, maxInputs)
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

// inputs decides on all of the step's inputs that need evidence.
func (e *evaluation) inputs(ctx context.Context) Verdict {
	e.records, e.kept = map[string]*v1alpha1.Provenance{}, 0
	inputs := e.step.PinnedInputs()
	var v Verdict
	for _, in := range inputs {
		found, refused := e.input(ctx, in)
		if refused != nil && refused.nothing && e.mayBeAbsent(in) {
			found, refused = accepted{pin: pin.Pin{Input: in.Name, Location: in.URI(), Archive: in.Archive(), Absent: true}}, nil
		}
		if refused == nil {
			v.Pins = append(v.Pins, found.pin)
			if found.level != "" {
				v.Levels = addLevel(v.Levels, found.level)
			}
			continue
		}
		refused.error = refused.error.For(in.Label())
		if v.Refusal == nil || v.Refusal.Code.Retryable() && !refused.error.Code.Retryable() {
			v.Refusal, v.RetryAfter = refused.error, refused.retryAfter
		}
	}
	if v.Refusal == nil {
		v.Refusal = fit(v.Pins)
	}
	v.Allowed = v.Refusal == nil && len(v.Pins) == len(inputs)
	return v
}

// mayBeAbsent says whether an input of which nothing is known is admitted as absent.
// Only where the definition alone gives its place is it the definition that calls it
// optional: with what a step reports as its output, that comes from the report. In
// modes that let the step run whatever is there it would cost its seal.
func (e *evaluation) mayBeAbsent(in argo.Input) bool {
	o := e.origins[in.Name]
	return in.Optional && e.live && e.consumer.Mode == v1alpha1.ModeEnforce && len(o.Outputs) == 0 && named(o, in)
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
	return reason.Wrap(reason.UnsupportedPod, err, "%v", err)
}

func addLevel(levels []provenance.Level, l provenance.Level) []provenance.Level {
	for i, known := range levels {
		if known == l {
			return levels
		}
		if l < known {
			return append(levels[:i:i], append([]provenance.Level{l}, levels[i:]...)...)
		}
	}
	return append(levels, l)
}
