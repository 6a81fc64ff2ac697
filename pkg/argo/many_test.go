package argo_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
)

// A template can have 1,024 outputs, and every one is compared with every other: what
// there is to compare is found out once for each.
func TestManyOutputsAreReadInLinearMemory(t *testing.T) {
	allocations := func(n int) float64 {
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
			var outputs []any
			for j := range n {
				outputs = append(outputs, map[string]any{"name": fmt.Sprintf("o%d", j), "path": fmt.Sprintf("/tmp/o%d", j)})
			}
			template["outputs"] = map[string]any{"artifacts": outputs}
			raw, err := json.Marshal(template)
			if err != nil {
				t.Fatal(err)
			}
			env[i].Value = string(raw)
		}
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
