package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/epoch/epochtest"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// ns is the namespace of the pods of package argotest.
const (
	ns    = "team-a"
	nsUID = "99999999-0000-4000-8000-000000000000"
)

// nothing is evidence of an empty namespace, which gets a producer after some
// looks.
type nothing struct {
	producer *evidence.Producer
	looks    int
}

func (n *nothing) Producers(context.Context, string, string, argo.Input) ([]evidence.Producer, error) {
	n.looks++
	if n.producer == nil {
		return nil, nil
	}
	return []evidence.Producer{*n.producer}, nil
}

func (n *nothing) Provenance(context.Context, string, string) (*v1alpha1.Provenance, error) {
	return nil, nil
}

func (n *nothing) SBOM(context.Context, string, string) (*v1alpha1.SBOM, error) {
	return nil, nil
}

func (n *nothing) Seal(context.Context, string, string) (*v1alpha1.ArtifactSeal, error) {
	return nil, nil
}

func (n *nothing) Reproduction(context.Context, string, string) (*v1alpha1.Reproduction, error) {
	return nil, nil
}

func (n *nothing) Seals(context.Context, string, labels.Set, func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, error) {
	return nil, nil
}

// theWorkflow is the one that there is: nil for none.
type theWorkflow struct{ wf *definition.Workflow }

func (d theWorkflow) Workflow(context.Context, string, string) (*definition.Workflow, error) {
	return d.wf, nil
}

func (theWorkflow) Recent(context.Context, string, string, string) *definition.Workflow { return nil }

func (theWorkflow) Template(context.Context, string, graph.Ref) (map[string]any, error) {
	return nil, nil
}

// held is since when the guards hold.
type held epoch.Moment

func (h held) At(context.Context, string) (epoch.Moment, error) { return epoch.Moment(h), nil }

// argoHandlers know a workflow, that of the named pod; they give the keys too.
func argoHandlers(t *testing.T, pod *corev1.Pod, mode string) (*Handlers, tag.Keys) {
	t.Helper()
	id, key, err := tag.NewKey()
	check(t, err)
	keys, err := tag.ParseKeys(tag.WithKey(nil, id, key))
	check(t, err)
	wf := argotest.Owner(t, pod)
	h := handlers(t, mode)
	o := namespaceObject(pod.Namespace, mode)
	h.Namespaces = NewNamespaces(reader{o, nil}, reader{o, nil}, clock.RealClock{})
	h.Trust = func() (evidence.Trust, error) { return evidence.Trust{Keys: keys}, nil }
	h.Gate.Identity, h.Gate.Cluster = argotest.Identity(), "test"
	h.Gate.Sidecar = sidecar.Config{Image: "registry.test/argoseal-signer@sha256:" + strings.Repeat("a", 64)}
	h.Gate.Quick, h.Gate.Live = &nothing{}, &nothing{}
	h.Gate.Definitions = theWorkflow{wf}
	h.Gate.Epochs = held(epochtest.Held("99999999-0000-4000-8000-000000000000", time.Time{}))
	return h, keys
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// submit is Argo's request to create the pod that raw spells.
func submit(t *testing.T, h *Handlers, path string, raw []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	return post(t, h.Mux(), path, review(t, func(r *admissionv1.AdmissionRequest) {
		r.Namespace, r.UserInfo.Username, r.Object = ns, argotest.Controller, runtime.RawExtension{Raw: raw}
	}))
}

func encoded(t testing.TB, pod *corev1.Pod) []byte {
	t.Helper()
	raw, err := json.Marshal(pod)
	check(t, err)
	return raw
}

func patched(t testing.TB, raw, patch []byte) []byte {
	t.Helper()
	p, err := jsonpatch.DecodePatch(patch)
	check(t, err)
	out, err := p.Apply(raw)
	check(t, err)
	return out
}

func TestASecondCallChangesNothing(t *testing.T) {
	pod := argotest.Pod(t, "produce")
	h, _ := argoHandlers(t, pod, "enforce")
	first := submit(t, h, PathMutate, encoded(t, pod))
	if !first.Allowed || first.Patch == nil {
		t.Fatalf("answer is %+v, result %+v", first, first.Result)
	}
	final := patched(t, encoded(t, pod), first.Patch)
	if second := submit(t, h, PathMutate, final); !second.Allowed || second.Patch != nil {
		t.Errorf("the second patch is %s", second.Patch)
	}
	if r := submit(t, h, PathValidate, final); !r.Allowed {
		t.Errorf("the final pod is refused: %+v", r.Result)
	}
}

// Argo makes the first pod of an upgrade before the notary has told of its executor. It
// is waited for, for a moment, and an executor that nobody tells of is refused.
func TestAnExecutorThatIsFollowedIsWaitedFor(t *testing.T) {
	for _, golden := range []string{"produce", "artifact-gc"} {
		for name, after := range map[string]time.Duration{"at once": 0, "in a moment": 300 * time.Millisecond, "never": time.Hour} {
			t.Run(golden+", "+name, func(t *testing.T) {
				t.Parallel()
				pod := argotest.Pod(t, "produce")
				h, _ := argoHandlers(t, pod, "enforce")
				if golden != "produce" {
					pod = argotest.Pod(t, golden)
				}
				known, before := h.Gate.Identity, h.Gate.Identity
				before.ExecutorImages = []string{"of the release before"}
				began := time.Now()
				h.Identity = func() argo.Identity {
					if time.Since(began) < after {
						return before
					}
					return known
				}
				final := encoded(t, pod)
				if patch := submit(t, h, PathMutate, final).Patch; patch != nil {
					final = patched(t, final, patch)
				}
				r := submit(t, h, PathValidate, final)
				if r.Allowed != (after < time.Hour) {
					t.Fatalf("answer is %+v, result %+v", r, r.Result)
				}
				if !r.Allowed && !strings.HasPrefix(r.Result.Message, string(reason.ExecutorImageNotAllowed)) {
					t.Errorf("it says %s", r.Result.Message)
				}
			})
		}
	}
}

func TestFieldsOfTheFutureStay(t *testing.T) {
	pod := argotest.Pod(t, "produce")
	h, _ := argoHandlers(t, pod, "enforce")
	raw := []byte(strings.Replace(string(encoded(t, pod)), `"spec":{`, `"spec":{"ofTheFuture":{"a":1},`, 1))
	final := patched(t, raw, submit(t, h, PathMutate, raw).Patch)
	if !strings.Contains(string(final), `"ofTheFuture":{"a":1}`) {
		t.Error("the field is gone")
	}
}

func TestAForgedTagIsReplaced(t *testing.T) {
	pod := argotest.Pod(t, "produce")
	h, keys := argoHandlers(t, pod, "enforce")
	pod.Annotations[v1alpha1.AnnotationTag] = "v1.a.b.c"
	final := &corev1.Pod{}
	check(t, json.Unmarshal(patched(t, encoded(t, pod), submit(t, h, PathMutate, encoded(t, pod)).Patch), final))
	if _, err := keys.Open(final.Annotations[v1alpha1.AnnotationTag]); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotGenuineIsNotTagged(t *testing.T) {
	pod := argotest.Pod(t, "produce")
	h, _ := argoHandlers(t, pod, "warn")
	body := review(t, func(r *admissionv1.AdmissionRequest) {
		r.Namespace, r.Object.Raw = ns, encoded(t, pod)
	})
	if r := post(t, h.Mux(), PathMutate, body); !r.Allowed || r.Patch != nil {
		t.Errorf("eve's pod: %+v", r)
	}
	h.Gate.Definitions = theWorkflow{}
	if r := submit(t, h, PathMutate, encoded(t, pod)); !r.Allowed || r.Patch != nil {
		t.Errorf("a pod without a workflow: %+v", r)
	}
}

func TestAKillCommandOfTheirOwnIsRefused(t *testing.T) {
	pod := argotest.Pod(t, "produce")
	h, _ := argoHandlers(t, pod, "enforce")
	pod.Annotations[layout.AnnotationKillWait] = `["/var/run/argo/argoexec"]`
	if r := submit(t, h, PathMutate, encoded(t, pod)); r.Allowed || !strings.HasPrefix(r.Result.Message, string(reason.WaitAltered)) {
		t.Errorf("answer is %+v, result %+v", r, r.Result)
	}
}

// producing is a pod of the same workflow that may write anything.
func producing(t *testing.T, keys tag.Keys, pod *corev1.Pod, finished bool) *evidence.Producer {
	t.Helper()
	step, err := argo.Parse(pod)
	check(t, err)
	value, err := keys.Issue(tag.Tag{
		IssuedAt: time.Now().UTC().Truncate(time.Second), Namespace: ns, NamespaceUID: nsUID, Pod: "p", WorkflowUID: step.WorkflowUID, Creator: "c", Mode: v1alpha1.ModeEnforce,
		Executor: tag.Executor{Image: argotest.Executor}, Signer: "signer",
	})
	check(t, err)
	return &evidence.Producer{Namespace: ns, Pod: "p", UID: "u", Tag: value, Unreadable: true, Finished: finished, Ended: time.Now()}
}

func TestTheWait(t *testing.T) {
	tests := map[string]struct {
		producer, finished bool
		waits              time.Duration
		code               reason.Code
	}{
		"for nothing there is none":                   {false, false, 0, ""},
		"for a seal on its way is two seconds":        {true, true, 2 * time.Second, reason.ProvenancePending},
		"for a producer that seems to run is shorter": {true, false, 500 * time.Millisecond, reason.ProvenancePending},
	}
	for name, c := range tests {
		inBubble(t, name, func(t *testing.T) {
			pod := argotest.Pod(t, "consume")
			h, keys := argoHandlers(t, pod, "enforce")
			quick := &nothing{}
			if c.producer {
				quick.producer = producing(t, keys, pod, c.finished)
			}
			h.Gate.Quick, h.Gate.Live = quick, quick
			start := time.Now()
			r := submit(t, h, PathMutate, encoded(t, pod))
			if took := time.Since(start); took != c.waits {
				t.Errorf("took %s, want %s", took, c.waits)
			}
			if c.code == "" {
				if r.Allowed || !strings.HasPrefix(r.Result.Message, string(reason.NoProvenance)) {
					t.Errorf("answer is %+v, result %+v", r, r.Result)
				}
				return
			}
			final := &corev1.Pod{}
			check(t, json.Unmarshal(patched(t, encoded(t, pod), r.Patch), final))
			if got, err := keys.Open(final.Annotations[v1alpha1.AnnotationTag]); err != nil || got.Verdict != c.code || len(got.Pins) != 0 {
				t.Errorf("tag says %+v, %v; want %s", got, err, c.code)
			}
			start = time.Now()
			if v := submit(t, h, PathValidate, encoded(t, final)); v.Allowed || time.Since(start) != 0 {
				t.Errorf("the validating side took %s and says %+v", time.Since(start), v.Result)
			}
		})
	}
}

// inBubble is a subtest whose clock only goes on while everybody waits for it.
func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func TestTheWaitEndsBeforeTheRequest(t *testing.T) {
	inBubble(t, "which has a second and an eighth", func(t *testing.T) {
		pod := argotest.Pod(t, "consume")
		h, keys := argoHandlers(t, pod, "enforce")
		quick := &nothing{producer: producing(t, keys, pod, true)}
		h.Gate.Quick = quick
		start := time.Now()
		r := submit(t, h, PathMutate+"?timeout=1500ms", encoded(t, pod))
		// Without a deadline it would be two seconds. Two looks are left for the last one.
		if took := time.Since(start); !r.Allowed || took != 9*look || quick.looks != 10 {
			t.Errorf("took %s and %d looks: %+v", took, quick.looks, r.Result)
		}
	})
}

func TestShortlyBeforeADeadlineArgoTriesInPlace(t *testing.T) {
	for title, c := range map[string]struct {
		left  time.Duration
		room  func(clock.PassiveClock) *InPlace
		retry bool
	}{
		"with time": {left: time.Hour},
		"without":   {left: time.Second, retry: true},
		"without, and its namespace has none of Argo's workers left": {left: time.Second, room: func(c clock.PassiveClock) *InPlace {
			full := NewInPlace(32, 3, c)
			full.from("192.0.2.1").take(types.NamespacedName{Namespace: argotest.Pod(t, "consume").Namespace, Name: "other"}, 1, true)
			return full
		}},
		"without, and another's has none left": {left: time.Second, retry: true, room: func(c clock.PassiveClock) *InPlace {
			full := NewInPlace(32, 3, c)
			full.from("192.0.2.1").take(types.NamespacedName{Namespace: "another", Name: "other"}, 1, true)
			full.from("192.0.2.1").take(types.NamespacedName{Namespace: "another", Name: "third"}, 1, true)
			return full
		}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			pod := argotest.Pod(t, "consume")
			for i, v := range pod.Spec.InitContainers[0].Env {
				if v.Name == "ARGO_DEADLINE" {
					pod.Spec.InitContainers[0].Env[i].Value = time.Now().Add(c.left).Format(time.RFC3339)
				}
			}
			h, keys := argoHandlers(t, pod, "enforce")
			if c.room != nil {
				h.InPlace = c.room(clock.RealClock{})
			}
			quick := &nothing{producer: producing(t, keys, pod, false)}
			h.Gate.Quick, h.Gate.Live = quick, quick
			raw := encoded(t, pod)
			later := func(r *admissionv1.AdmissionResponse, code reason.Code) {
				t.Helper()
				if r.Allowed || r.Result.Code != http.StatusTooManyRequests || !strings.HasPrefix(r.Result.Message, string(code)+": ") {
					t.Errorf("answer is %+v, result %+v", r, r.Result)
				} else if told := r.Result.Details != nil && r.Result.Details.RetryAfterSeconds == 1; told != c.retry {
					t.Errorf("it is told to try in place: %t", told)
				}
			}
			later(submit(t, h, PathValidate, patched(t, raw, submit(t, h, PathMutate, raw).Patch)), reason.ProvenancePending)
			h.Trust = func() (evidence.Trust, error) { return evidence.Trust{}, errors.New("there is no tag key yet") }
			later(submit(t, h, PathMutate, raw), reason.LookupFailed)
		})
	}
}
