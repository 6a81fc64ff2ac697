package controller

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

// paged lists by pages, as an API server does and the fake one does not, and counts these.
type paged struct {
	client.Client
	pages, fail int
}

func (p *paged) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	p.pages++
	if p.fail > 0 {
		p.fail--
		return errors.New("the API server does not answer")
	}
	of, ok := list.(*rbacv1.RoleBindingList)
	if !ok {
		return fmt.Errorf("a %T is listed", list)
	}
	var o client.ListOptions
	o.ApplyOptions(options)
	var all rbacv1.RoleBindingList
	if err := p.Client.List(ctx, &all, client.InNamespace(o.Namespace)); err != nil {
		return err
	}
	from, _ := strconv.Atoi(o.Continue)
	to := min(len(all.Items), from+int(o.Limit))
	of.Items = all.Items[from:to]
	if to < len(all.Items) {
		of.Continue = strconv.Itoa(to)
	}
	return nil
}

func binding(name string, to rbacv1.RoleRef) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}, RoleRef: to,
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "stranger"}},
	}
}

func reconciler(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) (*Reconciler, *paged) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{rbacv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).Build()
	live := &paged{Client: c}
	return &Reconciler{Client: c, Live: live, Events: events.NewFakeRecorder(1000)}, live
}

func isThere(t *testing.T, r *Reconciler, name string) bool {
	t.Helper()
	err := r.Client.Get(t.Context(), client.ObjectKey{Namespace: "a", Name: name}, &rbacv1.RoleBinding{})
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return err == nil
}

// However many Roles are to be written, bindings are read once before and once after; and one
// that binds a stranger is found behind all others.
func TestBindingsAreReadOnceForAllRoles(t *testing.T) {
	var secrets []string
	for i := range 32 {
		secrets = append(secrets, fmt.Sprint("s", i))
	}
	a := guarding("x", 1, secrets...)
	plan := access.PlanFor(&a, time.Now())
	var objects []client.Object
	for i := range 2*bindingsPerPage + 20 {
		objects = append(objects, binding(fmt.Sprintf("b%03d", i), rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "theirs"}))
	}
	objects = append(objects, binding("z-last", plan.Pairs[0].Binding.RoleRef))
	r, live := reconciler(t, interceptor.Funcs{}, objects...)
	if err := r.apply(t.Context(), &a, plan); err == nil {
		t.Error("nothing is said of the stranger's binding")
	}
	if isThere(t, r, "z-last") || isThere(t, r, plan.Pairs[0].Binding.Name) || !isThere(t, r, plan.Pairs[1].Binding.Name) || !isThere(t, r, "b000") {
		t.Error("the stranger's binding is there, or ours before it was gone, or none of the others'")
	}
	if err := r.apply(t.Context(), &a, plan); err != nil || !isThere(t, r, plan.Pairs[0].Binding.Name) {
		t.Error(err)
	}
	if live.pages > 4*4 {
		t.Errorf("%d pages were read for %d Roles", live.pages, len(plan.Pairs))
	}
}

// Somebody was bound in the moment in which a Role was written, and then nobody could look: the
// next time somebody does.
func TestARoleIsDoubtedUntilItsBindingsWereLookedAt(t *testing.T) {
	a := guarding("x", 1, "db")
	plan := access.PlanFor(&a, time.Now())
	var live *paged
	bound := false
	r, live := reconciler(t, interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
		if role, is := o.(*rbacv1.Role); is && role.Name == plan.Pairs[0].Role.Name && !bound {
			bound, live.fail = true, 3
			if err := c.Create(ctx, binding("z-stranger", plan.Pairs[0].Binding.RoleRef)); err != nil {
				return err
			}
		}
		return c.Create(ctx, o, options...)
	}})
	if err := r.apply(t.Context(), &a, plan); err == nil || !bound || !isThere(t, r, "z-stranger") {
		t.Fatalf("nobody was bound unseen: %v", err)
	}
	_ = r.apply(t.Context(), &a, plan)
	if isThere(t, r, "z-stranger") {
		t.Error("the stranger stays bound")
	}
	if err := r.apply(t.Context(), &a, plan); err != nil {
		t.Error(err)
	}
}
