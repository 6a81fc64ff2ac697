package trust

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/verify"
)

const ours = "argoseal-system"

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func meta(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ours, Name: name} }

// roots are the objects of a trusted root and of the notary's keys.
func roots(tb testing.TB) (trusted, notary *corev1.ConfigMap) {
	tb.Helper()
	log := sealtest.NewLog(tb)
	n := sealtest.NewNotaryWith(tb, sealtest.Backend{Log: log, TrustedRoot: log.TrustedRoot})
	return &corev1.ConfigMap{ObjectMeta: meta(v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(log.TrustedRoot)}},
		&corev1.ConfigMap{ObjectMeta: meta(v1alpha1.ConfigMapNotaryKey), Data: map[string]string{v1alpha1.NotaryKeyKey: string(n.Signer.PublicKeyPEM())}}
}

// tagKey is the Secret of a tag key of that id.
func tagKey(tb testing.TB) (*corev1.Secret, string) {
	tb.Helper()
	id, key, err := tag.NewKey()
	check(tb, err)
	return &corev1.Secret{ObjectMeta: meta(v1alpha1.SecretTagKey), Data: tag.WithKey(nil, id, key)}, id
}

func store(api client.Client) (*Store, *clocktesting.FakePassiveClock) {
	c := clocktesting.NewFakePassiveClock(time.Now())
	return &Store{API: api, Namespace: ours, Builders: verify.BuildersOf("test"), Clock: c, Log: logr.Discard()}, c
}

func TestWhatWasGoodStaysUntilSomethingGoodReplacesIt(t *testing.T) {
	api := fake.NewClientBuilder().Build()
	s, clock := store(api)
	if err := s.Load(t.Context()); !errors.Is(err, errMissing) || s.Root() != nil || s.Ready(nil) == nil || len(s.Loaded()) != 0 {
		t.Fatalf("with nothing there: %v, %v", err, s.Loaded())
	}
	secret, id := tagKey(t)
	check(t, api.Create(t.Context(), secret))
	if err := s.Load(t.Context()); !errors.Is(err, errMissing) || s.Ready(nil) != nil || s.Root() != nil {
		t.Fatalf("with a tag key alone: %v", err)
	}
	trusted, notary := roots(t)
	check(t, api.Create(t.Context(), trusted))
	if err := s.Load(t.Context()); !errors.Is(err, errMissing) || s.Root() != nil {
		t.Fatalf("without the notary's key: %v", err)
	}
	check(t, api.Create(t.Context(), notary))
	check(t, s.Load(t.Context()))
	good, since := s.Root(), clock.Now()
	if good == nil || s.Stale() {
		t.Fatalf("there is no root, or it is stale: %t", s.Stale())
	}
	clock.SetTime(since.Add(time.Hour))
	check(t, s.Load(t.Context()))
	if s.Root() != good {
		t.Error("the same root is made anew")
	}

	keep := trusted.Data[v1alpha1.TrustedRootKey]
	for name, bad := range map[string]string{"nonsense": "nonsense", "nothing": "", "a root without a log": "{}", "too much": strings.Repeat(" ", maxValue+1)} {
		trusted.Data[v1alpha1.TrustedRootKey] = bad
		check(t, api.Update(t.Context(), trusted))
		if err := s.Load(t.Context()); err == nil || errors.Is(err, errMissing) || s.Root() != good || told(t, s) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	trusted.Data[v1alpha1.TrustedRootKey] = keep
	check(t, api.Update(t.Context(), trusted))
	if check(t, s.Load(t.Context())); told(t, s) != 0 {
		t.Error("once it is as it was, it is called stale")
	}
	s.Usable = func(from verify.Sources) error {
		if string(from.TrustedRoot) != keep || string(from.Keys) != notary.Data[v1alpha1.NotaryKeyKey] {
			t.Error("it is asked of something else")
		}
		return errors.New("another log")
	}
	if err := s.Load(t.Context()); err == nil || s.Root() != good {
		t.Errorf("a root that is of no use here: %v", err)
	}
	// A broken Secret does not keep a new root from being used.
	s.Usable = nil
	secret.Data["current"] = []byte("x")
	check(t, api.Update(t.Context(), secret))
	other, _ := roots(t)
	trusted.Data = other.Data
	check(t, api.Update(t.Context(), trusted))
	if err := s.Load(t.Context()); err == nil || s.Ready(nil) != nil || s.Root().Version() == good.Version() {
		t.Errorf("a broken Secret beside a new root: %v", err)
	}

	loaded := map[string]Loaded{}
	for _, l := range s.Loaded() {
		loaded[l.Object] = l
	}
	if l := loaded["Secret argoseal-tag-key"]; !slices.Equal(l.IDs, []string{id}) || !l.Since.Equal(since) {
		t.Errorf("of the tag key it says %+v", l)
	}
	if l := loaded["ConfigMap argoseal-notary-key"]; !slices.Equal(l.IDs, good.KeyHints()) || !l.Since.Equal(since) {
		t.Errorf("of the notary's keys it says %+v", l)
	}
	if l := loaded["ConfigMap argoseal-trusted-root"]; len(l.IDs) != 1 || !strings.HasPrefix(l.IDs[0], "sha256:") || !l.Since.Equal(clock.Now()) {
		t.Errorf("of the trusted root it says %+v", l)
	}
}

// told is what the metric says of whether something cannot be used.
func told(tb testing.TB, s *Store) float64 {
	tb.Helper()
	registry := prometheus.NewPedanticRegistry()
	check(tb, registry.Register(s.Metrics()))
	families, err := registry.Gather()
	check(tb, err)
	for _, f := range families {
		if f.GetName() == "argoseal_trust_stale" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	tb.Fatal("there is no such metric")
	return 0
}

func TestMetricsSaySinceWhenWhatIsLoadedIsInUse(t *testing.T) {
	api := fake.NewClientBuilder().Build()
	s, clock := store(api)
	registry := prometheus.NewPedanticRegistry()
	check(t, registry.Register(s.Metrics()))
	since := func() map[string]time.Time {
		t.Helper()
		families, err := registry.Gather()
		check(t, err)
		all := map[string]time.Time{}
		for _, f := range families {
			if f.GetName() == "argoseal_trust_stale" {
				continue
			}
			for _, m := range f.GetMetric() {
				all[m.GetLabel()[0].GetValue()] = time.Unix(int64(m.GetGauge().GetValue()), 0)
			}
		}
		return all
	}
	if got := since(); len(got) != 0 {
		t.Errorf("with nothing loaded: %v", got)
	}
	secret, _ := tagKey(t)
	trusted, notary := roots(t)
	for _, o := range []client.Object{secret, trusted, notary} {
		check(t, api.Create(t.Context(), o))
	}
	clock.SetTime(time.Unix(1000, 0))
	check(t, s.Load(t.Context()))
	id, key, err := tag.NewKey()
	check(t, err)
	secret.Data = tag.WithKey(secret.Data, id, key)
	check(t, api.Update(t.Context(), secret))
	clock.SetTime(time.Unix(2000, 0))
	check(t, s.Load(t.Context()))
	if got, want := since(), (map[string]time.Time{
		"Secret argoseal-tag-key":         time.Unix(2000, 0),
		"ConfigMap argoseal-trusted-root": time.Unix(1000, 0),
		"ConfigMap argoseal-notary-key":   time.Unix(1000, 0),
	}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAnErrorOfTheAPIServerIsNotNothingThere(t *testing.T) {
	down := errors.New("down")
	made := false
	s, _ := store(fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return down
		},
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			made = true
			return nil
		},
	}).Build())
	s.MakesTagKey = true
	if err := s.Load(t.Context()); !errors.Is(err, down) || errors.Is(err, errMissing) || made {
		t.Errorf("got %v; a key was made: %t", err, made)
	}
}

func TestReplicasThatStartTogetherShareOneTagKey(t *testing.T) {
	api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, api client.WithWatch, o client.Object, options ...client.CreateOption) error {
			o.SetCreationTimestamp(metav1.Now())
			return api.Create(ctx, o, options...)
		},
	}).Build()
	ids := make([][]string, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			s, _ := store(api)
			s.MakesTagKey = true
			_ = s.Load(t.Context()) // there is no root
			keys, err := s.Tags()
			if err != nil {
				t.Error(err)
			}
			ids[i] = keys.IDs()
		})
	}
	all.Wait()
	for _, got := range ids {
		if len(got) != 1 || !slices.Equal(got, ids[0]) {
			t.Errorf("keys are %v", ids)
		}
	}
}

// The tag key is made once, and gets a successor once it is old, which issues
// nothing yet.
func TestTheTagKeyIsRotated(t *testing.T) {
	clock := time.Now()
	api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, api client.WithWatch, o client.Object, options ...client.CreateOption) error {
			o.SetCreationTimestamp(metav1.NewTime(clock))
			if o.GetName() == "" { // what is asked for the time only has no name yet
				var given client.CreateOptions
				if given.ApplyOptions(options); len(given.DryRun) == 0 {
					t.Error("what is asked for the time is stored")
				}
				return nil
			}
			return api.Create(ctx, o, options...)
		},
	}).Build()
	secret := func(want int) *corev1.Secret {
		t.Helper()
		var s corev1.Secret
		check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ours, Name: v1alpha1.SecretTagKey}, &s))
		if len(s.Data) != want+1 {
			t.Fatalf("there are %d keys, want %d", len(s.Data)-1, want)
		}
		return &s
	}
	s, now := store(api)
	s.MakesTagKey = true
	check(t, s.loadTags(t.Context()))
	current := string(secret(1).Data["current"])
	made := func(ago time.Duration) {
		o := secret(1)
		o.Annotations = map[string]string{tag.AnnotationMade + current: now.Now().Add(-ago).UTC().Format(time.RFC3339)}
		check(t, api.Update(t.Context(), o))
	}
	made(6 * 24 * time.Hour)
	check(t, s.loadTags(t.Context()))
	secret(1)
	made(8 * 24 * time.Hour)
	reader, _ := store(api)
	check(t, reader.loadTags(t.Context()))
	secret(1) // who does not make it does not rotate it
	clock = now.Now().Add(-2 * 24 * time.Hour)
	check(t, s.loadTags(t.Context()))
	secret(1) // by the API server's clock it is six days old
	clock = now.Now()
	check(t, s.loadTags(t.Context()))
	if o := secret(2); string(o.Data["current"]) != current {
		t.Error("the new key issues before anybody knows it")
	}
	second, _ := store(api)
	second.MakesTagKey = true
	check(t, second.loadTags(t.Context()))
	secret(2)
}

// Who is told of a change looks at once; what is missing is looked for without.
func TestAStoreIsKeptUpToDate(t *testing.T) {
	api := fake.NewClientBuilder().Build()
	s, _ := store(api)
	changed := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := (keeper{s, changed}).Start(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	secret, _ := tagKey(t)
	trusted, notary := roots(t)
	for _, o := range []client.Object{secret, trusted, notary} {
		check(t, api.Create(ctx, o))
	}
	for deadline := time.Now().Add(20 * time.Second); s.Root() == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what was missing is not noticed")
		}
	}
	before := s.Root().Version()
	other, _ := roots(t)
	trusted.Data = other.Data
	check(t, api.Update(ctx, trusted))
	changed <- struct{}{}
	changed <- struct{}{} // taken when the look before has ended
	if s.Root().Version() == before {
		t.Error("a change is not noticed")
	}
}
