//go:build integration

package apiserver_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/sentinel/apiserver"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

func program(variables ...string) string {
	for _, v := range variables {
		if path := os.Getenv(v); path != "" {
			return path
		}
	}
	return ""
}

// A real API server says which it is, and by the same ID that it is there.
func TestAnAPIServerIsRegisteredByItsID(t *testing.T) {
	off, err := encryption.Off().Render([]string{"secrets"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, off, 0o600); err != nil {
		t.Fatal(err)
	}
	api := &envtest.APIServer{Path: program("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")}
	api.Configure().Set("encryption-provider-config", file).Set("encryption-provider-config-automatic-reload", "true")
	env := &envtest.Environment{ControlPlane: envtest.ControlPlane{
		APIServer: api, Etcd: &envtest.Etcd{Path: program("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")},
	}}
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	leases, err := coordination.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := apiserver.Ask(t.Context(), client, config.Host)
	if err != nil || loaded.ID == "" || loaded.Hash != encryption.Hash(off) {
		t.Fatalf("%+v, %v", loaded, err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(500 * time.Millisecond) {
		registered, err := apiserver.Registered(t.Context(), leases)
		if err != nil {
			t.Fatal(err)
		}
		if registered[loaded.ID] != "" && len(registered) == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("it is %s, and these are registered: %v", loaded.ID, registered)
		}
	}
}
