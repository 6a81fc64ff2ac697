package lab

import (
	"context"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
)

// settle is how long after its binding was made a policy counts (pkg/epoch).
const settle = 7 * time.Second

// AwaitGuards waits until the admission policies were made as long ago as it takes them to
// count: a workflow that is made before is refused (GuardsNotHeld).
func (l *Lab) AwaitGuards(ctx context.Context) error {
	var guards admissionv1.ValidatingAdmissionPolicyBindingList
	if err := l.Client.List(ctx, &guards); err != nil {
		return fmt.Errorf("list the bindings of policies: %w", err)
	}
	var left time.Duration
	for _, g := range guards.Items {
		left = max(left, settle-time.Since(g.CreationTimestamp.Time))
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(left, settle)):
		return nil
	}
}
