package followed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
)

const (
	// lookAgain bounds how long a missed event goes unnoticed. Up to this long,
	// too, the admission policies count what runs no more.
	lookAgain = 5 * time.Minute
	// pause keeps namespaces in which much changes from keeping us busy.
	pause = 500 * time.Millisecond
	// lookTimeout bounds the calls of one look.
	lookTimeout = 20 * time.Second
	// maxNote keeps an event's note within what Kubernetes allows.
	maxNote = 1000
)

// patience is for replicas that look at the same change.
var patience = wait.Backoff{Steps: 8, Duration: 10 * time.Millisecond, Factor: 2, Jitter: 0.5}

// Keeper writes the record. Every replica has one; they find the same.
type Keeper struct {
	// API reads and writes at the API server itself.
	API client.Client
	// Namespace is Argoseal's own.
	Namespace string
	// Of are the namespaces that the operator named.
	Of []string
	// Remember is told what runs before anybody else is, so that nobody admits a pod
	// that the notary would not know.
	Remember func(ctx context.Context, now Record) error
	Events   events.EventRecorder
	Clock    clock.PassiveClock
	Log      logr.Logger

	found   atomic.Int64
	unread  atomic.Int64
	changes changes
	// reported are Deployments whose events have said that they cannot be read.
	reported map[types.UID]bool
}

// SetupWithManager has the manager look in every replica whenever something changes.
func (k *Keeper) SetupWithManager(ctx context.Context, m manager.Manager) error {
	changed := make(chan struct{}, 1)
	err := cluster.Watch(ctx, m, &corev1.ConfigMap{}, k.Namespace, v1alpha1.ConfigMapArgo, changed)
	for _, object := range []client.Object{&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &corev1.ConfigMap{}} {
		err = errors.Join(err, cluster.WatchIn(ctx, m, object, k.Of, changed))
	}
	return errors.Join(err, m.Add(keeping{k, changed}))
}

// Look looks once. An error says that something could not be read or written. Then
// nothing that is on record ends, but what was found begins all the same.
func (k *Keeper) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	now := find(ctx, k.API, k.Of)
	k.found.Store(int64(len(now.Deployments)))
	k.unread.Store(int64(len(now.Unread)))
	k.complain(now.Unread)
	err := retry.OnError(patience, apierrors.IsConflict, func() error { return k.record(ctx, now) })
	return errors.Join(now.err(), err)
}

// complain tells whoever looks at a Deployment that it cannot be read, once.
func (k *Keeper) complain(unread []Unread) {
	reported := map[types.UID]bool{}
	for _, u := range unread {
		d := u.Deployment
		if d == nil {
			continue
		}
		if reported[d.UID] = true; k.reported[d.UID] {
			continue
		}
		//argoseal:event Deployment | Warning | `ArgoUnread` | it runs Argo's controller in a namespace that is followed, and its configuration cannot be read
		k.Events.Eventf(d, nil, corev1.EventTypeWarning, string(reason.ArgoUnread), "Follow", "%s",
			text.Cut("what was trusted before stays trusted, and what it runs now is not followed: "+u.Err.Error(), maxNote))
	}
	k.reported = reported
}

// record merges what was found into the ConfigMap. The chart makes and removes that: one
// made here while the chart is uninstalled would be in the way of the next installation.
func (k *Keeper) record(ctx context.Context, now Found) error {
	var c corev1.ConfigMap
	if err := k.API.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: v1alpha1.ConfigMapArgo}, &c); err != nil {
		return fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapArgo, err)
	}
	before, err := Parse(&c)
	if err != nil {
		return err
	}
	after := before.clone()
	at := k.Clock.Now()
	if len(now.Unread) > 0 {
		now = now.with(before)
	}
	after.merge(now, at)
	if err := k.Remember(ctx, after); err != nil {
		return err
	}
	had := maps.Clone(c.Data)
	if err := after.write(&c, at); err != nil {
		return err
	}
	if !maps.Equal(had, c.Data) {
		if err := k.API.Update(ctx, &c); err != nil {
			return err
		}
	}
	k.tell(now, before, after)
	return nil
}

// with adds to what was found what the record says of everything that could not be
// read: nobody knows that it has ended.
func (f Found) with(r Record) Found {
	for _, n := range []struct {
		into *[]string
		of   Names
	}{{&f.Controllers, r.Controllers}, {&f.ExecutorImages, r.ExecutorImages}, {&f.ExecutorEnv, r.ExecutorEnv}, {&f.PlainStores, r.PlainStores}} {
		*n.into = slices.Clone(*n.into)
		for name, since := range n.of {
			if since == "" {
				*n.into = append(*n.into, name)
			}
		}
	}
	return f
}

func (r Record) clone() Record {
	return Record{
		Controllers: maps.Clone(r.Controllers), ExecutorImages: maps.Clone(r.ExecutorImages),
		ExecutorEnv: maps.Clone(r.ExecutorEnv), PlainStores: maps.Clone(r.PlainStores),
	}
}

// tell says what has changed: to the metrics, the log and whoever looks at the events of
// Argo's Deployments. The one replica that wrote it does.
func (k *Keeper) tell(now Found, before, after Record) {
	var begun, ended []string
	for _, kind := range []struct {
		what       what
		word       string
		before, in Names
	}{
		{controllerChange, "controller ", before.Controllers, after.Controllers},
		{imageChange, "executor image ", before.ExecutorImages, after.ExecutorImages},
		{envChange, "executor variable ", before.ExecutorEnv, after.ExecutorEnv},
	} {
		for _, name := range slices.Sorted(maps.Keys(kind.in)) {
			since, known := kind.before[name]
			shown := name
			if kind.what == envChange { // its value may be nobody's business
				shown, _, _ = strings.Cut(name, "=")
			}
			switch was, is := known && since == "", kind.in[name] == ""; {
			case is && !was:
				begun = append(begun, kind.word+shown)
				k.changes.count(kind.what)
			case was && !is:
				ended = append(ended, kind.word+shown)
				k.changes.count(kind.what)
			}
		}
	}
	if len(begun)+len(ended) == 0 {
		return
	}
	k.Log.Info("Argo has changed", "begun", begun, "ended", ended, "endedCountsFor", Lingers.String())
	var note []string
	if len(begun) > 0 {
		note = append(note, "trusted from now on: "+strings.Join(begun, ", "))
	}
	if len(ended) > 0 {
		note = append(note, "trusted for "+Lingers.String()+" yet: "+strings.Join(ended, ", "))
	}
	for _, d := range now.Deployments {
		//argoseal:event Deployment | Normal | `ArgoChanged` | Argo's controller runs with something else than before, in a namespace that is followed
		k.Events.Eventf(d, nil, corev1.EventTypeNormal, string(reason.ArgoChanged), "Follow", "%s", text.Cut(strings.Join(note, "; "), maxNote))
	}
}

// keeping runs a keeper.
type keeping struct {
	*Keeper
	changed <-chan struct{}
}

// NeedLeaderElection tells a manager to run it in every replica.
func (keeping) NeedLeaderElection() bool { return false }

// Start looks until ctx ends: when something changed, and after a while.
func (k keeping) Start(ctx context.Context) error {
	cluster.Looker{
		Look: k.Look, Changed: k.changed, Gather: pause, Every: lookAgain, Retry: retryLook,
		Failed: func(err error) {
			k.Log.Error(err, "Argo's namespaces cannot all be looked at; what is known of these stays")
		},
	}.Run(ctx)
	return nil
}

// retryLook is how soon what could not be looked at is looked at again.
var retryLook = wait.Backoff{Duration: pause, Factor: 2, Steps: 32, Cap: 30 * time.Second}
