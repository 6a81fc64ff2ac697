//go:build integration

package main

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

func built(variables ...string) string {
	for _, v := range variables {
		if path := os.Getenv(v); path != "" {
			return path
		}
	}
	return ""
}

// raise starts an API server with an encryption file, on an etcd that outlives it.
func raise(t *testing.T, etcd *envtest.Etcd, file string) (config *rest.Config, stop func(), err error) {
	t.Helper()
	api := &envtest.APIServer{Path: built("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER"), EtcdURL: etcd.URL}
	api.Configure().Set("encryption-provider-config", file)
	if err := api.Start(); err != nil {
		return nil, nil, err
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			if err := api.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	user, err := (&envtest.ControlPlane{APIServer: api, Etcd: etcd}).AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return user.Config(), stop, nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stored reads the resource, and the Secrets, from etcd, without an API server.
func stored(t *testing.T, etcd *envtest.Etcd) (resource []byte, objects []object) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.URL.String()}, DialTimeout: 10 * time.Second})
	must(t, err)
	defer c.Close()
	got, err := c.Get(t.Context(), "/registry/argoseal.dev/secretencryptions/cluster")
	must(t, err)
	if len(got.Kvs) != 1 {
		t.Fatalf("etcd has %d", len(got.Kvs))
	}
	secrets, err := c.Get(t.Context(), "/registry/secrets/", clientv3.WithPrefix())
	must(t, err)
	for _, kv := range secrets.Kvs {
		objects = append(objects, object{kv.Key, kv.Value})
	}
	return got.Kvs[0].Value, objects
}

// TestALostFileIsRestoredFromEscrow: with a real API server. The file is lost, with it
// every Secret, and the server does not become ready; what etcd has of the resource brings
// them back.
func TestALostFileIsRestoredFromEscrow(t *testing.T) {
	etcd := &envtest.Etcd{Path: built("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")}
	must(t, etcd.Start())
	t.Cleanup(func() { must(t, etcd.Stop()) })
	identity, err := age.GenerateX25519Identity()
	must(t, err)
	resource, keys := escrowed(t, identity, "a", "b")
	resource.Name = v1alpha1.SecretEncryptionName
	file := filepath.Join(t.TempDir(), "config.yaml")
	write := func(config encryption.Config) string {
		t.Helper()
		content, err := config.Render([]string{"secrets"})
		must(t, err)
		must(t, os.WriteFile(file, content, 0o600))
		return file
	}
	used, err := encryption.NewConfig(keys[1])
	must(t, err)
	config, stop, err := raise(t, etcd, write(used))
	must(t, err)
	secrets := kubernetes.NewForConfigOrDie(config).CoreV1().Secrets("default")
	_, err = secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Data: map[string][]byte{"k": []byte("value")}}, metav1.CreateOptions{})
	must(t, err)
	_, err = envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{"../../charts/argoseal-sentinel/files/crds"}})
	must(t, err)
	scheme := runtime.NewScheme()
	must(t, v1alpha1.AddToScheme(scheme))
	api, err := client.New(config, client.Options{Scheme: scheme})
	must(t, err)
	status := resource.Status
	must(t, api.Create(t.Context(), resource))
	resource.Status = status
	must(t, api.Status().Update(t.Context(), resource))
	stop()
	must(t, os.Remove(file))

	if config, stop, err := raise(t, etcd, write(encryption.Off())); err == nil {
		if got, err := kubernetes.NewForConfigOrDie(config).CoreV1().Secrets("default").Get(t.Context(), "s", metav1.GetOptions{}); err == nil {
			t.Fatalf("without the key it can be read: %v", got.Data)
		}
		stop()
	}

	from, objects := stored(t, etcd)
	restored, _, err := restoringFrom(t, from, identity.String(), "--objects", dump(t, objects...))
	must(t, err)
	config, _, err = raise(t, etcd, write(restored))
	must(t, err)
	got, err := kubernetes.NewForConfigOrDie(config).CoreV1().Secrets("default").Get(t.Context(), "s", metav1.GetOptions{})
	must(t, err)
	if string(got.Data["k"]) != "value" {
		t.Errorf("it is %q", got.Data["k"])
	}
}
