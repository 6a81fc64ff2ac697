//go:build e2e

package suite

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// TestConformanceAnUpgradeCostsPodsThatRunNothing: a step is admitted, and ends
// while no notary is there. An upgrade that changes everything that a pod is held
// to then brings one. No other test runs meanwhile.
func TestConformanceAnUpgradeCostsPodsThatRunNothing(t *testing.T) {
	ns := namespace(t, "upgrade", v1alpha1.ModeEnforce)
	name := submit(t, ns, relay)
	until(t, ns, name, making)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
		defer cancel()
		if err := errors.Join(helm(ctx, "rollback", "argoseal", "--wait"), cluster(t).Ready(ctx, lab.Notary)); err != nil {
			t.Errorf("Argoseal is NOT AS IT WAS: %v", err)
		}
	})
	if err := cluster(t).PullPlug(t.Context(), lab.Notary); err != nil {
		t.Fatal(err)
	}
	paused(t, ns, name)
	pods, err := cluster(t).Pods(t.Context(), ns, name)
	if err != nil || len(pods) != 1 {
		t.Fatalf("%d pods, %v", len(pods), err)
	}
	executor := pods[0].Spec.InitContainers[0].Image
	if err := helm(t.Context(), "upgrade", "argoseal", "../../charts/argoseal", "--reuse-values", "--wait",
		"--set", "argo.executorUsers={"+executor+"=0}", "--set", `argo.executorEnv={NO_PROXY=.svc,LATER=1}`); err != nil {
		t.Fatal(err)
	}
	goesOn(t, ns, name)
}

// helm changes the installation.
func helm(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "helm", append(args, "--namespace", lab.System)...).CombinedOutput()
	if err != nil {
		return errors.Join(err, errors.New(string(out)))
	}
	return nil
}
