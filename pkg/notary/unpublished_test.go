package notary

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/notary/budget"
	"github.com/argoseal/argoseal/pkg/provenance"
)

var errQuota = apierrors.NewForbidden(schema.GroupResource{Group: "argoseal.dev", Resource: "artifactseals"}, "s", errors.New("exceeded quota"))

// unwritable has no ArtifactSeal written as long as it says so.
func unwritable(n *Notary, full *bool) {
	n.API = interceptor.NewClient(n.API.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if _, is := o.(*v1alpha1.ArtifactSeal); is && *full {
				return errQuota
			}
			return api.Create(ctx, o, opts...)
		},
	})
}

// What is in the log and cannot be stored is stored as it is once that can be, and not logged
// again each time.
func TestWhatCannotBeStoredIsLoggedOnce(t *testing.T) {
	w := newWorld(t)
	n, b := w.notary(t, "a")
	full := true
	unwritable(n, &full)
	for range 20 {
		if result, err := n.Reconcile(t.Context(), w.key()); err == nil && result.IsZero() {
			t.Fatal("it has ended")
		}
	}
	full = false
	settle(t, n, w.key())
	w.expectSealed(t)
	if logged := slices.DeleteFunc(slices.Clone(b.names), func(name string) bool { return name != "log" }); len(logged) != 1 {
		t.Errorf("it was logged %d times", len(logged))
	}
	if seals, bytes := n.unpublished.all().Len(); seals != 0 || bytes != 0 {
		t.Errorf("%d seals are remembered", seals)
	}
}

// What is in the log had room when it was logged: that others have used it up since is no
// reason to refuse it.
func TestWhatIsLoggedIsSealedThoughTheBudgetIsUsedUpSince(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	n.Budget = w.full(800)
	full := true
	unwritable(n, &full)
	if _, err := n.Reconcile(t.Context(), w.key()); err == nil {
		t.Fatal("it has ended")
	}
	n.Budget.Change(w.scene.pod.Namespace, budget.Size{Objects: 100})
	full = false
	settle(t, n, w.key())
	w.expectSealed(t)
}

// many makes the scene's pod one of so many outputs, whose statement is on record.
func (w *world) many(tb testing.TB, outputs int) {
	tb.Helper()
	facts, _, err := w.scene.rules.facts(w.scene.witness(tb))
	must(tb, err)
	one := facts.Subjects[0]
	facts.Subjects = nil
	for i := range outputs {
		s := one
		s.URI, s.Output = fmt.Sprintf("%s-%d", one.URI, i), fmt.Sprintf("%s-%d", one.Output, i)
		facts.Subjects = append(facts.Subjects, s)
	}
	payload, err := provenance.Build(facts)
	must(tb, err)
	envelope, err := w.signer.Sign(tb.Context(), payload)
	must(tb, err)
	w.plant(tb, envelope)
}

// An attempt has time for some calls only. The next one goes on where it ended.
func TestAPodOfManyOutputsIsPublishedInParts(t *testing.T) {
	const outputs, calls = 300, 100
	w := newWorld(t)
	w.many(t, outputs)
	n, _ := w.notary(t, "a")
	var left atomic.Int64
	inTime := func(o client.Object, do func() error) error {
		if _, is := o.(*v1alpha1.ArtifactSeal); is && left.Add(-1) < 0 {
			return context.DeadlineExceeded
		}
		return do()
	}
	n.API = interceptor.NewClient(n.API.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return inTime(o, func() error { return api.Create(ctx, o, opts...) })
		},
		Get: func(ctx context.Context, api client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return inTime(o, func() error { return api.Get(ctx, key, o, opts...) })
		},
	})
	for range 5 {
		left.Store(calls)
		_, _ = n.Reconcile(t.Context(), w.key())
	}
	if seals := len(w.seals(t)); seals != outputs || !Final(w.record(t)) {
		t.Errorf("after 5 attempts there are %d of %d seals: %+v", seals, outputs, w.record(t).Status.Conditions)
	}
}

// Two pods of a loop fill one directory: who comes second compares again with what is there.
func TestWhoComesSecondComparesAgain(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	at := artifact.Location{Store: "store", Bucket: "b", Key: "results", Kind: artifact.KindPrefix}.Prefix()
	of := func(i int) *v1alpha1.ArtifactSeal {
		s := &v1alpha1.ArtifactSeal{}
		s.Namespace, s.Name = w.scene.pod.Namespace, artifact.SealName(at, "w")
		s.Spec.Location = v1alpha1.Location{Store: at.Store, Bucket: at.Bucket, Key: at.Key, Kind: string(at.Kind)}
		s.Spec.Workflow = v1alpha1.ObjectRef{Name: "w", UID: "w"}
		s.Spec.Producer.Pod = v1alpha1.ObjectRef{Name: "p", UID: types.UID(fmt.Sprint("u", i))}
		s.Spec.Producer.FinishedAt.Time = w.clock.Now().Add(-1000 * time.Second)
		s.Spec.Producer.PodCreatedAt.Time, s.Spec.Producer.RecordedAt.Time = w.clock.Now().Add(-2000*time.Second), w.clock.Now()
		return s
	}
	must(t, n.put(t.Context(), of(0)))
	changes := 3
	n.API = interceptor.NewClient(n.API.(client.WithWatch), interceptor.Funcs{
		Update: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if changes--; changes >= 0 {
				return apierrors.NewConflict(schema.GroupResource{Resource: "artifactseals"}, o.GetName(), errors.New("changed"))
			}
			return api.Update(ctx, o, opts...)
		},
	})
	must(t, n.put(t.Context(), of(1)))
	if seals := w.seals(t); len(seals) != 2 || !seals[0].Spec.Shared || !seals[1].Spec.Shared {
		t.Errorf("there are %+v", seals)
	}
}

// A seal that waits is counted by all that it keeps in memory.
func TestSealsThatWaitAreCountedByWhatTheyKeep(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	full := true
	unwritable(n, &full)
	_, _ = n.Reconcile(t.Context(), w.key())
	known, is := n.unpublished.all().Get(w.key().UID)
	if !is {
		t.Fatal("it is not remembered")
	}
	files := make([]byte, 128<<10)
	noted := []v1alpha1.OutputStatus{{Files: string(files)}}
	few, many := sizeOfLogged(known.signed, known.bundle, nil), sizeOfLogged(known.signed, known.bundle, noted)
	if many-few < len(files) || few < 2*len(known.bundle)+4*len(known.signed.Payload()) {
		t.Errorf("it is counted by %d bytes, with files by %d", few, many)
	}
}
