package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/archive"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/retention"
	sweeper "github.com/argoseal/argoseal/pkg/retention/controller"
)

// limits are what the flags say.
func (o options) limits() retention.Limits {
	return retention.Limits{MaxAge: o.maxAge, MaxWorkflows: o.maxWorkflows}
}

// checkRetention refuses what cannot work. A folder that is not there would be made in
// the container, and go with it.
func (o options) checkRetention() error {
	switch {
	case o.maxAge != 0 && o.maxAge < retention.Settled:
		return reason.New(reason.UsageInvalid, "--retain-for=%s: it is %s at least, or 0", o.maxAge, retention.Settled)
	case o.maxWorkflows < 0:
		return reason.New(reason.UsageInvalid, "--retain-workflows=%d: it is not below zero", o.maxWorkflows)
	case o.archive != "" && !o.limits().On():
		return reason.New(reason.UsageInvalid, "--archive-dir is for --retain-for and --retain-workflows: argoseal export writes a folder without them")
	}
	if o.archive == "" {
		return nil
	}
	if is, err := os.Stat(o.archive); err != nil || !is.IsDir() {
		return reason.New(reason.UsageInvalid, "--archive-dir=%.200s: there is no such folder", o.archive)
	}
	return nil
}

// retain has the replica that leads remove records, if anything is to be removed.
func (o options) retain(mgr manager.Manager, api client.Client) error {
	if !o.limits().On() {
		return nil
	}
	m, err := sweeper.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	s := &sweeper.Sweeper{Cache: mgr.GetClient(), API: api, Limits: o.limits(), Metrics: m, Clock: clock.RealClock{}, Log: ctrl.Log.WithName("retention")}
	if o.archive != "" {
		s.Archive = func(namespace, name string, bundle []byte) error {
			return archive.Keep(o.archive, namespace, name, bundle)
		}
	}
	return mgr.Add(s)
}

// full asks whether the notary has said that a namespace has used up its budget.
func (o options) full(api client.Reader) func(context.Context, string) (bool, error) {
	return func(ctx context.Context, namespace string) (bool, error) {
		var c corev1.ConfigMap
		err := api.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: v1alpha1.ConfigMapBudget}, &c)
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapBudget, err)
		}
		return slices.Contains(strings.Fields(c.Data[v1alpha1.BudgetFullKey]), namespace), nil
	}
}
