package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/argoseal/argoseal/pkg/notary"
	"github.com/argoseal/argoseal/pkg/notary/budget"
)

// bounds are the flags of what is stored for one namespace.
type bounds struct {
	objects int64
	bytes   string
}

func (b *bounds) flags(f *pflag.FlagSet) {
	f.Int64Var(&b.objects, "budget-objects", 0, "records (Provenances, ArtifactSeals, WorkflowProvenances) that a namespace may have; 0: any number")
	f.StringVar(&b.bytes, "budget-bytes", "", "what a namespace's records may take in etcd, such as 512Mi; empty: any amount")
}

// limit is what the flags say.
func (b *bounds) limit() (budget.Size, error) {
	s := budget.Size{Objects: b.objects}
	if b.objects < 0 {
		return s, usage("--budget-objects is not below zero")
	}
	if b.bytes == "" {
		return s, nil
	}
	q, err := resource.ParseQuantity(b.bytes)
	if err != nil || q.Sign() < 0 {
		return s, usage("--budget-bytes is an amount of bytes, such as 512Mi")
	}
	s.Bytes = q.Value()
	return s, nil
}

// bound has the notary keep to the budgets, and tells of namespaces that have used theirs up.
func bound(ctx context.Context, mgr manager.Manager, api client.Client, n *notary.Notary, o options) error {
	limit, err := o.bounds.limit()
	if err != nil {
		return err
	}
	if n.Budget = budget.NewLedger(limit); n.Budget == nil {
		return nil
	}
	if o.attest {
		if err := n.CountWorkflows(ctx, mgr.GetCache()); err != nil {
			return err
		}
	}
	if err := metrics.Registry.Register(n.Budget); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return mgr.Add(&budget.Board{
		API: api, Namespace: o.namespace, Ledger: n.Budget, Events: mgr.GetEventRecorder("argoseal-notary"),
		Clock: clock.RealClock{}, Log: ctrl.Log.WithName("budget"),
	})
}
