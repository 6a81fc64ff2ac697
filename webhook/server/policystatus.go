package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
)

// reasonInForce is the reason of a Ready condition that is True.
const reasonInForce = "InForce" // the policy counts

// attestedAgain is after how long a policy's bundles are looked at again: what they have to
// hold under may have changed.
const attestedAgain = time.Minute

// attestedSoon is after how long, where there is no trusted root yet, or somebody else wrote
// the policy meanwhile.
const attestedSoon = 5 * time.Second

// Report keeps the Ready condition of the policies, once they are watched. Every replica
// does. They come to the same, and the first one's write is the last; but on whether a bundle
// holds they may differ, as what they trust may (one of two releases, a trust domain that one
// has read and the other not). Then each says so once in a minute and not whenever the other
// has. attests verifies the bundle of an entry: nil if it holds.
func (p *Policies) Report(mgr manager.Manager, api client.StatusClient, attests func(v1alpha1.Attested) *reason.Error) error {
	for name, of := range map[string]struct {
		informer cache.Informer
		make     func() client.Object
	}{
		"clusterprovenancepolicy": {p.watched[0], func() client.Object { return &v1alpha1.ClusterProvenancePolicy{} }},
		"provenancepolicy":        {p.watched[1], func() client.Object { return &v1alpha1.ProvenancePolicy{} }},
	} {
		c, err := controller.New(name, mgr, controller.Options{
			NeedLeaderElection: ptr.To(false),
			// One process may be several replicas, as in tests.
			SkipNameValidation: ptr.To(true),
			Reconciler:         readiness{policies: mgr.GetAPIReader(), make: of.make, api: api, attests: attests, clock: p.clock},
		})
		if err == nil {
			err = c.Watch(changed(of.informer))
		}
		if err != nil {
			return fmt.Errorf("status of %s: %w", name, err)
		}
	}
	return nil
}

// changed are the policies that have changed, other than by a condition of ours.
func changed(informer cache.Informer) source.Source {
	return &source.Informer{
		Informer: informer, Handler: &handler.EnqueueRequestForObject{},
		Predicates: []predicate.Predicate{predicate.GenerationChangedPredicate{}},
	}
}

// readiness says of one policy whether it can be evaluated.
type readiness struct {
	policies client.Reader
	// make makes one of their kind.
	make func() client.Object
	api  client.StatusClient
	// attests verifies the bundle of an entry.
	attests func(v1alpha1.Attested) *reason.Error
	clock   clock.PassiveClock
}

// Reconcile writes the condition if it says something else than what is there.
func (r readiness) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	object := r.make()
	if err := r.policies.Get(ctx, req.NamespacedName, object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	var conditions *[]metav1.Condition
	var invalid error
	var warnings []string
	var again time.Duration
	switch o := object.(type) {
	case *v1alpha1.ClusterProvenancePolicy:
		conditions, invalid, warnings = &o.Status.Conditions, policy.CheckCluster(o), policy.Warnings(o.Spec.PolicyRules)
		early := false
		problems, of := policy.Unattested(o, func(a v1alpha1.Attested) *reason.Error {
			no := r.attests(a)
			early = early || no != nil && no.Code == reason.TrustedRootNotReady
			return no
		})
		switch {
		case early: // nothing is known yet, and other replicas may know it
			return reconcile.Result{RequeueAfter: attestedSoon}, nil
		case len(problems) > 0:
			invalid = reason.New(reason.AttestationInvalid, "%s", strings.Join(problems, "; "))
		}
		if of > 0 {
			again = attestedAgain
		}
	case *v1alpha1.ProvenancePolicy:
		conditions, invalid, warnings = &o.Status.Conditions, policy.CheckOwn(o), policy.OwnWarnings(o)
	default:
		return reconcile.Result{}, fmt.Errorf("watch of policies: unexpected %T", object)
	}
	result := reconcile.Result{RequeueAfter: again}
	said := meta.FindStatusCondition(*conditions, v1alpha1.ConditionReady)
	now := r.clock.Now()
	rest := time.Duration(0)
	if said != nil && said.ObservedGeneration == object.GetGeneration() && (again > 0 || said.Reason == string(reason.AttestationInvalid)) {
		rest = said.LastTransitionTime.Add(attestedAgain).Sub(now)
	}
	c := ready(object.GetGeneration(), invalid, warnings)
	c.LastTransitionTime = metav1.NewTime(now)
	if !meta.SetStatusCondition(conditions, c) {
		return result, nil
	}
	if rest > 0 { // another replica sees it otherwise, or did until now
		return reconcile.Result{RequeueAfter: min(rest, attestedAgain)}, nil
	}
	err := r.api.Status().Update(ctx, object)
	switch {
	case apierrors.IsNotFound(err):
		return reconcile.Result{}, nil
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: attestedSoon}, nil // not each change of it comes here
	case err != nil:
		return reconcile.Result{}, err
	}
	return result, nil
}

// maxWarnings is what a condition has room for, in bytes, beside what we say.
const maxWarnings = 4096

// ready is the condition of a policy that is invalid for this reason, or nil. One
// that is in force says what it leaves to others.
func ready(generation int64, invalid error, warnings []string) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: reasonInForce, ObservedGeneration: generation}
	if invalid != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(reason.Of(invalid)), invalid.Error()
		return c
	}
	for i, w := range warnings {
		if len(c.Message)+len(w) > maxWarnings {
			c.Message += fmt.Sprintf("; and %d more", len(warnings)-i)
			break
		}
		if i > 0 {
			c.Message += "; "
		}
		c.Message += w
	}
	return c
}
