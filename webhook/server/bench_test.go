package server

import (
	"context"
	"fmt"
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
// it, beside a floor that decodes requests and admits everything. docs/performance.md
// says what bounds each figure.

// BenchmarkFloor is a webhook that admits everything, called twice.
func BenchmarkFloor(b *testing.B) {
	allow := admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") })
	h := &admission.Webhook{Handler: allow}
	body := creation(b, encoded(b, argotest.Pod(b, "consume")))
	measured(b, nil, func() {
		for range 2 {
			if r := post(b, h, PathMutate, body); !r.Allowed {
				b.Fatalf("answer is %+v", r)
			}
		}
	})
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
	}
	b.Run("consumer-cold/100", func(b *testing.B) {
		w := newScene(b, 100)
		w.seal(b)
		w.forgets = true
		w.admit(b, w.consumer)
	})
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

// admit measures both calls for a pod that is admitted.
func (w *scene) admit(b *testing.B, pod *corev1.Pod) {
	raw := encoded(b, pod)
	mutating := creation(b, raw)
	first := post(b, w.mux, PathMutate, mutating)
	if !first.Allowed {
		b.Fatalf("the mutating webhook says %+v", first.Result)
	}
	final := patched(b, raw, first.Patch)
	measured(b, w, func() {
		w.forget()
		r := post(b, w.mux, PathMutate, mutating)
		if !r.Allowed || r.Patch == nil {
			b.Fatalf("the mutating webhook says %+v", r.Result)
		}
		if time.Since(w.tagged) > 10*time.Second { // tags are fresh for half a minute
			b.StopTimer()
			final, w.tagged = patched(b, raw, r.Patch), time.Now()
			b.StartTimer()
		}
		if r := post(b, w.mux, PathValidate, creation(b, final)); !r.Allowed {
			b.Fatalf("the validating webhook says %+v", r.Result)
		}
	})
}

// refuse measures both calls for a pod whose inputs nothing sealed.
func (w *scene) refuse(b *testing.B) {
	raw := encoded(b, w.consumer)
	mutating := creation(b, raw)
	final := patched(b, raw, post(b, w.mux, PathMutate, mutating).Patch)
	w.tagged = time.Now()
	measured(b, w, func() {
		r := post(b, w.mux, PathMutate, mutating)
		if time.Since(w.tagged) > 10*time.Second {
			final, w.tagged = patched(b, raw, r.Patch), time.Now()
		}
		if r := post(b, w.mux, PathValidate, creation(b, final)); r.Allowed || !strings.HasPrefix(r.Result.Message, "NoProvenance") {
			b.Fatalf("the validating webhook says %+v", r.Result)
		}
	})
}

// measured runs one operation again and again, and reports the CPU time of the
// process, which is also that of the API server's answers, and the requests to it.
func measured(b *testing.B, w *scene, operation func()) {
	b.Helper()
	operation()
	before, calls := cpu(b), w.calls()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		operation()
	}
	b.StopTimer()
	n := float64(b.N)
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/n, "cpu-ms/op")
	b.ReportMetric(float64(w.calls()-calls)/n, "api/op")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
