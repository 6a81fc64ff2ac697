package main

import (
	"context"

	"github.com/spf13/cobra"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/pages"
	"github.com/argoseal/argoseal/pkg/program"
	accesscontroller "github.com/argoseal/argoseal/pkg/sentinel/access/controller"
)

func accessCommand() *cobra.Command {
	var o program.Beside
	c := &cobra.Command{
		Use:   "access",
		Short: "Keep the Roles and bindings that SecretAccesses come to",
		Long: `Keep the Roles and bindings that SecretAccesses come to.

It is a process of its own, so that it needs none of the rights of controller, and
the other way round. What pods may take, the API server decides by the chart's
admission policies, whether this runs or not.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return keepAccess(c.Context(), o) },
	}
	f := c.Flags()
	o.Flags(f)
	f.StringVar(&o.Namespace, "namespace", "argoseal-sentinel", "namespace of the lease")
	return c
}

func keepAccess(ctx context.Context, o program.Beside) error {
	config, scheme, err := program.Connect("argoseal-sentinel-access", version, clientgoscheme.AddToScheme, v1alpha1.AddToScheme)
	if err != nil {
		return err
	}
	options := o.Options(scheme, "argoseal-sentinel-access")
	config.Wrap(pages.Bound)
	objects := accesscontroller.Caches()
	options.Cache.ByObject, options.Cache.NewInformer = objects, pages.Informers(objects)
	mgr, err := o.Manager(ctx, config, options)
	if err != nil {
		return err
	}
	r := &accesscontroller.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("argoseal-sentinel-access"), Clock: clock.RealClock{}}
	if err := r.SetupWithManager(mgr); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
