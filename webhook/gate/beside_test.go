package gate

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Steps that run beside each other and store something at one place, such as a cache,
// are no queue: each is held to what is sealed there when it starts.
func TestNobodyWaitsForAStepThatRunsBesideIt(t *testing.T) {
	beside := func(t *testing.T, w *world) *corev1.Pod {
		t.Helper()
		pod := w.producer(t, "produce", laterUID, time.Time{})
		storedAt(t, pod, w.location.Key)
		return pod
	}
	byKey := func(t *testing.T, w *world) { w.redefine(t, reference, `"s3":{"key":"`+w.location.Key+`"}`) }
	for name, change := range map[string]func(*testing.T, *world){
		"by reference": func(*testing.T, *world) {},
		"by key":       byKey,
		"a directory": func(t *testing.T, w *world) {
			w.sealDirectory(t)
			byKey(t, w)
		},
		"one that is optional": func(t *testing.T, w *world) {
			byKey(t, w)
			w.step.Inputs[0].Optional = true
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			change(t, w)
			pod := beside(t, w)
			if v := w.evaluate(t); !v.Allowed || v.Pins[0].SHA256 != stored {
				t.Fatalf("%v, pins %+v", v.Refusal, v.Pins)
			}
			// What is quick to read lags behind: the pod has ended.
			quick := *w.evidence
			running := pod.DeepCopy()
			quick.pods = []*corev1.Pod{w.produce, running}
			w.gate.Quick = &quick
			finish(pod, now.Add(-2*time.Second))
			if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.ProvenancePending {
				t.Errorf("it has just ended: %v, pins %+v", v.Refusal, v.Pins)
			}
		})
	}
}

// A required input of which nothing is there yet is waited for: without us its step
// would fail at once.
func TestWhatIsNotThereYetIsWaitedForWhereItIsNeeded(t *testing.T) {
	w := untouched(t)
	w.producer(t, "produce", laterUID, time.Time{})
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.ProvenancePending {
		t.Errorf("%v, pins %+v", v.Refusal, v.Pins)
	}
}

// An earlier attempt that failed counts for what is left of it alone.
func TestWhatAFailedAttemptLeftIsRefusedWhereItIsStillThere(t *testing.T) {
	for name, c := range map[string]struct {
		left, second content.Files
		want         reason.Code
	}{
		"all of it was stored again": {shard("1.txt", tree), shard("1.txt", stored), ""},
		"something of it is there":   {shard("0.txt", tree), shard("1.txt", stored), reason.ProducerFailed},
	} {
		t.Run(name, func(t *testing.T) {
			w := filling(t)
			w.as = func(f *provenance.Facts) {
				f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}}}
			}
			w.fill(t, 0, c.left)
			w.as = nil
			s := w.fill(t, 1, c.second)
			s.Spec.Producer.PodCreatedAt.Time = now
			v := w.evaluate(t)
			switch {
			case c.want != "":
				if v.Allowed || v.Refusal.Code != c.want {
					t.Errorf("%v, pins %+v", v.Refusal, v.Pins)
				}
			case !v.Allowed || v.Pins[0].Tree != c.second.Tree() || v.Pins[0].Files != "" || v.Pins[0].Seals != "":
				t.Errorf("%v, pins %+v", v.Refusal, v.Pins)
			}
		})
	}
}

// Of several that filled a directory one can have all that is there. A pin names it.
func TestWhatOneOfSeveralStoredAloneIsPinnedByItsSeal(t *testing.T) {
	w := filling(t, content.Files{{Path: "1.txt", SHA256: stored}, {Path: "2.txt", SHA256: tree}}, shard("1.txt", stored))
	v := w.evaluate(t)
	first := artifact.SharedSealName(w.location.Prefix(), w.step.WorkflowUID, string(w.evidence.pods[0].UID))
	if !v.Allowed || v.Pins[0].Files != "" || v.Pins[0].One() != first {
		t.Fatalf("%v, pins %+v", v.Refusal, v.Pins)
	}
	if err := v.Pins[0].Validate(); err != nil {
		t.Error(err)
	}
}

// What the definition calls optional may be gone from the store since it was sealed. A
// report that calls it so does not count.
func TestWhatTheDefinitionCallsOptionalMayBeGone(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *world)
		want   bool
	}{
		"by key": {func(t *testing.T, w *world) {
			w.redefine(t, reference, `"optional":true,"s3":{"key":"`+w.location.Key+`"}`)
		}, true},
		"as the step that makes it says": {func(t *testing.T, w *world) {
			w.redefine(t, `{"name":"hello-art","path"`, `{"name":"hello-art","optional":true,"path"`)
		}, true},
		"as a report says": {func(*testing.T, *world) {}, false},
		"not at all": {func(t *testing.T, w *world) {
			w.redefine(t, reference, `"s3":{"key":"`+w.location.Key+`"}`)
			w.step.Inputs[0].Optional = false
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.step.Inputs[0].Optional = true
			c.change(t, w)
			if v := w.evaluate(t); !v.Allowed || v.Pins[0].Optional != c.want {
				t.Errorf("%v, pins %+v", v.Refusal, v.Pins)
			}
		})
	}
}
