package kms_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"gocloud.dev/secrets/localsecrets"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/sentinel/kms"
)

const every = time.Minute

var seed = bytes.Repeat([]byte("seed"), 8)

// remote is a key service, which can fail, and counts what it is asked.
type remote struct {
	kms.Keeper
	mu    sync.Mutex
	fails error
	asked int
}

func (r *remote) ask(ctx context.Context, data []byte, call func(context.Context, []byte) ([]byte, error)) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.fails != nil {
		return nil, r.fails
	}
	return call(ctx, data)
}

// Encrypt implements kms.Keeper.
func (r *remote) Encrypt(ctx context.Context, data []byte) ([]byte, error) {
	return r.ask(ctx, data, r.Keeper.Encrypt)
}

// Decrypt implements kms.Keeper.
func (r *remote) Decrypt(ctx context.Context, data []byte) ([]byte, error) {
	return r.ask(ctx, data, r.Keeper.Decrypt)
}

func (r *remote) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *remote) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = err
}

func key(t *testing.T, id string) (kms.Key, *remote) {
	t.Helper()
	secret, err := localsecrets.NewRandomKey()
	if err != nil {
		t.Fatal(err)
	}
	r := &remote{Keeper: localsecrets.NewKeeper(secret)}
	return kms.Key{ID: id, Keeper: r}, r
}

// folder is one that others may not write to, whatever the umask is.
func folder(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// served is a plugin at a socket, and a client of it, as an API server is one.
type served struct {
	*kms.Plugin
	kmsapi.KeyManagementServiceClient
	clock    *clocktesting.FakeClock
	registry *prometheus.Registry
	path     string
	stop     func()
}

func serve(t *testing.T, log logr.Logger, write kms.Key, read ...kms.Key) *served {
	t.Helper()
	s := &served{
		clock: clocktesting.NewFakeClock(time.Now()), registry: prometheus.NewRegistry(),
		path: filepath.Join(folder(t), "kms.sock"),
	}
	var err error
	if s.Plugin, err = kms.New(write, read, every, s.clock, kms.NewMetrics(s.registry), log); err != nil {
		t.Fatal(err)
	}
	l, err := kms.Listen(t.Context(), "unix://"+s.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- kms.Serve(ctx, l, s.Plugin) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("it ends with %v", err)
		}
	})
	t.Cleanup(s.stop)
	c, err := grpc.NewClient("unix://"+s.path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	s.KeyManagementServiceClient = kmsapi.NewKeyManagementServiceClient(c)
	return s
}

func (s *served) health(t *testing.T) string {
	t.Helper()
	got, err := s.KeyManagementServiceClient.Status(t.Context(), &kmsapi.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != "v2" || got.KeyId != "write" {
		t.Errorf("its version is %q, its key %q", got.Version, got.KeyId)
	}
	return got.Healthz
}

// What is encrypted names the key that Status names, and comes back after the plugin was
// started anew, by whichever plugin has the key.
func TestWhatIsEncryptedComesBack(t *testing.T) {
	write, _ := key(t, "write")
	s := serve(t, logr.Discard(), write)
	s.ProbeOnce(t.Context())
	if says := s.health(t); says != "ok" {
		t.Errorf("its health is %q", says)
	}
	got, err := s.KeyManagementServiceClient.Encrypt(t.Context(), &kmsapi.EncryptRequest{Uid: "1", Plaintext: seed})
	if err != nil {
		t.Fatal(err)
	}
	if got.KeyId != "write" || len(got.Annotations) != 0 || bytes.Contains(got.Ciphertext, seed) {
		t.Errorf("it is encrypted with %q, annotations %v", got.KeyId, got.Annotations)
	}
	s.stop()
	next, _ := key(t, "next")
	other := serve(t, logr.Discard(), next, write)
	plain, err := other.KeyManagementServiceClient.Decrypt(t.Context(), &kmsapi.DecryptRequest{Uid: "2", KeyId: got.KeyId, Ciphertext: got.Ciphertext})
	if err != nil || !bytes.Equal(plain.Plaintext, seed) {
		t.Errorf("it comes back as %q, %v", plain.GetPlaintext(), err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	write, service := key(t, "write")
	var lines []string
	s := serve(t, funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{}), write)
	good, err := s.KeyManagementServiceClient.Encrypt(t.Context(), &kmsapi.EncryptRequest{Plaintext: seed})
	if err != nil {
		t.Fatal(err)
	}
	encrypted, asked := good.Ciphertext, service.count()
	decrypt := func(r *kmsapi.DecryptRequest) error {
		_, err := s.KeyManagementServiceClient.Decrypt(t.Context(), r)
		return err
	}
	encrypt := func(plain []byte) error {
		_, err := s.KeyManagementServiceClient.Encrypt(t.Context(), &kmsapi.EncryptRequest{Uid: strings.Repeat("u", 1000), Plaintext: plain})
		return err
	}
	for name, c := range map[string]struct {
		err  error
		want codes.Code
	}{
		"a key that is none of ours": {decrypt(&kmsapi.DecryptRequest{KeyId: "other", Ciphertext: encrypted}), codes.FailedPrecondition},
		"no key":                     {decrypt(&kmsapi.DecryptRequest{Ciphertext: encrypted}), codes.FailedPrecondition},
		"annotations":                {decrypt(&kmsapi.DecryptRequest{KeyId: "write", Ciphertext: encrypted, Annotations: map[string][]byte{"a.example": nil}}), codes.InvalidArgument},
		"nothing to decrypt":         {decrypt(&kmsapi.DecryptRequest{KeyId: "write"}), codes.InvalidArgument},
		"too much to decrypt":        {decrypt(&kmsapi.DecryptRequest{KeyId: "write", Ciphertext: make([]byte, 1025)}), codes.InvalidArgument},
		"nothing to encrypt":         {encrypt(nil), codes.InvalidArgument},
		"too much to encrypt":        {encrypt(make([]byte, 1025)), codes.InvalidArgument},
		"a request that is too long": {encrypt(make([]byte, 16<<10)), codes.ResourceExhausted},
		"what would be too long":     {encrypt(bytes.Repeat([]byte("a"), 1024)), codes.Internal},
	} {
		if got := status.Code(c.err); got != c.want {
			t.Errorf("%s: it says %s (%v), want %s", name, got, c.err, c.want)
		}
	}
	if service.count() != asked+1 {
		t.Errorf("the key service is asked %d times for it", service.count()-asked)
	}
	for _, line := range lines {
		if strings.Contains(line, "seed") || strings.Contains(line, strings.Repeat("u", 100)) {
			t.Errorf("the log says %s", line)
		}
	}
	const want = `
# HELP argoseal_sentinel_kms_requests_total What the KMS plugin was asked (encrypt, decrypt) or tried by itself (probe), by what came of it: ok, refused by the plugin, or failed at the key service.
# TYPE argoseal_sentinel_kms_requests_total counter
argoseal_sentinel_kms_requests_total{operation="decrypt",result="refused"} 5
argoseal_sentinel_kms_requests_total{operation="encrypt",result="ok"} 1
argoseal_sentinel_kms_requests_total{operation="encrypt",result="refused"} 3
`
	if err := testutil.GatherAndCompare(s.registry, strings.NewReader(want), "argoseal_sentinel_kms_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestTheKeyServiceIsNotAskedTooOften(t *testing.T) {
	write, service := key(t, "write")
	s := serve(t, logr.Discard(), write)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var refused codes.Code
	for range 1000 {
		if _, err := s.KeyManagementServiceClient.Encrypt(ctx, &kmsapi.EncryptRequest{Plaintext: seed}); err != nil {
			refused = status.Code(err)
			break
		}
	}
	if refused != codes.ResourceExhausted && refused != codes.DeadlineExceeded || service.count() > 300 {
		t.Errorf("after %d requests it says %s", service.count(), refused)
	}
}

func TestKeysAreToldApart(t *testing.T) {
	a, _ := key(t, "a")
	for name, id := range map[string]string{"the same twice": "a", "without a name": "", "with a long name": strings.Repeat("i", 1025)} {
		b, _ := key(t, id)
		if _, err := kms.New(a, []kms.Key{b}, every, clocktesting.NewFakeClock(time.Now()), nil, logr.Discard()); err == nil {
			t.Errorf("%s it is taken", name)
		}
	}
}
