//go:build e2e

package sentinel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/e2e/sentinel/control"
)

const (
	// The keys of the key service: what is written with first, and then.
	firstKey  = "11111111-1111-4111-8111-111111111111"
	secondKey = "22222222-2222-4222-8222-222222222222"
	// keyPrefix is what their ARNs begin with.
	keyPrefix = "arn:aws:kms:eu-west-2:111122223333:key/"
	// underKMS is how a value in etcd begins that lies under the plugin's key.
	underKMS = "k8s:enc:kms:v2:argoseal:"
)

// keyed is an API server, and what its Secrets need: etcd, the plugin, the key service.
type keyed struct {
	*plane
	server, plugin, service *control.Process
	store                   string
}

func (k *keyed) serviceAddress() string { return fmt.Sprintf("127.0.0.1:%d", k.Ports.Service) }

func (k *keyed) metricsAddress() string { return fmt.Sprintf("127.0.0.1:%d", k.Ports.PluginMetrics) }

func (k *keyed) healthAddress() string { return fmt.Sprintf("127.0.0.1:%d", k.Ports.PluginHealth) }

func (k *keyed) socket() string { return k.Path("kms.sock") }

func (k *keyed) startService() {
	k.service = k.start("local-kms", binary(k.t, "ARGOSEAL_BIN_LOCAL_KMS"))
}

func (k *keyed) startPlugin(write string, read ...string) {
	url := func(key string) string {
		return "awskms:///" + keyPrefix + key + "?endpoint=http://" + k.serviceAddress()
	}
	args := []string{
		"kms-plugin", "--listen=unix://" + k.socket(), "--probe=1s", "--key=" + url(write),
		"--metrics-address=" + k.metricsAddress(), "--health-address=" + k.healthAddress(),
	}
	for _, key := range read {
		args = append(args, "--read-key="+url(key))
	}
	k.plugin = k.start("kms-plugin", k.Program, args...)
}

func (k *keyed) startServer() {
	k.server = k.start("apiserver-0", binary(k.t, "ARGOSEAL_BIN_KUBE_APISERVER"), k.ServerArgs(0, k.store)...)
}

func (k *keyed) ready(what string) {
	k.t.Helper()
	await(k.t, 2*time.Minute, what, func(ctx context.Context) error { return k.Ready(ctx, 0) })
	k.t.Logf("%s %s", time.Now().Format("15:04:05"), what)
}

// tell has the key service do something with a key.
func (k *keyed) tell(operation, key string) {
	k.t.Helper()
	r, err := http.NewRequestWithContext(k.t.Context(), http.MethodPost, "http://"+k.serviceAddress()+"/", strings.NewReader(`{"KeyId":"`+key+`"}`))
	if err != nil {
		k.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "TrentService."+operation)
	if _, err := body(http.DefaultClient.Do(r)); err != nil {
		k.t.Fatal(err)
	}
}

// body is what is answered, if it is good news.
func body(r *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	raw, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", r.Status, raw)
	}
	return raw, err
}

func get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return body(http.DefaultClient.Do(r))
}

// usable waits until the plugin finds that the key can be used, or cannot.
func (k *keyed) usable(want bool) {
	k.t.Helper()
	await(k.t, time.Minute, fmt.Sprintf("the plugin says that the key can be used: %t", want), func(ctx context.Context) error {
		_, err := get(ctx, "http://"+k.healthAddress()+"/readyz")
		if (err == nil) != want {
			return fmt.Errorf("it says %w", errors.Join(err, errors.New("something else")))
		}
		_, err = get(ctx, "http://"+k.healthAddress()+"/healthz")
		return err // it is alive either way
	})
}

var encrypted = regexp.MustCompile(`argoseal_sentinel_kms_requests_total\{operation="encrypt",result="ok"\} (\d+)`)

// asked is how often the plugin, since it started, encrypted something for the API server.
func (k *keyed) asked() int {
	k.t.Helper()
	raw, err := get(k.t.Context(), "http://"+k.metricsAddress()+"/metrics")
	if err != nil {
		k.t.Fatal(err)
	}
	n := 0
	if found := encrypted.FindSubmatch(raw); found != nil {
		n, _ = strconv.Atoi(string(found[1]))
	}
	return n
}

// under counts the Secrets in etcd by the key that they lie under, and fails for any that
// lies under none, or that can be read.
func (k *keyed) under() map[string]int {
	k.t.Helper()
	got, err := k.Etcd.Get(k.t.Context(), folder, clientv3.WithPrefix())
	if err != nil {
		k.t.Fatal(err)
	}
	counts := map[string]int{}
	for _, kv := range got.Kvs {
		if !bytes.HasPrefix(kv.Value, []byte(underKMS)) || bytes.Contains(kv.Value, []byte(canary)) {
			k.t.Errorf("%s lies there as %.60q", kv.Key, kv.Value)
		}
		for _, key := range []string{firstKey, secondKey} {
			if bytes.Contains(kv.Value, []byte("awskms:///"+keyPrefix+key)) {
				counts[key]++
			}
		}
	}
	return counts
}

func (k *keyed) write(name string) error {
	_, err := k.Clients[0].CoreV1().Secrets(space).Create(k.t.Context(), secretOf(name), metav1.CreateOptions{})
	return err
}

func secretOf(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{"value": []byte(canary + name)}}
}

// stream writes one Secret after another, whatever becomes of it, and remembers which
// writes were acknowledged.
type stream struct {
	mu    sync.Mutex
	acked []string
	stop  func()
}

func (k *keyed) stream() *stream {
	s := &stream{}
	ctx, cancel := context.WithCancel(k.t.Context())
	ended := make(chan struct{})
	secrets := k.Clients[0].CoreV1().Secrets(space)
	go func() {
		defer close(ended)
		for n := 0; ctx.Err() == nil; n++ {
			name := fmt.Sprint("w-", n)
			if _, err := secrets.Create(ctx, secretOf(name), metav1.CreateOptions{}); err == nil {
				s.mu.Lock()
				s.acked = append(s.acked, name)
				s.mu.Unlock()
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	s.stop = func() { cancel(); <-ended }
	return s
}

// kept fails for each write that was acknowledged and cannot be read back.
func (s *stream) kept(k *keyed) {
	k.t.Helper()
	s.mu.Lock()
	acked := slices.Clone(s.acked)
	s.mu.Unlock()
	all, err := k.Clients[0].CoreV1().Secrets(space).List(k.t.Context(), metav1.ListOptions{})
	k.must(err)
	has := map[string]string{}
	for _, one := range all.Items {
		has[one.Name] = string(one.Data["value"])
	}
	for _, name := range acked {
		if has[name] != canary+name {
			k.t.Errorf("%s was acknowledged, and is %q", name, has[name])
		}
	}
	k.t.Logf("%d writes were acknowledged", len(acked))
}

// seedService makes the keys of the key service, and says where it answers.
func (k *keyed) seedService() {
	k.must(os.WriteFile(k.Path("seed.yaml"), fmt.Appendf(nil, `Keys:
  Symmetric:
    Aes:
      - Metadata: {KeyId: %s}
        BackingKeys: [%s]
      - Metadata: {KeyId: %s}
        BackingKeys: [%s]
`, firstKey, strings.Repeat("11", 32), secondKey, strings.Repeat("22", 32)), 0o600))
	for name, value := range map[string]string{
		"PORT": strconv.Itoa(k.Ports.Service), "KMS_DATA_PATH": k.Path("local-kms"), "KMS_SEED_PATH": k.Path("seed.yaml"),
		"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "anything",
	} {
		k.t.Setenv(name, value)
	}
}

func keyService(t *testing.T) *keyed {
	t.Helper()
	k := &keyed{plane: prepare(t)}
	k.store = fmt.Sprintf("https://127.0.0.1:%d", k.Ports.Etcd[0])
	k.must(os.MkdirAll(filepath.Dir(k.File(0)), 0o700))
	k.must(os.WriteFile(k.File(0), []byte(`apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - kms: {apiVersion: v2, name: argoseal, endpoint: "unix://`+k.socket()+`"}
      - identity: {}
`), 0o600))
	k.seedService()
	k.startService()
	k.startPlugin(firstKey)
	k.start("etcd-0", binary(t, "ARGOSEAL_BIN_ETCD"), k.EtcdArgs(0, fmt.Sprintf("m0=http://127.0.0.1:%d", k.Ports.Peer[0]))...)
	k.startServer()
	k.must(k.Connect(0))
	k.must(k.OpenEtcd(t.Context(), k.store))
	k.ready("the API server is ready")
	return k
}

// TestSecretsUnderAKeyService: the plugin, a key service, etcd and an API server, of which
// each goes away and comes back while Secrets are written. None that was acknowledged is
// lost, none is stored readable, and where the key is gone the API server says so.
func TestSecretsUnderAKeyService(t *testing.T) {
	k := keyService(t)
	load := k.stream()
	k.must(k.write("first"))

	// Neither the plugin nor the key service has to be there for a write.
	k.plugin.Kill()
	k.must(k.write("without-plugin"))
	k.startPlugin(firstKey) // its socket is still there
	k.usable(true)
	if info, err := os.Stat(k.socket()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its socket has mode %s, %v", info.Mode(), err)
	}
	k.service.Kill()
	k.usable(false)
	k.must(k.write("without-service"))
	k.startService()
	k.usable(true)

	k.server.Kill()
	k.startServer()
	k.ready("the API server is back, and reads with the plugin")
	load.kept(k)
	if n := k.asked(); n < 1 || n > 3 {
		t.Errorf("for all of this the plugin has encrypted %d seeds", n)
	}
	if counts := k.under(); counts[firstKey] < 3 || len(counts) != 1 {
		t.Errorf("Secrets lie under %v", counts)
	}

	// The key is gone. An API server that does not know a seed yet stores nothing.
	k.tell("DisableKey", firstKey)
	k.usable(false)
	k.server.Kill()
	k.startServer()
	await(t, 2*time.Minute, "the API server answers", func(ctx context.Context) error {
		return k.Clients[0].RESTClient().Get().AbsPath("/version").Do(ctx).Error()
	})
	if err := k.write("without-key"); err == nil {
		t.Error("without the key a Secret is stored")
	} else {
		t.Logf("without the key a write gives: %v", err)
	}
	if got, err := k.Clients[0].CoreV1().Secrets(space).Get(t.Context(), "first", metav1.GetOptions{}); err == nil {
		t.Errorf("without the key a Secret is read: %v", got.Data)
	}
	if err := k.Ready(t.Context(), 0); err == nil {
		t.Error("without the key the API server is ready")
	}
	k.tell("EnableKey", firstKey)
	k.usable(true)
	k.ready("the key is back")
	load.kept(k)

	// Another key: what is written lies under it, and what lay there is read.
	k.plugin.Kill()
	k.startPlugin(secondKey, firstKey)
	k.usable(true)
	k.server.Kill()
	k.startServer()
	k.ready("another key is written with")
	k.must(k.write("second"))
	_, err := k.Clients[0].CoreV1().Secrets(space).Update(t.Context(), secretOf("first"), metav1.UpdateOptions{})
	k.must(err)
	load.stop()
	load.kept(k)
	if counts := k.under(); counts[secondKey] < 2 || counts[firstKey] < 2 {
		t.Errorf("Secrets lie under %v", counts)
	}
	raw, err := os.ReadFile(k.Path("kms-plugin.log"))
	k.must(err)
	if bytes.Contains(raw, []byte(canary)) {
		t.Error("the plugin's log has what is in a Secret")
	}
}
