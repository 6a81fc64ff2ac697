package notary

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/verify"
)

// publish puts public keys and their limits where everybody finds them.
func (w *world) publish(tb testing.TB, rules []verify.KeyRule, signers ...*seal.Signer) {
	tb.Helper()
	var m corev1.ConfigMap
	must(tb, w.api.Get(tb.Context(), client.ObjectKey{Namespace: w.namespace, Name: v1alpha1.ConfigMapNotaryKey}, &m))
	raw, err := (verify.Rules{Keys: rules}).JSON()
	must(tb, err)
	keys := ""
	for _, s := range signers {
		keys += string(s.PublicKeyPEM())
	}
	m.Data = map[string]string{v1alpha1.NotaryKeyKey: keys, v1alpha1.RulesKey: string(raw)}
	must(tb, w.api.Update(tb.Context(), &m))
}

func newSigner(tb testing.TB) *seal.Signer {
	tb.Helper()
	key, err := seal.NewKey()
	must(tb, err)
	s, err := seal.LoadSigner(key)
	must(tb, err)
	return s
}

// The log is down, the envelope is stored under one key, the pod is collected, and
// another key signs by the time that the log is back.
func TestAnEnvelopeOutlivesItsKey(t *testing.T) {
	second := newSigner(t)
	hour := func(t time.Time) *time.Time { t = t.Add(time.Hour); return &t }
	for name, c := range map[string]struct {
		rule func(w *world) *verify.KeyRule
		gone bool // the key before is published no more
		want reason.Code
	}{
		"the key before goes on to count": {func(*world) *verify.KeyRule { return nil }, false, reason.Sealed},
		"it ended after the record was made": {func(w *world) *verify.KeyRule {
			return &verify.KeyRule{ValidUntil: hour(w.record(t).CreationTimestamp.Time)}
		}, false, reason.Sealed},
		"it ended before": {func(w *world) *verify.KeyRule {
			return &verify.KeyRule{ValidUntil: hour(w.record(t).CreationTimestamp.Add(-2 * time.Hour))}
		}, false, reason.PodGone},
		"it is in other hands": {func(w *world) *verify.KeyRule {
			return &verify.KeyRule{CompromisedFrom: hour(w.record(t).CreationTimestamp.Time)}
		}, false, reason.PodGone},
		"it is trusted no more": {func(*world) *verify.KeyRule { return nil }, true, reason.PodGone},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first, b := w.notary(t, "first")
			b.appended = down
			_, _ = first.Reconcile(t.Context(), w.key())
			if w.record(t).Status.Envelope == "" {
				t.Fatal("there is no envelope")
			}
			must(t, w.api.Delete(t.Context(), w.scene.pod.DeepCopy()))
			must(t, w.api.Delete(t.Context(), w.scene.workflow.DeepCopy()))
			var rules []verify.KeyRule
			if rule := c.rule(w); rule != nil {
				rule.Hint = w.signer.Hint()
				rules = append(rules, *rule)
			}
			if c.gone {
				w.publish(t, rules, second)
			} else {
				w.publish(t, rules, w.signer, second)
			}
			w.signer = second
			var err error
			w.root, err = verify.NewRoot(w.trustedRoot, second.PublicKeyPEM())
			must(t, err)
			w.clock.SetTime(w.clock.Now().Add(testClaim + time.Second))
			next, _ := w.notary(t, "second")
			settle(t, next, w.key())
			if c.want == reason.Sealed {
				w.expectSealed(t)
			} else {
				w.expectRefused(t, c.want)
			}
		})
	}
}

// A replica that missed that its key has ended, or was stolen, makes no seals that count
// for nobody, and says so; it goes on once another key signs.
func TestAKeyThatCountsForNobodySignsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		rule  func(now time.Time) verify.KeyRule
		signs bool
	}{
		"it ends soon":         {func(now time.Time) verify.KeyRule { at := now.Add(time.Hour); return verify.KeyRule{ValidUntil: &at} }, true},
		"it has ended":         {func(now time.Time) verify.KeyRule { at := now.Add(-time.Hour); return verify.KeyRule{ValidUntil: &at} }, false},
		"it is in other hands": {func(now time.Time) verify.KeyRule { return verify.KeyRule{CompromisedFrom: &now} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			rule := c.rule(w.clock.Now())
			rule.Hint = w.signer.Hint()
			second := newSigner(t)
			w.publish(t, []verify.KeyRule{rule}, w.signer, second)
			n, b := w.notary(t, "a")
			if c.signs {
				settle(t, n, w.key())
				w.expectSealed(t)
				return
			}
			_, err := n.Reconcile(t.Context(), w.key())
			if err == nil || slices.Contains(b.names, "log") || Final(w.record(t)) {
				t.Fatalf("error %v, it did %v", err, b.names)
			}
			if says := w.record(t).Status.Conditions[0].Message; !strings.Contains(says, w.signer.Hint()) {
				t.Errorf("the record says %q", says)
			}
			n.Keyring.Use(second)
			w.root, err = verify.NewRoot(w.trustedRoot, second.PublicKeyPEM())
			must(t, err)
			settle(t, n, w.key())
			w.expectSealed(t)
		})
	}
}
