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

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestConformanceArchivedLogsAreSealed(t *testing.T) {
	t.Parallel()
	sealsLogs(t)
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

// sealsLogs wants Argoseal to have been installed so that it seals logs, and waits
// for the replicas of an installation before it: they serve until they have ended.
func sealsLogs(t *testing.T) {
	t.Helper()
	err := lab.Eventually(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		pods, err := cluster(t).PodsOf(ctx, lab.Webhook)
		without := slices.ContainsFunc(pods, func(p corev1.Pod) bool { return !slices.Contains(p.Spec.Containers[0].Args, "--seal-logs") })
		return len(pods) > 0 && !without, err
	})
	if err != nil {
		t.Fatalf("Argoseal was installed without sealLogs, `make conformance` installs it with it: %v", err)
	}
}
