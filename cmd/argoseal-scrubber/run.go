package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/argoseal/argoseal/certs/public" // stores of clouds
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/program"
	"github.com/argoseal/argoseal/pkg/reason"
	scrubber "github.com/argoseal/argoseal/pkg/scrub/controller"
)

const (
	// The API server is asked little: pages of seals, records of directories, and a few
	// writes.
	queriesPerSecond = 50
	queriesBurst     = 100
	// leastEvery keeps passes apart.
	leastEvery = time.Minute
	// burst is how much is read at once, in bytes.
	burst = 1 << 20
)

// errAltered says that run --once found something. Like every error without a reason code
// it is exit code 1.
var errAltered = errors.New("artifacts were altered")

// errUnread says that run --once found nothing, and did not see all.
var errUnread error = unread{}

type unread struct{}

func (unread) Error() string { return "artifacts could not be read" }

// ExitCode tells it from what was altered.
func (unread) ExitCode() int { return 20 }

// options are the flags of run.
type options struct {
	program.Beside
	once          bool
	stores        string
	every, settle time.Duration
	sample        int
	bytes         string
}

func runCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "run",
		Short: "Compare what lies in the stores with what was sealed",
		Long: `Compare what lies in artifact stores with what was sealed there, again and again
until told to stop; the first pass begins at once. An altered artifact becomes the
condition Intact=False of its ArtifactSeal, an event and a metric.

The file --stores lists S3 endpoints, as templates name them:

  stores:
  - endpoint: s3.example.com
    region: eu-central-1
    credentials: /credentials/0   # a folder with the files accessKey and secretKey
    compare:                      # whose seals are compared, and where; nobody else's are
    - namespaces: [team-*]
      under: [artifacts/, shared/{namespace}/]   # or "*"

The credentials need to read and list, nothing else.`,
		Example: "  argoseal-scrubber run --namespace argoseal-system --stores /etc/argoseal/stores.yaml\n" +
			"  argoseal-scrubber run --once --stores stores.yaml",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context(), c.OutOrStdout()) },
	}
	f := c.Flags()
	f.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the lease (env POD_NAMESPACE)")
	o.Flags(f)
	f.BoolVar(&o.once, "once", false, "compare once, print what it came to, and exit with 1 if something is altered")
	f.StringVar(&o.stores, "stores", "", "file that lists the artifact stores")
	f.DurationVar(&o.every, "every", 24*time.Hour, "time from the beginning of one pass to that of the next")
	f.DurationVar(&o.settle, "settle", 10*time.Minute, "how long something else may lie at a place before it counts as altered: a step stores its outputs before they are sealed")
	f.IntVar(&o.sample, "sample-percent", 100, "share of the artifacts that a pass compares; those that are altered are compared in each")
	f.StringVar(&o.bytes, "bytes-per-second", "32Mi", "how much is read of the stores, on average; empty: any amount")
	return c
}

func (o options) check() error {
	switch {
	case o.Namespace == "" && o.LeaderElect && !o.once:
		return reason.New(reason.UsageInvalid, "--namespace is missing: name the namespace that Argoseal runs in")
	case o.every < leastEvery:
		return reason.New(reason.UsageInvalid, "--every=%s: it is %s at least", o.every, leastEvery)
	case o.settle < 0:
		return reason.New(reason.UsageInvalid, "--settle=%s: it is not below zero", o.settle)
	case o.sample < 1 || o.sample > 100:
		return reason.New(reason.UsageInvalid, "--sample-percent=%d: it is from 1 to 100", o.sample)
	}
	if err := public.Check(); err != nil {
		return reason.Wrap(reason.UsageInvalid, err, "%v", err)
	}
	return nil
}

// limit is how fast stores are read.
func (o options) limit() (*rate.Limiter, error) {
	if o.bytes == "" {
		return rate.NewLimiter(rate.Inf, 0), nil
	}
	q, err := resource.ParseQuantity(o.bytes)
	if err != nil || q.Value() < 1 {
		return nil, reason.New(reason.UsageInvalid, "--bytes-per-second=%.40q is an amount of bytes, such as 32Mi", o.bytes)
	}
	return rate.NewLimiter(rate.Limit(float64(q.Value())), int(min(q.Value(), int64(burst), math.MaxInt32))), nil
}

func (o options) run(ctx context.Context, out io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	limit, err := o.limit()
	if err != nil {
		return err
	}
	stores, err := readStores(o.stores, limit)
	if err != nil {
		return err
	}
	if o.once {
		o.LeaderElect, o.MetricsAddress, o.HealthAddress = false, "0", "0"
	}
	config, scheme, err := program.Connect("argoseal-scrubber", version, v1alpha1.AddToScheme, corev1.AddToScheme)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = queriesPerSecond, queriesBurst
	beside := o.Options(scheme, "argoseal-scrubber")
	beside.LeaderElectionReleaseOnCancel = true
	mgr, err := o.Manager(ctx, config, beside)
	if err != nil {
		return err
	}
	api, err := program.Client(mgr)
	if err != nil {
		return err
	}
	counts, err := scrubber.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	s := &scrubber.Scrubber{
		Options: scrubber.Options{Every: o.every, Sample: float64(o.sample) / 100, Settle: o.settle},
		API:     api, Stores: stores, Metrics: counts, Clock: clock.RealClock{},
		Events: mgr.GetEventRecorder("argoseal-scrubber"), Log: ctrl.Log.WithName("scrub"),
	}
	runs, came := manager.Runnable(s), func() error { return nil }
	if o.once {
		runs, ctx, came = once(ctx, s, out)
	}
	if err := mgr.Add(runs); err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	ctrl.Log.Info("Starting", "version", version, "stores", len(stores))
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	return came()
}

// once runs one pass and then ends the context; came says what it came to.
func once(ctx context.Context, s *scrubber.Scrubber, out io.Writer) (run manager.Runnable, until context.Context, came func() error) {
	until, stop := context.WithCancel(ctx)
	result := errors.New("it was stopped")
	return manager.RunnableFunc(func(ctx context.Context) error {
		defer stop()
		result = onePass(ctx, s, out)
		return nil
	}), until, func() error { return result }
}

// onePass compares once and says what came of it. Of places that it could not read,
// a pass says nothing.
func onePass(ctx context.Context, s *scrubber.Scrubber, out io.Writer) error {
	r, err := s.Pass(ctx)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%d intact, %d altered, %d that cannot be compared, %d that could not be read\n", r.Intact, r.Altered, r.Unknown, r.Unreadable); err != nil {
		return err
	}
	if r.Altered > 0 {
		return fmt.Errorf("%d %w: see kubectl get artifactseals -A, column ALTERED", r.Altered, errAltered)
	}
	if r.Unreadable > 0 {
		return fmt.Errorf("%d %w: nothing is known of these", r.Unreadable, errUnread)
	}
	return nil
}
