package gate

import (
	"context"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// another is the Workflow as it was: its consumer took what another step made.
func another(t *testing.T, w *world) *definition.Workflow {
	t.Helper()
	live := argotest.Live(t, w.consume)
	steps := live.Object["spec"].(map[string]any)["templates"].([]any)[0].(map[string]any)["steps"].([]any)
	task := steps[1].([]any)[0].(map[string]any)
	task["arguments"] = map[string]any{"artifacts": []any{map[string]any{"name": "message", "from": "{{steps.other.outputs.artifacts.a}}"}}}
	steps[0] = append(steps[0].([]any), map[string]any{"name": "other", "template": "hello-world-to-file"})
	wf, err := definition.Parse(live)
	check(t, err)
	return wf
}

func TestAWorkflowThatIsRememberedRefusesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		remembered, stored string
		reads              int
		admitted           bool
	}{
		"a remembered one admits without a read":  {"as it is", "as it is", 0, true},
		"one that would refuse is read again":     {"as it was", "as it is", 1, true},
		"one that refuses is the one that stands": {"as it was", "as it was", 1, false},
		"one that is not remembered is read":      {"", "as it is", 1, true},
		"nor does that of another UID count":      {"of another UID", "as it is", 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			foreign := *w.workflow
			foreign.UID = "another"
			known := map[string]*definition.Workflow{"as it is": w.workflow, "as it was": another(t, w), "of another UID": &foreign}
			a := w.admission(t)
			reads := 0
			w.definitions.workflow = func(context.Context, string, string) (*definition.Workflow, error) {
				reads++
				return known[c.stored], nil
			}
			w.definitions.recent = known[c.remembered]
			if d := w.gate.Create(t.Context(), a); d.Allowed != c.admitted || reads != c.reads {
				t.Errorf("admitted: %t (%v) after %d reads, want %t after %d", d.Allowed, d.Refusal, reads, c.admitted, c.reads)
			}
		})
	}
}

// The two webhooks may be of two replicas, each with caches of its own.
func TestWhereTheWebhooksDisagreeTheAPIServerIsAsked(t *testing.T) {
	behind := func(w *world, change func(*memory)) {
		old := &memory{pods: w.evidence.pods, provenances: map[string]*v1alpha1.Provenance{}, seals: map[string]*v1alpha1.ArtifactSeal{}}
		for k, p := range w.evidence.provenances {
			old.provenances[k] = p.DeepCopy()
		}
		for k, s := range w.evidence.seals {
			old.seals[k] = s.DeepCopy()
		}
		change(old)
		w.gate.Quick = old
	}
	t.Run("a record that this replica does not have yet", func(t *testing.T) {
		w := newWorld(t)
		a := w.admission(t)
		behind(w, func(m *memory) { clear(m.provenances); clear(m.seals) })
		if d := w.gate.Create(t.Context(), a); !d.Allowed {
			t.Errorf("refused: %v", d.Refusal)
		}
	})
	t.Run("a record that nobody has yet", func(t *testing.T) {
		w := newWorld(t)
		a := w.admission(t)
		clear(w.evidence.provenances)
		clear(w.evidence.seals)
		if d := w.gate.Create(t.Context(), a); d.Allowed || d.Why().Code != reason.ProvenancePending {
			t.Errorf("got %+v", d)
		}
	})
	for name, live := range map[string]bool{"pins that only the API server bears out": true, "pins that nothing bears out": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			behind(w, func(*memory) {})
			other := artifact.DigestOfText("another")
			w.seal(t, w.produce, func(f *provenance.Facts) { f.Subjects[0].SHA256 = other })
			w.theSeal().Spec.SHA256 = string(other)
			pins := w.gate.EvaluateLive(t.Context(), w.step, w.workflow, v1alpha1.ModeEnforce, w.trust).Pins
			if len(pins) != 1 || pins[0].SHA256 != other {
				t.Fatalf("pins are %+v", pins)
			}
			if !live {
				pins[0].SHA256 = artifact.DigestOfText("a third")
			}
			d := w.gate.Create(t.Context(), w.injected(t, w.consume, w.step, pins))
			if d.Allowed != live || !live && d.Why().Code != reason.PinMismatch {
				t.Errorf("allowed: %t, %v", d.Allowed, d.Refusal)
			}
		})
	}
}
