package gate

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/webhook/evidence"
)

func TestLogsAreMeasuredAsTheTagSays(t *testing.T) {
	for name, c := range map[string]struct {
		logs, tagged bool
		want         reason.Code
	}{
		"both say so":      {true, true, ""},
		"neither":          {false, false, ""},
		"only the tag":     {false, true, reason.SidecarAltered},
		"only the sidecar": {true, false, reason.SidecarAltered},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			pod, step := argotest.Logged(t, "produce")
			if c.logs {
				step = step.WithLogs()
			}
			a := w.injected(t, pod, step, nil)
			retag(t, &a, func(g *tag.Tag) { g.Logs = c.tagged })
			if d := w.gate.Create(t.Context(), a); d.Allowed != (c.want == "") || !d.Allowed && d.Refusal.Code != c.want {
				t.Errorf("decision is %+v (%v), want %q", d, d.Refusal, c.want)
			}
		})
	}
}

// logging is a world in which consume reads the log of produce, by a key that the
// definition gives. The log has no seal yet.
func logging(t *testing.T, measured bool) (*world, *corev1.Pod) {
	t.Helper()
	w := newWorld(t)
	clear(w.evidence.seals)
	clear(w.evidence.provenances)
	pod, step := argotest.Logged(t, "produce")
	with := step.WithLogs()
	if measured {
		step = with
	}
	w.location = with.Outputs[len(with.Outputs)-1].Location()
	w.take(w.location, content.ArchiveDetect)
	w.redefine(t, reference, `"s3":{"key":"`+w.location.Key+`"}`)
	pod = w.injected(t, pod, step, nil).Pod
	pod.UID, pod.CreationTimestamp = produceUID, metav1.NewTime(now.Add(-30*time.Second))
	w.tag(t, pod)
	finish(pod, now.Add(-10*time.Second))
	w.evidence.pods = []*corev1.Pod{pod}
	return w, pod
}

func TestALogIsWaitedForAsLongAsItsPodHasNoRecord(t *testing.T) {
	for name, c := range map[string]struct {
		measured bool
		change   func(*testing.T, *world, *corev1.Pod)
		want     reason.Code
	}{
		"while the pod runs":           {true, func(_ *testing.T, _ *world, pod *corev1.Pod) { finish(pod, time.Time{}) }, reason.ProvenancePending},
		"while its seal is on its way": {true, func(*testing.T, *world, *corev1.Pod) {}, reason.ProvenancePending},
		"not once it is known to be absent": {true, func(_ *testing.T, w *world, pod *corev1.Pod) {
			w.evidence.provenances[string(pod.UID)] = record(pod, metav1.ConditionTrue, reason.Sealed, "x",
				v1alpha1.OutputStatus{Name: "main-logs", Location: w.location.URI(), Reason: string(reason.OutputAbsent)})
		}, reason.NotSealed},
		"not if nobody measures it": {false, func(*testing.T, *world, *corev1.Pod) {}, reason.NoProvenance},
		"until it is sealed": {true, func(t *testing.T, w *world, pod *corev1.Pod) {
			w.seal(t, pod, func(f *provenance.Facts) {
				f.Subjects[0].Output, f.Subjects[0].Form, f.Subjects[0].Tree = "main-logs", content.FormFile, content.FileTree(stored)
			})
			w.theSeal().Spec.TreeDigest = string(content.FileTree(stored))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, pod := logging(t, c.measured)
			c.change(t, w, pod)
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || !v.Allowed && v.Refusal.Code != c.want {
				t.Errorf("verdict is %+v (%v), want %q", v, v.Refusal, c.want)
			}
			if says := v.Refusal != nil && strings.Contains(v.Refusal.Error(), "sealLogs=true"); says != (c.want == reason.NoProvenance) {
				t.Errorf("it says %v", v.Refusal)
			}
		})
	}
}

// The outputs of a step never wait for its log, nor does anything else for a log
// that it does not read.
func TestALogHoldsNobodyElse(t *testing.T) {
	w := newWorld(t)
	pod, step := argotest.Logged(t, "produce")
	pod = w.injected(t, pod, step.WithLogs(), nil).Pod
	pod.Name, pod.UID, pod.CreationTimestamp = "beside", laterUID, metav1.NewTime(now.Add(-30*time.Second))
	for i, e := range pod.Spec.InitContainers[0].Env {
		pod.Spec.InitContainers[0].Env[i].Value = strings.NewReplacer(
			`"outputs":{"artifacts":[{"name":"hello-art","path":"/tmp/hello_world.txt"}]}`, `"outputs":{}`).Replace(e.Value)
	}
	w.tag(t, pod)
	finish(pod, time.Time{})
	w.evidence.pods = append(w.evidence.pods, pod)
	if p := evidence.AnyProducer(pod); len(p.Outputs) != 1 || !strings.HasSuffix(p.Outputs[0].Key, "/main.log") {
		t.Fatalf("it writes %v", p.Outputs)
	}
	if v := w.evaluate(t); !v.Allowed {
		t.Errorf("verdict is %+v (%v)", v, v.Refusal)
	}
}
