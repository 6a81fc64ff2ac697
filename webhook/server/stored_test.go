package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Requests that name a stored pod: commands in containers, attaching, evictions.

func storedPod(pod *corev1.Pod, err error) func(context.Context, string, string) (*corev1.Pod, error) {
	return func(_ context.Context, namespace, name string) (*corev1.Pod, error) {
		if namespace != "team" || name != "web" {
			return nil, errors.New("not the pod that was asked about")
		}
		return pod, err
	}
}

func session(t *testing.T, subresource string, options corev1.PodExecOptions) func(*admissionv1.AdmissionRequest) {
	t.Helper()
	raw, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	return func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.SubResource, r.Object.Raw = admissionv1.Connect, subresource, raw
	}
}

func eviction(r *admissionv1.AdmissionRequest) {
	r.SubResource = "eviction"
	r.Object.Raw = []byte(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web","namespace":"team"}}`)
}

func TestStoredPods(t *testing.T) {
	plain := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "web"}}
	job := plain.DeepCopy()
	job.Labels = map[string]string{layout.LabelWorkflow: "w"}
	step := job.DeepCopy()
	step.Annotations = map[string]string{"workflows.argoproj.io/node-name": "w"}
	shell := session(t, "exec", corev1.PodExecOptions{Container: "main", Command: []string{"/bin/sh"}})
	attach := session(t, "attach", corev1.PodExecOptions{Container: "main"})
	down := errors.New("down")
	for name, c := range map[string]struct {
		path   string
		change func(*admissionv1.AdmissionRequest)
		pod    *corev1.Pod
		err    error
		want   reason.Code
	}{
		"a shell in another pod":              {PathExec, shell, plain, nil, ""},
		"a shell in a Job's pod":              {PathExec, shell, job, nil, ""},
		"attaching to another pod":            {PathExec, attach, plain, nil, ""},
		"evicting another pod":                {PathDeletion, eviction, plain, nil, ""},
		"evicting a step that runs":           {PathDeletion, eviction, step, nil, ""},
		"evicting a pod that is gone":         {PathDeletion, eviction, nil, nil, ""},
		"a shell in a step":                   {PathExec, shell, step, nil, reason.ExecGuarded},
		"attaching to a step":                 {PathExec, attach, step, nil, reason.ExecGuarded},
		"a shell in a pod that is not there":  {PathExec, shell, nil, nil, reason.LookupFailed},
		"a shell in a pod that is not read":   {PathExec, shell, plain, down, reason.LookupFailed},
		"evicting a pod that is not read":     {PathDeletion, eviction, plain, down, reason.LookupFailed},
		"a shell without options":             {PathExec, func(r *admissionv1.AdmissionRequest) { shell(r); r.Object = runtime.RawExtension{} }, plain, nil, reason.RequestBad},
		"a shell in no pod":                   {PathExec, func(r *admissionv1.AdmissionRequest) { shell(r); r.Name = "" }, plain, nil, reason.RequestBad},
		"evicting no pod":                     {PathDeletion, func(r *admissionv1.AdmissionRequest) { eviction(r); r.Name = "" }, plain, nil, reason.RequestBad},
		"a shell at the validator":            {PathValidate, shell, plain, nil, reason.RequestBad},
		"another connection":                  {PathExec, session(t, "portforward", corev1.PodExecOptions{}), plain, nil, reason.RequestBad},
		"a creation where shells are decided": {PathExec, func(*admissionv1.AdmissionRequest) {}, plain, nil, reason.RequestBad},
	} {
		for _, mode := range []string{"enforce", "warn", "audit"} {
			t.Run(name+" in "+mode, func(t *testing.T) {
				h := handlers(t, mode)
				h.Pod = storedPod(c.pod, c.err)
				r := post(t, h.Mux(), c.path, review(t, c.change))
				switch {
				case r.Allowed != (c.want == ""):
					t.Errorf("answer is %+v, result %+v", r, r.Result)
				case !r.Allowed && (!strings.HasPrefix(r.Result.Message, string(c.want)+": ") || (r.Result.Code == http.StatusTooManyRequests) != c.want.Retryable()):
					t.Errorf("result is %+v, want %s", r.Result, c.want)
				}
			})
		}
	}
	t.Run("where there is no mode nothing is looked up", func(t *testing.T) {
		for path, change := range map[string]func(*admissionv1.AdmissionRequest){PathExec: shell, PathDeletion: eviction} {
			h := handlers(t, "")
			h.Pod = storedPod(step, down)
			if r := post(t, h.Mux(), path, review(t, change)); !r.Allowed {
				t.Errorf("%s: %+v", path, r.Result)
			}
		}
	})
}
