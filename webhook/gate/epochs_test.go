package gate

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/epoch/epochtest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// made gives the world's workflow a time, and copies of templates if they are
// wanted.
func (w *world) made(t *testing.T, at time.Time, copies bool) {
	t.Helper()
	u := argotest.Object(t)
	u.SetCreationTimestamp(metav1.NewTime(at))
	if copies {
		check(t, unstructured.SetNestedMap(u.Object, map[string]any{}, "status", "storedTemplates"))
	}
	wf, err := definition.Parse(u)
	check(t, err)
	w.workflow = wf
}

// What a workflow is may be anybody's word if the guards have not held since it was
// made: nothing is consumed by it. Who labels a namespace and submits at once goes
// on, but for copies.
func TestAWorkflowFromBeforeTheGuardsHeldDoesNotCount(t *testing.T) {
	for name, c := range map[string]struct {
		made   time.Time
		copies bool
		want   reason.Code
	}{
		"with copies, from before":       {now.Add(-time.Second), true, reason.GuardsNotHeld},
		"with copies, from after":        {now, true, ""},
		"without, from before the mode":  {now.Add(-4 * time.Second), false, reason.GuardsNotHeld},
		"without, from its first second": {now.Add(-3 * time.Second), false, ""},
		"without, from after":            {now, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.made(t, c.made, c.copies)
			w.moment = epochtest.Held(namespaceUID, now)
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || !v.Allowed && v.Refusal.Code != c.want {
				t.Errorf("got %+v, want %q", v, c.want)
			}
		})
	}
}

// A step that consumes nothing needs nothing of what its workflow was.
func TestWhatConsumesNothingRunsWhateverTheGuardsAre(t *testing.T) {
	w := newWorld(t)
	w.made(t, now.Add(-time.Hour), false)
	w.moment = epochtest.Held(namespaceUID, now)
	pod, step := argotest.Parsed(t, "produce")
	step.Outputs = nil
	if v := w.gate.Evaluate(t.Context(), step, w.workflow, v1alpha1.ModeEnforce, w.trust); !v.Allowed {
		t.Errorf("pod %s: %+v", pod.Name, v)
	}
}

func TestWhatIsNotKnownOfTheGuardsIsNotYet(t *testing.T) {
	w := newWorld(t)
	w.made(t, now, false)
	w.failEpochs = errDown
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.LookupFailed {
		t.Errorf("an API server that is down: %+v", v)
	}
	w.failEpochs = reason.New(reason.GuardsUnknown, "x")
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.GuardsUnknown {
		t.Errorf("a record that is behind: %+v", v)
	}
	w.gate.Epochs = nil
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.GuardsUnknown {
		t.Errorf("nobody who says: %+v", v)
	}
}

// A step that only produces runs, and its user is told that it will not be sealed.
func TestAProducerFromBeforeTheGuardsHeldIsWarnedOf(t *testing.T) {
	for name, c := range map[string]struct {
		made   time.Time
		copies bool
		warns  bool
	}{
		"with copies, before": {now.Add(-time.Hour), true, true}, "with copies, after": {now.Add(time.Hour), true, false},
		"without, before": {now.Add(-time.Hour), false, true}, "without, after": {now.Add(time.Hour), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.made(t, c.made, c.copies)
			w.moment = epochtest.Held(namespaceUID, now)
			pod, step := argotest.Parsed(t, "produce")
			d := w.gate.Create(t.Context(), w.injected(t, pod, step, nil))
			said := strings.Contains(strings.Join(d.Warnings, "\n"), "will not be sealed: GuardsNotHeld")
			if !d.Allowed || said != c.warns {
				t.Errorf("decision is %+v", d)
			}
		})
	}
}

// Who is to be sealed as observed only is told so, with why.
func TestAStepThatCanOnlyBeObservedIsWarnedOf(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world, *corev1.Pod)
		want   string
	}{
		"a plain one is not": {func(*world, *corev1.Pod) {}, ""},
		"rights over the host": {func(_ *world, p *corev1.Pod) { p.Spec.HostNetwork = true },
			"its outputs will be sealed as observed: Pod Security baseline forbids host namespaces (hostNetwork=true)"},
		"a claim": {func(_ *world, p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "cache", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "x"}}})
		}, "its outputs will be sealed as observed: volume cache may outlive the pod, and other pods may write it"},
		"what its template does not give": {func(_ *world, p *corev1.Pod) { container(p, "main").Args = []string{"x"} },
			"its outputs will be sealed as observed: pod.containers.main.args is not as its template gives it"},
		"guards that are younger than it": {func(w *world, _ *corev1.Pod) { w.moment = epochtest.Found(namespaceUID, now.Add(time.Hour)) },
			"its outputs will be sealed as observed: GuardsNotHeld: "},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.made(t, now, false)
			pod, step := argotest.Parsed(t, "produce")
			c.change(w, pod)
			d := w.gate.Create(t.Context(), w.injected(t, pod, step, nil))
			said := strings.Join(d.Warnings, "\n")
			if !d.Allowed || c.want == "" && said != "" || !strings.Contains(said, c.want) {
				t.Errorf("decision is %+v (%v), want the warning %q", d, d.Refusal, c.want)
			}
		})
	}
}

// Who labels a namespace and submits at once waits for some seconds instead of
// going without seals.
func TestAModeThatIsNewIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.gate.Epochs = epochsFunc(func(context.Context, string) (epoch.Moment, error) { asked++; return w.moment, w.failEpochs })
	pod, step := argotest.Parsed(t, "produce")
	a := w.injected(t, pod, step, nil)
	w.moment = epochtest.Held(namespaceUID, now.Add(1500*time.Millisecond))
	if d := w.gate.Create(t.Context(), a); d.Allowed || d.Refusal.Code != reason.GuardsUnknown || d.Refusal.RetryAfter != 2 {
		t.Errorf("decision is %+v", d)
	}
	w.clock.SetTime(now.Add(2 * time.Second))
	for range 2 {
		if d := w.gate.Create(t.Context(), a); !d.Allowed {
			t.Errorf("decision is %+v", d)
		}
	}
	if asked != 3 {
		t.Errorf("it was asked %d times, want once for each", asked)
	}
	// One that was made before, and for which a busy API server asks only now.
	a.Pod.CreationTimestamp = metav1.NewTime(now)
	if d := w.gate.Create(t.Context(), a); d.Allowed || d.Refusal.Code != reason.GuardsUnknown || d.Refusal.RetryAfter != 2 {
		t.Errorf("decision on a pod that was made before is %+v", d)
	}
	a.Pod.CreationTimestamp = metav1.NewTime(now.Add(2 * time.Second))
	if d := w.gate.Create(t.Context(), a); !d.Allowed {
		t.Errorf("decision on a pod that was made after is %+v", d)
	}
	// The mode was taken away, and given back.
	w.moment = epochtest.Held(namespaceUID, now.Add(time.Minute))
	if d := w.gate.Create(t.Context(), a); d.Allowed || d.Refusal.Code != reason.GuardsUnknown || d.Refusal.RetryAfter != longestSettling {
		t.Errorf("decision after the mode began again is %+v", d)
	}
}

// Whether a pod is guarded is judged by when it was made, too, as by the notary.
func TestAPodIsGuardedByWhenItWasMade(t *testing.T) {
	for name, c := range map[string]struct {
		made  time.Time
		warns bool
	}{"before the guards": {now, true}, "after them": {now.Add(2 * time.Second), false}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.made(t, now.Add(time.Second), false)
			w.moment = epochtest.Found(namespaceUID, now.Add(time.Second))
			w.clock.SetTime(now.Add(2 * time.Second)) // when it is asked
			pod, step := argotest.Parsed(t, "produce")
			a := w.injected(t, pod, step, nil)
			a.Pod.CreationTimestamp = metav1.NewTime(c.made)
			d := w.gate.Create(t.Context(), a)
			if said := strings.Contains(strings.Join(d.Warnings, "\n"), "sealed as observed: GuardsNotHeld"); !d.Allowed || said != c.warns {
				t.Errorf("decision is %+v", d)
			}
		})
	}
}

// What is made before the record has the label would go without a seal, so the
// first steps of a workflow wait for it; for a notary that is down nobody does.
func TestAModeThatIsNotOnRecordIsWaitedForByNewWorkflows(t *testing.T) {
	unknown := reason.New(reason.GuardsUnknown, "x")
	for name, c := range map[string]struct {
		made  time.Time
		fails error
		waits bool
	}{
		"a new workflow":                          {now.Add(time.Second - recording), unknown, true},
		"one that runs for a while":               {now.Add(-recording), unknown, false},
		"a new one, while the API server is down": {now, errDown, false},
		"a new one, after the mode is on record":  {now, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.made(t, c.made, false)
			w.failEpochs = c.fails
			pod, step := argotest.Parsed(t, "produce")
			d := w.gate.Create(t.Context(), w.injected(t, pod, step, nil))
			if d.Allowed == c.waits || c.waits && (d.Refusal.Code != reason.GuardsUnknown || d.Refusal.RetryAfter != 1) {
				t.Errorf("decision is %+v", d)
			}
		})
	}
}
