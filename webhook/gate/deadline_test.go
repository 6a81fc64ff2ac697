package gate

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/argotest"
)

func TestNobodyIsSentAwayShortlyBeforeADeadline(t *testing.T) {
	for title, c := range map[string]struct {
		left   time.Duration // until the deadline; 0 for none
		change func(*corev1.Pod)
		want   bool
	}{
		"no deadline":                       {},
		"an hour left":                      {left: time.Hour},
		"the next try is well in time":      {left: 16 * time.Second},
		"the next try may come too late":    {left: 15 * time.Second, want: true},
		"it would be in the last second":    {left: 10500 * time.Millisecond, want: true},
		"a second left":                     {left: time.Second, want: true},
		"just over, by our clock":           {left: -2 * time.Second, want: true},
		"over":                              {left: -3 * time.Second},
		"a deadline that cannot be read":    {left: time.Second, change: deadline("soon")},
		"only another container has a time": {left: time.Second, change: func(pod *corev1.Pod) { pod.Spec.InitContainers[0].Name = "other" }},
		"a pod that deletes artifacts":      {change: func(pod *corev1.Pod) { pod.Labels["workflows.argoproj.io/component"] = "artifact-gc" }, want: true},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t)
			w.gate.Requeue = 10 * time.Second
			pod := argotest.Pod(t, "consume")
			value := time.Time{}
			if c.left != 0 {
				value = now.Add(c.left)
			}
			deadline(value.Format(time.RFC3339Nano))(pod)
			if c.change != nil {
				c.change(pod)
			}
			if got := w.gate.InPlace(pod); got != c.want {
				t.Errorf("in place: %t, want %t", got, c.want)
			}
		})
	}
}

// deadline gives Argo's init container a deadline, in place of the one it has.
func deadline(value string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		env := pod.Spec.InitContainers[0].Env
		for i := range env {
			if env[i].Name == "ARGO_DEADLINE" {
				env[i].Value = value
			}
		}
	}
}
