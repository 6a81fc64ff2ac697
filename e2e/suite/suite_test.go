//go:build e2e

package suite

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/e2e/scenario"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// prefix begins the name of every namespace that a test makes.
	prefix = "e2e-"
	// unlabelled is where Argo's example runs as if there were no Argoseal.
	unlabelled = prefix + "unlabelled"
	// anew is the variable that says to install Argoseal even if it is installed.
	anew = "ARGOSEAL_E2E_ANEW"
	// limit is how long one workflow may take. On their own they take ten
	// seconds or so; here many share two cores, and whatever else they do.
	limit = 6 * time.Minute
	// atOnce is how many tests run at a time. They mostly wait.
	atOnce = "8"
)

// plain is the mode of a namespace that Argoseal leaves alone.
const plain v1alpha1.Mode = ""

// baseline is Argo's example without Argoseal; nil if Argoseal was installed
// before the suite began, and stayed. It is set before any test runs.
var baseline []string

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); !isSet(f.Name) {
		_ = f.Value.Set(atOnce) // a number
	}
	code := 1
	earlier, err := namespaces()
	if err == nil {
		err = install()
	}
	if err == nil {
		err = counts()
	}
	if err == nil {
		code = m.Run()
		err = leftBehind(earlier)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		code = 1
	}
	os.Exit(code)
}

// install puts Argoseal into a cluster that does not have it, or is to have it
// anew, and records what Argo's example looks like before.
func install() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	l, err := connect()
	if err != nil {
		return err
	}
	installed, err := l.Installed(ctx)
	if err != nil || installed && os.Getenv(anew) == "" {
		return err
	}
	s := &scenario.Stage{Lab: l, Root: "../..", Out: os.Stderr}
	baseline, err = scenario.Install(ctx, s, unlabelled)
	return errors.Join(err, l.Discard(ctx, unlabelled))
}

// counts waits until what is installed judges, and nobody else: replicas of an
// installation before have ended, and the policies were made as long ago as it takes
// them to count (pkg/epoch).
func counts() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	l, err := connect()
	if err != nil {
		return err
	}
	for _, w := range []lab.Workload{lab.Webhook, lab.Notary} {
		err := lab.Eventually(ctx, 4*time.Minute, func(ctx context.Context) (bool, error) {
			pods, err := l.PodsOf(ctx, w)
			return !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), err
		})
		if err != nil {
			return fmt.Errorf("earlier pods of %s do not end: %w", w.Name, err)
		}
	}
	return l.AwaitGuards(ctx)
}

// unfit ends a test that the installation is not fit for: it is skipped only where
// that was there before, and failed where the suite made it.
func unfit(t *testing.T, why string) {
	t.Helper()
	if os.Getenv(anew) != "" {
		t.Fatal(why)
	}
	t.Skip(why + ": `make e2e` installs it anew")
}

func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// namespaces are those of tests, by their UID: before any test runs, what an earlier
// run left that was cut.
func namespaces() (map[types.UID]string, error) {
	l, err := connect()
	if err != nil {
		return nil, err
	}
	return l.Namespaces(context.Background(), prefix)
}

// leftBehind waits until every namespace that these tests made is gone. One that
// does not go is a bug: something of ours holds it.
func leftBehind(earlier map[types.UID]string) error {
	left := map[types.UID]string{"": "(unknown)"}
	err := lab.Eventually(context.Background(), 4*time.Minute, func(context.Context) (bool, error) {
		now, err := namespaces()
		if err == nil {
			maps.DeleteFunc(now, func(uid types.UID, _ string) bool { _, there := earlier[uid]; return there })
			left = now
		}
		return err == nil && len(left) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("namespaces do not go away: %s", strings.Join(slices.Sorted(maps.Values(left)), ", "))
	}
	return nil
}

// connect reaches the cluster, once for all tests.
var connect = sync.OnceValues(func() (*lab.Lab, error) { return lab.Connect(context.Background()) })

// cluster is the cluster that a test runs on.
func cluster(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// stage is where a test plays a scenario; it tells its story to the test's log.
func stage(t *testing.T) *scenario.Stage {
	t.Helper()
	cosign, err := part.Path(t.Context(), "cosign", "cosign")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return &scenario.Stage{
		Lab: cluster(t), Root: root, Argoseal: filepath.Join(root, "bin", "argoseal"), Cosign: cosign, Dir: t.TempDir(), Out: t.Output(),
	}
}

// namespace makes a namespace for a test, which is gone when the suite ends.
func namespace(t *testing.T, name string, mode v1alpha1.Mode) string {
	t.Helper()
	l := cluster(t)
	name = prefix + name
	if mode == plain {
		name += "-plain"
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
		defer cancel()
		if t.Failed() {
			tell(ctx, t, l, name)
		}
		if err := l.Discard(ctx, name); err != nil {
			t.Error(err)
		}
	})
	if err := l.Namespace(t.Context(), name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

// tell puts into a failed test's log what Argo's controller, the webhook and the
// notary said about its namespace: what CI leaves is all there is to understand it by.
func tell(ctx context.Context, t *testing.T, l *lab.Lab, ns string) {
	t.Helper()
	for _, w := range []lab.Workload{lab.ArgoController, lab.Webhook, lab.Notary} {
		lines, err := l.Said(ctx, w, ns, 80)
		t.Logf("%s about %s (%v):\n%s", w.Name, ns, err, strings.Join(lines, "\n"))
	}
}

// submit hands a workflow to Argo.
func submit(t *testing.T, ns, text string) string {
	t.Helper()
	return argos[0].submit(t, ns, text)
}

// finish waits until Argo has finished with a workflow.
func finish(t *testing.T, ns, name string) *lab.Run {
	t.Helper()
	return until(t, ns, name, (*lab.Run).Done)
}

// standstill is how long nothing at all happens to a workflow before it is to be seen
// whether Argo has only lost sight of it.
const standstill = 90 * time.Second

// until waits until a workflow is as wanted. One that stands still is touched: what it
// comes to is what matters, and how Argo's controller keeps an eye on it is no matter
// of ours. Tests of what we have it do by itself ask the cluster.
func until(t *testing.T, ns, name string, wanted func(*lab.Run) bool) *lab.Run {
	t.Helper()
	version, since := "", time.Now()
	run, err := cluster(t).WaitFor(t.Context(), ns, name, limit, func(r *lab.Run) bool {
		switch {
		case r.Version != version:
			version, since = r.Version, time.Now()
		case !r.Done() && time.Since(since) > standstill:
			t.Logf("nothing has happened for %s (%v): %s", standstill, cluster(t).Wake(t.Context(), ns, name), r)
			since = time.Now()
		}
		return wanted(r)
	})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// refused holds an error to be a refusal with a code: code first, on one line.
func refused(t *testing.T, err error, code reason.Code) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatalf("it succeeded; want %s", code)
	case !refuses(err.Error(), code):
		t.Fatalf("want %s, got: %v", code, err)
	}
	t.Log(err)
}

// refuses finds a refusal in a message that may put its own words before it.
func refuses(message string, code reason.Code) bool {
	return strings.Contains(": "+message, ": "+string(code)+": ")
}

// refusal is what became of a workflow, as an error: nil if it succeeded, or
// else what its failed nodes say.
func refusal(run *lab.Run) error {
	if run.Phase == "Succeeded" {
		return nil
	}
	for _, n := range run.Nodes {
		if n.Type == "Pod" && n.Message != "" {
			return errors.New(n.Message)
		}
	}
	return errors.New(run.String())
}
