// Package program is how our programs that work beside an API server begin and end:
// their log, their command, how they reach the API server, and what they serve
// beside their work.
//
// What a program does is its own: this package decides nothing.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/argoseal/argoseal/pkg/connections"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Command is a program's outermost command. It says what is wrong in one line, and how to
// call it only if it is asked.
func Command(name, short, version string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Version: version, SilenceUsage: true, SilenceErrors: true}
	c.AddCommand(commands...)
	return c
}

// Log has all of the process log as JSON.
func Log() {
	logger := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, nil))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
}

// Main runs a command until it ends, or the process is told to stop, and ends the process.
func Main(c *cobra.Command) {
	Log()
	os.Exit(exitCode(c.ExecuteContext(ctrl.SetupSignalHandler()), os.Stderr))
}

// exitCode says what is wrong, in one line, and what to exit with: an error's own
// ExitCode, or that of its reason code.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, strings.Join(strings.Fields(err.Error()), " "))
	if own := (interface{ ExitCode() int })(nil); errors.As(err, &own) {
		return own.ExitCode()
	}
	return reason.Of(err).ExitCode()
}

// Connect is how a program reaches the API server, and the types that it speaks of there.
// It calls itself by its name and version.
func Connect(name, version string, types ...func(*runtime.Scheme) error) (*rest.Config, *runtime.Scheme, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("finding the API server: %w", err)
	}
	config.UserAgent = name + "/" + version
	scheme := runtime.NewScheme()
	for _, add := range types {
		if err := add(scheme); err != nil {
			return nil, nil, fmt.Errorf("types: %w", err)
		}
	}
	return config, scheme, nil
}

// Beside are the flags of a program of which one replica works at a time.
type Beside struct {
	// Namespace has the lease.
	Namespace      string
	LeaderElect    bool
	MetricsAddress string
	HealthAddress  string
}

// Flags adds all but the one of the namespace.
func (b *Beside) Flags(f *pflag.FlagSet) {
	f.BoolVar(&b.LeaderElect, "leader-elect", true, "let one replica work at a time")
	b.Addresses(f)
}

// Addresses adds those of what is served.
func (b *Beside) Addresses(f *pflag.FlagSet) {
	f.StringVar(&b.MetricsAddress, "metrics-address", ":8080", "address of /metrics; 0 is none")
	f.StringVar(&b.HealthAddress, "health-address", ":8081", "address of /healthz and /readyz; 0 is none")
}

// Options are those of a manager with a lease of that name. It serves nothing by itself.
func (b *Beside) Options(scheme *runtime.Scheme, lease string) ctrl.Options {
	return ctrl.Options{
		Scheme:                  scheme,
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:  "0",
		LeaderElection:          b.LeaderElect,
		LeaderElectionID:        lease,
		LeaderElectionNamespace: b.Namespace,
	}
}

// Manager makes one that is alive as soon as it runs, and ready as long as its caches can be
// filled. Metrics and probes are served with bounds: everybody reaches them.
func (b *Beside) Manager(ctx context.Context, config *rest.Config, o ctrl.Options) (manager.Manager, error) {
	known := &caches{clock: clock.RealClock{}}
	o.Cache.DefaultWatchErrorHandler = known.failed
	mgr, err := ctrl.NewManager(config, o)
	if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	sides := connections.Sides{
		Metrics: b.MetricsAddress, Probes: b.HealthAddress,
		Alive: map[string]healthz.Checker{"ping": healthz.Ping}, Ready: map[string]healthz.Checker{"caches": known.fresh},
	}
	return mgr, sides.Serve(ctx, mgr, ctrl.Log)
}

// Client asks the API server itself, where a manager's own client reads from its cache.
func Client(mgr manager.Manager) (client.WithWatch, error) {
	api, err := client.NewWithWatch(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return api, nil
}
