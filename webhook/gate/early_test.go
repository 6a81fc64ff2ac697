package gate

import (
	"cmp"
	"context"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// A refusal comes early only if Create gives the same: the same code for the same inputs,
// of the same Workflow, with the same warnings.
func TestARefusalComesEarlyOnlyAsCreateGivesIt(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, w *world)
		pod   func(pod *corev1.Pod)
		// code that Create refuses with; empty: it does not.
		code  reason.Code
		early bool
	}{
		"a seal that holds": {},
		"none":              {spoil: func(_ *testing.T, w *world) { clear(w.evidence.seals); w.evidence.pods = nil }, code: reason.NoProvenance, early: true},
		"none, and another webhook has changed a container of Argo's": {
			spoil: func(_ *testing.T, w *world) { clear(w.evidence.seals); w.evidence.pods = nil },
			pod:   func(pod *corev1.Pod) { pod.Spec.ShareProcessNamespace = new(true) }, code: reason.SharedProcesses,
		},
		"a seal of another digest": {spoil: func(_ *testing.T, w *world) { w.theSeal().Spec.SHA256 = string(tree) }, code: reason.SubjectMismatch, early: true},
		"a producer that failed":   {spoil: func(t *testing.T, w *world) { t.Helper(); w.seal(t, w.produce, failed) }, code: reason.ProducerFailed, early: true},
		"a seal of another step": {spoil: func(t *testing.T, w *world) {
			t.Helper()
			w.seal(t, w.produce, func(f *provenance.Facts) { f.Subjects[0].Output = "another" })
		}, code: reason.OriginMismatch, early: true},
		"a producer that is on record soon": {spoil: func(_ *testing.T, w *world) { clear(w.evidence.seals); clear(w.evidence.provenances) }, code: reason.ProvenancePending},
		"an API server that is away":        {spoil: func(_ *testing.T, w *world) { w.evidence.failSeal = errDown }, code: reason.LookupFailed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.spoil != nil {
				c.spoil(t, w)
			}
			if c.pod != nil {
				c.pod(w.consume)
			}
			a := w.admission(t)
			created := w.gate.Create(t.Context(), a)
			if created.Allowed != (c.code == "") || !created.Allowed && created.Why().Code != c.code {
				t.Errorf("Create says %+v", created.Why())
			}
			d, early := w.gate.Early(t.Context(), a, w.step, w.workflow, w.evaluate(t))
			if early != c.early {
				t.Fatalf("early: %t, %+v", early, d.Refusal)
			}
			if d.Allowed {
				t.Error("it is admitted early")
			}
			if !early {
				return
			}
			if diff := gocmp.Diff(created.Refusal.Error(), d.Refusal.Error()); diff != "" || d.Always || d.Workflow != created.Workflow || !slices.Equal(d.Warnings, created.Warnings) {
				t.Errorf("Create says %+v, and early it is %+v", created, d)
			}
		})
	}
}

// Who reads this list for a new code: one that a webhook after ours could take away by
// changing the pod is none of these, and none that may pass.
func TestOnlyWhatNoWebhookCuresIsRefusedEarly(t *testing.T) {
	curable := []reason.Code{reason.MountUnsupported, reason.PlaceUncertain, reason.Internal, ""}
	for _, code := range append(reason.All(), curable...) {
		if incurable(code) && (code.Retryable() || slices.Contains(curable, code)) {
			t.Errorf("%s is refused early", code)
		}
	}
	if !incurable(reason.NoProvenance) {
		t.Error("nothing is refused early")
	}
}

// TestPoliciesThatCameMeanwhileAreAskedInTheSecondCall: so are policies that nobody can read
// any more.
func TestPoliciesThatCameMeanwhileAreAskedInTheSecondCall(t *testing.T) {
	w := newWorld(t)
	clear(w.evidence.seals)
	w.evidence.pods = nil
	version, fails := "1", error(nil)
	w.gate.Policies = policiesFunc(func(namespace string) (policy.Set, error) {
		set, err := policy.NewSet(namespace, nil, nil)
		return set.ReadAt(policy.Reading{At: w.clock.Now(), Version: version}), cmp.Or(fails, err)
	})
	a, v := w.admission(t), w.evaluate(t)
	early := func() bool {
		_, early := w.gate.Early(t.Context(), a, w.step, w.workflow, v)
		return early
	}
	if !early() {
		t.Fatal("by the same policies it is left to the second call")
	}
	if version = "2"; early() {
		t.Error("by policies that are others now it is refused")
	}
	if version, fails = "1", errDown; early() {
		t.Error("without policies it is refused")
	}
}

// The zero verdict is left to Create, which refuses it.
func TestTheZeroVerdictIsNoEarlyRefusal(t *testing.T) {
	w := newWorld(t)
	if d, early := w.gate.Early(t.Context(), w.admission(t), w.step, w.workflow, Verdict{}); early || d.Allowed {
		t.Errorf("it is %+v", d)
	}
}

// What the tag says of the Workflow was read a moment ago, in the same call.
func TestAnEarlyRefusalReadsNoTemplateAgain(t *testing.T) {
	w := newWorld(t)
	pod, step := argotest.Parsed(t, "produce")
	object := argotest.Live(t, pod)
	object.Object["spec"] = map[string]any{"workflowTemplateRef": map[string]any{"name": "build"}}
	var err error
	w.workflow, err = definition.Parse(object)
	check(t, err)
	reads := 0
	w.definitions.template = func(context.Context, string, graph.Ref) (map[string]any, error) {
		reads++
		return nil, nil
	}
	if w.gate.Fingerprint(t.Context(), step, w.workflow, nil); reads != 1 {
		t.Fatalf("a fingerprint takes %d reads", reads)
	}
	a := w.injected(t, pod, step, nil)
	d, early := w.gate.Early(t.Context(), a, step, w.workflow, Verdict{Refusal: reason.New(reason.NoProvenance, "there is none")})
	if !early || d.Allowed || reads != 1 {
		t.Errorf("early: %t, %+v, after %d reads", early, d.Refusal, reads)
	}
}
