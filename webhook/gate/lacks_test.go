package gate

import (
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
)

// The record of a sealed directory lists all its files. What it does not have is not
// there, unless somebody else put it there.
func TestAPartThatASealedDirectoryDoesNotHaveIsAbsent(t *testing.T) {
	optional := func(_ *testing.T, w *world) { w.step.Inputs[0].Optional = true }
	// again has a pod store its output at a key after it ended, with that last word.
	again := func(t *testing.T, w *world, key string, end time.Duration, status metav1.ConditionStatus, code reason.Code) {
		t.Helper()
		pod := w.producer(t, "produce", laterUID, now.Add(end))
		storedAt(t, pod, key)
		o := v1alpha1.OutputStatus{Name: "hello-art", Location: "s3://" + w.location.Store + "/" + w.location.Bucket + "/" + key + "/", Reason: string(code)}
		if status == metav1.ConditionTrue {
			o.Reason = ""
		}
		w.evidence.provenances[laterUID] = record(pod, status, code, "", o)
	}
	const before = -20 * time.Second
	for name, c := range map[string]struct {
		part   string
		change func(*testing.T, *world)
		want   reason.Code // empty: admitted as absent
		says   string
	}{
		"as Argo's init will say":       {},
		"beside one of a similar name":  {part: "a.jso"},
		"below a file":                  {part: "a.json/x"},
		"in a folder that it does have": {part: "sub/none"},
		"by a key that ends in a slash, where it has a file": {part: "a.json", change: func(_ *testing.T, w *world) {
			w.takeFrom(w.step.Inputs[0].Location().Prefix())
		}},
		"optional, as the definition says": {change: func(t *testing.T, w *world) {
			optional(t, w)
			w.redefine(t, reference, reference+`,"subPath":"z"`, `{"name":"hello-art","path"`, `{"name":"hello-art","optional":true,"path"`)
		}},
		"optional, by a report alone": {change: optional, want: reason.NoProvenance, says: "only a report calls the input optional"},
		"optional, by a key in the definition": {change: func(t *testing.T, w *world) {
			optional(t, w)
			w.redefine(t, reference, `"optional":true,"s3":{"key":"`+w.location.Key+`/z"}`)
		}},
		"another part than the definition takes": {change: func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"subPath":"y"`)
		}, want: reason.OriginMismatch},
		"whose files nobody listed": {change: func(_ *testing.T, w *world) {
			w.evidence.provenances[string(w.produce.UID)].Status.Outputs[0].Files = ""
		}, want: reason.FilesUnknown},
		"where a pod stored something below it, sealed": {change: func(t *testing.T, w *world) {
			again(t, w, w.location.Key+"/z/deep", before, metav1.ConditionTrue, reason.Sealed)
		}, want: reason.NoProvenance, says: "stored something there"},
		"where a pod may have stored it before, unsealed": {change: func(t *testing.T, w *world) {
			again(t, w, w.location.Key, before, metav1.ConditionFalse, reason.UploadFailed)
		}, want: reason.NotSealed, says: "without it"},
		"where a pod may have stored it before, unsealed, by itself": {change: func(t *testing.T, w *world) {
			again(t, w, w.location.Key+"/z", before, metav1.ConditionFalse, reason.UploadFailed)
		}, want: reason.NotSealed, says: "without it"},
		"where a pod may have stored it in a larger directory, unsealed": {change: func(t *testing.T, w *world) {
			again(t, w, path.Dir(w.location.Key), before, metav1.ConditionFalse, reason.UploadFailed)
		}, want: reason.NotSealed, says: "without it"},
		"where an earlier attempt stored the directory": {change: func(t *testing.T, w *world) {
			again(t, w, w.location.Key, before, metav1.ConditionTrue, reason.Sealed)
		}, want: reason.NoProvenance, says: "may have stored something"},
		"where an earlier attempt stored nothing": {change: func(t *testing.T, w *world) {
			again(t, w, w.location.Key, before, metav1.ConditionFalse, reason.OutputAbsent)
		}},
		"where a pod may have stored it before the namespace had a mode": {change: func(t *testing.T, w *world) {
			again(t, w, w.location.Key, before, metav1.ConditionFalse, reason.OutputAbsent)
			delete(w.evidence.pods[len(w.evidence.pods)-1].Annotations, v1alpha1.AnnotationTag)
		}, want: reason.ModeChanged},
		"where a pod stores it, which cannot be sealed": {change: func(t *testing.T, w *world) {
			pod := w.producer(t, "produce", laterUID, now.Add(before))
			setOutput(t, pod, `"path":"not/absolute","s3":{"key":"`+w.location.Key+`/z"}`)
		}, want: reason.NotSealed, says: "cannot be sealed"},
		"that a pod is yet to store": {change: func(t *testing.T, w *world) {
			storedAt(t, w.producer(t, "produce", laterUID, time.Time{}), w.location.Key+"/z")
		}, want: reason.ProvenancePending},
		"that a pod is yet to store, which the cache does not know": {change: func(t *testing.T, w *world) {
			quick := *w.evidence
			w.gate.Quick = &quick
			storedAt(t, w.producer(t, "produce", laterUID, time.Time{}), w.location.Key+"/z")
		}, want: reason.ProvenancePending},
	} {
		t.Run(name, func(t *testing.T) {
			if c.part == "" {
				c.part = "z"
			}
			w := reading(t, content.FormDirectory, c.part)
			if c.change != nil {
				c.change(t, w)
			}
			v := w.evaluate(t)
			if c.want != "" {
				if v.Allowed || v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says) {
					t.Errorf("verdict is %v, want %s with %q; pins %+v", v.Refusal, c.want, c.says, v.Pins)
				}
				return
			}
			in := w.step.Inputs[0]
			want := []pin.Pin{{Input: "message", Location: in.URI(), Archive: in.Archive(), Absent: true, Within: w.location.Prefix().URI()}}
			if d := cmp.Diff(want, v.Pins); !v.Allowed || d != "" {
				t.Fatalf("%v, pins (-want +got):\n%s", v.Refusal, d)
			}
			if err := v.Pins[0].Validate(); err != nil {
				t.Errorf("the pod would not take its pin: %v", err)
			}
		})
	}
	t.Run("but not in modes that let the step run whatever is there", func(t *testing.T) {
		w := reading(t, content.FormDirectory, "z")
		for _, mode := range []v1alpha1.Mode{v1alpha1.ModeWarn, v1alpha1.ModeAudit} {
			if v := w.gate.Evaluate(t.Context(), w.step, w.workflow, mode, w.trust); v.Allowed || v.Refusal.Code != reason.NoProvenance || v.Pins != nil {
				t.Errorf("%s: %v, pins %+v", mode, v.Refusal, v.Pins)
			}
		}
	})
}
