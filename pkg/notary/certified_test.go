package notary

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/go-logr/logr"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
)

// certified is a world whose notaries have no key: Fulcio certifies what signs.
type certified struct {
	*world
	authority *sealtest.Authority
	fulcio    *sealtest.Fulcio
	stamps    string
	// away has the timestamp authority answer nobody.
	away bool
}

func newCertified(t *testing.T) *certified {
	t.Helper()
	c := &certified{world: newWorld(t), authority: sealtest.NewAuthority(t)}
	c.fulcio = sealtest.NewFulcio(t, c.authority, c.clock)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := io.ReadAll(r.Body)
		if err != nil || c.away {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(c.authority.Answer(t, request, func(s *timestamp.Timestamp) { s.Time = c.clock.Now() }))
	}))
	t.Cleanup(server.Close)
	c.stamps = server.URL
	trusted := c.authority.TrustedRoot(t, c.trustedRoot, sealtest.Trust{Certificates: true, Timestamps: true})
	raw, err := verify.Rules{Identities: []verify.IdentityRule{{Issuer: sealtest.Issuer, Subject: sealtest.Subject}}}.JSON()
	must(t, err)
	for name, data := range map[string]map[string]string{
		v1alpha1.ConfigMapTrustedRoot: {v1alpha1.TrustedRootKey: string(trusted)}, v1alpha1.ConfigMapNotaryKey: {v1alpha1.RulesKey: string(raw)},
	} {
		var m corev1.ConfigMap
		must(t, c.api.Get(t.Context(), client.ObjectKey{Namespace: c.namespace, Name: name}, &m))
		m.Data = data
		must(t, c.api.Update(t.Context(), &m))
	}
	d, err := verify.ParseDomain(v1alpha1.DomainInstalled, verify.Sources{TrustedRoot: trusted, Rules: raw})
	must(t, err)
	d.Builders = verify.BuildersOf(c.scene.rules.Cluster)
	c.root, err = verify.New(d)
	must(t, err)
	return c
}

// replica is a notary that has asked Fulcio for nothing yet.
func (c *certified) replica(t *testing.T, holder string) (*Notary, *breaker) {
	t.Helper()
	n, b := c.notaryWith(t, holder, func(log seal.Log) *keyring.Keyring {
		f, err := seal.NewFulcio(c.fulcio.URL, c.fulcio.Token, time.Second, c.clock)
		must(t, err)
		stamps, err := seal.NewTimestamps(c.stamps, true, time.Second, c.clock)
		must(t, err)
		store := &trust.Store{API: c.api, Namespace: c.namespace, Builders: verify.BuildersOf(c.scene.rules.Cluster), Clock: c.clock, Log: logr.Discard()}
		ring := keyring.New(store, nil, seal.NewRecorder(log, c.clock).Only(c.logURL))
		ring.Certified(f)
		ring.Timestamped(stamps)
		store.Usable = ring.Usable(c.logURL)
		return ring
	})
	return n, b
}

// closed is a log that takes nothing.
type closed struct{}

func (closed) Append(context.Context, *protodsse.Envelope, crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	return nil, seal.ErrNotLogged
}

// vanish deletes what the facts were read from.
func (c *certified) vanish(t *testing.T) {
	t.Helper()
	must(t, c.api.Delete(t.Context(), c.scene.pod.DeepCopy()))
	must(t, c.api.Delete(t.Context(), c.scene.workflow.DeepCopy()))
}

// A pod is sealed by a notary that has no key, and everybody verifies the seal.
func TestANotaryWithoutAKeySeals(t *testing.T) {
	c := newCertified(t)
	n, _ := c.replica(t, "a")
	settle(t, n, c.key())
	c.expectSealed(t)
	result, err := c.root.Inspect([]byte(c.record(t).Status.Bundle))
	if err != nil || result.Identity != sealtest.Subject {
		t.Errorf("it is sealed by %+v, %v", result, err)
	}
}

// The log is away, the statement is signed and stored, pod and Workflow go, and the replica
// that signed it dies with its key. Hours later, with Fulcio away, another one seals it. One
// that has no timestamp yet is signed again.
func TestATakeoverAfterTheCertificateCostsNoSeal(t *testing.T) {
	for name, c := range map[string]struct{ stamped, fulcioBack bool }{
		"with its timestamp": {true, false},
		"without one":        {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCertified(t)
			first, b := w.replica(t, "first")
			b.log, w.away = closed{}, !c.stamped
			_, _ = first.Reconcile(t.Context(), w.key())
			if w.record(t).Status.Envelope == "" {
				t.Fatalf("nothing is stored: %+v", w.record(t).Status.Conditions)
			}
			w.vanish(t)
			w.clock.SetTime(w.clock.Now().Add(3 * time.Hour))
			w.away = false
			gone := http.HandlerFunc(func(h http.ResponseWriter, _ *http.Request) { h.WriteHeader(http.StatusServiceUnavailable) })
			w.fulcio.Instead.Store(&gone)
			next, _ := w.replica(t, "second")
			if c.fulcioBack {
				_, err := next.Reconcile(t.Context(), w.key())
				if err == nil && Final(w.record(t)) || w.record(t).Status.Envelope == "" {
					t.Fatalf("without Fulcio: %v, %+v", err, w.record(t).Status.Conditions)
				}
				w.fulcio.Instead.Store(nil)
				w.clock.SetTime(w.clock.Now().Add(time.Minute))
			}
			settle(t, next, w.key())
			w.expectSealed(t)
		})
	}
}

// What others put into a record under a certificate that is none of the notary's counts for
// nothing: the pod says what is true.
func TestAStoredStatementUnderAnothersCertificateIsNotSealed(t *testing.T) {
	w := newCertified(t)
	first, b := w.replica(t, "first")
	b.log = closed{}
	_, _ = first.Reconcile(t.Context(), w.key())
	abroad := newCertified(t)
	other, d := abroad.replica(t, "other")
	d.log = closed{}
	_, _ = other.Reconcile(t.Context(), abroad.key())
	p := w.record(t)
	p.Status.Envelope = abroad.record(t).Status.Envelope
	must(t, w.api.Status().Update(t.Context(), p))
	w.vanish(t)
	w.clock.SetTime(w.clock.Now().Add(testClaim + time.Second))
	next, _ := w.replica(t, "second")
	settle(t, next, w.key())
	w.expectRefused(t, reason.PodGone)
}

// What Fulcio does not do passes.
func TestAFulcioThatFailsIsNoLastWord(t *testing.T) {
	if got := refusal(fmt.Errorf("signing: %w", reason.New(reason.CertificateFailed, "x"))); got != nil {
		t.Errorf("the last word is %v", got)
	}
}
