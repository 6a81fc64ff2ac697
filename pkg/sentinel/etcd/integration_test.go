//go:build integration

package etcd

import (
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

func program(variables ...string) string {
	for _, v := range variables {
		if path := os.Getenv(v); path != "" {
			return path
		}
	}
	return ""
}

// With a real etcd: what was before a revision is there until it is compacted.
func TestARealEtcdSaysWhatIsCompacted(t *testing.T) {
	server := &envtest.Etcd{Path: program("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{server.URL.String()}, DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var revisions []int64
	for _, value := range []string{"old", "new", "newer"} {
		resp, err := client.Put(t.Context(), "/registry/secrets/ns/s", value)
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, resp.Header.Revision)
	}
	s := Scanner{KV: client, Prefix: "/registry", Witness: witness}
	expect := func(want bool) {
		t.Helper()
		got, err := s.Compacted(t.Context(), revisions[1])
		_, reads := client.Get(t.Context(), "/registry/secrets/ns/s", clientv3.WithRev(revisions[0]))
		if err != nil || got != want || (reads != nil) != want {
			t.Fatalf("it says %v, %v; reading what was before: %v", got, err, reads)
		}
	}
	expect(false)
	if _, err := client.Compact(t.Context(), revisions[0]); err != nil {
		t.Fatal(err)
	}
	expect(false)
	if _, err := client.Compact(t.Context(), revisions[1]); err != nil {
		t.Fatal(err)
	}
	expect(true)
	if _, err := s.Compacted(t.Context(), revisions[2]+100); err == nil {
		t.Error("it knows of what is yet to come")
	}
}
