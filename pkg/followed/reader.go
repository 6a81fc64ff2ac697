package followed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/cluster"
)

// Reader reads the record. Its fields are set once; it is safe for concurrent use.
type Reader struct {
	// API reads at the API server itself.
	API client.Reader
	// Namespace is Argoseal's own.
	Namespace string
	// Given is what the operator says; Of are the namespaces that they named.
	Given argo.Identity
	Of    []string
	// NonRoot is the user of executor images called -nonroot for which the operator
	// gives none; 0: none.
	NonRoot int64
	Clock   clock.PassiveClock
	Log     logr.Logger

	mu     sync.RWMutex
	record Record
	read   bool
}

// Identity is what is trusted now. Without a record it is what the operator says.
func (r *Reader) Identity() argo.Identity {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.record.Identity(r.Given, r.Of, r.NonRoot, r.Clock.Now())
}

// Ready is a readiness check: the record was read once.
func (r *Reader) Ready(*http.Request) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.read {
		return errors.New("it is not known yet which Argo runs in the namespaces that are named")
	}
	return nil
}

// SetupWithManager has the manager keep the record in every replica.
func (r *Reader) SetupWithManager(ctx context.Context, m manager.Manager) error {
	changed := make(chan struct{}, 1)
	return errors.Join(
		cluster.Watch(ctx, m, &corev1.ConfigMap{}, r.Namespace, v1alpha1.ConfigMapArgo, changed),
		m.Add(reading{r, changed}),
	)
}

// Load reads once. On an error what was read before stays.
func (r *Reader) Load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var c corev1.ConfigMap
	if err := r.API.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: v1alpha1.ConfigMapArgo}, &c); err != nil {
		return fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapArgo, err)
	}
	record, err := Parse(&c)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record, r.read = record, true
	return nil
}

// reading runs a reader.
type reading struct {
	*Reader
	changed <-chan struct{}
}

// NeedLeaderElection tells a manager to run it in every replica.
func (reading) NeedLeaderElection() bool { return false }

// Start reads until ctx ends: when something changed, and after a while.
func (r reading) Start(ctx context.Context) error {
	cluster.Looker{
		Look: r.Load, Changed: r.changed, Every: lookAgain, Retry: retryLook,
		Failed: func(err error) {
			r.Log.Error(err, "It cannot be read which Argo runs; going on with what is known")
		},
	}.Run(ctx)
	return nil
}
