//go:build e2e

package suite

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// earlier is a variable that executors have before an upgrade, and not after it.
const earlier = `{"initContainers":[{"name":"init","env":[{"name":"EARLIER","value":"1"}]}],
"containers":[{"name":"wait","env":[{"name":"EARLIER","value":"1"}]}]}`

// TestConformanceAnUpgradeCostsPodsThatRunNothing: a step is admitted, and ends
// while no notary is there. An upgrade after which its pod would not be admitted
// then brings one, which has to know what held before. No other test runs
// meanwhile.
func TestConformanceAnUpgradeCostsPodsThatRunNothing(t *testing.T) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
		defer cancel()
		if err := errors.Join(upgrade(ctx, "argo.executorUsers=[]", "argo.executorEnv=[]"), cluster(t).Ready(ctx, lab.Notary)); err != nil {
			t.Errorf("Argoseal is NOT AS IT WAS: %v", err)
		}
	})
	if err := upgrade(t.Context(), executorEnv("EARLIER=1")); err != nil {
		t.Fatal(err)
	}
	if err := cluster(t).Ready(t.Context(), lab.Webhook); err != nil {
		t.Fatal(err)
	}
	ns := namespace(t, "upgrade", v1alpha1.ModeEnforce)
	wf, err := lab.Workflow(relay)
	if err != nil {
		t.Fatal(err)
	}
	templates, _, err := unstructured.NestedSlice(wf.Object, "spec", "templates")
	if err != nil {
		t.Fatal(err)
	}
	templates[1].(map[string]any)["podSpecPatch"] = earlier
	if err := unstructured.SetNestedSlice(wf.Object, templates, "spec", "templates"); err != nil {
		t.Fatal(err)
	}
	// Argo would take the pod away at once: its deletion is held back.
	set(t, wf, map[string]any{"strategy": "OnPodCompletion", "deleteDelayDuration": "0s"}, "spec", "podGC")
	name, err := cluster(t).Submit(t.Context(), ns, wf)
	if err != nil {
		t.Fatal(err)
	}
	until(t, ns, name, making)
	if err := cluster(t).PullPlug(t.Context(), lab.Notary); err != nil {
		t.Fatal(err)
	}
	paused(t, ns, name)
	pods, err := cluster(t).Pods(t.Context(), ns, name)
	if err != nil || len(pods) != 1 {
		t.Fatalf("%d pods, %v", len(pods), err)
	}
	executor := pods[0].Spec.InitContainers[0].Image
	if err := upgrade(t.Context(), executorEnv(), `argo.executorUsers=["`+executor+`=0"]`); err != nil {
		t.Fatal(err)
	}
	goesOn(t, ns, name)
}

// executorEnv is the value that says by hand which variables Argo's executors have:
// those of the development cluster, and more.
func executorEnv(more ...string) string {
	return fmt.Sprintf(`argo.executorEnv=["%s"]`, strings.Join(append(slices.Clone(part.ExecutorEnv), more...), `","`))
}

// upgrade changes values of the installation, and waits until it is done.
func upgrade(ctx context.Context, values ...string) error {
	args := []string{"upgrade", "argoseal", "../../charts/argoseal", "--namespace", lab.System, "--reuse-values", "--wait"}
	for _, v := range values {
		args = append(args, "--set-json", v)
	}
	if out, err := exec.CommandContext(ctx, "helm", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
