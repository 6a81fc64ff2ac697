package policy

import (
	"slices"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Sealed decides on an artifact from its verified statement and the base URLs of
// the logs that the seal is recorded in. Without policies
// that is the built-in one: the artifact was made in this workflow, here, by a
// step that succeeded, in a mode no laxer than today's. Where all else holds and a policy
// asks for it, look finds what others have signed about it; without, such a policy refuses.
func (s Set) Sealed(st *provenance.Statement, logs []string, look Others, c Consumer, now time.Time) Verdict {
	if !s.read {
		return Verdict{Refusal: errNotRead}
	}
	if e := Sound(st, c); e != nil {
		return Verdict{Refusal: e}
	}
	v := Verdict{Level: st.Builder.Level}
	if e := own(st, c); e != nil {
		by, narrowed := s.grant(func(a *allowed) bool { return a.trusts(st, c) })
		switch {
		case by == nil && narrowed == nil && (c.Made == "" || c.Early) && s.comparesDefinitions(st, c):
			return Verdict{Refusal: reason.New(reason.DefinitionIncomplete, "Argo has not stored what this workflow runs, and a policy compares that with what workflow %s ran", st.Step.Workflow.Name)}
		case narrowed != nil:
			return Verdict{Refusal: narrowed}
		case by == nil:
			return Verdict{Refusal: e}
		}
		v.Policy = by.name
	}
	if e := succeeded(st); e != nil {
		by, narrowed := s.grant(func(a *allowed) bool { return a.failed && st.Outcome.Result == provenance.Failed })
		switch {
		case narrowed != nil:
			return Verdict{Refusal: narrowed}
		case by == nil:
			return Verdict{Refusal: e}
		case v.Policy == "":
			v.Policy = by.name
		}
	}
	for _, r := range s.all() {
		if e := r.require.asks(st, logs, now); e != nil {
			e.Detail += ", by " + r.String()
			return Verdict{Refusal: e}
		}
	}
	if e := s.others(look); e != nil {
		return Verdict{Refusal: e}
	}
	v.Allowed = true
	return v
}

// asks says in what a seal falls short.
func (q required) asks(st *provenance.Statement, logs []string, now time.Time) *reason.Error {
	switch age := now.Sub(st.FinishedAt); {
	case q.level == provenance.LevelIsolated && st.Builder.Level != provenance.LevelIsolated:
		return reason.New(reason.LevelTooLow, "its level is %s, asked for is %s", st.Builder.Level, q.level)
	case q.maxAge > 0 && age > q.maxAge:
		return reason.New(reason.SealTooOld, "its producer finished at %s, asked for are at most %s", st.FinishedAt.UTC().Format(time.RFC3339), q.maxAge)
	case q.logs != nil && !slices.ContainsFunc(logs, func(log string) bool { return slices.Contains(q.logs, log) }):
		return reason.New(reason.LogNotTrusted, "it is recorded in %.200q, which is none of the %d logs that count", logs, len(q.logs))
	}
	return nil
}

// trusts says whether a producer's seals count for a consumer of another workflow.
func (a *allowed) trusts(st *provenance.Statement, c Consumer) bool {
	return slices.ContainsFunc(a.producers, func(p v1alpha1.TrustedProducer) bool { return made(p, st, c) })
}

// made says whether the statement is of such a producer.
func made(p v1alpha1.TrustedProducer, st *provenance.Statement, c Consumer) bool {
	return ranIn(p, st, c) &&
		(p.AnyWorkflow || refersTo(st.Definition, p.WorkflowTemplate) || p.SameDefinition && sameDefinition(st.Definition, c)) &&
		(p.Templates == nil || slices.Contains(p.Templates, st.Definition.Template))
}

func ranIn(p v1alpha1.TrustedProducer, st *provenance.Statement, c Consumer) bool {
	return slices.Contains(p.Namespaces, st.Step.Namespace) || p.SameNamespace && st.Step.Namespace == c.Namespace
}

// sameDefinition says whether both workflows ran the same, by digest: of what Argo made
// of the template, or of the spec, as it was submitted or as Argo stored it. Overrides of
// a template are a part of what Argo made of it, so they count. What is unknown is
// not the same.
func sameDefinition(d provenance.Definition, c Consumer) bool {
	made := []artifact.Digest{d.Spec, d.Stored}
	if d.WorkflowTemplate != nil {
		made = []artifact.Digest{d.Effective()}
	}
	switch {
	case c.Made == "" || !slices.Contains(made, c.Made), (d.WorkflowTemplate == nil) != (c.Template == nil):
		return false
	}
	return c.Template == nil || *d.WorkflowTemplate == *c.Template
}

// comparesDefinitions says whether a policy of the cluster's trusts producers there that
// ran what the consumer's workflow runs.
func (s Set) comparesDefinitions(st *provenance.Statement, c Consumer) bool {
	return slices.ContainsFunc(s.cluster, func(r rules) bool {
		return r.allow != nil && slices.ContainsFunc(r.allow.producers, func(p v1alpha1.TrustedProducer) bool { return p.SameDefinition && ranIn(p, st, c) })
	})
}

// refersTo says whether the workflow ran the named template as it is, in one of the
// listed versions. A workflow that overrides parts of a template can make it do
// anything, so it does not count.
func refersTo(d provenance.Definition, want *v1alpha1.TrustedTemplate) bool {
	return want != nil && d.WorkflowTemplate != nil && len(d.Overrides) == 0 &&
		d.WorkflowTemplate.Name == want.Name && d.WorkflowTemplate.ClusterScope == want.ClusterScope &&
		(want.SHA256 == nil || slices.Contains(want.SHA256, string(d.Effective()))) &&
		(!want.PinReferences || onlyBy(d, want.References))
}

// onlyBy says whether all templates from elsewhere, on the way to the step, are
// pinned. It is false if the statement does not say that it names them all.
func onlyBy(d provenance.Definition, pinned []v1alpha1.TrustedReference) bool {
	return d.Complete && !slices.ContainsFunc(d.References, func(r provenance.Reference) bool {
		return r.Template != "" && !slices.ContainsFunc(pinned, func(p v1alpha1.TrustedReference) bool {
			return p.Name == r.Name && p.ClusterScope == r.ClusterScope && p.Template == r.Template && slices.Contains(p.SHA256, string(r.SHA256))
		})
	})
}

// ProducerNamespaces are where seals that count in other workflows may be,
// sorted, each once.
func (s Set) ProducerNamespaces() []string {
	var names []string
	for _, r := range s.cluster {
		if r.allow == nil {
			continue
		}
		for _, p := range r.allow.producers {
			names = append(names, p.Namespaces...)
			if p.SameNamespace {
				names = append(names, s.namespace)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
