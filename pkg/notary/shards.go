package notary

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-helpers/apimachinery/lease"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// labelReplica is on the Leases by which the replicas know each other.
const labelReplica = v1alpha1.Group + "/notary-replica"

// maxForeign is how long a pod is left to its own replica. A replica that lives and
// does not begin with its pod by then has lost sight of it.
const maxForeign = 5 * time.Minute

// Shards says which replica begins with which pod, so that replicas do not race for
// each. It is the one with the highest hash of itself and the pod, among those
// whose Leases hold. With this rendezvous hashing, only the pods of a replica that
// comes or goes change hands. Only speed depends on it: creating the record
// decides.
type Shards struct {
	// Self is this replica's name.
	Self string
	// Leases reads those of Namespace from a cache; nil: there are no other replicas.
	Leases    client.Reader
	Namespace string

	mu     sync.Mutex
	others []string
	read   time.Time
}

// leasesAge is how long it is remembered which replicas live.
const leasesAge = time.Second

// LeaseCache says what of Leases is watched: those of replicas, in Argoseal's namespace.
func LeaseCache(namespace string) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&coordinationv1.Lease{}: {
			Namespaces: map[string]cache.Config{namespace: {}},
			Label:      labels.SelectorFromSet(labels.Set{labelReplica: "true"}),
		},
	}
}

// watch has the cache watch Leases, and reads them there.
func (s *Shards) watch(ctx context.Context, c cache.Cache) error {
	if _, err := c.GetInformer(ctx, &coordinationv1.Lease{}, cache.BlockUntilSynced(false)); err != nil {
		return fmt.Errorf("watching leases: %w", err)
	}
	s.Leases = c
	return nil
}

// live lists the other replicas whose Leases hold. One that cannot be seen is raced with.
func (s *Shards) live(ctx context.Context, now time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.read); s.Leases == nil || age >= 0 && age < leasesAge {
		return s.others
	}
	s.others, s.read = nil, now
	var list coordinationv1.LeaseList
	if err := s.Leases.List(ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{labelReplica: "true"}); err != nil {
		return nil
	}
	for _, l := range list.Items {
		if l.Spec.HolderIdentity == nil || l.Spec.RenewTime == nil || l.Spec.LeaseDurationSeconds == nil || *l.Spec.HolderIdentity == s.Self {
			continue
		}
		if until := l.Spec.RenewTime.Add(time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second); now.Before(until) {
			s.others = append(s.others, *l.Spec.HolderIdentity)
		}
	}
	return s.others
}

// ours says whether this replica begins with a pod.
func (s *Shards) ours(ctx context.Context, uid types.UID, now time.Time) bool {
	mine := weight(s.Self, uid)
	for _, other := range s.live(ctx, now) {
		if w := weight(other, uid); w > mine || w == mine && other < s.Self {
			return false
		}
	}
	return true
}

// weight is what a replica bids for a pod.
func weight(replica string, uid types.UID) uint64 {
	sum := sha256.Sum256([]byte(replica + "/" + string(uid)))
	return binary.BigEndian.Uint64(sum[:])
}

// foreign are finished pods that others begin with. Its zero value is ready.
type foreign struct {
	mu   sync.Mutex
	pods map[types.UID]foreignPod
}

type foreignPod struct {
	key   Key
	since time.Time
	// overdue says that it was left for too long, and is begun by whoever is first.
	overdue bool
}

// leaveToOthers leaves a pod to others; false: it has been for too long.
func (f *foreign) leaveToOthers(key Key, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pods == nil {
		f.pods = map[types.UID]foreignPod{}
	}
	p, known := f.pods[key.UID]
	if !known {
		f.pods[key.UID] = foreignPod{key: key, since: now}
	}
	return !p.overdue
}

// remove forgets a pod that somebody has begun with, or that is gone.
func (f *foreign) remove(uid types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pods, uid)
}

// sweep puts into the queue what has become ours, or was left for too long.
func (f *foreign) sweep(ctx context.Context, s *Shards, queue workqueue.TypedRateLimitingInterface[Key], now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for uid, p := range f.pods {
		switch {
		case s.ours(ctx, uid, now):
			delete(f.pods, uid)
		case now.Sub(p.since) > maxForeign:
			p.overdue = true
			f.pods[uid] = p
		default:
			continue
		}
		queue.Add(p.key)
	}
}

// Alive is what keeps this replica's Lease, and deletes it in the end, so that the others
// take its pods over at once. The Lease of one that was killed goes with its pod.
func Alive(api kubernetes.Interface, namespace, holder string, duration time.Duration) manager.Runnable {
	return manager.RunnableFunc(func(ctx context.Context) error {
		ofPod := func(l *coordinationv1.Lease) error {
			metav1.SetMetaDataLabel(&l.ObjectMeta, labelReplica, "true")
			if len(l.OwnerReferences) > 0 {
				return nil
			}
			if pod, err := api.CoreV1().Pods(namespace).Get(ctx, holder, metav1.GetOptions{}); err == nil {
				l.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(pod, corev1.SchemeGroupVersion.WithKind("Pod"))}
				l.OwnerReferences[0].BlockOwnerDeletion = nil
			}
			return nil // without an owner it is as good
		}
		keeper := lease.NewController(clock.RealClock{}, api, holder, int32(duration/time.Second), nil, duration/3, holder, namespace, ofPod)
		keeper.Run(ctx)
		keeper.Stop()
		return nil
	})
}
