//go:build integration

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// startAPIServer lets the programs find a real API server, with our kinds of objects and these.
func startAPIServer(t *testing.T, more ...*apiextensionsv1.CustomResourceDefinition) client.Client {
	t.Helper()
	first := func(variables ...string) string {
		for _, v := range variables {
			if path := os.Getenv(v); path != "" {
				return path
			}
		}
		return ""
	}
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{"../../charts/argoseal/files/crds"},
		CRDs:              more,
		ControlPlane: envtest.ControlPlane{
			APIServer: &envtest.APIServer{Path: first("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")},
			Etcd:      &envtest.Etcd{Path: first("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")},
		},
	}
	_, err := env.Start()
	must(t, err)
	t.Cleanup(func() { must(t, env.Stop()) })
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(kubeconfig, env.KubeConfig, 0o600))
	t.Setenv("KUBECONFIG", kubeconfig)
	config, scheme, err := connect()
	must(t, err)
	api, err := client.New(config, client.Options{Scheme: scheme})
	must(t, err)
	return api
}

func TestFromAnEmptyClusterToReady(t *testing.T) {
	api := startAPIServer(t)
	const namespace = "argoseal-system"
	must(t, api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	log := keyring.OwnLog{Namespace: namespace, URL: "http://rekor.svc", Hostname: "rekor.svc", KeyFile: filepath.Join(t.TempDir(), logKeyFile)}

	o := good()
	o.metricsAddress, o.healthAddress = "0", freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o) }()
	await(t, o.healthAddress, "/healthz", http.StatusOK)
	await(t, o.healthAddress, "/readyz", http.StatusInternalServerError)

	must(t, logKey(t.Context(), log))
	must(t, logKey(t.Context(), log))
	await(t, o.healthAddress, "/readyz", http.StatusInternalServerError)
	id, key, err := tag.NewKey()
	must(t, err)
	must(t, api.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.SecretTagKey}, Data: tag.WithKey(nil, id, key),
	}))
	await(t, o.healthAddress, "/readyz", http.StatusOK)
	for name, o := range map[string]client.Object{
		v1alpha1.SecretSigningKey: &corev1.Secret{}, v1alpha1.SecretLogKey: &corev1.Secret{},
		v1alpha1.ConfigMapNotaryKey: &corev1.ConfigMap{}, v1alpha1.ConfigMapTrustedRoot: &corev1.ConfigMap{},
	} {
		if err := api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o); err != nil {
			t.Error(err)
		}
	}
	stop()
	select {
	case err := <-ended:
		must(t, err)
	case <-time.After(time.Minute):
		t.Fatal("it does not stop")
	}

	t.Run("it does not start with a key that is not the published one", func(t *testing.T) {
		must(t, api.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.SecretSigningKey}}))
		o.healthAddress = "0"
		if err := run(t.Context(), o); reason.Of(err) != reason.KeyMismatch {
			t.Errorf("got %v", err)
		}
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// await waits until a probe answers like that.
func await(t *testing.T, address, path string, want int) {
	t.Helper()
	got := "nothing"
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode == want {
			return
		}
		got = fmt.Sprint(response.StatusCode)
	}
	t.Fatalf("%s answers %s, want %d", path, got, want)
}
