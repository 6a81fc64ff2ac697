package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/argoseal/argoseal/certs/public" // key services
	"github.com/argoseal/argoseal/pkg/connections"
	"github.com/argoseal/argoseal/pkg/program"
	"github.com/argoseal/argoseal/pkg/sentinel/kms"
	"github.com/argoseal/argoseal/pkg/sentinel/kms/remote"
)

// maxProbe bounds how long nobody knows that a key is gone.
const maxProbe = 2 * time.Minute

// kmsOptions are the flags of kms-plugin.
type kmsOptions struct {
	program.Beside
	key, listen string
	readKeys    []string
	probe       time.Duration
}

func kmsCommand() *cobra.Command {
	var o kmsOptions
	c := &cobra.Command{
		Use:   "kms-plugin",
		Short: "Have this node's API server encrypt under a key of a key service",
		Long: `Have this node's API server encrypt under a key of a key service.

It is a KMS v2 plugin. It runs beside each API server, needs none of them, and keeps
nothing: neither a key nor what lies under it. Credentials are those that the
service's own programs would find.

A key is named by what leads to it alone, for ever: in AWS by its ARN, never by an
alias. To go over to another key, first have the plugins of all API servers read with
it (--read-key), and then write with it, and read with the one before.`,
		Example: `  argoseal-sentinel kms-plugin --listen unix:///run/argoseal-kms/kms.sock \
    --key awskms:///arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return servePlugin(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.key, "key", "", "key that is written with: awskms:///ARN, with ?profile=NAME and &endpoint=URL if need be")
	f.StringArrayVar(&o.readKeys, "read-key", nil, "key that is only read with: the one before, or the next; repeatable")
	f.StringVar(&o.listen, "listen", "", "socket to answer at, as the API server's file names it: unix:///PATH")
	f.DurationVar(&o.probe, "probe", time.Minute, "how often each key is tried, which is two requests to the service: 1s to 2m")
	f.StringVar(&o.MetricsAddress, "metrics-address", "127.0.0.1:9441", "address of /metrics; 0 is none")
	f.StringVar(&o.HealthAddress, "health-address", "127.0.0.1:9442", "address of /healthz, and of /readyz, which is whether all keys can be used; 0 is none")
	require(c, "key", "listen")
	return c
}

func servePlugin(ctx context.Context, o kmsOptions) error {
	if o.probe < time.Second || o.probe > maxProbe {
		return fmt.Errorf("--probe %s is not 1s to %s", o.probe, maxProbe)
	}
	if err := public.Check(); err != nil {
		return err
	}
	write, err := remote.Open(ctx, o.key)
	if err != nil {
		return fmt.Errorf("--key %w", err)
	}
	var read []kms.Key
	for _, given := range o.readKeys {
		key, err := remote.Open(ctx, given)
		if err != nil {
			return fmt.Errorf("--read-key %w", err)
		}
		read = append(read, key)
	}
	log := ctrl.Log.WithName("kms")
	plugin, err := kms.New(write, read, o.probe, clock.RealClock{}, kms.NewMetrics(metrics.Registry), log)
	if err != nil {
		return err
	}
	// What the API server learns first is whether the key can be used.
	plugin.ProbeOnce(ctx)
	group, ctx := errgroup.WithContext(ctx)
	if err := o.serveBeside(ctx, group, plugin); err != nil {
		return err
	}
	l, err := kms.Listen(ctx, o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	log.Info("Serving", "version", version, "listen", o.listen, "key", write.ID, "readKeys", len(read))
	group.Go(func() error { return kms.Serve(ctx, l, plugin) })
	group.Go(func() error { plugin.Probe(ctx); return nil })
	return group.Wait()
}

// serveBeside serves metrics and probes. The process is alive whatever the key service
// does: to start it anew would not help.
func (o kmsOptions) serveBeside(ctx context.Context, group *errgroup.Group, plugin *kms.Plugin) error {
	alive := map[string]healthz.Checker{"ping": healthz.Ping}
	ready := map[string]healthz.Checker{"key": func(*http.Request) error { return plugin.Usable() }}
	for _, side := range []struct {
		name, address string
		handler       http.Handler
	}{
		{"metrics", o.MetricsAddress, connections.MetricsOf(metrics.Registry)},
		{"probes", o.HealthAddress, connections.Probes(alive, ready)},
	} {
		server, err := connections.Side(ctx, side.name, side.address, side.handler, ctrl.Log.WithName(side.name))
		if err != nil {
			return err
		}
		if server != nil {
			group.Go(func() error { return server.Start(ctx) })
		}
	}
	return nil
}
