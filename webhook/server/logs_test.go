package server

import (
	"encoding/json"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
)

func TestLogsAreMeasuredWhereTheOperatorWantsIt(t *testing.T) {
	logged, _ := argotest.Logged(t, "produce")
	for name, c := range map[string]struct {
		pod        *corev1.Pod
		seal, want bool
	}{
		"archived, to be sealed": {logged, true, true},
		"archived":               {logged, false, false},
		"not archived":           {argotest.Pod(t, "produce"), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			h, keys := argoHandlers(t, c.pod, "enforce")
			h.SealLogs = c.seal
			raw := encoded(t, c.pod)
			raw = patched(t, raw, submit(t, h, PathMutate, raw).Patch)
			final := &corev1.Pod{}
			check(t, json.Unmarshal(raw, final))
			got, err := keys.Open(final.Annotations[v1alpha1.AnnotationTag])
			if err != nil || got.Logs != c.want {
				t.Errorf("the tag says %t, %v", got.Logs, err)
			}
			args := final.Spec.InitContainers[len(final.Spec.InitContainers)-1].Args
			if slices.Contains(args, "--output=main-logs=log=main.log") != c.want {
				t.Errorf("arguments are %q", args)
			}
			if second := submit(t, h, PathMutate, raw); second.Patch != nil {
				t.Errorf("the second patch is %s", second.Patch)
			}
			// Another replica may know another value of the operator's.
			h.SealLogs = !c.seal
			if r := submit(t, h, PathValidate, raw); !r.Allowed {
				t.Errorf("it is refused: %+v", r.Result)
			}
		})
	}
}

func TestTheLastMutationDecidesOnLogs(t *testing.T) {
	pod, _ := argotest.Logged(t, "produce")
	h, _ := argoHandlers(t, pod, "enforce")
	h.SealLogs = true
	raw := encoded(t, pod)
	raw = patched(t, raw, submit(t, h, PathMutate, raw).Patch)
	h.SealLogs = false
	raw = patched(t, raw, submit(t, h, PathMutate, raw).Patch)
	if r := submit(t, h, PathValidate, raw); !r.Allowed {
		t.Errorf("it is refused: %+v", r.Result)
	}
}
