package notary

import (
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// leasesOf has a Lease of each replica, renewed so long ago.
func leasesOf(tb testing.TB, now time.Time, ago map[string]time.Duration) client.Reader {
	tb.Helper()
	scheme := testScheme(tb)
	var all []client.Object
	for name, d := range ago {
		renewed, seconds := metav1.NewMicroTime(now.Add(-d)), int32(testClaim/time.Second)
		all = append(all, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: name, Labels: map[string]string{labelReplica: "true"}},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, RenewTime: &renewed, LeaseDurationSeconds: &seconds},
		})
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(all...).Build()
}

func TestEachPodIsBegunByOneReplica(t *testing.T) {
	now := time.Now()
	all := map[string]time.Duration{"a": 0, "b": time.Second, "c": 2 * time.Second}
	of := func(leases client.Reader) map[string]*Shards {
		replicas := map[string]*Shards{}
		for name := range all {
			replicas[name] = &Shards{Self: name, Leases: leases, Namespace: testNamespace}
		}
		return replicas
	}
	replicas := of(leasesOf(t, now, all))
	had := map[types.UID]string{}
	count := map[string]int{}
	for i := range 3000 {
		uid := types.UID(fmt.Sprint(i))
		for name, s := range replicas {
			if s.ours(t.Context(), uid, now) {
				if had[uid] != "" {
					t.Fatalf("%s and %s both begin with pod %s", had[uid], name, uid)
				}
				had[uid] = name
				count[name]++
			}
		}
		if had[uid] == "" {
			t.Fatalf("nobody begins with pod %s", uid)
		}
	}
	for name, n := range count {
		if n < 800 || n > 1200 {
			t.Errorf("%s has %d of 3000", name, n)
		}
	}
	// One is gone: its pods change hands, and no others.
	replicas = of(leasesOf(t, now, map[string]time.Duration{"a": 0, "b": time.Second, "c": testClaim + time.Second}))
	for uid, name := range had {
		a, b := replicas["a"].ours(t.Context(), uid, now), replicas["b"].ours(t.Context(), uid, now)
		if a == b || name == "a" && !a || name == "b" && !b {
			t.Fatalf("pod %s of %s: a has it %t, b %t", uid, name, a, b)
		}
	}
	if !(&Shards{Self: "a"}).ours(t.Context(), "any", now) {
		t.Error("who knows of nobody else leaves a pod to others")
	}
}

func TestWhatWasLeftToAnotherForTooLongIsBegun(t *testing.T) {
	now := time.Now()
	s := &Shards{Self: "a", Namespace: testNamespace, Leases: leasesOf(t, now, map[string]time.Duration{"b": 0})}
	key := Key{Namespace: "demo", Pod: "p"}
	for i := 0; key.UID == "" || s.ours(t.Context(), key.UID, now); i++ {
		key.UID = types.UID(fmt.Sprint(i))
	}
	var f foreign
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedItemBasedRateLimiter[Key]())
	defer q.ShutDown()
	f.leaveToOthers(key, now)
	if f.sweep(t.Context(), s, q, now.Add(time.Minute/6)); q.Len() != 0 {
		t.Error("it is taken from who lives")
	}
	if f.sweep(t.Context(), s, q, now.Add(testClaim+time.Second)); q.Len() != 1 {
		t.Error("it is not taken over from who is gone")
	}
	_, _ = q.Get()
	q.Done(key)
	f.leaveToOthers(key, now)
	s.Leases = leasesOf(t, now.Add(maxForeign), map[string]time.Duration{"b": 0})
	if f.sweep(t.Context(), s, q, now.Add(maxForeign+time.Second)); q.Len() != 1 {
		t.Error("it is left for ever to who does not begin")
	}
	if f.leaveToOthers(key, now.Add(maxForeign+time.Second)) {
		t.Error("it is left once more when it is its turn")
	}
	_, _ = q.Get()
	q.Done(key)
	f.leaveToOthers(key, now)
	f.remove(key.UID)
	if f.sweep(t.Context(), s, q, now.Add(time.Hour)); q.Len() != 0 || len(f.pods) != 0 {
		t.Error("what somebody has begun with is begun again")
	}
}

// A pod that is left to another, and gone before it is looked at again, is not looked at for
// ever.
func TestWhatIsGoneIsLeftToNobody(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	gone := Key{Namespace: w.key().Namespace, Pod: "gone", UID: "gone"}
	n.others.leaveToOthers(gone, time.Now())
	n.others.leaveToOthers(w.key(), time.Now())
	if _, err := n.Reconcile(t.Context(), gone); err != nil {
		t.Error(err)
	}
	if _, kept := n.others.pods[gone.UID]; kept || len(n.others.pods) != 1 {
		t.Errorf("left to others are %v", n.others.pods)
	}
}
