//go:build integration

package cluster

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs an API server. It gives a client that may do anything, and a manager of
// somebody who may read one Secret.
func start(t *testing.T) (client.Client, manager.Manager) {
	t.Helper()
	first := func(variables ...string) string {
		for _, v := range variables {
			if path := os.Getenv(v); path != "" {
				return path
			}
		}
		return ""
	}
	env := &envtest.Environment{ControlPlane: envtest.ControlPlane{
		APIServer: &envtest.APIServer{Path: first("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")},
		Etcd:      &envtest.Etcd{Path: first("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")},
	}}
	config, err := env.Start()
	check(t, err)
	t.Cleanup(func() { _ = env.Stop() })
	admin, err := client.New(config, client.Options{})
	check(t, err)
	check(t, admin.Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "one"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"ours"}, Verbs: []string{"get", "list", "watch"},
		}},
	}))
	check(t, admin.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "one"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "one"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "program"}},
	}))
	user, err := env.AddUser(envtest.User{Name: "program"}, nil)
	check(t, err)
	mgr, err := manager.New(user.Config(), manager.Options{Metrics: metricsserver.Options{BindAddress: "0"}})
	check(t, err)
	return admin, mgr
}

// changedWithin waits until there was a change; false: there is none for a while.
func changedWithin(changed <-chan struct{}, patience time.Duration) bool {
	select {
	case <-changed:
		return true
	case <-time.After(patience):
		return false
	}
}

// Beside the Secret that may be read there is one that may not, and pods. What cannot
// be watched holds up nothing, and is not taken for nothing there.
func TestOneObjectIsWatchedByTheRightToItAlone(t *testing.T) {
	admin, mgr := start(t)
	changed, never := make(chan struct{}, 1), make(chan struct{}, 1)
	check(t, Watch(t.Context(), mgr, &corev1.Secret{}, "default", "ours", changed))
	check(t, Watch(t.Context(), mgr, &corev1.Secret{}, "default", "theirs", never))
	cold, err := NewCache(mgr, cache.Options{})
	check(t, err)
	pods, err := cold.GetInformer(t.Context(), &corev1.Pod{}, cache.BlockUntilSynced(false))
	check(t, err)

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := mgr.Start(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()

	theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "theirs"}}
	ours := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "ours"}}
	check(t, admin.Create(ctx, theirs))
	check(t, admin.Create(ctx, ours))
	if !changedWithin(changed, 20*time.Second) {
		t.Fatal("that it was made is not told")
	}
	ours.StringData = map[string]string{"a": "b"} // which its metadata does not have
	check(t, admin.Update(ctx, ours))
	if !changedWithin(changed, 20*time.Second) {
		t.Fatal("that its data changed is not told")
	}
	theirs.StringData = ours.StringData
	check(t, admin.Update(ctx, theirs))
	if changedWithin(changed, time.Second) || changedWithin(never, 0) {
		t.Error("a change of another one is told")
	}
	check(t, admin.Delete(ctx, ours))
	if !changedWithin(changed, 20*time.Second) {
		t.Fatal("that it was deleted is not told")
	}

	if pods.HasSynced() {
		t.Error("pods were listed without the right to")
	}
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var list corev1.PodList
	if err := cold.List(soon, &list); err == nil {
		t.Errorf("a cold cache has %d pods", len(list.Items))
	}
	var other *cache.ErrResourceNotCached
	if err := cold.List(ctx, &corev1.ServiceList{}); !errors.As(err, &other) {
		t.Errorf("what nobody asked to watch: %v", err)
	}
}
