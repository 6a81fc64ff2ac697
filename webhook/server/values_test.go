package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"

	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/jsonsize"
	"github.com/argoseal/argoseal/pkg/reason"
)

// allocated is how many bytes somebody asks for.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// manyIn is a pod whose list has one member so many times.
func manyIn(t testing.TB, list, member string, n int) []byte {
	t.Helper()
	raw := podJSON(t, nil)
	return bytes.Replace(raw, []byte(`"spec":{`), []byte(`"spec":{"`+list+`":[`+strings.Repeat(member+",", n-1)+member+`],`), 1)
}

// An object of two bytes may be a container, which takes 900. No pod has so many that its
// webhook dies of them, whatever is done with it.
func TestAPodOfManyObjectsIsNotDecoded(t *testing.T) {
	const n, most = 200_000, 24 << 20
	h := newScene(t, 1).mux
	honest := encoded(t, argotest.Pod(t, "produce"))
	for list, member := range map[string]string{"tolerations": "{}", "volumes": "{}", "ephemeralContainers": "{}", "readinessGates": "null", "resourceClaims": "null"} {
		raw := manyIn(t, list, member, n)
		for name, c := range map[string]struct {
			path string
			body []byte
		}{
			"mutated":   {PathMutate, creation(t, raw)},
			"validated": {PathValidate, creation(t, raw)},
			"changed":   {PathValidate, changing(t, "UPDATE", honest, raw)},
			"was":       {PathValidate, changing(t, "UPDATE", raw, honest)},
			"deleted":   {PathDeletion, changing(t, "DELETE", raw, nil)},
		} {
			t.Run(list+", "+name, func(t *testing.T) {
				var answer *httptest.ResponseRecorder
				if took := allocated(func() { answer = ask(h, c.path, c.body) }); took > most {
					t.Errorf("it took %d MiB to answer for %d KiB", took>>20, len(c.body)>>10)
				}
				// Whoever adds to a pod keeps it from nobody who deletes it.
				if r := answered(t, answer); name == "deleted" {
					if !r.Allowed {
						t.Errorf("it is kept: %+v", r.Result)
					}
				} else if r.Allowed || !strings.HasPrefix(r.Result.Message, string(reason.RequestBad)) {
					t.Errorf("it is answered %+v", r.Result)
				}
			})
		}
	}
}

// A stored pod that cannot be read, because the API server is newer than we are, can be
// deleted, and nothing else.
func TestAPodThatCannotBeReadCanBeDeleted(t *testing.T) {
	h := newScene(t, 1).mux
	honest := encoded(t, argotest.Pod(t, "produce"))
	odd := []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"` + ns + `"},"spec":{"containers":"none"}}`)
	if r := answered(t, ask(h, PathDeletion, changing(t, "DELETE", odd, nil))); !r.Allowed {
		t.Errorf("it is kept: %+v", r.Result)
	}
	if r := answered(t, ask(h, PathValidate, changing(t, "UPDATE", odd, honest))); r.Allowed {
		t.Error("it is changed")
	}
}

// changing is a request about a pod that is stored.
func changing(t testing.TB, operation string, old, now []byte) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": map[string]any{
		"uid": "request", "namespace": ns, "name": "web", "operation": operation, "resource": metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		"userInfo": map[string]any{"username": "eve"}, "object": json.RawMessage(now), "oldObject": json.RawMessage(old),
	}})
	check(t, err)
	return raw
}

func TestAWorkflowOfManyObjectsIsNotDecoded(t *testing.T) {
	of := func(n int) []byte {
		return []byte(`{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"name":"w","namespace":"team"},"spec":{"x":[` + strings.Repeat("{},", n-1) + `{}]}}`)
	}
	var err error
	raw := of(1_000_000)
	if took := allocated(func() { _, _, err = decodeWorkflow(k8sruntime.RawExtension{Raw: raw}, "team") }); err == nil || took > 1<<20 {
		t.Errorf("%v, after %d MiB", err, took>>20)
	}
	// Twin: one with as many nodes as Argo stores.
	if _, _, err := decodeWorkflow(k8sruntime.RawExtension{Raw: of(150_000)}, "team"); err != nil && strings.Contains(err.Error(), "objects") {
		t.Error(err)
	}
}

// What unpacks to much more than its bytes has room for that, in which others wait for it.
func TestWhatUnpacksIsCountedByWhatItTakes(t *testing.T) {
	counted := func(body string, size int64) int64 {
		l := newReading(0)
		taken := int64(-1)
		h := l.limited(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			taken = l.ordinary.Taken()
		}))
		r := httptest.NewRequest(http.MethodPost, "/?timeout=30s", strings.NewReader(body))
		r.ContentLength = size
		h.ServeHTTP(httptest.NewRecorder(), r)
		if l.ordinary.Taken() != 0 {
			t.Errorf("%d bytes of room are not given back", l.ordinary.Taken())
		}
		return taken
	}
	const n = 8_000
	const head, tail = `{"request":{"namespace":"team","object":{"spec":{"tolerations":[`, `]}}}}`
	objects := head + strings.Repeat("{},", n-1) + "{}" + tail
	if got, want := counted(objects, int64(len(objects))), int64(n-ordinaryObjects)*sizeOfObject; got < want {
		t.Errorf("%d objects have room of %d bytes, want %d", n, got, want)
	}
	members := head + strings.Repeat(`"",`, 8*n-1) + `""` + tail
	if got, want := counted(members, int64(len(members))), int64(8*n-ordinaryMembers)*sizeOfMember; got < want {
		t.Errorf("%d members have room of %d bytes, want %d", 8*n, got, want)
	}
	// Twin: what is in a template is none of that, and an ordinary pod has room for its bytes.
	for name, raw := range map[string][]byte{
		"an ordinary pod": encoded(t, argotest.Pod(t, "everything")),
		"100 inputs":      encoded(t, newScene(t, 100).consumer),
		"1,024 outputs":   encoded(t, manyOutputs(t)),
	} {
		body := creation(t, raw)
		if got := counted(string(body), int64(len(body))); got != int64(len(body)) && len(body) <= ordinaryBody {
			t.Errorf("%s: %d bytes have room of %d", name, len(body), got)
		}
	}
}

// manyOutputs is a pod with as many outputs as there can be, each of them with what it
// takes most objects to say.
func manyOutputs(t testing.TB) *corev1.Pod {
	t.Helper()
	pod := argotest.Pod(t, "produce")
	var outputs []any
	for i := range 1024 {
		outputs = append(outputs, map[string]any{
			"name": fmt.Sprint("o", i), "path": fmt.Sprint("/o/", i), "archive": map[string]any{"none": map[string]any{}}, "s3": map[string]any{"key": fmt.Sprint("k/", i)},
		})
	}
	for c := range pod.Spec.InitContainers {
		for i, v := range pod.Spec.InitContainers[c].Env {
			if v.Name != "ARGO_TEMPLATE" {
				continue
			}
			var template map[string]any
			check(t, json.Unmarshal([]byte(v.Value), &template))
			template["outputs"] = map[string]any{"artifacts": outputs}
			text, err := json.Marshal(template)
			check(t, err)
			pod.Spec.InitContainers[c].Env[i].Value = string(text)
		}
	}
	return pod
}

// Twin: the largest pods that there are for honest reasons have half of the objects that
// there may be, as Argo makes them and as we leave them, and are admitted.
func TestTheLargestHonestPodsAreDecoded(t *testing.T) {
	few := func(name string, raw []byte) {
		t.Helper()
		var v jsonsize.Count
		v.Add(raw)
		t.Logf("%s: %d bytes, %d objects, %d members, room for %d bytes more", name, len(raw), v.Objects, v.Members, unpacking(v))
		if v.Objects > maxObjects/2 {
			t.Errorf("%s: it has %d objects", name, v.Objects)
		}
	}
	pod := manyOutputs(t)
	h, _ := argoHandlers(t, argotest.Pod(t, "produce"), "enforce")
	raw := encoded(t, pod)
	few("1,024 outputs", raw)
	first := submit(t, h, PathMutate, raw)
	if !first.Allowed || len(first.Patch) == 0 {
		t.Fatalf("1,024 outputs: %+v", first.Result)
	}
	raw = patched(t, raw, first.Patch)
	few("1,024 outputs, with our containers", raw)
	if r := submit(t, h, PathValidate, raw); !r.Allowed {
		t.Errorf("1,024 outputs: %+v", r.Result)
	}

	w := newScene(t, 100)
	w.seal(t)
	raw = encoded(t, w.consumer)
	few("100 inputs", raw)
	first = post(t, w.mux, PathMutate, creation(t, raw))
	raw = patched(t, raw, first.Patch)
	few("100 inputs, with our containers", raw)
	if r := post(t, w.mux, PathValidate, creation(t, raw)); !r.Allowed {
		t.Errorf("100 inputs: %+v", r.Result)
	}
}

// The number that objects are counted by is that of the largest.
func TestNothingOfAPodIsLargerThanItIsCountedBy(t *testing.T) {
	for name, size := range map[string]uintptr{
		"container":           unsafe.Sizeof(corev1.Container{}),
		"ephemeral container": unsafe.Sizeof(corev1.EphemeralContainer{}),
		"container's status":  unsafe.Sizeof(corev1.ContainerStatus{}),
		"volume":              unsafe.Sizeof(corev1.Volume{}),
		"constraint":          unsafe.Sizeof(corev1.TopologySpreadConstraint{}),
		"managed fields":      unsafe.Sizeof(metav1.ManagedFieldsEntry{}),
	} {
		if size > sizeOfObject {
			t.Errorf("a %s has %d bytes", name, size)
		}
	}
}
