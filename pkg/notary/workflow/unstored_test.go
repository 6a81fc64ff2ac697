package workflow

import (
	"context"
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// storing is an attestor for whom something happens before each attempt to write the last
// word, which is the only one without a claim.
func (w *world) storing(before func(attempt int) error) *Attestor {
	a := w.attestor("a")
	attempt := 0
	a.API = interceptor.NewClient(w.Client.(client.WithWatch), interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			if p, is := o.(*v1alpha1.WorkflowProvenance); is && p.Status.Claim == nil {
				attempt++
				if err := before(attempt); err != nil {
					return err
				}
			}
			return c.SubResource(sub).Update(ctx, o, opts...)
		},
	})
	return a
}

// TestAWorkflowIsLoggedOnce: what the log has nobody can take back, so that who may write to
// a Workflow, or use up a quota, must not have more of it logged.
func TestAWorkflowIsLoggedOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		// attempts that meet it, and how often the workflow is looked at.
		attempts, looks int
		meet            func(*world) error
	}{
		"nothing happens": {0, 1, nil},
		"somebody writes to the record": {5, 1, func(w *world) error {
			p := w.get()
			metav1.SetMetaDataAnnotation(&p.ObjectMeta, "n", p.ResourceVersion)
			return w.Update(w.Context(), p)
		}},
		"somebody writes to it for ever": {storeTries + 3, 2, func(w *world) error {
			p := w.get()
			metav1.SetMetaDataAnnotation(&p.ObjectMeta, "n", p.ResourceVersion)
			return w.Update(w.Context(), p)
		}},
		"the API server does not take it": {3, 4, func(*world) error { return apierrors.NewInternalError(errors.New("etcd is full")) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.storing(func(attempt int) error {
				if attempt > tt.attempts {
					return nil
				}
				return tt.meet(w)
			})
			before := w.log.Size()
			for look := range tt.looks {
				if c, _, _ := w.stated(); c != nil {
					t.Fatalf("stated before look %d", look)
				}
				_, err := a.Reconcile(t.Context(), w.key)
				if last := look == tt.looks-1; last && err != nil {
					t.Fatal(err)
				}
			}
			if c, facts, _ := w.stated(); c == nil || c.Reason != reasonAttested || len(facts.Subjects) != 2 {
				t.Errorf("condition %+v, %d subjects", c, len(facts.Subjects))
			}
			if added := w.log.Size() - before; added != 2 {
				t.Errorf("%d entries in the log", added)
			}
			if known, _ := a.unstored.all().Len(); known > 0 {
				t.Errorf("%d are remembered that are stored", known)
			}
		})
	}
}

// TestAnotherStatementIsLogged: what was logged for a record that has got further, or under
// keys that do not count any more, is not its last word; nor does one replica write over what
// another one has claimed.
func TestAnotherStatementIsLogged(t *testing.T) {
	t.Run("more records", func(t *testing.T) {
		w := newWorld(t)
		a := w.storing(func(attempt int) error {
			if attempt == 1 {
				w.sealed("three", "s3://minio:9000/b/three", nil)
			}
			return nil
		})
		if _, err := a.Reconcile(t.Context(), w.key); err != nil {
			t.Fatal(err)
		}
		if c, _, _ := w.stated(); c != nil {
			t.Fatalf("stated without the third: %+v", c)
		}
		if _, err := a.Reconcile(t.Context(), w.key); err != nil {
			t.Fatal(err)
		}
		if _, facts, _ := w.stated(); facts.StepCount != 3 {
			t.Errorf("%d steps", facts.StepCount)
		}
	})
	t.Run("another replica", func(t *testing.T) {
		w := newWorld(t)
		a := w.storing(func(int) error {
			p := w.get()
			p.Status.Claim = &v1alpha1.Claim{Holder: "b", RenewTime: metav1.NewMicroTime(w.clock.Now())}
			return w.Status().Update(w.Context(), p)
		})
		if _, err := a.Reconcile(t.Context(), w.key); err != nil {
			t.Fatal(err)
		}
		if p := w.get(); p.Status.Claim == nil || p.Status.Claim.Holder != "b" || p.Status.Bundle != "" {
			t.Errorf("written over: %+v", p.Status.Claim)
		}
	})
	t.Run("other keys", func(t *testing.T) {
		w := newWorld(t)
		refused := apierrors.NewInternalError(errors.New("etcd is full"))
		a := w.storing(func(attempt int) error {
			if attempt == 1 {
				return refused
			}
			return nil
		})
		if _, err := a.Reconcile(t.Context(), w.key); err == nil {
			t.Fatal("it was stored")
		}
		known, is := a.unstored.all().Get(w.get().UID)
		if !is || len(known.bundle) == 0 || len(known.summed) == 0 {
			t.Fatalf("remembered: %v", is)
		}
		signed, err := w.notary.Root.Payload(known.bundle)
		w.must(err)
		if again := a.unstored.of(w.get().UID, signed.Payload, a.Keys()); len(again.bundle) == 0 {
			t.Error("it counts, and is logged anew")
		}
		if other := a.unstored.of(w.get().UID, []byte("another"), a.Keys()); len(other.bundle) > 0 {
			t.Error("it is taken for another statement's")
		}
		if later := a.unstored.of(w.get().UID, signed.Payload, newWorld(t).attestor("a").Keys()); len(later.bundle) > 0 {
			t.Error("it counts under keys that it was not signed with")
		}
	})
}
