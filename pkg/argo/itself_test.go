package argo_test

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
)

func TestAStepThatMovesItsArtifactsPastArgo(t *testing.T) {
	const outputs = `"outputs":{"artifacts":[{"name":"hello-art","path":"/tmp/hello_world.txt"}]}`
	for name, c := range map[string]struct {
		instead string
		want    bool
	}{
		"Kubeflow Pipelines 2":                              {`"outputs":{},"initContainers":[{"name":"kfp-launcher","image":"x","resources":{}}]`, true},
		"Kubeflow Pipelines 1.8, which leaves them to Argo": {outputs + `,"initContainers":[{"name":"kfp-launcher","image":"x","resources":{}}]`, false},
		"a step without artifacts":                          {`"outputs":{},"initContainers":[{"name":"other","image":"x","resources":{}}]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "produce")
			changed := false
			for i := range pod.Spec.InitContainers {
				for j, e := range pod.Spec.InitContainers[i].Env {
					value := strings.Replace(e.Value, outputs, c.instead, 1)
					changed = changed || strings.Contains(e.Value, outputs)
					pod.Spec.InitContainers[i].Env[j].Value = value
				}
			}
			if !changed {
				t.Fatal("the template is another one")
			}
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if got := step.StoresByItself(); (got != "") != c.want {
				t.Errorf("it is %q", got)
			}
		})
	}
}
