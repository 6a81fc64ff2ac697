//go:build integration

package controller_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

// watching is the controller's client. It notes who is bound to a Role, by the API server's
// word, whenever something is to be written into that; and no update of a binding comes through, as
// where somebody else writes to it all the time.
type watching struct {
	client.Client
	live func() client.Client
	// before and after come right before and after a patch.
	before func(client.Object)
	after  func(client.Object, error)

	mu        sync.Mutex
	strangers []string
}

func (w *watching) note(ctx context.Context, o client.Object) {
	if _, is := o.(*rbacv1.Role); !is || !strings.HasPrefix(o.GetName(), "argoseal-get-") {
		return
	}
	var all rbacv1.RoleBindingList
	if err := w.live().List(ctx, &all, client.InNamespace(o.GetNamespace())); err != nil {
		return // the test has ended
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range all.Items {
		for _, s := range b.Subjects {
			if b.RoleRef.Name == o.GetName() && s.Name != "jo" {
				w.strangers = append(w.strangers, fmt.Sprintf("%s in %s by %s", s.Name, b.Namespace, b.Name))
			}
		}
	}
}

func (w *watching) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	w.note(ctx, o)
	return w.Client.Create(ctx, o, opts...)
}

func (w *watching) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	if _, is := o.(*rbacv1.RoleBinding); is {
		return apierrors.NewConflict(rbacv1.Resource("rolebindings"), o.GetName(), nil)
	}
	w.note(ctx, o)
	return w.Client.Update(ctx, o, opts...)
}

// unseen is in the names of bindings of which the controller's watch has not told yet.
const unseen = "unseen"

func (w *watching) List(ctx context.Context, all client.ObjectList, opts ...client.ListOption) error {
	err := w.Client.List(ctx, all, opts...)
	if bindings, is := all.(*rbacv1.RoleBindingList); is {
		bindings.Items = slices.DeleteFunc(bindings.Items, func(b rbacv1.RoleBinding) bool { return strings.HasPrefix(b.Name, unseen) })
	}
	return err
}

func (w *watching) Patch(ctx context.Context, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
	w.note(ctx, o)
	w.before(o)
	err := w.Client.Patch(ctx, o, patch, opts...)
	w.after(o, err)
	return err
}

// TestAStrangersBindingGetsNothing: the names of Roles are known before there is a
// SecretAccess, so somebody can have made one that gives nothing, and have bound anybody to
// it, by a binding of any name. When it is filled, nobody is bound to it without a grant.
func TestAStrangersBindingGetsNothing(t *testing.T) {
	var p *plane
	w := &watching{live: func() client.Client { return p.Client }}
	var before, after sync.Map // what is done at patches, by namespace; set while the controller works
	w.before = func(o client.Object) {
		if do, is := before.Load(o.GetNamespace()); is {
			do.(func(client.Object))(o)
		}
	}
	w.after = func(o client.Object, err error) {
		if do, is := after.Load(o.GetNamespace()); is {
			do.(func(client.Object, error))(o, err)
		}
	}
	p = start(t, func(c client.Client) client.Client { w.Client = c; return w })
	ctx := t.Context()
	for name, c := range map[string]struct {
		binding    string
		finalizers []string
	}{
		"of that name":                         {"", nil},
		"of another":                           {"another", nil},
		"of that name, kept by a finalizer":    {"", []string{hold}},
		"of another name, kept by a finalizer": {"another", []string{hold}},
		"of another, a moment before":          {unseen, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := p.with(t)
			namespace := "stranger" + strings.NewReplacer(",", "", " ", "-").Replace(name)
			a := p.lets(namespace, grant("User", "jo"))
			role, binding := p.of(a)
			role.OwnerReferences, role.Labels, role.Rules = nil, nil, nil
			binding.OwnerReferences, binding.Labels, binding.Finalizers = nil, nil, c.finalizers
			binding.Subjects[0].Name = "mallory"
			if c.binding != "" {
				binding.Name = c.binding
			}
			must(t, p.Create(ctx, role))
			must(t, p.Create(ctx, binding))
			must(t, p.Create(ctx, a))
			// He writes to it all the time, and looks.
			done := make(chan struct{})
			var poked sync.WaitGroup
			poked.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						_ = p.patch(binding.DeepCopy(), fmt.Sprintf(`{"metadata":{"annotations":{"n":"%d"}}}`, time.Now().UnixNano()))
					}
				}
			})
			t.Cleanup(poked.Wait)
			t.Cleanup(func() { close(done) })
			p.soon("the grant counts", func() bool {
				if p.reads("mallory", namespace, "db") {
					t.Fatal("who has no grant reads the Secret")
				}
				return p.reads("jo", namespace, "db")
			})
			if p.reads("mallory", namespace, "db") {
				t.Error("who has no grant reads the Secret")
			}
		})
	}
	w.mu.Lock()
	strangers := slices.Compact(w.strangers)
	w.mu.Unlock()
	if len(strangers) > 0 {
		t.Errorf("bound while the Role was written: %v", strangers)
	}

	t.Run("a binding of the moment in which the Role is written", func(t *testing.T) {
		p := p.with(t)
		a := p.lets("meanwhile", grant("User", "jo"))
		role, binding := p.of(a)
		role.OwnerReferences, role.Labels, role.Rules = nil, nil, nil
		binding.OwnerReferences, binding.Labels, binding.Name = nil, nil, unseen
		binding.Subjects[0].Name = "mallory"
		var once sync.Once
		bound := make(chan error, 1)
		before.Store(a.Namespace, func(o client.Object) {
			if _, is := o.(*rbacv1.Role); is {
				once.Do(func() { bound <- p.Create(ctx, binding) })
			}
		})
		must(t, p.Create(ctx, role))
		must(t, p.Create(ctx, a))
		p.soon("he is bound", func() bool { return len(bound) > 0 })
		must(t, <-bound)
		p.soon("he is bound no more, and the grant counts", func() bool {
			return p.reads("jo", a.Namespace, "db") && !p.reads("mallory", a.Namespace, "db")
		})
	})

	t.Run("a grant that ends", func(t *testing.T) {
		p := p.with(t)
		jo := grant("User", "jo")
		jo.Until = in(5)
		a := p.lets("ends", grant("User", "al"), jo)
		must(t, p.Create(ctx, a))
		p.soon("the grants count", func() bool { return p.reads("jo", "ends", "db") && p.reads("al", "ends", "db") })
		p.soon("it ends", func() bool { return !p.reads("jo", "ends", "db") })
		if late := time.Since(jo.Until.Time); late > 3*time.Second {
			t.Errorf("it ended %v late", late)
		}
		if !p.reads("al", "ends", "db") {
			t.Error("the other's ended, too")
		}
	})
	t.Run("a right that was taken while the controller was about to give another", func(t *testing.T) {
		p := p.with(t)
		a := p.lets("turn", grant("User", "jo"), grant("User", "al"))
		must(t, p.Create(ctx, a))
		p.soon("the grants count", func() bool { return p.reads("jo", "turn", "db") && p.reads("al", "turn", "db") })
		_, binding := p.of(a)
		// Who has the turn now takes al's before this one gives bo's.
		var once sync.Once
		taken, back := make(chan error, 1), make(chan struct{}, 100)
		before.Store("turn", func(o client.Object) {
			if _, is := o.(*rbacv1.RoleBinding); is {
				once.Do(func() {
					taken <- errors.Join(
						p.patch(a.DeepCopy(), `{"spec":{"secrets":[{"name":"db","get":[{"kind":"User","name":"jo"},{"kind":"User","name":"bo"}]}]}}`),
						p.patch(binding.DeepCopy(), `{"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"jo"}]}`))
				})
			}
		})
		after.Store("turn", func(o client.Object, err error) {
			if b, is := o.(*rbacv1.RoleBinding); is && err == nil && slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool { return s.Name == "al" }) {
				back <- struct{}{}
			}
		})
		must(t, p.patch(a, `{"spec":{"secrets":[{"name":"db","get":[{"kind":"User","name":"jo"},{"kind":"User","name":"al"},{"kind":"User","name":"bo"}]}]}}`))
		p.soon("the other grant counts", func() bool { return p.reads("bo", "turn", "db") && !p.reads("al", "turn", "db") })
		must(t, <-taken)
		if len(back) > 0 {
			t.Error("what was taken came back")
		}
	})
	t.Run("what is bound beside a Role that is as it should be", func(t *testing.T) {
		p := p.with(t)
		a := p.lets("beside-it", grant("User", "jo"))
		must(t, p.Create(ctx, a))
		p.soon("the grant counts", func() bool { return p.reads("jo", "beside-it", "db") })
		_, theirs := p.of(a)
		theirs.Name, theirs.OwnerReferences, theirs.Labels = "by-the-lead", nil, nil
		theirs.Subjects[0].Name = "deputy"
		must(t, p.Create(ctx, theirs))
		must(t, p.patch(a, `{"spec":{"secrets":[{"name":"db","get":[{"kind":"User","name":"jo"},{"kind":"User","name":"al"}]}]}}`))
		p.soon("another grant counts", func() bool { return p.reads("al", "beside-it", "db") })
		if !p.reads("deputy", "beside-it", "db") {
			t.Error("who may use the SecretAccess can bind nobody to it")
		}
		// What gives nobody anything takes nobody's.
		role, _ := p.of(a)
		must(t, p.patch(role, `{"metadata":{"labels":null,"ownerReferences":null}}`))
		p.soon("the Role is ours again", func() bool {
			must(t, p.Get(ctx, client.ObjectKeyFromObject(role), role))
			return access.Made(role) && metav1.IsControlledBy(role, a)
		})
		if !p.reads("deputy", "beside-it", "db") {
			t.Error("a label that somebody took from the Role took the deputy's right")
		}
	})
}
