// Argoseal-controller follows the workflows of labelled namespaces and says, in one
// WorkflowProvenance each, what became of everything that they make. It holds no key
// and no credential, and never writes to a Workflow or a pod.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/monitor/controller"
	"github.com/argoseal/argoseal/pkg/pages"
	"github.com/argoseal/argoseal/pkg/program"
	"github.com/argoseal/argoseal/pkg/reason"
)

// version is set at link time.
var version = "devel"

// The client's own limits are far above what is needed (some four calls a workflow);
// the API server has its own, per client.
const (
	queriesPerSecond = 200
	queriesBurst     = 400
	// garbagePercent is how much garbage may wait, of what is in use: as Go has it.
	garbagePercent = 100
)

func main() {
	program.Main(program.Command("argoseal-controller", "Follows workflows, and says what became of what they make", version, runCommand()))
}

// options are the flags of run.
type options struct {
	program.Beside
	workers      int
	budgets      bool
	maxAge       time.Duration
	maxWorkflows int
	archive      string
}

func runCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "run",
		Short: "Follow workflows until told to stop",
		Long: `Follow the workflows of labelled namespaces until told to stop. Of several
replicas one works, the others wait.

With --retain-for or --retain-workflows the records of workflows that are gone are
removed beyond these, a whole workflow at a time; never what a policy needs, nor what is
not final. With --archive-dir their bundles are written to a folder before.`,
		Example: "  argoseal-controller run --namespace argoseal-system",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the lease (env POD_NAMESPACE)")
	o.Flags(f)
	f.IntVar(&o.workers, "workers", 4, "workflows looked at at a time; each may be some MiB in memory")
	f.BoolVar(&o.budgets, "keep-to-budgets", false, "begin no record in namespaces that the ConfigMap argoseal-budget names")
	f.DurationVar(&o.maxAge, "retain-for", 0, "remove the records of a workflow that is gone so long after its last one was made, 1h at least; 0: never")
	f.IntVar(&o.maxWorkflows, "retain-workflows", 0, "remove the records of workflows that are gone, but for this many of each namespace, the last ones; 0: never")
	f.StringVar(&o.archive, "archive-dir", "", "folder that bundles are written to before their records are removed; empty: none")
	return c
}

func (o options) run(ctx context.Context) error {
	switch {
	case o.Namespace == "" && (o.LeaderElect || o.budgets):
		return reason.New(reason.UsageInvalid, "--namespace is missing: name the namespace that Argoseal runs in")
	case o.workers < 1:
		return reason.New(reason.UsageInvalid, "--workers=%d: it has to be 1 or more", o.workers)
	}
	if err := o.checkRetention(); err != nil {
		return err
	}
	config, scheme, err := program.Connect("argoseal-controller", version, v1alpha1.AddToScheme, corev1.AddToScheme)
	if err != nil {
		return err
	}
	program.SpendMemory(garbagePercent)
	config.Wrap(pages.Bound)
	config.QPS, config.Burst = queriesPerSecond, queriesBurst
	beside := o.Options(scheme, "argoseal-controller")
	objects := controller.Caches()
	beside.Cache = cache.Options{ByObject: objects, NewInformer: pages.Informers(objects)}
	beside.LeaderElectionReleaseOnCancel = true // the lease is given up as the last thing this process does
	mgr, err := o.Manager(ctx, config, beside)
	if err != nil {
		return err
	}
	api, err := program.Client(mgr)
	if err != nil {
		return err
	}
	counts, err := controller.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	set, err := kubernetes.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("client of workflows: %w", err)
	}
	r := &controller.Reconciler{
		Cache: mgr.GetClient(), API: api, Stored: stored.NewReader(stored.FromAPI(set.CoreV1().RESTClient())), Metrics: counts, Clock: clock.RealClock{},
		Events: mgr.GetEventRecorder("argoseal-controller"),
	}
	if o.budgets {
		r.Full = o.full(api)
	}
	if err := errors.Join(
		r.SetupWithManager(ctx, mgr, o.workers),
		o.retain(mgr, api),
	); err != nil {
		return err
	}
	ctrl.Log.Info("Starting", "version", version, "workers", o.workers)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	return nil
}
