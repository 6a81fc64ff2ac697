// Argoseal-controller follows the workflows of labelled namespaces and says, in one
// WorkflowProvenance each, what became of everything that they make. It holds no key
// and no credential, and never writes to a Workflow or a pod.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/connections"
	"github.com/argoseal/argoseal/pkg/monitor/controller"
	"github.com/argoseal/argoseal/pkg/reason"
)

// version is set at link time.
var version = "devel"

// The client's own limits are far above what is needed (some four calls a workflow);
// the API server has its own, per client.
const (
	queriesPerSecond = 200
	queriesBurst     = 400
)

func main() {
	logger := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, nil))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	root := &cobra.Command{
		Use:           "argoseal-controller",
		Short:         "Follows workflows, and says what became of what they make",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand())
	if err := root.ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(reason.Of(err).ExitCode())
	}
}

// options are the flags of run.
type options struct {
	namespace      string
	leaderElect    bool
	workers        int
	budgets        bool
	maxAge         time.Duration
	maxWorkflows   int
	archive        string
	metricsAddress string
	healthAddress  string
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
	f.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the lease (env POD_NAMESPACE)")
	f.BoolVar(&o.leaderElect, "leader-elect", true, "let one replica work at a time")
	f.IntVar(&o.workers, "workers", 4, "workflows looked at at a time; each may be some MiB in memory")
	f.BoolVar(&o.budgets, "keep-to-budgets", false, "begin no record in namespaces that the ConfigMap argoseal-budget names")
	f.DurationVar(&o.maxAge, "retain-for", 0, "remove the records of a workflow that is gone so long after its last one was made, 1h at least; 0: never")
	f.IntVar(&o.maxWorkflows, "retain-workflows", 0, "remove the records of workflows that are gone, but for this many of each namespace, the last ones; 0: never")
	f.StringVar(&o.archive, "archive-dir", "", "folder that bundles are written to before their records are removed; empty: none")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8080", "address of /metrics; 0 is none")
	f.StringVar(&o.healthAddress, "health-address", ":8081", "address of /healthz and /readyz; 0 is none")
	return c
}

// beside serves metrics and probes.
func (o options) beside(ctx context.Context, mgr manager.Manager) error {
	ping := map[string]healthz.Checker{"ping": healthz.Ping}
	return connections.Sides{Metrics: o.metricsAddress, Probes: o.healthAddress, Alive: ping, Ready: ping}.Serve(ctx, mgr, ctrl.Log)
}

func (o options) run(ctx context.Context) error {
	switch {
	case o.namespace == "" && (o.leaderElect || o.budgets):
		return reason.New(reason.UsageInvalid, "--namespace is missing: name the namespace that Argoseal runs in")
	case o.workers < 1:
		return reason.New(reason.UsageInvalid, "--workers=%d: it has to be 1 or more", o.workers)
	}
	if err := o.checkRetention(); err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	config.QPS, config.Burst = queriesPerSecond, queriesBurst
	config.UserAgent = "argoseal-controller/" + version
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		return fmt.Errorf("types: %w", err)
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		Cache:  cache.Options{ByObject: controller.Caches()},
		// These are served beside, with bounds: everybody reaches them.
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:  "0",
		LeaderElection:          o.leaderElect,
		LeaderElectionID:        "argoseal-controller",
		LeaderElectionNamespace: o.namespace,
		// The lease is given up as the last thing this process does.
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	api, err := client.New(config, client.Options{Scheme: scheme, Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	counts, err := controller.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	r := &controller.Reconciler{
		Cache: mgr.GetClient(), API: api, Metrics: counts, Clock: clock.RealClock{},
		Events: mgr.GetEventRecorder("argoseal-controller"),
	}
	if o.budgets {
		r.Full = o.full(api)
	}
	if err := errors.Join(
		r.SetupWithManager(ctx, mgr, o.workers),
		o.retain(mgr, api),
		o.beside(ctx, mgr),
	); err != nil {
		return err
	}
	ctrl.Log.Info("Starting", "version", version, "workers", o.workers)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	return nil
}
