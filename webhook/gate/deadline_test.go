package gate

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestWhatWaitsWithoutTimeIsRefusedForGood(t *testing.T) {
	later := Decision{Refusal: reason.New(reason.ProvenancePending, "pod produce ended, its seal is on its way").For("message (s3://a/b)")}
	const requeue = 10 * time.Second
	for title, c := range map[string]struct {
		decision Decision
		left     time.Duration // until the deadline; 0 for none
		change   func(*corev1.Pod)
		late     bool
	}{
		"no deadline":                       {decision: later},
		"an hour left":                      {decision: later, left: time.Hour},
		"time for one more try":             {decision: later, left: 14 * time.Second},
		"the next try would be too late":    {decision: later, left: 13 * time.Second, late: true},
		"it would be in the last second":    {decision: later, left: 10500 * time.Millisecond, late: true},
		"a second left":                     {decision: later, left: time.Second, late: true},
		"none left":                         {decision: later, left: -time.Minute, late: true},
		"it is tried again in place":        {decision: Decision{Refusal: later.Refusal, RetryAfter: 1}, left: time.Second},
		"it is refused for good anyway":     {decision: Decision{Refusal: reason.New(reason.NoProvenance, "")}, left: time.Second},
		"it is admitted":                    {decision: allow(), left: time.Second},
		"nothing is decided":                {left: time.Second},
		"the deadline cannot be read":       {decision: later, left: time.Second, change: deadline("soon")},
		"Argo's pod that runs no step":      {decision: later, left: time.Second, change: func(pod *corev1.Pod) { pod.Labels["workflows.argoproj.io/component"] = "agent" }},
		"only another container has a time": {decision: later, left: time.Second, change: func(pod *corev1.Pod) { pod.Spec.InitContainers[0].Name = "other" }},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t)
			w.gate.Requeue = requeue
			pod := argotest.Pod(t, "consume")
			value := time.Time{}
			if c.left != 0 {
				value = now.Add(c.left)
			}
			deadline(value.Format(time.RFC3339Nano))(pod)
			if c.change != nil {
				c.change(pod)
			}
			got := w.gate.OutOfTime(pod, c.decision)
			if (got != nil) != c.late {
				t.Fatalf("refusal is %v, want one: %t", got, c.late)
			}
			if got == nil {
				return
			}
			want := "OutOfTime: artifact message (s3://a/b): its time ends at " + value.Format(time.RFC3339) +
				", and it waits: ProvenancePending: pod produce ended, its seal is on its way. " + reason.OutOfTime.Remedy()
			if got.Error() != want || got.Code.Retryable() {
				t.Errorf("it says\n%s\nwant\n%s", got, want)
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
