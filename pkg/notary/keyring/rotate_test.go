package keyring

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
)

// turning is an installation whose key is looked after, at a time of the test's.
type turning struct {
	*testing.T
	api   client.Client
	now   time.Time
	used  *seal.Signer
	err   error // of the last turn
	log   *sealtest.Log
	store *trust.Store
	after time.Duration
	// deaf is a replica that loads nothing.
	deaf bool
}

func newTurning(t *testing.T, api client.Client, after time.Duration) *turning {
	t.Helper()
	w := &turning{T: t, api: api, now: time.Now().Truncate(time.Second).UTC(), log: sealtest.NewLog(t), after: after}
	_, err := Signer(t.Context(), api, ours)
	must(t, err)
	must(t, api.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: made(ours, v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(w.log.TrustedRoot)}}))
	w.store = &trust.Store{API: api, Namespace: ours, Builders: verify.BuildersOf("test"), Clock: clock.RealClock{}, Log: logr.Discard()}
	return w
}

func (w *turning) turn() *seal.Signer {
	w.Helper()
	used := w.tried()
	must(w, w.err)
	return used
}

// tried is turn, which may fail.
func (w *turning) tried() *seal.Signer {
	w.Helper()
	r := &Rotation{
		API: w.api, Namespace: ours, After: w.after, Log: logr.Discard(), Use: func(s *seal.Signer) { w.used = s },
		Known: func(hint string) bool { return !w.deaf && slices.Contains(w.root().KeyHints(), hint) },
		Now:   func(context.Context) (time.Time, error) { return w.now, nil },
	}
	w.err = r.Turn(w.Context())
	return w.used
}

func (w *turning) root() *verify.Root {
	w.Helper()
	must(w, w.store.LoadRoot(w.Context()))
	return w.store.Root().At(func() time.Time { return w.now })
}

// sealed makes a seal under the key that signs now, which has to verify as it is made.
func (w *turning) sealed() []byte {
	w.Helper()
	s := seal.New(w.used, seal.NewRecorder(w.log, clock.RealClock{}), w.root())
	envelope, err := s.Sign(w.Context(), sealtest.Payload(w, "s3://minio:9000/artifacts/a.tgz", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
	must(w, err)
	bundle, err := s.Record(w.Context(), envelope)
	must(w, err)
	return bundle
}

func (w *turning) ask(rules ...verify.KeyRule) {
	w.Helper()
	m := configMap(w, w.api, v1alpha1.ConfigMapNotaryKey)
	m.Data[v1alpha1.RotateKey] = w.now.Add(time.Second).Format(time.RFC3339)
	if len(rules) != 0 {
		raw, err := (verify.Rules{Keys: rules}).JSON()
		must(w, err)
		m.Data[v1alpha1.RulesKey] = string(raw)
	}
	must(w, w.api.Update(w.Context(), m))
}

// A successor is published before it signs; what either key signs verifies at every
// step, and what the old one signed goes on to, by its record.
func TestTheSigningKeyIsReplacedWithoutAGap(t *testing.T) {
	for name, after := range map[string]time.Duration{"by command": 0, "on a schedule": 30 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newTurning(t, newAPI(), after)
			s := secret(t, w.api, v1alpha1.SecretSigningKey)
			s.Data[madeKey] = []byte(w.now.Format(time.RFC3339))
			must(t, w.api.Update(t.Context(), s))
			first := w.turn()
			old, began := w.sealed(), w.now
			if after == 0 {
				w.now = w.now.Add(time.Hour)
				w.turn()
				w.ask()
			} else {
				w.now = w.now.Add(after - time.Second)
				if w.turn(); len(secret(t, w.api, v1alpha1.SecretSigningKey).Data[nextKey]) != 0 {
					t.Error("it is replaced before its time")
				}
				w.now = w.now.Add(time.Second)
			}
			if got := w.turn(); got.Hint() != first.Hint() {
				t.Error("the successor signs before anybody knows it")
			}
			w.now = w.now.Add(handover - time.Second)
			if got := w.turn(); got.Hint() != first.Hint() {
				t.Error("the successor signs before everybody knows it")
			}
			if root := w.root(); len(root.KeyHints()) != 2 {
				t.Errorf("published are %v", root.KeyHints())
			}
			w.sealed()
			w.now = w.now.Add(time.Second)
			second := w.turn()
			if second.Hint() == first.Hint() {
				t.Fatal("the successor does not sign")
			}
			w.sealed()
			w.now = w.now.Add(overlap + time.Second)
			if again := w.turn(); again.Hint() != second.Hint() {
				t.Error("it is replaced again")
			}
			root := w.root()
			if _, err := root.InspectRecorded(old, began); err != nil {
				t.Errorf("a seal of the old key: %v", err)
			}
			if _, err := root.InspectRecorded(old, w.now); reason.Of(err) != reason.SignerExpired {
				t.Errorf("one that is made with the old key now: %v", err)
			}
			if _, err := signer(t.Context(), w.api, ours, func(context.Context) (time.Time, error) { return w.now, nil }); err != nil {
				t.Errorf("a notary that starts now: %v", err)
			}
			// What the release before reads is there.
			keys := configMap(t, w.api, v1alpha1.ConfigMapNotaryKey).Data[v1alpha1.NotaryKeyKey]
			if !strings.Contains(keys, string(first.PublicKeyPEM())) || !strings.Contains(keys, string(second.PublicKeyPEM())) {
				t.Error("a key is not published")
			}
		})
	}
}

// Of a key in other hands nothing counts that nobody else dates; its successor signs as
// soon as a watch has told of it.
func TestACompromisedKeyIsReplacedAtOnce(t *testing.T) {
	w := newTurning(t, newAPI(), 0)
	first := w.turn()
	old := w.sealed()
	when := w.now.Add(-time.Hour)
	w.ask(verify.KeyRule{Hint: first.Hint(), CompromisedFrom: &when})
	w.turn()
	w.now = w.now.Add(handoverFast)
	if w.turn().Hint() == first.Hint() {
		t.Fatal("it still signs")
	}
	w.sealed()
	if _, err := w.root().InspectRecorded(old, when.Add(-time.Hour)); reason.Of(err) != reason.SignerCompromised {
		t.Errorf("a seal of it whose record is older: %v", err)
	}
	w.now = w.now.Add(time.Hour)
	second := w.turn()
	if w.now = w.now.Add(time.Hour); w.turn().Hint() != second.Hint() {
		t.Error("its successor is replaced, too")
	}
}

// Whatever write fails, the next turn goes on from there, and the key that signs is
// always one that verifies.
func TestARotationThatIsCutShortGoesOn(t *testing.T) {
	for failing := range 5 {
		writes := 0
		var w *turning
		api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
			Update: func(ctx context.Context, api client.WithWatch, o client.Object, options ...client.UpdateOption) error {
				if w != nil {
					if writes++; writes == failing+1 {
						return apierrors.NewConflict(schema.GroupResource{Resource: "x"}, o.GetName(), nil)
					}
				}
				return api.Update(ctx, o, options...)
			},
		}).Build()
		made := newTurning(t, api, 0)
		made.ask()
		w = made
		first := ""
		for range 40 {
			if signer := w.turn(); signer != nil {
				if first == "" {
					first = signer.Hint()
				}
				w.sealed()
			}
			w.now = w.now.Add(lookEvery)
		}
		if w.used.Hint() == first || len(w.root().KeyHints()) != 2 {
			t.Errorf("with write %d failing: %d keys", failing+1, len(w.root().KeyHints()))
		}
	}
}

// private is a key of the signing key's Secret.
func (w *turning) private(key string) *seal.Signer {
	w.Helper()
	s, err := seal.LoadSigner(secret(w, w.api, v1alpha1.SecretSigningKey).Data[key])
	must(w, err)
	return s
}

// Who reads the Secret while a successor waits in it has both keys.
func TestASuccessorThatLayBesideACompromisedKeyNeverSigns(t *testing.T) {
	w := newTurning(t, newAPI(), 0)
	first := w.turn()
	w.ask()
	w.turn()
	stolen := w.private(nextKey)
	when := w.now.Add(-time.Hour)
	w.now = w.now.Add(time.Minute)
	from := w.now.Add(-time.Minute)
	w.ask(verify.KeyRule{Hint: first.Hint(), CompromisedFrom: &when}, verify.KeyRule{Hint: stolen.Hint(), ValidFrom: &from})
	for range 40 {
		if w.turn().Hint() == stolen.Hint() {
			t.Fatal("the thief's key signs")
		}
		w.now = w.now.Add(lookEvery)
	}
	if w.used.Hint() == first.Hint() {
		t.Error("no other key signs")
	}
	w.sealed()
	for _, key := range w.root().Domains()[0].Keys {
		if bad := key.Hint == stolen.Hint() || key.Hint == first.Hint(); bad == key.Compromised.IsZero() {
			t.Errorf("of the key %s it is said that it was stolen: %t", key.Hint, !bad)
		}
	}
	// What was asked for once is not done again.
	last := w.used.Hint()
	if w.now = w.now.Add(time.Hour); w.turn().Hint() != last {
		t.Error("it is replaced again")
	}
}

// told writes of a key that it is in other hands, and asks for another where that is by
// the command.
func (w *turning) told(hint string, from time.Time, command bool) {
	w.Helper()
	m := configMap(w, w.api, v1alpha1.ConfigMapNotaryKey)
	rules, err := verify.ParseRules([]byte(m.Data[v1alpha1.RulesKey]))
	must(w, err)
	i := slices.IndexFunc(rules.Keys, func(k verify.KeyRule) bool { return k.Hint == hint })
	if i < 0 {
		i, rules.Keys = len(rules.Keys), append(rules.Keys, verify.KeyRule{Hint: hint})
	}
	rules.Keys[i].CompromisedFrom = &from
	raw, err := rules.JSON()
	must(w, err)
	if m.Data[v1alpha1.RulesKey] = string(raw); command {
		m.Data[v1alpha1.RotateKey] = w.now.Format(time.RFC3339)
	}
	must(w, w.api.Update(w.Context(), m))
}

// stolen are the keys that are said to be in other hands.
func (w *turning) stolen() []string {
	var all []string
	for _, k := range w.root().Domains()[0].Keys {
		if !k.Compromised.IsZero() {
			all = append(all, k.Hint)
		}
	}
	slices.Sort(all)
	return all
}

// Who read the Secret during a handover has both keys, also where that is known only after
// the one has taken the other's place, and said of one of them alone.
func TestATheftThatIsToldLaterSpoilsBothKeysOfTheSecret(t *testing.T) {
	for _, command := range []bool{true, false} {
		for _, named := range []string{"the first", "the second"} {
			for _, after := range []bool{false, true} { // the honest twin: it was read after the switch
				w := newTurning(t, newAPI(), 0)
				first := w.turn().Hint()
				w.ask()
				w.turn()
				theft := w.now.Add(time.Minute)
				w.now = w.now.Add(handover)
				second := w.turn().Hint()
				if second == first {
					t.Fatal("it is not replaced")
				}
				if after {
					theft = w.now.Add(time.Minute)
				}
				w.now = w.now.Add(time.Hour)
				hint := map[string]string{"the first": first, "the second": second}[named]
				w.told(hint, theft, command)
				for range 40 {
					w.turn()
					w.now = w.now.Add(lookEvery)
				}
				want := []string{first, second}
				if after {
					want = []string{hint}
				}
				slices.Sort(want)
				if got := w.stolen(); !slices.Equal(got, want) {
					t.Errorf("told of %s, by the command %t, read after the switch %t: %d keys are taken for stolen, want %d", named, command, after, len(got), len(want))
				}
				if stays := after && named == "the first" && !command; (w.used.Hint() == second) != stays {
					t.Errorf("told of %s, by the command %t, read after the switch %t: the second still signs: %t", named, command, after, !stays)
				}
				last := w.used.Hint()
				w.sealed()
				if w.now = w.now.Add(24 * time.Hour); w.turn().Hint() != last || len(secret(t, w.api, v1alpha1.SecretSigningKey).Data[nextKey]) != 0 {
					t.Error("it is replaced again")
				}
			}
		}
	}
}

// A key that nobody trusts any more is marked no more: the rule would not load, and no key
// would be replaced again. Nor is one that somebody put there by hand since.
func TestAKeyThatIsGoneKeepsNoOtherFromBeingReplaced(t *testing.T) {
	w := newTurning(t, newAPI(), 0)
	first := w.turn().Hint()
	w.ask()
	w.turn()
	theft := w.now.Add(time.Minute)
	w.now = w.now.Add(handover)
	second := w.turn()
	w.now = w.now.Add(24 * time.Hour)
	m := configMap(t, w.api, v1alpha1.ConfigMapNotaryKey)
	rules, err := verify.ParseRules([]byte(m.Data[v1alpha1.RulesKey]))
	must(t, err)
	rules.Keys = slices.DeleteFunc(rules.Keys, func(k verify.KeyRule) bool { return k.Hint == first })
	raw, err := rules.JSON()
	must(t, err)
	m.Data[v1alpha1.NotaryKeyKey], m.Data[v1alpha1.RulesKey] = string(second.PublicKeyPEM()), string(raw)
	must(t, w.api.Update(t.Context(), m))
	w.told(second.Hint(), theft, true)
	for range 40 {
		w.turn()
		w.now = w.now.Add(lookEvery)
	}
	if w.used.Hint() == second.Hint() {
		t.Error("the stolen key is not replaced")
	}
	w.sealed()
}

func TestAKeyThatWasPutThereByHandLayBesideNone(t *testing.T) {
	w := newTurning(t, newAPI(), 0)
	first := w.turn().Hint()
	w.ask()
	w.turn()
	theft := w.now.Add(time.Minute)
	w.now = w.now.Add(handover)
	w.turn()
	w.now = w.now.Add(24 * time.Hour)
	key, err := seal.NewKey()
	must(t, err)
	own, err := seal.LoadSigner(key)
	must(t, err)
	m := configMap(t, w.api, v1alpha1.ConfigMapNotaryKey)
	m.Data[v1alpha1.NotaryKeyKey] += string(own.PublicKeyPEM())
	must(t, w.api.Update(t.Context(), m))
	s := secret(t, w.api, v1alpha1.SecretSigningKey)
	s.Data[PrivateKeyKey] = key
	must(t, w.api.Update(t.Context(), s))
	w.told(first, theft, false)
	w.turn()
	if stolen := w.stolen(); !slices.Equal(stolen, []string{first}) {
		t.Errorf("taken for stolen are %v, want %s alone", stolen, first)
	}
}

// A successor that waited when somebody wrote by hand that the key is in other hands never
// signs. One that is made after that does.
func TestASuccessorFromBeforeATheftThatIsWrittenByHandNeverSigns(t *testing.T) {
	w := newTurning(t, newAPI(), 30*24*time.Hour)
	s := secret(t, w.api, v1alpha1.SecretSigningKey)
	s.Data[madeKey] = []byte(w.now.Format(time.RFC3339))
	must(t, w.api.Update(t.Context(), s))
	first := w.turn().Hint()
	w.now = w.now.Add(w.after)
	w.turn()
	waiting := w.private(nextKey).Hint()
	w.told(first, w.now.Add(-time.Hour), false)
	for range 40 {
		if w.turn().Hint() == waiting {
			t.Fatal("the thief's key signs")
		}
		w.now = w.now.Add(lookEvery)
	}
	if w.used.Hint() == first || len(w.stolen()) != 2 {
		t.Errorf("another key signs: %t; %d keys are taken for stolen, want 2", w.used.Hint() != first, len(w.stolen()))
	}
	w.sealed()
}

// A successor that is named itself is not promoted; the key before it is well.
func TestACompromisedSuccessorNeverSigns(t *testing.T) {
	w := newTurning(t, newAPI(), 0)
	w.turn()
	w.ask()
	w.turn()
	stolen := w.private(nextKey)
	when := w.now
	w.ask(verify.KeyRule{Hint: stolen.Hint(), ValidFrom: &when, CompromisedFrom: &when})
	for range 40 {
		if w.turn().Hint() == stolen.Hint() {
			t.Fatal("the thief's key signs")
		}
		w.sealed()
		w.now = w.now.Add(lookEvery)
	}
	if len(w.root().KeyHints()) != 3 {
		t.Errorf("published are %v", w.root().KeyHints())
	}
}

// What cannot be loaded is not published, and a replica that has not loaded the successor
// does not switch to it: the key before goes on.
func TestNothingIsPublishedThatDoesNotLoad(t *testing.T) {
	t.Run("where the PEM has no last newline", func(t *testing.T) {
		w := newTurning(t, newAPI(), 0)
		m := configMap(t, w.api, v1alpha1.ConfigMapNotaryKey)
		m.Data[v1alpha1.NotaryKeyKey] = strings.TrimSpace(m.Data[v1alpha1.NotaryKeyKey])
		must(t, w.api.Update(t.Context(), m))
		first := w.turn()
		w.ask()
		w.turn()
		if len(w.root().KeyHints()) != 2 {
			t.Errorf("published are %v", w.root().KeyHints())
		}
		w.now = w.now.Add(handover)
		if w.turn().Hint() == first.Hint() {
			t.Error("it is not replaced")
		}
	})
	t.Run("where the trusted root does not", func(t *testing.T) {
		w := newTurning(t, newAPI(), 0)
		first := w.turn()
		m := configMap(t, w.api, v1alpha1.ConfigMapTrustedRoot)
		good := m.Data[v1alpha1.TrustedRootKey]
		m.Data[v1alpha1.TrustedRootKey] = "{}"
		must(t, w.api.Update(t.Context(), m))
		w.ask()
		before := configMap(t, w.api, v1alpha1.ConfigMapNotaryKey).Data
		if used := w.tried(); w.err == nil || used.Hint() != first.Hint() {
			t.Errorf("error %v", w.err)
		}
		if now := configMap(t, w.api, v1alpha1.ConfigMapNotaryKey).Data; now[v1alpha1.NotaryKeyKey] != before[v1alpha1.NotaryKeyKey] || now[v1alpha1.RulesKey] != before[v1alpha1.RulesKey] {
			t.Error("it was published")
		}
		m.Data[v1alpha1.TrustedRootKey] = good
		must(t, w.api.Update(t.Context(), m))
		w.turn()
		w.now = w.now.Add(handover)
		if w.turn().Hint() == first.Hint() {
			t.Error("it is not replaced")
		}
	})
	t.Run("where this replica does not load it", func(t *testing.T) {
		w := newTurning(t, newAPI(), 0)
		first := w.turn()
		w.ask()
		w.turn()
		w.now, w.deaf = w.now.Add(handover), true
		if used := w.tried(); w.err == nil || used.Hint() != first.Hint() || w.private(PrivateKeyKey).Hint() != first.Hint() {
			t.Errorf("error %v; it signs under what it does not know: %t", w.err, used.Hint() != first.Hint())
		}
		w.deaf = false
		if w.turn().Hint() == first.Hint() {
			t.Error("it is not replaced")
		}
	})
}

// Whoever goes back from a key service to the Secret finds a key there that has ended.
func TestAKeyThatHasEndedIsReplaced(t *testing.T) {
	w := newTurning(t, newAPI(), 0)
	first := w.turn()
	ends := w.now.Add(serviceOverlap)
	m := configMap(t, w.api, v1alpha1.ConfigMapNotaryKey)
	raw, err := (verify.Rules{Keys: []verify.KeyRule{{Hint: first.Hint(), ValidUntil: &ends}}}).JSON()
	must(t, err)
	m.Data[v1alpha1.RulesKey] = string(raw)
	must(t, w.api.Update(t.Context(), m))
	w.turn()
	if len(secret(t, w.api, v1alpha1.SecretSigningKey).Data[nextKey]) != 0 {
		t.Error("a notary that is about to stop makes a key")
	}
	w.now = ends.Add(time.Hour)
	w.turn()
	w.now = w.now.Add(handoverFast)
	if w.turn().Hint() == first.Hint() {
		t.Fatal("the key that has ended signs")
	}
	w.sealed()
}
