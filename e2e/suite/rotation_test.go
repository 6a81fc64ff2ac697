//go:build e2e

package suite

import (
	"context"
	"os/exec"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/verify"
)

// TestConformanceRotationWithWorkflowsRunning: the signing key is replaced while workflows run. None
// of them fails; what was sealed before is taken by a step that comes after; what ends
// afterwards is sealed under the successor; and a whole workflow whose steps were sealed
// under both is stated.
func TestConformanceRotationWithWorkflowsRunning(t *testing.T) {
	// Not beside others: some verify under keys that they have read before.
	ns := namespace(t, "rotation", v1alpha1.ModeEnforce)
	l, s := cluster(t), stage(t)
	over := submit(t, ns, betweenTwo)
	suspended(t, ns, over)
	before := signerOf(t, ns, over, "make")

	rotate := exec.CommandContext(t.Context(), s.Argoseal, "trust", "rotate", "--kubeconfig", l.Kubeconfig, "--namespace", lab.System)
	if said, err := rotate.CombinedOutput(); err != nil {
		t.Fatalf("argoseal trust rotate: %v: %s", err, said)
	}
	// The notary makes the successor and publishes it. It would sign in 15 minutes: the
	// test puts that back, and nothing else.
	var successor string
	await(t, "a successor of "+before, func(ctx context.Context) (bool, error) {
		_, rules, err := signers(ctx, l)
		for _, k := range rules.Keys {
			if k.Hint != before && k.ValidFrom != nil && k.ValidUntil == nil && k.CompromisedFrom == nil && time.Since(*k.ValidFrom) < 10*time.Minute {
				successor = k.Hint
			}
		}
		return successor != "", err
	})
	if err := retry.RetryOnConflict(retry.DefaultRetry, func() error { return backdate(t.Context(), l, successor) }); err != nil {
		t.Fatal(err)
	}
	// Workflows run all the while, until every replica of the notary seals under the
	// successor: each looks for it by itself, and which one seals a pod is by its UID.
	var running []string
	inARow := 0
	for deadline := time.Now().Add(limit); ; {
		name := submit(t, ns, "metadata: {generateName: meanwhile-}\nspec:\n  entrypoint: pass\n"+passing)
		running = append(running, name)
		run := finish(t, ns, name)
		if run.Phase != "Succeeded" {
			t.Fatal(run)
		}
		if signerOf(t, ns, name, "make") != successor {
			inARow = 0
		} else if inARow++; inARow == 6 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %d workflows the successor does not sign", len(running))
		}
	}
	_, rules, err := signers(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range rules.Keys {
		if k.Hint == before && k.ValidUntil == nil {
			t.Error("the key before counts for ever")
		}
	}
	// What the key before sealed is taken now, by a step that the successor seals.
	if err := l.Resume(t.Context(), ns, over); err != nil {
		t.Fatal(err)
	}
	run := finish(t, ns, over)
	if run.Phase != "Succeeded" {
		t.Fatal(run)
	}
	followed(t, run)
	if got := signerOf(t, ns, over, "use"); got != successor {
		t.Errorf("%s signed, want %s", got, successor)
	}
	if got := signerOf(t, ns, over, "make"); got != before {
		t.Errorf("the first step's seal is under %s, was %s", got, before)
	}
	await(t, "a statement of the whole workflow", func(ctx context.Context) (bool, error) {
		var whole v1alpha1.WorkflowProvenance
		if err := l.Client.Get(ctx, client.ObjectKey{Namespace: ns, Name: run.UID}, &whole); err != nil {
			return false, client.IgnoreNotFound(err)
		}
		return whole.Status.Bundle != "", nil
	})
}

func await(t *testing.T, what string, done func(context.Context) (bool, error)) {
	t.Helper()
	if err := lab.Eventually(t.Context(), limit, done); err != nil {
		t.Fatalf("there is not %s: %v", what, err)
	}
}

// signers are the notary's published keys, and what is said of them.
func signers(ctx context.Context, l *lab.Lab) (*corev1.ConfigMap, verify.Rules, error) {
	var public corev1.ConfigMap
	if err := l.Client.Get(ctx, client.ObjectKey{Namespace: lab.System, Name: v1alpha1.ConfigMapNotaryKey}, &public); err != nil {
		return nil, verify.Rules{}, err
	}
	rules, err := verify.ParseRules([]byte(public.Data[v1alpha1.RulesKey]))
	return &public, rules, err
}

// backdate says that a key was published long enough ago to sign.
func backdate(ctx context.Context, l *lab.Lab, hint string) error {
	public, rules, err := signers(ctx, l)
	if err != nil {
		return err
	}
	long := time.Now().Add(-time.Hour).UTC()
	for i := range rules.Keys {
		if rules.Keys[i].Hint == hint {
			rules.Keys[i].ValidFrom = &long
		}
	}
	raw, err := rules.JSON()
	if err != nil {
		return err
	}
	public.Data[v1alpha1.RulesKey] = string(raw)
	return l.Client.Update(ctx, public)
}

// signerOf is the key under which a step's seal verifies.
func signerOf(t *testing.T, ns, workflow, step string) string {
	t.Helper()
	l := cluster(t)
	run := until(t, ns, workflow, func(*lab.Run) bool { return true })
	node, ok := run.Node(step)
	if !ok {
		t.Fatalf("no step %s: %s", step, run)
	}
	pod, err := l.PodOf(t.Context(), run, node)
	if err != nil {
		t.Fatal(err)
	}
	record, err := l.Provenance(t.Context(), pod, limit)
	if err != nil {
		t.Fatal(err)
	}
	root, err := l.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := root.Inspect([]byte(record.Status.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	return signed.KeyHint
}
