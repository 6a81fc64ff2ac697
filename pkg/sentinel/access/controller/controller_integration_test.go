//go:build integration

package controller_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/pages"
	"github.com/argoseal/argoseal/pkg/sentinel/access/controller"
)

const (
	chart    = "../../../../charts/argoseal-sentinel/files/"
	operator = "system:serviceaccount:argoseal-sentinel:access"
	api      = "system:serviceaccount:team:api"
	hold     = "x.example.com/hold" // a finalizer
)

const setup = `
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: team}
---
apiVersion: v1
kind: Secret
metadata: {name: neighbour, namespace: team}
---
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: argoseal-sentinel-access}
subjects: [{kind: ServiceAccount, namespace: argoseal-sentinel, name: access}]
`

// plane is an API server that knows SecretAccesses, with the controller at work on it
// with the rights of the chart, and no others.
type plane struct {
	t      *testing.T
	config *rest.Config
	client.Client
}

func start(t *testing.T, wraps ...func(client.Client) client.Client) *plane {
	t.Helper()
	return startBounded(t, 0, wraps...)
}

// startBounded has so many SecretAccesses of a namespace count; 0: as many as do anywhere.
func startBounded(t *testing.T, most int, wraps ...func(client.Client) client.Client) *plane {
	t.Helper()
	program := func(variables ...string) string {
		for _, v := range variables {
			if path := os.Getenv(v); path != "" {
				return path
			}
		}
		return ""
	}
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{chart + "crds"}, ErrorIfCRDPathMissing: true,
		ControlPlane: envtest.ControlPlane{
			APIServer: &envtest.APIServer{Path: program("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")},
			Etcd:      &envtest.Etcd{Path: program("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")},
		},
	}
	config, err := env.Start()
	if err != nil {
		t.Fatalf("start the API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	must(t, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	p := &plane{t: t, config: config}
	p.Client, err = client.New(config, client.Options{Scheme: scheme})
	must(t, err)
	files, err := filepath.Glob(chart + "access/*.yaml")
	must(t, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		must(t, err)
		p.apply(string(raw))
	}
	p.apply(setup)

	objects, config := controller.Caches(), p.as(operator)
	config.Wrap(pages.Bound)
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Cache: cache.Options{ByObject: objects, NewInformer: pages.Informers(objects)}, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: new(true)}, // each test has its own
	})
	must(t, err)
	through := mgr.GetClient()
	for _, wrap := range wraps {
		through = wrap(through)
	}
	r := &controller.Reconciler{Client: through, Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("argoseal-sentinel"), Clock: clock.RealClock{}}
	r.Bound(most)
	must(t, r.SetupWithManager(mgr))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *plane) apply(text string) {
	p.t.Helper()
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			p.t.Fatal(err)
		}
		if len(o.Object) > 0 {
			// A policy that was just made refuses until the API server has read what it is about.
			must(p.t, retry.OnError(wait.Backoff{Steps: 100, Duration: 100 * time.Millisecond}, func(err error) bool {
				return strings.Contains(err.Error(), "not yet synced to use for admission")
			}, func() error { return p.Create(p.t.Context(), o.DeepCopy()) }))
		}
	}
}

func (p *plane) as(user string) *rest.Config {
	config := rest.CopyConfig(p.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	config.QPS, config.Burst = 100, 100
	return config
}

// reads tries to get a Secret as a user.
func (p *plane) reads(user, namespace, name string) bool {
	p.t.Helper()
	return p.allowed(func(k kubernetes.Interface) error {
		_, err := k.CoreV1().Secrets(namespace).Get(p.t.Context(), name, metav1.GetOptions{})
		return err
	}, user)
}

func (p *plane) allowed(do func(kubernetes.Interface) error, user string) bool {
	p.t.Helper()
	kube, err := kubernetes.NewForConfig(p.as(user))
	must(p.t, err)
	if err := do(kube); apierrors.IsForbidden(err) {
		return false
	} else if err != nil {
		p.t.Fatal(err)
	}
	return true
}

// soon waits for it.
func (p *plane) soon(what string, holds func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if holds() {
			return
		}
	}
	p.t.Fatalf("not in 20 s: %s", what)
}

// made are the Roles and bindings that there are.
func (p *plane) made() (roles []rbacv1.Role, bindings []rbacv1.RoleBinding) {
	p.t.Helper()
	var r rbacv1.RoleList
	var b rbacv1.RoleBindingList
	must(p.t, p.List(p.t.Context(), &r, client.InNamespace("team")))
	must(p.t, p.List(p.t.Context(), &b, client.InNamespace("team")))
	return r.Items, b.Items
}

// role is the one that lets somebody get the Secret, and its binding.
func (p *plane) role() (*rbacv1.Role, *rbacv1.RoleBinding) {
	p.t.Helper()
	roles, bindings := p.made()
	for i := range roles {
		if !strings.HasPrefix(roles[i].Name, "argoseal-get-") {
			continue
		}
		for j := range bindings {
			if bindings[j].Name == roles[i].Name {
				return &roles[i], &bindings[j]
			}
		}
	}
	p.t.Fatal("nobody may get the Secret")
	return nil, nil
}

func grant(kind, name string) v1alpha1.AccessGrant {
	return v1alpha1.AccessGrant{Kind: kind, Name: name}
}

// TestGrantsBecomeRightsAndEnd asks a real API server who may do what.
func TestGrantsBecomeRightsAndEnd(t *testing.T) {
	p := start(t)
	ctx := t.Context()
	until := metav1.NewTime(time.Now().Add(6 * time.Second).Truncate(time.Second))
	jo := grant("User", "jo")
	jo.Until = &until
	a := &v1alpha1.SecretAccess{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "team"}, Spec: v1alpha1.SecretAccessSpec{
		Secrets: []v1alpha1.GuardedSecret{{Name: "db", Get: []v1alpha1.AccessGrant{grant("ServiceAccount", "api"), jo}}},
		Users:   []v1alpha1.AccessGrant{grant("User", "lead")},
	}}
	if p.reads(api, "team", "db") {
		t.Fatal("it may read before it is granted")
	}
	must(t, p.Create(ctx, a))

	p.soon("the grants count", func() bool { return p.reads(api, "team", "db") && p.reads("jo", "team", "db") })
	for what, may := range map[string]bool{
		"the neighbour":             p.reads(api, "team", "neighbour"),
		"the same name elsewhere":   p.reads(api, "default", "db"),
		"somebody else":             p.reads("lead", "team", "db"),
		"another ServiceAccount":    p.reads("system:serviceaccount:team:web", "team", "db"),
		"its namesake from another": p.reads("system:serviceaccount:default:api", "team", "db"),
		"a list": p.allowed(func(k kubernetes.Interface) error {
			_, err := k.CoreV1().Secrets("team").List(ctx, metav1.ListOptions{})
			return err
		}, api),
		"a list of the one": p.allowed(func(k kubernetes.Interface) error {
			_, err := k.CoreV1().Secrets("team").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=db"})
			return err
		}, api),
		"a watch": p.allowed(func(k kubernetes.Interface) error {
			w, err := k.CoreV1().Secrets("team").Watch(ctx, metav1.ListOptions{})
			if err == nil {
				w.Stop()
			}
			return err
		}, api),
		"a change": p.allowed(func(k kubernetes.Interface) error {
			_, err := k.CoreV1().Secrets("team").Update(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "db"}}, metav1.UpdateOptions{})
			return err
		}, api),
	} {
		if may {
			t.Errorf("granted as well: %s", what)
		}
	}
	p.soon("three Roles and their bindings", func() bool { roles, bindings := p.made(); return len(roles) == 3 && len(bindings) == 3 })
	roles, bindings := p.made()
	for i := range roles {
		if !metav1.IsControlledBy(&roles[i], a) || !metav1.IsControlledBy(&bindings[i], a) {
			t.Errorf("%s does not go with the SecretAccess", roles[i].Name)
		}
	}

	p.soon("a grant ends by itself", func() bool { return !p.reads("jo", "team", "db") })
	if time.Now().Before(until.Time) {
		t.Error("it ended too early")
	}
	if !p.reads(api, "team", "db") {
		t.Error("the other grant ended, too")
	}
	p.soon("the status says so", func() bool {
		must(t, p.Get(ctx, client.ObjectKeyFromObject(a), a))
		return a.Status.Expired == 1 && a.Status.Granted == 2 && a.Status.NextExpiry == nil &&
			meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionReady)
	})

	for name, drift := range map[string]func(){
		"a wider Role": func() {
			role, _ := p.role()
			role.Rules[0].ResourceNames = nil
			must(t, p.Update(ctx, role))
		},
		"another subject": func() {
			_, binding := p.role()
			binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: "Group", APIGroup: rbacv1.GroupName, Name: "system:authenticated"})
			must(t, p.Update(ctx, binding))
		},
		"no Role":    func() { role, _ := p.role(); must(t, p.Delete(ctx, role)) },
		"no binding": func() { _, binding := p.role(); must(t, p.Delete(ctx, binding)) },
		"another role": func() {
			_, binding := p.role()
			must(t, p.Delete(ctx, binding))
			binding.ObjectMeta = metav1.ObjectMeta{Name: binding.Name, Namespace: "team", OwnerReferences: binding.OwnerReferences}
			binding.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"}
			if err := p.Create(ctx, binding); err != nil && !apierrors.IsAlreadyExists(err) {
				t.Fatal(err)
			}
		},
		"a finalizer": func() {
			role, binding := p.role()
			role.Finalizers, binding.Finalizers = []string{hold}, []string{hold}
			must(t, errors.Join(p.Update(ctx, role), p.Update(ctx, binding)))
		},
		"no owner": func() {
			role, binding := p.role()
			role.OwnerReferences, binding.OwnerReferences = nil, nil
			must(t, errors.Join(p.Update(ctx, role), p.Update(ctx, binding)))
		},
	} {
		t.Run("repaired: "+name, func(t *testing.T) {
			drift()
			p.soon("as it should be", func() bool {
				role, binding := rbacv1.Role{}, rbacv1.RoleBinding{}
				roles, bindings := p.made()
				if len(roles) != 3 || len(bindings) != 3 {
					return false
				}
				for i := range roles {
					if strings.HasPrefix(roles[i].Name, "argoseal-get-") {
						role, binding = roles[i], bindings[i]
					}
				}
				return len(role.Rules) == 1 && len(role.Rules[0].ResourceNames) == 1 && len(binding.Subjects) == 1 &&
					binding.RoleRef.Name == role.Name && len(role.Finalizers)+len(binding.Finalizers) == 0 && metav1.IsControlledBy(&role, a) && metav1.IsControlledBy(&binding, a)
			})
			p.soon("rights", func() bool {
				return p.reads(api, "team", "db") && !p.reads(api, "team", "neighbour") && !p.reads("lead", "team", "db")
			})
		})
	}

	t.Run("taken back", func(t *testing.T) {
		must(t, p.Patch(ctx, a, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"secrets":[{"name":"db"}]}}`))))
		p.soon("nobody may", func() bool { return !p.reads(api, "team", "db") })
		p.soon("no Role", func() bool { roles, bindings := p.made(); return len(roles) == 2 && len(bindings) == 2 })
	})
	t.Run("it says since when", func(t *testing.T) {
		patch := func(body string) {
			must(t, p.Patch(ctx, a, client.RawPatch("application/merge-patch+json", []byte(body))))
		}
		since := func(name string) (at time.Time) {
			must(t, p.Get(ctx, client.ObjectKeyFromObject(a), a))
			for _, i := range a.Status.InForce {
				if i.Kind == "Secret" && i.Name == name {
					at = i.Since.Time
				}
			}
			return at
		}
		first := since("db")
		if first.IsZero() || first.After(time.Now()) {
			t.Errorf("in force since %v", first)
		}
		time.Sleep(1100 * time.Millisecond) // the API server keeps seconds
		patch(`{"spec":{"secrets":[{"name":"db"},{"name":"neighbour"}]}}`)
		p.soon("the other one is in force, too", func() bool { return since("neighbour").After(first) && since("db").Equal(first) })
		patch(`{"spec":{"enforcement":"Audit"}}`)
		p.soon("nothing is in force", func() bool { return since("db").IsZero() && since("neighbour").IsZero() })
		patch(`{"spec":{"enforcement":"Enforce","secrets":[{"name":"db"}]}}`)
		p.soon("it is again, since now", func() bool { return since("db").After(first) })
	})
	t.Run("guarded twice", func(t *testing.T) {
		b := &v1alpha1.SecretAccess{ObjectMeta: metav1.ObjectMeta{Name: "again", Namespace: "team"}, Spec: v1alpha1.SecretAccessSpec{
			Secrets: []v1alpha1.GuardedSecret{{Name: "db"}},
		}}
		must(t, p.Create(ctx, b))
		p.soon("it says so", func() bool {
			must(t, p.Get(ctx, client.ObjectKeyFromObject(b), b))
			c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReady)
			return c != nil && c.Reason == "GuardedTwice" && strings.Contains(c.Message, "db (by db)")
		})
	})
	t.Run("gone without its dependents", func(t *testing.T) {
		// Kubernetes' garbage collector does not run here, so nothing else deletes anything;
		// what it does to the dependents of an orphaned SecretAccess is done by hand.
		c := &v1alpha1.SecretAccess{ObjectMeta: metav1.ObjectMeta{Name: "orphaned", Namespace: "team"}, Spec: v1alpha1.SecretAccessSpec{
			Secrets: []v1alpha1.GuardedSecret{{Name: "neighbour", Get: []v1alpha1.AccessGrant{grant("User", "heir")}}},
		}}
		must(t, p.Create(ctx, c))
		p.soon("the grant counts", func() bool { return p.reads("heir", "team", "neighbour") })
		of := func() (all []client.Object) {
			roles, bindings := p.made()
			for i := range roles {
				if metav1.IsControlledBy(&roles[i], c) {
					all = append(all, &roles[i])
				}
			}
			for i := range bindings {
				if metav1.IsControlledBy(&bindings[i], c) {
					all = append(all, &bindings[i])
				}
			}
			return all
		}
		p.soon("a Role to get it, and one that marks it", func() bool { return len(of()) == 4 })
		// Somebody else's, that only looks like one of ours, or only has the label.
		for _, name := range []string{"argoseal-get-by-hand", "theirs"} {
			must(t, p.Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "team", Labels: map[string]string{"app.kubernetes.io/managed-by": "argoseal-sentinel"}}}))
		}
		dependents := of()
		must(t, p.Delete(ctx, c, client.PropagationPolicy(metav1.DeletePropagationOrphan)))
		for _, o := range dependents {
			must(t, client.IgnoreNotFound(p.Patch(ctx, o, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"ownerReferences":null}}`)))))
		}
		must(t, client.IgnoreNotFound(p.Patch(ctx, c, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))))
		p.soon("the right ends", func() bool { return !p.reads("heir", "team", "neighbour") })
		p.soon("nothing is left of it", func() bool {
			for _, o := range dependents {
				if err := p.Get(ctx, client.ObjectKeyFromObject(o), o); !apierrors.IsNotFound(err) {
					return false
				}
			}
			return true
		})
		for _, name := range []string{"argoseal-get-by-hand", "theirs"} {
			must(t, p.Get(ctx, client.ObjectKey{Namespace: "team", Name: name}, &rbacv1.Role{}))
			must(t, p.Delete(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "team"}}))
		}
		roles, _ := p.made()
		if len(roles) == 0 {
			t.Error("what belongs to others is gone, too")
		}
	})
	t.Run("the controller gives nothing that it has not", func(t *testing.T) {
		kube, err := kubernetes.NewForConfig(p.as(operator))
		must(t, err)
		for _, rule := range []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list"}},
			{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}},
		} {
			role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "x-"}, Rules: []rbacv1.PolicyRule{rule}}
			if _, err := kube.RbacV1().Roles("team").Create(ctx, role, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
				t.Errorf("it may give %v: %v", rule, err)
			}
		}
	})
}
