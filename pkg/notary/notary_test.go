package notary

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

func TestSealingAPodTakesThreeWritesAndOneLogEntry(t *testing.T) {
	w := newWorld(t)
	n, b := w.notary(t, "a")
	settle(t, n, w.key())
	w.expectSealed(t)
	want := []string{"create provenance", "get workflow", "get node", "log", "create seal", "update provenance status"}
	if !slices.Equal(b.names, want) {
		t.Errorf("it took\n%v, want (Workflow and node are remembered)\n%v", b.names, want)
	}
	settle(t, n, w.key())
	if len(b.names) != len(want) {
		t.Errorf("a sealed pod is looked at again: %v", b.names[len(want):])
	}
}

func TestACrashAtAnyStepLosesNothing(t *testing.T) { crashes(t, newWorld) }

func TestPodsThatAreLeftAlone(t *testing.T) {
	for name, change := range map[string]func(*scene){
		"a pod without a tag":      func(s *scene) { delete(s.pod.Annotations, v1alpha1.AnnotationTag) },
		"a pod that runs":          func(s *scene) { s.pod.Status.Phase = corev1.PodRunning },
		"a pod that is pending":    func(s *scene) { s.pod.Status.Phase = corev1.PodPending },
		"a pod nobody knows about": func(s *scene) { s.pod.Status.Phase = corev1.PodUnknown },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			must(t, w.api.Delete(t.Context(), w.scene.pod.DeepCopy()))
			must(t, w.api.Delete(t.Context(), w.scene.workflow.DeepCopy()))
			change(w.scene)
			w.stage(t)
			n, b := w.notary(t, "a")
			settle(t, n, w.key())
			if len(b.names) != 0 {
				t.Errorf("the notary did %v", b.names)
			}
		})
	}
	t.Run("a pod that was deleted while it ran", func(t *testing.T) {
		w := newWorld(t)
		must(t, w.api.Delete(t.Context(), w.scene.pod.DeepCopy()))
		n, b := w.notary(t, "a")
		settle(t, n, w.key())
		if len(b.names) != 0 {
			t.Errorf("the notary did %v", b.names)
		}
	})
	t.Run("a pod of the same name as one before it", func(t *testing.T) {
		w := newWorld(t)
		n, b := w.notary(t, "a")
		key := w.key()
		key.UID = "00000000-0000-0000-0000-000000000000"
		settle(t, n, key)
		if len(b.names) != 0 {
			t.Errorf("the notary did %v", b.names)
		}
	})
}

func TestFinalRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(testing.TB, *world)
		want   reason.Code
		quiet  bool
	}{
		"the workflow was deleted": {change: func(tb testing.TB, w *world) {
			must(tb, w.api.Delete(tb.Context(), w.scene.workflow.DeepCopy()))
		}, want: reason.WorkflowGone},
		"the workflow is another of the same name": {change: func(tb testing.TB, w *world) {
			must(tb, w.api.Delete(tb.Context(), w.scene.workflow.DeepCopy()))
			next := w.scene.workflow.DeepCopy()
			next.SetUID("11111111-2222-3333-4444-555555555555")
			next.SetResourceVersion("")
			must(tb, w.api.Create(tb.Context(), next))
		}, want: reason.WorkflowGone},
		"the tag is forged": {change: func(tb testing.TB, w *world) {
			w.scene.keys = producer(tb).keys
			w.scene.retag(tb)
			w.update(tb)
		}, want: reason.TagInvalid},
		"the pod is no step": {change: func(tb testing.TB, w *world) {
			w.scene.pod.Spec.InitContainers[0].Env = nil
			w.update(tb)
		}, want: reason.TemplateInvalid},
		"there is nothing to seal": {change: func(tb testing.TB, w *world) {
			w.scene.template(`{"artifacts":[{"name":"hello-art","path":"/tmp/hello_world.txt"}]}`, `{}`)
			w.update(tb)
		}, want: reason.NothingToSeal, quiet: true},
		"the pod is gone and left nothing": {change: func(tb testing.TB, w *world) {
			n, b := w.notary(tb, "a")
			b.dieAt = 2
			_, _ = n.Reconcile(tb.Context(), w.key())
			must(tb, w.api.Delete(tb.Context(), w.scene.pod.DeepCopy()))
		}, want: reason.PodGone},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.change(t, w)
			n, b := w.notary(t, "a")
			settle(t, n, w.key())
			w.expectRefused(t, c.want)
			told := n.Events.(*events.FakeRecorder).Events
			if quiet := len(told) == 0; quiet != c.quiet {
				t.Errorf("%d events", len(told))
			}
			if !c.quiet {
				if e := <-told; !strings.HasPrefix(e, "Warning "+string(c.want)) {
					t.Errorf("event is %q", e)
				}
			}
			// It is said once.
			before := len(b.names)
			settle(t, n, w.key())
			if len(b.names) != before || len(told) != 0 {
				t.Errorf("a final record was written again: %v", b.names[before:])
			}
		})
	}
}

// update puts the scene's pod into the API server as it is now.
func (w *world) update(tb testing.TB) {
	tb.Helper()
	must(tb, w.api.Delete(tb.Context(), w.scene.pod.DeepCopy()))
	must(tb, w.api.Delete(tb.Context(), w.scene.workflow.DeepCopy()))
	w.stage(tb)
}

func TestATagUnderANewerKeyIsLookedUp(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a") // has loaded the keys
	id, key, err := tag.NewKey()
	must(t, err)
	var s corev1.Secret
	must(t, w.api.Get(t.Context(), client.ObjectKey{Namespace: testNamespace, Name: v1alpha1.SecretTagKey}, &s))
	s.Data = tag.WithKey(s.Data, id, key)
	must(t, w.api.Update(t.Context(), &s))
	w.scene.keys, err = tag.ParseKeys(s.Data)
	must(t, err)
	w.scene.retag(t)
	w.update(t)
	settle(t, n, w.key())
	w.expectSealed(t)
}

func TestNothingHappensWithoutKeys(t *testing.T) {
	w := newWorld(t)
	n, b := w.notary(t, "a")
	n.Keyring = w.keyring(w.log, w.clock)
	result, err := n.Reconcile(t.Context(), w.key())
	if err != nil || result.RequeueAfter == 0 || len(b.names) != 0 {
		t.Errorf("result %+v, error %v, did %v", result, err, b.names)
	}
}

func TestAnArtifactSealIsReplacedByLaterFinishersOnly(t *testing.T) {
	for name, c := range map[string]struct {
		shift time.Duration
		ours  bool
	}{
		"an earlier pod's is replaced":              {-time.Second, true},
		"one of the same second stays":              {0, false},
		"a later pod's stays":                       {time.Second, false},
		"a much earlier pod's is replaced likewise": {-time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first, _ := w.notary(t, "a")
			settle(t, first, w.key())
			there := w.seals(t)[0]
			there.Spec.Producer.Pod.UID = "another"
			there.Spec.Producer.FinishedAt = metav1.NewTime(there.Spec.Producer.FinishedAt.Add(c.shift))
			must(t, w.api.Update(t.Context(), &there))
			must(t, w.api.Delete(t.Context(), w.record(t)))
			settle(t, first, w.key())
			if !Final(w.record(t)) {
				t.Error("the pod's own record is not final")
			}
			if ours := w.seals(t)[0].Spec.Producer.Pod.UID == w.scene.pod.UID; ours != c.ours {
				t.Errorf("the seal there is ours: %t, want %t", ours, c.ours)
			}
		})
	}
}

// Whose pod was made after the other's end was on record ran later, whatever the
// nodes' clocks say.
func TestTheAPIServersClockOrdersSeals(t *testing.T) {
	for name, c := range map[string]struct {
		recorded time.Duration // from our pod's creation
		silent   bool          // the seal does not tell, as one of an earlier release
		lost     bool          // nor is its record there
		ours     bool
	}{
		"recorded before our pod was made":                  {-time.Second, false, false, true},
		"recorded after it, so only the nodes' clocks tell": {2 * time.Hour, false, false, false},
		"recorded before, only the record tells":            {-time.Second, true, false, true},
		"recorded after, only the record tells":             {2 * time.Hour, true, false, false},
		"nobody tells any more":                             {-time.Second, true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n, _ := w.notary(t, "a")
			settle(t, n, w.key())
			made := w.scene.pod.CreationTimestamp.Time
			there := w.seals(t)[0]
			there.Spec.Producer.Pod.UID, there.Spec.Provenance = "another", "another"
			recorded := metav1.NewTime(made.Add(c.recorded))
			if !c.lost {
				must(t, w.api.Create(t.Context(), &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{
					Namespace: there.Namespace, Name: "another", CreationTimestamp: recorded,
				}}))
			}
			if there.Spec.Producer.RecordedAt = recorded; c.silent {
				there.Spec.Producer.RecordedAt = metav1.Time{}
			}
			there.Spec.Producer.FinishedAt = metav1.NewTime(there.Spec.Producer.FinishedAt.Add(time.Hour))
			must(t, w.api.Update(t.Context(), &there))
			must(t, w.api.Delete(t.Context(), w.record(t)))
			settle(t, n, w.key())
			if got := w.record(t).Spec.PodCreatedAt; !got.Time.Equal(made) {
				t.Errorf("the record says that the pod was made at %s, want %s", got, made)
			}
			if got := there.Spec.Producer.PodCreatedAt; !got.Time.Equal(made) {
				t.Errorf("the seal says that the pod was made at %s, want %s", got, made)
			}
			if ours := w.seals(t)[0].Spec.Producer.Pod.UID == w.scene.pod.UID; ours != c.ours {
				t.Errorf("the seal there is ours: %t, want %t", ours, c.ours)
			}
		})
	}
}

// What steps store in one directory without an archive lies beside each other: the seal
// of the last one has the location's name, the others stay beside it, in whichever order
// they come, and coming twice changes nothing. Of one object only the last one's stays.
func TestStepsThatFillOneDirectoryKeepTheirSeals(t *testing.T) {
	made := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for kind, want := range map[artifact.Kind]int{artifact.KindPrefix: 3, artifact.KindObject: 1} {
		at := artifact.Location{Store: "store", Bucket: "b", Key: "results", Kind: kind}
		if kind == artifact.KindPrefix {
			at = at.Prefix()
		}
		of := func(w *world, n int) *v1alpha1.ArtifactSeal {
			uid := fmt.Sprintf("00000000-0000-4000-8000-00000000000%d", n)
			return &v1alpha1.ArtifactSeal{
				ObjectMeta: metav1.ObjectMeta{Namespace: w.scene.pod.Namespace, Name: artifact.SealName(at, "w"), Labels: map[string]string{v1alpha1.LabelLocation: artifact.LocationName(at)}},
				Spec: v1alpha1.ArtifactSealSpec{
					Location: v1alpha1.Location{Store: at.Store, Bucket: at.Bucket, Key: at.Key, Kind: string(at.Kind)},
					Workflow: v1alpha1.ObjectRef{Name: "w", UID: "w"}, SHA256: strings.Repeat(fmt.Sprint(n), 64), Provenance: uid,
					Producer: v1alpha1.Producer{
						Pod: v1alpha1.ObjectRef{Name: "p", UID: types.UID(uid)}, PodCreatedAt: metav1.NewTime(made), RecordedAt: metav1.NewTime(made.Add(time.Hour)),
						FinishedAt: metav1.NewTime(made.Add(time.Duration(n) * time.Minute)),
					},
				},
			}
		}
		for _, order := range [][]int{{1, 2, 3}, {3, 2, 1}, {2, 3, 1, 2, 1, 3}, {3, 1, 3, 2, 2}} {
			w := newWorld(t)
			n, _ := w.notary(t, "a")
			for _, i := range order {
				must(t, n.put(t.Context(), of(w, i)))
			}
			found := map[string]v1alpha1.ArtifactSeal{}
			for _, s := range w.seals(t) {
				found[s.Name] = s
			}
			last := found[artifact.SealName(at, "w")]
			if last.Spec.SHA256 != of(w, 3).Spec.SHA256 || last.Spec.Shared != (want > 1) || len(found) != want {
				t.Errorf("%s in the order %v: %d seals, the last one's is %+v", kind, order, len(found), last.Spec)
			}
			for _, i := range []int{1, 2} {
				s, there := found[artifact.SharedSealName(at, "w", of(w, i).Spec.Provenance)]
				if there != (want > 1) || there && (s.Spec.SHA256 != of(w, i).Spec.SHA256 || !s.Spec.Shared || s.Labels[v1alpha1.LabelLocation] == "") {
					t.Errorf("%s in the order %v: beside it is %+v (%t) of pod %d", kind, order, s.Spec, there, i)
				}
			}
		}
	}
}

// Of one object the last one's seal stays, but an image is proven by its digest, wherever its
// manifest or its layout was stored, and by whichever pod of the workflow.
func TestAnImageKeepsItsSealWhereALaterStepStoresAtItsPlace(t *testing.T) {
	made := time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC)
	at := artifact.Location{Scheme: artifact.SchemeS3, Store: "store", Bucket: "b", Key: "manifests/w.json", Kind: artifact.KindObject}
	digest := func(n int) string { return strings.Repeat(fmt.Sprint(n), 64) }
	bySHA256 := func(n int) (string, string) {
		return v1alpha1.LabelSHA256, artifact.DigestLabel(artifact.Digest(digest(n)))
	}
	for what, label := range map[string]func(n int) (string, string){
		"manifests": bySHA256,
		"layouts": func(n int) (string, string) {
			return v1alpha1.LabelImagePrefix + artifact.DigestLabel(artifact.Digest(digest(n))), v1alpha1.ImageMeasured
		},
		"the twin: files that are no manifest": bySHA256,
		"the twin: neither":                    nil,
	} {
		of := func(n int) *v1alpha1.ArtifactSeal {
			uid := fmt.Sprintf("00000000-0000-4000-8000-00000000000%d", n)
			s := &v1alpha1.ArtifactSeal{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: artifact.SealName(at, "w"), Labels: map[string]string{
					v1alpha1.LabelLocation: artifact.LocationName(at), layout.LabelWorkflow: "w",
				}},
				Spec: v1alpha1.ArtifactSealSpec{
					Location: v1alpha1.Location{Scheme: string(at.Scheme), Store: at.Store, Bucket: at.Bucket, Key: at.Key, Kind: string(at.Kind)},
					Workflow: v1alpha1.ObjectRef{Name: "w", UID: "w"}, SHA256: digest(n), Provenance: uid,
					Producer: v1alpha1.Producer{
						Pod: v1alpha1.ObjectRef{Name: "p", UID: types.UID(uid)}, PodCreatedAt: metav1.NewTime(made), RecordedAt: metav1.NewTime(made.Add(time.Hour)),
						FinishedAt: metav1.NewTime(made.Add(time.Duration(n) * time.Minute)),
					},
				},
			}
			if label != nil {
				name, value := label(n)
				s.Labels[name] = value
			}
			if strings.Contains(what, "no manifest") {
				s.Spec.Size = 100 << 20
			}
			return s
		}
		for _, order := range [][]int{{1, 2, 3}, {3, 2, 1}, {2, 3, 1, 2, 1, 3}} {
			w := newWorld(t)
			n, _ := w.notary(t, "a")
			for _, i := range order {
				must(t, n.put(t.Context(), of(i)))
			}
			with := func(labels client.MatchingLabels) []v1alpha1.ArtifactSeal {
				var found v1alpha1.ArtifactSealList
				must(t, w.api.List(t.Context(), &found, client.InNamespace("ns"), labels))
				return found.Items
			}
			for _, labels := range []client.MatchingLabels{{v1alpha1.LabelLocation: artifact.LocationName(at)}, {layout.LabelWorkflow: "w"}} {
				if last := with(labels); len(last) != 1 || last[0].Spec.SHA256 != digest(3) || last[0].Name != of(3).Name {
					t.Errorf("%s in the order %v: with %v are %+v", what, order, labels, last)
				}
			}
			if strings.HasPrefix(what, "the twin") {
				if all := with(nil); len(all) != 1 {
					t.Errorf("%s in the order %v: there are %+v", what, order, all)
				}
				continue
			}
			for i := 1; i <= 3; i++ {
				name, value := label(i)
				if found := with(client.MatchingLabels{name: value}); len(found) != 1 || found[0].Spec.SHA256 != digest(i) || found[0].Spec.Shared {
					t.Errorf("%s in the order %v: of image %d are %+v", what, order, i, found)
				}
			}
		}
	}
}

func TestARecordThatTheAPIServerRefusesEndsAnyway(t *testing.T) {
	if why := refusal(fmt.Errorf("storing: %w", invalid())); why == nil || why.Code != reason.Internal {
		t.Errorf("an object that the API server will never store is tried again: %v", why)
	}
	// An operator's ValidatingAdmissionPolicy without a reason, or an error in its CEL.
	denied := &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Message: "ValidatingAdmissionPolicy 'labels' denied request: want an owner"}}},
	}}
	if why := refusal(fmt.Errorf("storing: %w", denied)); why != nil {
		t.Errorf("what a policy denies is the last word: %v", why)
	}
	if why := refusal(lateError{reason.New(reason.LogEntryInvalid, "x")}); why != nil {
		t.Errorf("what the log says is the last word: %v", why)
	}
	if why := refusal(reason.New(reason.LookupFailed, "x")); why != nil {
		t.Errorf("a retryable code is the last word: %v", why)
	}
}

func TestLogsAndRecordsHaveNoParameterValues(t *testing.T) {
	w := newWorld(t)
	must(t, w.api.Delete(t.Context(), w.scene.workflow.DeepCopy()))
	must(t, w.api.Delete(t.Context(), w.scene.pod.DeepCopy()))
	arguments := map[string]any{"parameters": []any{map[string]any{"name": "api-token", "value": "hunter2-hunter2"}}}
	w.scene.workflow.Object["spec"].(map[string]any)["arguments"] = arguments
	w.scene.define(t)
	w.scene.retag(t)
	w.stage(t)
	var logged bytes.Buffer
	n, _ := w.notary(t, "a")
	_, err := n.Reconcile(logInto(t, &logged), w.key())
	must(t, err)
	w.expectSealed(t)
	raw, err := json.Marshal(w.record(t))
	must(t, err)
	if logged.Len() == 0 {
		t.Fatal("nothing was logged")
	}
	for what, text := range map[string]string{"log": logged.String(), "record": string(raw)} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("%s has a parameter's value", what)
		}
	}
}
