package argo_test

import (
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
)

// filled is a pod whose template has other artifacts.
func filled(t testing.TB, inputs, outputs []any) *corev1.Pod {
	t.Helper()
	pod := argotest.Pod(t, "produce")
	env := pod.Spec.InitContainers[0].Env
	for i := range env {
		if env[i].Name != "ARGO_TEMPLATE" {
			continue
		}
		var template map[string]any
		if err := json.Unmarshal([]byte(env[i].Value), &template); err != nil {
			t.Fatal(err)
		}
		template["inputs"], template["outputs"] = map[string]any{"artifacts": inputs}, map[string]any{"artifacts": outputs}
		raw, err := json.Marshal(template)
		if err != nil {
			t.Fatal(err)
		}
		env[i].Value = string(raw)
	}
	return pod
}

// many are n artifacts, each with what one is given.
func many(n int, one func(i int) map[string]any) []any {
	var list []any
	for i := range n {
		a := map[string]any{"name": fmt.Sprintf("o%d", i), "path": fmt.Sprintf("/tmp/o%d", i)}
		for field, value := range one(i) {
			a[field] = value
		}
		list = append(list, a)
	}
	return list
}

func plainly(int) map[string]any { return nil }

// A template can have 1,024 outputs, and every one is compared with every other: what
// there is to compare is found out once for each.
func TestManyOutputsAreReadInLinearMemory(t *testing.T) {
	allocations := func(n int) float64 {
		pod := filled(t, nil, many(n, plainly))
		step, err := argo.Parse(pod)
		if err != nil {
			t.Fatal(err)
		}
		if len(step.Outputs) != n || step.Outputs[n-1].Problem() != nil {
			t.Fatalf("%d outputs: %v", len(step.Outputs), step.Outputs[n-1].Problem())
		}
		return testing.AllocsPerRun(2, func() { _, _ = argo.Parse(pod) })
	}
	few, many := allocations(100), allocations(400)
	if many > 6*few { // it is 16 times where each is read for each other
		t.Errorf("%.0f allocations for 100 outputs, %.0f for 400", few, many)
	}
}

// hostile are templates whose author wants them to be slow to read.
func hostile(t testing.TB) map[string]*corev1.Pod {
	t.Helper()
	none := map[string]any{"none": map[string]any{}}
	at := func(key string) map[string]any { return map[string]any{"key": key} }
	volumes := filled(t, nil, many(700, plainly))
	for i := range 4000 {
		volumes.Spec.Containers[1].VolumeMounts = append(volumes.Spec.Containers[1].VolumeMounts, corev1.VolumeMount{Name: "a", MountPath: fmt.Sprintf("/v/%d", i)})
	}
	return map[string]*corev1.Pod{
		"1024 outputs":                    filled(t, nil, many(1024, plainly)),
		"1024 outputs with keys":          filled(t, nil, many(1024, func(i int) map[string]any { return map[string]any{"s3": at(fmt.Sprintf("a/%d", i))} })),
		"1024 directories in one another": filled(t, nil, many(1024, func(i int) map[string]any { return map[string]any{"s3": at("a/"), "archive": none} })),
		"1024 outputs of one name": filled(t, nil, many(1024, func(i int) map[string]any {
			return map[string]any{"path": fmt.Sprintf("/%d/o", i), "archive": none, "s3": at(fmt.Sprintf("%d", i))}
		})),
		"500 outputs around 500 raw inputs": filled(t, many(500, func(i int) map[string]any {
			return map[string]any{"raw": map[string]any{"data": "a"}, "path": fmt.Sprintf("/i/a/%d", i)}
		}), many(500, func(i int) map[string]any { return map[string]any{"path": "/i"} })),
		"1024 raw inputs":             filled(t, many(1024, func(i int) map[string]any { return map[string]any{"raw": map[string]any{"data": "a"}} }), nil),
		"700 outputs and 4000 mounts": volumes,
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, pod := range hostile(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := argo.Parse(pod); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	pod := argotest.Pod(b, "everything")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := argo.Parse(pod); err != nil {
			b.Fatal(err)
		}
	}
}
