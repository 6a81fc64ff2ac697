package keyring

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
)

const ours = "argoseal-system"

func newAPI() client.Client { return fake.NewClientBuilder().Build() }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func configMap(tb testing.TB, c client.Client, name string) *corev1.ConfigMap {
	tb.Helper()
	var m corev1.ConfigMap
	must(tb, c.Get(tb.Context(), client.ObjectKey{Namespace: ours, Name: name}, &m))
	return &m
}

func secret(tb testing.TB, c client.Client, name string) *corev1.Secret {
	tb.Helper()
	var s corev1.Secret
	must(tb, c.Get(tb.Context(), client.ObjectKey{Namespace: ours, Name: name}, &s))
	return &s
}

func TestReplicasThatStartTogetherShareOneSigningKey(t *testing.T) {
	c := newAPI()
	keys := make([]*seal.Signer, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			var err error
			if keys[i], err = Signer(t.Context(), c, ours); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	published := []byte(configMap(t, c, v1alpha1.ConfigMapNotaryKey).Data[v1alpha1.NotaryKeyKey])
	for i, k := range keys {
		if k == nil || !bytes.Equal(k.PublicKeyPEM(), published) {
			t.Errorf("replica %d has another key than the published one", i)
		}
	}
}

func TestASigningKeyThatIsNotThePublishedOneIsRefused(t *testing.T) {
	c := newAPI()
	before, err := Signer(t.Context(), c, ours)
	must(t, err)
	must(t, c.Delete(t.Context(), secret(t, c, v1alpha1.SecretSigningKey)))
	_, err = Signer(t.Context(), c, ours)
	if reason.Of(err) != reason.KeyMismatch {
		t.Fatalf("got %v, want %s", err, reason.KeyMismatch)
	}
	if got := configMap(t, c, v1alpha1.ConfigMapNotaryKey).Data[v1alpha1.NotaryKeyKey]; got != string(before.PublicKeyPEM()) {
		t.Error("the published key was overwritten")
	}
	t.Run("until it is published beside the one before it", func(t *testing.T) {
		m := configMap(t, c, v1alpha1.ConfigMapNotaryKey)
		now, err := seal.LoadSigner(secret(t, c, v1alpha1.SecretSigningKey).Data[PrivateKeyKey])
		must(t, err)
		m.Data[v1alpha1.NotaryKeyKey] += string(now.PublicKeyPEM())
		must(t, c.Update(t.Context(), m))
		if _, err := Signer(t.Context(), c, ours); err != nil {
			t.Error(err)
		}
	})
}

func ownLog(tb testing.TB) OwnLog {
	return OwnLog{
		Namespace: ours, URL: "http://argoseal-rekor.argoseal-system.svc", Hostname: "argoseal-rekor.argoseal-system.svc",
		KeyFile: filepath.Join(tb.TempDir(), "log.pem"),
	}
}

// withTimes gives objects a creation time, as API servers do.
func withTimes(tb testing.TB) client.Client {
	tb.Helper()
	private, public, err := seal.NewLogKey()
	must(tb, err)
	return fake.NewClientBuilder().WithObjects(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.SecretLogKey, CreationTimestamp: metav1.NewTime(time.Now())},
		Data:       map[string][]byte{PrivateKeyKey: private, publicKeyKey: public},
	}).Build()
}

func TestTheLogsKeyIsMadeOnceAndTrusted(t *testing.T) {
	c, l := withTimes(t), ownLog(t)
	must(t, l.Ensure(t.Context(), c))
	key, err := os.ReadFile(l.KeyFile)
	must(t, err)
	if !bytes.Equal(key, secret(t, c, v1alpha1.SecretLogKey).Data[PrivateKeyKey]) {
		t.Error("the file has another key than the Secret")
	}
	info, err := os.Stat(l.KeyFile)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key file's mode is %s", info.Mode())
	}
	trusted := configMap(t, c, v1alpha1.ConfigMapTrustedRoot).Data[v1alpha1.TrustedRootKey]
	signer, err := Signer(t.Context(), c, ours)
	must(t, err)
	if _, err := verify.NewRoot([]byte(trusted), signer.PublicKeyPEM()); err != nil {
		t.Errorf("the trusted root does not load: %v", err)
	}
	t.Run("again, it changes nothing", func(t *testing.T) {
		must(t, l.Ensure(t.Context(), c))
		if again := configMap(t, c, v1alpha1.ConfigMapTrustedRoot).Data[v1alpha1.TrustedRootKey]; again != trusted {
			t.Error("the trusted root changed")
		}
		if again, _ := os.ReadFile(l.KeyFile); !bytes.Equal(again, key) {
			t.Error("the key changed")
		}
	})
}

func TestALogsKeyIsMadeWhereThereIsNone(t *testing.T) {
	c := newAPI()
	// The API server in memory gives no creation times, which the trusted root
	// needs: the key is made all the same.
	_ = ownLog(t).Ensure(t.Context(), c)
	if s := secret(t, c, v1alpha1.SecretLogKey); len(s.Data[PrivateKeyKey]) == 0 || len(s.Data[publicKeyKey]) == 0 {
		t.Errorf("secret has %d entries", len(s.Data))
	}
}

func TestALogIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(testing.TB, client.Client, *OwnLog)
		want   reason.Code
	}{
		"whose key is not the trusted one": {func(tb testing.TB, c client.Client, _ *OwnLog) {
			must(tb, c.Delete(tb.Context(), secret(tb, c, v1alpha1.SecretLogKey)))
			s := secret(tb, withTimes(tb), v1alpha1.SecretLogKey)
			s.ResourceVersion = ""
			must(tb, c.Create(tb.Context(), s))
		}, reason.KeyMismatch},
		"whose URL is not the trusted one": {func(_ testing.TB, _ client.Client, l *OwnLog) {
			l.URL, l.Hostname = "http://other.svc", "other.svc"
		}, reason.KeyMismatch},
		"whose trusted root cannot be read": {func(tb testing.TB, c client.Client, _ *OwnLog) {
			m := configMap(tb, c, v1alpha1.ConfigMapTrustedRoot)
			m.Data[v1alpha1.TrustedRootKey] = "{}"
			must(tb, c.Update(tb.Context(), m))
		}, reason.KeyMismatch},
		"whose Secret is somebody else's": {func(tb testing.TB, c client.Client, _ *OwnLog) {
			s := secret(tb, c, v1alpha1.SecretLogKey)
			delete(s.Data, publicKeyKey)
			must(tb, c.Update(tb.Context(), s))
		}, reason.KeyMismatch},
		"whose name is not its URL's host": {func(_ testing.TB, _ client.Client, l *OwnLog) { l.Hostname = "localhost" }, reason.UsageInvalid},
		"without a host":                   {func(_ testing.TB, _ client.Client, l *OwnLog) { l.URL, l.Hostname = "rekor", "" }, reason.UsageInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			api, l := withTimes(t), ownLog(t)
			must(t, l.Ensure(t.Context(), api))
			trusted := configMap(t, api, v1alpha1.ConfigMapTrustedRoot).Data[v1alpha1.TrustedRootKey]
			must(t, os.Remove(l.KeyFile))
			c.change(t, api, &l)
			err := l.Ensure(t.Context(), api)
			if reason.Of(err) != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if !strings.Contains(err.Error(), c.want.Remedy()) {
				t.Errorf("it does not say what to do: %v", err)
			}
			if _, err := os.Stat(l.KeyFile); !errors.Is(err, os.ErrNotExist) {
				t.Error("the server got its key all the same")
			}
			if now := configMap(t, api, v1alpha1.ConfigMapTrustedRoot).Data[v1alpha1.TrustedRootKey]; now != trusted && now != "{}" {
				t.Error("the trusted root was overwritten")
			}
		})
	}
}

func TestTheKeyringHoldsWhatWasLastGood(t *testing.T) {
	log := sealtest.NewLog(t)
	c := newAPI()
	signer, err := Signer(t.Context(), c, ours)
	must(t, err)
	store := &trust.Store{API: c, Namespace: ours, Builders: verify.BuildersOf("test"), Clock: clock.RealClock{}, Log: logr.Discard()}
	ring := New(store, signer, seal.NewRecorder(log, clock.RealClock{}))
	store.Usable = ring.Usable(sealtest.URL)
	if err := ring.Load(t.Context()); err == nil || ring.Current() != nil {
		t.Fatal("there is material without a tag key")
	}
	id, key, err := tag.NewKey()
	must(t, err)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.SecretTagKey}, Data: tag.WithKey(nil, id, key)}
	must(t, c.Create(t.Context(), s))
	if err := ring.Load(t.Context()); err == nil || ring.Current() != nil {
		t.Fatal("there is material without a trusted root")
	}
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapTrustedRoot}}
	must(t, c.Create(t.Context(), m))
	if err := ring.Load(t.Context()); err == nil {
		t.Fatal("there is material with an empty trusted root")
	}
	m.Data = map[string]string{v1alpha1.TrustedRootKey: string(log.TrustedRoot)}
	must(t, c.Update(t.Context(), m))
	must(t, ring.Load(t.Context()))
	good := ring.Current().Root
	m.Data[v1alpha1.TrustedRootKey] = "nonsense"
	must(t, c.Update(t.Context(), m))
	if err := ring.Load(t.Context()); err == nil || ring.Current().Root != good {
		t.Errorf("error %v; the last good material is gone: %t", err, ring.Current().Root != good)
	}
	_, public, err := seal.NewLogKey()
	must(t, err)
	elsewhere, err := seal.TrustedRootJSON("http://localhost:3004", public, time.Now())
	must(t, err)
	m.Data[v1alpha1.TrustedRootKey] = string(elsewhere)
	must(t, c.Update(t.Context(), m))
	if err := ring.Load(t.Context()); reason.Of(err) != reason.LogMismatch || ring.Current().Root != good {
		t.Errorf("a root of another log: %v", err)
	}
	m.Data[v1alpha1.TrustedRootKey] = string(sealtest.NewLog(t).TrustedRoot)
	must(t, c.Update(t.Context(), m))
	must(t, ring.Load(t.Context()))
	if ring.Current().Root.Version() == good.Version() {
		t.Error("a new trusted root is not taken up")
	}
	good = ring.Current().Root
	n := configMap(t, c, v1alpha1.ConfigMapNotaryKey)
	other, err := seal.NewKey()
	must(t, err)
	another, err := seal.LoadSigner(other)
	must(t, err)
	n.Data[v1alpha1.NotaryKeyKey] = string(another.PublicKeyPEM())
	must(t, c.Update(t.Context(), n))
	if err := ring.Load(t.Context()); reason.Of(err) != reason.KeyMismatch || ring.Current().Root != good {
		t.Errorf("published keys without ours: %v", err)
	}
	// Once another signs, nothing asks for the one before it.
	ring.Use(another)
	if must(t, ring.Load(t.Context())); !ring.Knows(another.Hint()) || ring.Knows(signer.Hint()) {
		t.Errorf("known are %v", ring.Current().Root.KeyHints())
	}
	n.Data[v1alpha1.NotaryKeyKey] = string(signer.PublicKeyPEM())
	must(t, c.Update(t.Context(), n))
	if err := ring.Load(t.Context()); reason.Of(err) != reason.KeyMismatch {
		t.Errorf("published keys without the one that signs now: %v", err)
	}
}
