package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/argo/argotest"
)

// What an admission costs, by both webhooks together: requests as the API server
// sends them, to the handlers as they are served, with an API server behind them that
// answers by real HTTP. `go test -bench Admission -run '^$' ./webhook/server` prints
// it, beside a floor that decodes requests and admits everything. No two requests are
// about the same pod, as in a cluster. docs/performance.md says what bounds each figure.

// BenchmarkFloor is a webhook that admits everything, called twice.
func BenchmarkFloor(b *testing.B) {
	allow := admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") })
	h := &admission.Webhook{Handler: allow}
	c := &calls{mutate: h, validate: h, pod: numberable(b, argotest.Pod(b, "consume"))}
	c.measure(b, func(r *admissionv1.AdmissionResponse) bool { return r.Allowed })
}

func BenchmarkAdmission(b *testing.B) {
	b.Run("producer", func(b *testing.B) {
		w := newScene(b, 1)
		w.admit(b, argotest.Pod(b, "produce"))
	})
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("consumer-warm/%d", n), func(b *testing.B) {
			w := newScene(b, n)
			w.seal(b)
			w.admit(b, w.consumer)
		})
		b.Run(fmt.Sprintf("consumer-refused/%d", n), func(b *testing.B) {
			newScene(b, n).refuse(b)
		})
		b.Run(fmt.Sprintf("consumer-cold/%d", n), func(b *testing.B) {
			w := newScene(b, n)
			w.seal(b)
			w.forgets = true
			w.admit(b, w.consumer)
		})
	}
	b.Run("consumer-large-workflow", func(b *testing.B) {
		w := newScene(b, 1)
		w.seal(b)
		w.grow(b, 1000)
		w.admit(b, w.consumer)
	})
}

// creation is Argo's request to create a pod.
func creation(t testing.TB, raw []byte) []byte {
	t.Helper()
	return review(t, func(r *admissionv1.AdmissionRequest) {
		r.UID, r.Namespace, r.UserInfo.Username, r.Object = types.UID("request"), ns, argotest.Controller, runtime.RawExtension{Raw: raw}
	})
}

// admit measures both calls for pods that are admitted.
func (w *scene) admit(b *testing.B, pod *corev1.Pod) {
	c := &calls{scene: w, mutate: w.mux, validate: w.mux, pod: numberable(b, pod), patches: true}
	c.measure(b, func(r *admissionv1.AdmissionResponse) bool { return r.Allowed })
}

// refuse measures what is asked about pods whose inputs nothing sealed.
func (w *scene) refuse(b *testing.B) {
	c := &calls{scene: w, mutate: w.mux, validate: w.mux, pod: numberable(b, w.consumer), patches: true}
	c.measure(b, unproven)
}

func unproven(r *admissionv1.AdmissionResponse) bool {
	return !r.Allowed && strings.HasPrefix(r.Result.Message, "NoProvenance: ")
}

// calls are the two of each pod's admission.
type calls struct {
	scene            *scene
	mutate, validate http.Handler
	pod              []byte
	// patches: the mutating one has to give one, to whom it admits.
	patches bool
}

// number stands in a pod's template for that of the pod.
const number = "number-00000000"

// numberable is a pod with number in its template, so that no template is like another:
// in a cluster each has a key of its own for logs.
func numberable(t testing.TB, pod *corev1.Pod) []byte {
	t.Helper()
	const empty = `\"metadata\":{}`
	raw := string(encoded(t, pod))
	if !strings.Contains(raw, empty) {
		t.Fatalf("pod %s has a template with metadata", pod.Name)
	}
	return []byte(strings.ReplaceAll(raw, empty, `\"metadata\":{\"annotations\":{\"number\":\"`+number+`\"}}`))
}

// garbage is what argoseal-webhook has its collector wait for beside so little that is kept,
// in percent of that.
const garbage = 400

// together is how many pods are mutated before these are validated: few enough that what
// the first call left for the second is there still, as in a cluster.
const together = 20

// warm is how many pods are asked about before it is measured: a webhook's first ones find
// neither its connections nor its memory.
const warm = 2 * together

// measure reports what a pod's admission takes of the CPU time of the process, how many
// requests are made to the API server, which is another process, and how long 99 of 100
// pods wait for both calls at most.
func (c *calls) measure(b *testing.B, expected func(*admissionv1.AdmissionResponse) bool) {
	b.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(garbage))
	if c.scene != nil {
		c.scene.alone(b)
	}
	var used [2]time.Duration // by the mutating, and by the validating calls
	var asked int64
	waited := make([]time.Duration, 0, b.N) // for both calls, by each pod that is measured
	run := func(first, n int, measured bool) {
		raw, bodies, patches := make([][]byte, n), make([][]byte, n), make([][]byte, n)
		pods := make([]time.Duration, n)
		for i := range n {
			raw[i] = bytes.ReplaceAll(c.pod, []byte(number), fmt.Appendf(nil, "number-%08d", first+i))
			bodies[i] = creation(b, raw[i])
		}
		// Like an API server, it asks nobody about a pod that was refused.
		timed := func(call int, path string, h http.Handler, take func(i int, r *admissionv1.AdmissionResponse)) {
			calls := c.scene.calls()
			goruntime.GC()
			if measured {
				b.StartTimer()
			}
			before := cpu(b)
			answers := make([]*httptest.ResponseRecorder, n)
			for i := range n {
				if bodies[i] == nil {
					continue
				}
				if c.scene != nil && call == 0 {
					c.scene.forget()
				}
				asked := time.Now()
				answers[i] = ask(h, path, bodies[i])
				pods[i] += time.Since(asked)
			}
			took := cpu(b) - before
			b.StopTimer()
			if measured {
				used[call] += took
				asked += c.scene.calls() - calls
			}
			for i, answer := range answers {
				if answer != nil {
					take(i, answered(b, answer))
				}
			}
		}
		timed(0, PathMutate, c.mutate, func(i int, r *admissionv1.AdmissionResponse) {
			patches[i] = r.Patch
			switch {
			case !r.Allowed && expected(r):
				bodies[i] = nil
			case !r.Allowed || c.patches && r.Patch == nil:
				b.Fatalf("the mutating webhook says %+v", r.Result)
			}
		})
		for i := range n {
			if c.patches && bodies[i] != nil {
				bodies[i] = creation(b, patched(b, raw[i], patches[i]))
			}
		}
		timed(1, PathValidate, c.validate, func(_ int, r *admissionv1.AdmissionResponse) {
			if !expected(r) {
				b.Fatalf("the validating webhook says %+v", r.Result)
			}
		})
		if measured {
			waited = append(waited, pods...)
		}
	}
	b.ReportAllocs()
	b.StopTimer()
	for at := 0; at < warm; at += together {
		run(at, together, false)
	}
	b.ResetTimer()
	for at := 0; at < b.N; at += together {
		run(warm+at, min(together, b.N-at), true)
	}
	n := float64(b.N)
	for call, unit := range []string{"mutating-ms/op", "validating-ms/op"} {
		b.ReportMetric(float64(used[call].Microseconds())/1000/n, unit)
	}
	b.ReportMetric(float64((used[0]+used[1]).Microseconds())/1000/n, "cpu-ms/op")
	b.ReportMetric(float64(asked)/n, "api/op")
	slices.Sort(waited)
	b.ReportMetric(float64(waited[(len(waited)*99-1)/100].Microseconds())/1000, "p99-ms")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
