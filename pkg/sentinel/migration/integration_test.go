//go:build integration

package migration_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/migration"
)

// objects is how many Secrets there are.
const objects = 10_000

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func program(variables ...string) string {
	for _, v := range variables {
		if path := os.Getenv(v); path != "" {
			return path
		}
	}
	return ""
}

// raise starts an API server with an encryption file, on an etcd that outlives it.
func raise(t *testing.T, etcd *envtest.Etcd, c encryption.Config) (config *rest.Config, stop func()) {
	t.Helper()
	content, err := c.Render([]string{"secrets"})
	must(t, err)
	file := filepath.Join(t.TempDir(), "config.yaml")
	must(t, os.WriteFile(file, content, 0o600))
	api := &envtest.APIServer{Path: program("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER"), EtcdURL: etcd.URL}
	// Lists come from etcd, so that tokens expire with its revisions.
	api.Configure().Set("encryption-provider-config", file).Set("watch-cache", "false")
	must(t, api.Start())
	user, err := (&envtest.ControlPlane{APIServer: api, Etcd: etcd}).AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	must(t, err)
	config = user.Config()
	config.QPS, config.Burst = 5000, 5000
	return config, func() { must(t, api.Stop()) }
}

// expired counts answers that say that a token has expired.
type expired struct {
	http.RoundTripper
	count atomic.Int64
}

func (e *expired) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := e.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusGone {
		e.count.Add(1)
	}
	return resp, err
}

// TestTokensThatExpireSkipNothing: 10,000 Secrets on a real API server, whose etcd forgets
// the revision that is listed again and again. Each comes to lie under the key.
func TestTokensThatExpireSkipNothing(t *testing.T) {
	etcd := &envtest.Etcd{Path: program("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")}
	must(t, etcd.Start())
	t.Cleanup(func() { must(t, etcd.Stop()) })
	store, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.URL.String()}, DialTimeout: 10 * time.Second})
	must(t, err)
	defer store.Close()
	config, stop := raise(t, etcd, encryption.Off())
	name := func(i int) string { return fmt.Sprintf("secret-%05d", i) }
	_, err = typedcore.NewForConfigOrDie(config).Secrets("default").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name(0)}, Data: map[string][]byte{"k": []byte("canary")},
	}, metav1.CreateOptions{})
	must(t, err)
	stop()
	copies(t, store, name)

	key, err := encryption.NewKey(encryption.Secretbox, 0, time.Now(), strings.NewReader(strings.Repeat("k", 64)))
	must(t, err)
	both, err := encryption.NewConfig(key, encryption.Off().Keys()...)
	must(t, err)
	config, stop = raise(t, etcd, both)
	defer stop()
	gone := &expired{}
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		gone.RoundTripper = rt
		return gone
	})
	client, err := metadata.NewForConfig(config)
	must(t, err)
	began, pages := time.Now(), 0
	var record migration.Record
	for ; !record.Finished; pages++ {
		if record, err = (migration.Migrator{Client: client}).Page(t.Context(), []schema.GroupVersionResource{corev1.SchemeGroupVersion.WithResource("secrets")}, record); err != nil {
			t.Fatalf("page %d: %v", pages, err)
		}
		if pages%4 == 1 {
			got, err := store.Get(t.Context(), "compact")
			must(t, err)
			_, err = store.Compact(t.Context(), got.Header.Revision)
			must(t, err)
		}
		if pages > 100 {
			t.Fatal("it does not come to its end")
		}
	}
	t.Logf("%d objects in %s, %d pages, of which %d tokens had expired", record.Done, time.Since(began).Round(time.Second), pages, gone.count.Load())
	if gone.count.Load() == 0 {
		t.Error("no token has expired")
	}
	all, err := store.Get(t.Context(), "/registry/secrets/", clientv3.WithPrefix())
	must(t, err)
	under := 0
	for _, kv := range all.Kvs {
		if bytes.HasPrefix(kv.Value, []byte("k8s:enc:secretbox:v1:"+key.Name+":")) {
			under++
		}
	}
	if under != len(all.Kvs) || under < objects {
		t.Errorf("%d of %d objects lie under the key", under, len(all.Kvs))
	}
}

// copies stores copies of the first Secret under other names, as the API server would.
func copies(t *testing.T, store *clientv3.Client, name func(int) string) {
	t.Helper()
	const folder = "/registry/secrets/default/"
	got, err := store.Get(t.Context(), folder+name(0))
	must(t, err)
	if len(got.Kvs) != 1 {
		t.Fatalf("%d Secrets", len(got.Kvs))
	}
	var puts []clientv3.Op
	for i := 1; i < objects; i++ {
		value := bytes.ReplaceAll(got.Kvs[0].Value, []byte(name(0)), []byte(name(i)))
		if puts = append(puts, clientv3.OpPut(folder+name(i), string(value))); len(puts) == 100 || i == objects-1 {
			_, err := store.Txn(t.Context()).Then(puts...).Commit()
			must(t, err)
			puts = nil
		}
	}
}
