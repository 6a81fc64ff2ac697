package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	accesscontroller "github.com/argoseal/argoseal/pkg/sentinel/access/controller"
)

// accessOptions are the flags of access.
type accessOptions struct {
	namespace      string
	leaderElect    bool
	metricsAddress string
	healthAddress  string
}

func accessCommand() *cobra.Command {
	var o accessOptions
	c := &cobra.Command{
		Use:   "access",
		Short: "Keep the Roles and bindings that SecretAccesses come to",
		Long: `Keep the Roles and bindings that SecretAccesses come to.

It is a process of its own, so that it needs none of the rights of controller, and
the other way round. What pods may take, the API server decides by the chart's
admission policies, whether this runs or not.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	f := c.Flags()
	f.BoolVar(&o.leaderElect, "leader-elect", true, "let one replica work at a time")
	f.StringVar(&o.namespace, "namespace", "argoseal-sentinel", "namespace of the lease")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8080", "address of /metrics; 0 is none")
	f.StringVar(&o.healthAddress, "health-address", ":8081", "address of /healthz and /readyz; 0 is none")
	return c
}

func (o accessOptions) run(ctx context.Context) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	config.UserAgent = "argoseal-sentinel-access/" + version
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		// These are served beside, with bounds: everybody reaches them.
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:  "0",
		LeaderElection:          o.leaderElect,
		LeaderElectionID:        "argoseal-sentinel-access",
		LeaderElectionNamespace: o.namespace,
	})
	if err != nil {
		return err
	}
	r := &accesscontroller.Reconciler{Client: mgr.GetClient(), Events: mgr.GetEventRecorder("argoseal-sentinel-access"), Clock: clock.RealClock{}}
	if err := errors.Join(beside(ctx, mgr, o.metricsAddress, o.healthAddress), r.SetupWithManager(mgr)); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
