package main

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sentinel/apiserver"
)

// Each look makes a connection of its own, also where the controller has one open to the
// same address, as behind a load balancer: whoever is at its other end has answered before.
func TestALookMakesItsOwnConnection(t *testing.T) {
	var mu sync.Mutex
	var connections []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		connections = append(connections, r.RemoteAddr)
		fmt.Fprintln(w, `apiserver_encryption_config_controller_last_config_info{apiserver_id_hash="sha256:1",hash="sha256:2"} 1`)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	config := &rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{
		CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}}
	others, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := others.Get(server.URL) //nolint:noctx // it is a test's
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	client, err := direct(config, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if loaded, err := apiserver.Ask(t.Context(), client, server.URL); err != nil || loaded.ID != "sha256:1" {
			t.Fatal(loaded, err)
		}
	}
	slices.Sort(connections)
	if n := len(slices.Compact(connections)); n != 4 {
		t.Errorf("four requests came by %d connections", n)
	}
}

// A key that leaves at once is one that a request under way may still write with.
func TestSettleIsAWait(t *testing.T) {
	t.Setenv("KUBECONFIG", "/dev/null") // what is fine goes on, and finds no API server
	for settle, fine := range map[string]bool{"0s": false, "-2m": false, "9s": false, "10s": true, "2m": true} {
		c := controllerCommand()
		c.SetArgs([]string{
			"--server=a,https://a,https://b", "--agent-ca=x", "--agent-cert=x", "--agent-key=x",
			"--etcd-endpoint=https://c", "--etcd-ca=x", "--etcd-cert=x", "--etcd-key=x", "--settle=" + settle,
		})
		c.SilenceUsage, c.SilenceErrors = true, true
		if err := c.ExecuteContext(t.Context()); (reason.Of(err) == reason.UsageInvalid) == fine || err == nil {
			t.Errorf("--settle=%s: %v", settle, err)
		}
	}
}
