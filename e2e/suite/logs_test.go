//go:build e2e

package suite

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestArchivedLogsAreSealed(t *testing.T) {
	t.Parallel()
	if !sealsLogs(t) {
		unfit(t, "Argoseal was installed with sealLogs=false")
	}
	ns := namespace(t, "logs", v1alpha1.ModeEnforce)
	run := finish(t, ns, begin(t, "shapes/logs.yaml", ns, "logs"))
	if run.Phase != "Succeeded" {
		t.Error(run)
	}
	sealed(t, run, fates{
		"make/message": reason.Sealed, "make/main-logs": reason.Sealed,
		"set/first-logs": reason.Sealed, "set/main-logs": reason.Sealed,
		"named/main-logs": reason.Sealed, "quiet/message": reason.Sealed, "use/main-logs": reason.Sealed,
	})
	seals, err := cluster(t).Seals(t.Context(), ns, run.UID)
	if err != nil {
		t.Fatal(err)
	}
	logs := map[string]string{}
	for i := range seals {
		key := seals[i].Spec.Location.Key
		if !strings.HasSuffix(key, ".log") {
			continue
		}
		s := stage(t)
		evidence, err := cluster(t).Save(t.Context(), &seals[i], filepath.Join(s.Dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(t.Context(), evidence); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		content, err := os.ReadFile(evidence.Artifact)
		if err != nil {
			t.Fatal(err)
		}
		logs[seals[i].Spec.Producer.Template+" "+seals[i].Spec.Producer.Output] = string(content)
	}
	for output, line := range map[string]string{
		"make main-logs": "to the log, too\n", "set first-logs": "first\n", "set main-logs": "second\n", "use main-logs": "made\n",
	} {
		if !strings.Contains(logs[output], line) {
			t.Errorf("the log %s is %q, want %q in it", output, logs[output], line)
		}
	}
	if len(logs) != 4 {
		t.Errorf("want 4 sealed logs, got %q", logs)
	}
}

// TestLogsOffIsWithoutASeal: where the operator does not want it, Argo archives logs and
// nothing of ours is in a pod because of them. `make conformance` installs it so at its
// end.
func TestLogsOffIsWithoutASeal(t *testing.T) {
	t.Parallel()
	if sealsLogs(t) {
		unfit(t, "Argoseal was installed with sealLogs=true")
	}
	ns := namespace(t, "no-logs", v1alpha1.ModeEnforce)
	run := finish(t, ns, begin(t, "shapes/logs.yaml", ns, "no-logs"))
	if run.Phase != "Succeeded" {
		t.Error(run)
	}
	sealed(t, run, fates{"make/message": reason.Sealed, "named/main-logs": reason.Sealed, "quiet/message": reason.Sealed})
	seals, err := cluster(t).Seals(t.Context(), ns, run.UID)
	if err != nil || len(seals) != 3 {
		t.Errorf("want the seals of three outputs, got %d: %v", len(seals), err)
	}
	for _, display := range []string{"set", "use"} {
		node, _ := run.Node(display)
		if node.Key("main-logs") == "" {
			t.Errorf("Argo archived no log of %s: %+v", display, node.Outputs)
		}
		pod, err := cluster(t).PodOf(t.Context(), run, node)
		if err != nil {
			t.Fatal(err)
		}
		if last := pod.Spec.InitContainers[len(pod.Spec.InitContainers)-1]; last.Name == argo.SignerContainer {
			t.Errorf("the pod of %s, which has nothing but logs, has %s: %q", display, last.Name, last.Args)
		}
	}
}

// sealsLogs says whether Argoseal was installed so that it seals logs, once all
// replicas agree: those of an installation before serve until they have ended.
func sealsLogs(t *testing.T) bool {
	t.Helper()
	with := 0
	err := lab.Eventually(t.Context(), 4*time.Minute, func(ctx context.Context) (bool, error) {
		pods, err := cluster(t).PodsOf(ctx, lab.Webhook)
		with = 0
		for _, p := range pods {
			if slices.Contains(p.Spec.Containers[0].Args, "--seal-logs") {
				with++
			}
		}
		return len(pods) > 0 && (with == 0 || with == len(pods)), err
	})
	if err != nil {
		t.Fatalf("the webhook's replicas do not agree whether logs are sealed: %v", err)
	}
	return with > 0
}
