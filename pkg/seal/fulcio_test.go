package seal_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// keyless is what replicas share that sign under certificates: Fulcio, a timestamp
// authority, a log and a clock.
type keyless struct {
	clock     *clocktesting.FakePassiveClock
	authority *sealtest.Authority
	fulcio    *sealtest.Fulcio
	log       *faultyLog
	promises  bool
	stampsURL string
	trusted   []byte
	serial    int
}

func newKeyless(t *testing.T) *keyless {
	t.Helper()
	log := sealtest.NewLog(t)
	return newKeylessAt(t, log, log.TrustedRoot, sealtest.Trust{Certificates: true, Timestamps: true})
}

func newKeylessAt(t *testing.T, log seal.Log, logRoot []byte, trust sealtest.Trust) *keyless {
	t.Helper()
	k := &keyless{clock: clocktesting.NewFakePassiveClock(time.Now()), authority: sealtest.NewAuthority(t), log: &faultyLog{Log: log}}
	k.fulcio = sealtest.NewFulcio(t, k.authority, k.clock)
	k.trusted = k.authority.TrustedRoot(t, logRoot, trust)
	if !trust.Timestamps {
		return k
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(k.authority.Answer(t, request, func(s *timestamp.Timestamp) { s.Time = k.clock.Now() }))
	}))
	t.Cleanup(server.Close)
	k.stampsURL = server.URL
	return k
}

// root trusts the notary's identity, if no other is given.
func (k *keyless) root(t *testing.T, identities ...verify.IdentityRule) *verify.Root {
	t.Helper()
	if identities == nil {
		identities = []verify.IdentityRule{{Issuer: sealtest.Issuer, Subject: sealtest.Subject}}
	}
	raw, err := verify.Rules{Builders: verify.BuildersOf("test"), Identities: identities}.JSON()
	must(t, err)
	d, err := verify.ParseDomain("installed", verify.Sources{TrustedRoot: k.trusted, Rules: raw})
	must(t, err)
	root, err := verify.New(d)
	must(t, err)
	return root.At(k.clock.Now)
}

func (k *keyless) client(t *testing.T) *seal.Fulcio {
	t.Helper()
	f, err := seal.NewFulcio(k.fulcio.URL, k.fulcio.Token, time.Second, k.clock)
	must(t, err)
	return f
}

// replica is one that has signed nothing yet.
func (k *keyless) replica(t *testing.T, identities ...verify.IdentityRule) *seal.Sealer {
	t.Helper()
	return k.replicaOf(t, k.client(t), k.root(t, identities...))
}

func (k *keyless) replicaOf(t *testing.T, by seal.Signs, root *verify.Root) *seal.Sealer {
	t.Helper()
	recorder := seal.NewRecorder(k.log, k.clock)
	if k.promises {
		recorder = recorder.Promises()
	}
	s := seal.New(by, recorder, root)
	if k.stampsURL == "" {
		return s
	}
	stamps, err := seal.NewTimestamps(k.stampsURL, true, time.Second, k.clock)
	must(t, err)
	return s.Timestamped(stamps)
}

func (k *keyless) pass(d time.Duration) { k.clock.SetTime(k.clock.Now().Add(d)) }

// payload is that of another step each time.
func (k *keyless) payload(t *testing.T) []byte {
	t.Helper()
	k.serial++
	return sealtest.Payload(t, fmt.Sprintf("s3://minio/b/%d", k.serial), digest)
}

// waiting is what a replica stored while the log was away.
func (k *keyless) waiting(t *testing.T, s *seal.Sealer) []byte {
	t.Helper()
	signed, err := s.Prepare(t.Context(), k.payload(t))
	must(t, err)
	honest := k.log.Log
	k.log.Log = refuses{}
	defer func() { k.log.Log = honest }()
	if _, err := s.Log(t.Context(), signed); !errors.Is(err, seal.ErrNotLogged) {
		t.Fatalf("the log is away: %v", err)
	}
	k.pass(5 * time.Second)
	return signed.Envelope()
}

func leafOf(t *testing.T, bundle []byte) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(sealtest.Bundle(t, bundle).GetVerificationMaterial().GetCertificate().GetRawBytes())
	must(t, err)
	return leaf
}

func (k *keyless) holds(t *testing.T, bundle []byte, err error) *verify.Result {
	t.Helper()
	must(t, err)
	result, err := k.root(t).Inspect(bundle)
	must(t, err)
	if result.Identity != sealtest.Subject || result.KeyHint != "" || result.Proven.IsZero() {
		t.Errorf("it is sealed by %q, %q, at %s", result.Identity, result.KeyHint, result.Proven)
	}
	return result
}

// A seal under a certificate holds for ever; the key behind it is another after some
// minutes.
func TestFulcioCertifiesASeal(t *testing.T) {
	k := newKeyless(t)
	s := k.replica(t)
	var leaves []*x509.Certificate
	for range 2 {
		for range 3 {
			bundle, err := s.Log(t.Context(), prepared(t, s, k.payload(t)))
			k.holds(t, bundle, err)
			leaves = append(leaves, leafOf(t, bundle))
			k.pass(time.Minute)
		}
		k.pass(3 * time.Minute)
	}
	if n := k.fulcio.Asked.Load(); n != 2 {
		t.Errorf("fulcio was asked %d times in ten minutes", n)
	}
	if !leaves[0].Equal(leaves[2]) || leaves[2].Equal(leaves[3]) || bytes.Equal(leaves[2].RawSubjectPublicKeyInfo, leaves[3].RawSubjectPublicKeyInfo) {
		t.Error("one key is used for too long, or not long enough")
	}
	bundle, err := s.Log(t.Context(), prepared(t, s, k.payload(t)))
	must(t, err)
	k.pass(4 * time.Hour)
	k.holds(t, bundle, nil)
}

func prepared(t *testing.T, s *seal.Sealer, payload []byte) *seal.Signed {
	t.Helper()
	signed, err := s.Prepare(t.Context(), payload)
	must(t, err)
	return signed
}

// What was signed before the log went away is sealed by whoever comes, hours after its
// certificate has ended, without its key and without Fulcio.
func TestASealOutlivesItsCertificateAndItsReplica(t *testing.T) {
	k := newKeyless(t)
	stored := k.waiting(t, k.replica(t))
	k.pass(3 * time.Hour)
	k.fulcio.Instead.Store(gone())
	asked := k.fulcio.Asked.Load()
	other := k.replica(t)
	signed, err := other.Open(t.Context(), stored)
	must(t, err)
	if !bytes.Equal(signed.Envelope(), stored) {
		t.Error("what is stored is another by now")
	}
	bundle, err := other.Log(t.Context(), signed)
	result := k.holds(t, bundle, err)
	if late := k.clock.Now().Sub(result.Proven); late < 2*time.Hour {
		t.Errorf("it is proven %s ago", late)
	}
	sig := func(b []byte) []byte { return sealtest.Bundle(t, b).GetDsseEnvelope().GetSignatures()[0].GetSig() }
	if !bytes.Equal(sig(stored), sig(bundle)) {
		t.Error("it was signed again")
	}
	if k.fulcio.Asked.Load() != asked {
		t.Error("fulcio was asked")
	}
}

func gone() *http.HandlerFunc {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	return &h
}

// Until there is a timestamp, another replica gets it as long as the certificate counts, and
// signs the same statement again after that; not if the record is younger than that.
func TestWhatHasNoTimestampYetIsNotLost(t *testing.T) {
	k := newKeyless(t)
	recorded := k.clock.Now()
	first := k.replica(t)
	stored := prepared(t, first, k.payload(t)).Envelope()
	if bytes.Contains(stored, []byte("rfc3161")) {
		t.Fatalf("there is a timestamp: %s", stored)
	}
	other := k.replica(t)
	signed, err := other.Open(t.Context(), stored)
	must(t, err)
	bundle, err := other.Log(t.Context(), signed)
	k.holds(t, bundle, err)
	if k.fulcio.Asked.Load() != 1 {
		t.Error("it was signed again, though the certificate counts")
	}

	stored = prepared(t, first, k.payload(t)).Envelope()
	k.pass(time.Hour)
	if _, err := other.Open(t.Context(), stored); !errors.Is(err, seal.ErrForeignEnvelope) {
		t.Fatalf("its certificate has ended: %v", err)
	}
	if _, err := other.OpenFormer(t.Context(), stored, k.clock.Now()); !errors.Is(err, seal.ErrForeignEnvelope) {
		t.Errorf("in a record that is younger than the certificate: %v", err)
	}
	former, err := other.OpenFormer(t.Context(), stored, recorded)
	must(t, err)
	bundle, err = other.Log(t.Context(), prepared(t, other, former.Payload()))
	k.holds(t, bundle, err)
}

// A Rekor v1 says when: then no timestamp is needed, and what it did not take before the
// certificate ended is signed again, though a timestamp was stored.
func TestACertificateAndARekorV1(t *testing.T) {
	for name, trust := range map[string]sealtest.Trust{
		"alone":             {Certificates: true},
		"with an authority": {Certificates: true, Timestamps: true},
	} {
		t.Run(name, func(t *testing.T) {
			log := sealtest.NewLogV1(t)
			k := newKeylessAt(t, log, log.TrustedRoot, trust)
			k.promises = true
			log.Time = k.clock.Now()
			s := k.replica(t)
			bundle, err := s.Log(t.Context(), prepared(t, s, k.payload(t)))
			k.holds(t, bundle, err)
			recorded := k.clock.Now()
			stored := k.waiting(t, s)
			k.pass(time.Hour)
			log.Time = k.clock.Now()
			before := k.log.asked
			if _, err := k.replica(t).Open(t.Context(), stored); !errors.Is(err, seal.ErrForeignEnvelope) {
				t.Fatalf("its certificate has ended: %v", err)
			}
			former, err := s.OpenFormer(t.Context(), stored, recorded)
			must(t, err)
			bundle, err = s.Log(t.Context(), prepared(t, s, former.Payload()))
			k.holds(t, bundle, err)
			if k.log.asked != before+1 {
				t.Errorf("the log got %d entries", k.log.asked-before)
			}
		})
	}
}

// Without a time nobody could verify the seal: the log gets no such entry.
func TestWithoutATimeNothingIsLogged(t *testing.T) {
	log := sealtest.NewLog(t)
	k := newKeylessAt(t, log, log.TrustedRoot, sealtest.Trust{Certificates: true})
	s := k.replica(t)
	_, err := s.Log(t.Context(), prepared(t, s, k.payload(t)))
	if reason.Of(err) != reason.TimestampFailed || k.log.asked != 0 {
		t.Errorf("the log was asked %d times: %v", k.log.asked, err)
	}
}

// What Fulcio answers counts only if it certifies our key and our name, now, by an authority
// that is trusted; all else is a bounded typed error, and no token is in it.
func TestABadFulcioIsNeverTrusted(t *testing.T) {
	k := newKeyless(t)
	abroad := sealtest.NewAuthority(t)
	answers := func(by *sealtest.Authority, issuer, subject string, counts time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { k.fulcio.Answer(t, w, r, by, issuer, subject, counts) }
	}
	writes := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = io.WriteString(w, body) }
	}
	leaf, _ := k.authority.Certify(t, sealtest.Issuer, sealtest.Subject, k.clock.Now())
	other, err := json.Marshal(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{
		"certificates": []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))},
	}}})
	must(t, err)
	elsewhere := 0
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere++
		k.fulcio.Answer(t, w, r, k.authority, sealtest.Issuer, sealtest.Subject, 10*time.Minute)
	}))
	t.Cleanup(thief.Close)
	token, err := os.ReadFile(k.fulcio.Token)
	must(t, err)
	for name, c := range map[string]struct {
		do   http.HandlerFunc
		says string
	}{
		"another authority": {answers(abroad, sealtest.Issuer, sealtest.Subject, 10*time.Minute), "no authority"},
		"another subject":   {answers(k.authority, sealtest.Issuer, sealtest.Subject+"-2", 10*time.Minute), "identity"},
		"another issuer":    {answers(k.authority, "https://example.com", sealtest.Subject, 10*time.Minute), "identity"},
		"another key":       {writes(http.StatusOK, string(other)), "another key"},
		"an ended one":      {answers(k.authority, sealtest.Issuer, sealtest.Subject, time.Second), "counts until"},
		"an error":          {writes(http.StatusInternalServerError, strings.Repeat("x", 1<<20)), "500"},
		"the token":         {writes(http.StatusBadRequest, string(token)), "[token]"},
		"nothing":           {writes(http.StatusOK, ""), "its answer"},
		"no certificate":    {writes(http.StatusOK, "{}"), "no certificate"},
		"no PEM":            {writes(http.StatusOK, `{"signedCertificateEmbeddedSct":{"chain":{"certificates":["x"]}}}`), "PEM"},
		"garbage":           {writes(http.StatusOK, `{"signedCertificateEmbeddedSct":{"chain":{"certificates":["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]}}}`), "certificate"},
		"too much":          {writes(http.StatusOK, `{"x":"`+strings.Repeat("x", 1<<20)), "more than"},
		"no end":            {func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); <-r.Context().Done() }, "deadline"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL+"/api/v2/signingCert", http.StatusTemporaryRedirect)
		}, "307"},
		"a hung-up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			k.fulcio.Instead.Store(&c.do)
			defer k.fulcio.Instead.Store(nil)
			s := k.replica(t)
			began := time.Now()
			_, err := s.Prepare(t.Context(), k.payload(t))
			if reason.Of(err) != reason.CertificateFailed || !reason.Of(err).Retryable() || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 1200 {
				t.Errorf("it says: %v", err)
			}
			if bytes.Contains([]byte(fmt.Sprintf("%v", err)), bytes.TrimSpace(token)) {
				t.Error("the error has the token")
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			k.fulcio.Instead.Store(nil)
			k.pass(2 * time.Second)
			bundle, err := s.Log(t.Context(), prepared(t, s, k.payload(t)))
			k.holds(t, bundle, err)
		})
	}
	if elsewhere != 0 {
		t.Error("the token went elsewhere")
	}
}

// Another signer of the domain's is not this one: whoever certifies its name for our key
// signs nothing.
func TestFulcioCertifiesNobodyElse(t *testing.T) {
	k := newKeyless(t)
	before, after := sealtest.Subject+"-before", sealtest.Subject
	s := k.replica(t, verify.IdentityRule{Issuer: sealtest.Issuer, Subject: before}, verify.IdentityRule{Issuer: sealtest.Issuer, Subject: after})
	other := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.fulcio.Answer(t, w, r, k.authority, sealtest.Issuer, before, 10*time.Minute)
	})
	k.fulcio.Instead.Store(&other)
	if _, err := s.Prepare(t.Context(), k.payload(t)); reason.Of(err) != reason.CertificateFailed || !strings.Contains(err.Error(), "it certifies") {
		t.Errorf("it signs as another: %v", err)
	}
	k.fulcio.Instead.Store(nil)
	k.pass(2 * time.Second)
	bundle, err := s.Log(t.Context(), prepared(t, s, k.payload(t)))
	k.holds(t, bundle, err)
}

// Where the trusted root has logs of certificates, a certificate has to have a promise of
// one.
func TestACertificateThatNoLogHasIsRefused(t *testing.T) {
	log := sealtest.NewLog(t)
	k := newKeylessAt(t, log, log.TrustedRoot, sealtest.Trust{Certificates: true, Timestamps: true, CertificateLog: true})
	_, err := k.replica(t).Prepare(t.Context(), k.payload(t))
	if reason.Of(err) != reason.CertificateFailed || !strings.Contains(err.Error(), "log of certificates") {
		t.Errorf("got %v", err)
	}
}

// While Fulcio is away, the key before goes on as long as its certificate counts; then
// Fulcio is left alone, and asked again within a minute.
func TestFulcioMayBeAwayForSomeMinutes(t *testing.T) {
	k := newKeyless(t)
	by := k.client(t)
	s := k.replicaOf(t, by, k.root(t))
	prepared(t, s, k.payload(t))
	k.fulcio.Instead.Store(gone())
	signed, paused := 0, 0
	for range 20 * 60 {
		k.pass(time.Second)
		_, err := s.Prepare(t.Context(), k.payload(t))
		var p *seal.PausedError
		switch {
		case err == nil:
			signed++
		case errors.As(err, &p):
			paused++
		}
	}
	if signed < 530 || signed > 545 {
		t.Errorf("it signed for %d seconds under a certificate of ten minutes", signed)
	}
	if got, want := counted(t, by.Metrics()), map[string]float64{"certified": 1, "failed": float64(k.fulcio.Asked.Load() - 1)}; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	if n := k.fulcio.Asked.Load(); n < 10 || n > 80 || paused < 500 {
		t.Errorf("fulcio was asked %d times in twenty minutes, and left alone %d times", n, paused)
	}
	k.fulcio.Instead.Store(nil)
	k.pass(time.Minute)
	bundle, err := s.Log(t.Context(), prepared(t, s, k.payload(t)))
	k.holds(t, bundle, err)
}

// Only what a signer of the domain signed is recorded, whatever lies in the record.
func TestWhatWasStoredUnderACertificateIsJudged(t *testing.T) {
	k := newKeyless(t)
	s := k.replica(t)
	good, other := k.waiting(t, s), k.waiting(t, s)
	abroad := newKeyless(t)
	foreign := abroad.waiting(t, abroad.replica(t))
	// Of the same authority, and genuine, but of another ServiceAccount.
	mine := k.fulcio.Token
	k.fulcio.Token = filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(k.fulcio.Token, []byte(sealtest.Token(sealtest.Issuer, sealtest.Account+"-2")+"\n"), 0o600))
	second := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.fulcio.Answer(t, w, r, k.authority, sealtest.Issuer, sealtest.Subject+"-2", 10*time.Minute)
	})
	k.fulcio.Instead.Store(&second)
	anothers := k.waiting(t, k.replica(t, verify.IdentityRule{Issuer: sealtest.Issuer, Subject: sealtest.Subject + "-2"}))
	k.fulcio.Token = mine
	k.fulcio.Instead.Store(nil)
	spoil := func(change func(b *protobundle.Bundle)) []byte {
		b := sealtest.Bundle(t, good)
		change(b)
		return sealtest.JSON(t, b)
	}
	theirs, _ := k.authority.Certify(t, sealtest.Issuer, sealtest.Subject+"-2", k.clock.Now())
	ours, _ := k.authority.Certify(t, sealtest.Issuer, sealtest.Subject, k.clock.Now())
	for name, stored := range map[string][]byte{
		"nothing":           nil,
		"no JSON":           []byte("x"),
		"a bare envelope":   []byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"e30="}]}`),
		"another cluster's": foreign,
		"another account's": anothers,
		"too much":          append(bytes.Clone(good), bytes.Repeat([]byte(" "), 1<<20)...),
		"another payload": spoil(func(b *protobundle.Bundle) {
			b.GetDsseEnvelope().Payload = sealtest.Bundle(t, other).GetDsseEnvelope().GetPayload()
		}),
		"another signature": spoil(func(b *protobundle.Bundle) {
			b.GetDsseEnvelope().Signatures = sealtest.Bundle(t, other).GetDsseEnvelope().GetSignatures()
		}),
		"no signature":          spoil(func(b *protobundle.Bundle) { b.GetDsseEnvelope().Signatures = nil }),
		"another identity's":    spoil(func(b *protobundle.Bundle) { b.GetVerificationMaterial().GetCertificate().RawBytes = theirs.Raw }),
		"another key's":         spoil(func(b *protobundle.Bundle) { b.GetVerificationMaterial().GetCertificate().RawBytes = ours.Raw }),
		"no certificate":        spoil(func(b *protobundle.Bundle) { b.GetVerificationMaterial().Content = nil }),
		"a changed certificate": spoil(func(b *protobundle.Bundle) { b.GetVerificationMaterial().GetCertificate().RawBytes[200] ^= 1 }),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Open(t.Context(), stored); !errors.Is(err, seal.ErrForeignEnvelope) {
				t.Errorf("opened: %v", err)
			}
			if _, err := s.OpenFormer(t.Context(), stored, k.clock.Now()); !errors.Is(err, seal.ErrForeignEnvelope) {
				t.Errorf("opened to be signed again: %v", err)
			}
		})
	}
	_, err := s.Open(t.Context(), good)
	must(t, err)
	// A timestamp that is another's proves nothing: once the certificate has ended, neither
	// does what it is on.
	swapped := spoil(func(b *protobundle.Bundle) {
		b.GetVerificationMaterial().TimestampVerificationData = sealtest.Bundle(t, other).GetVerificationMaterial().GetTimestampVerificationData()
	})
	k.pass(time.Hour)
	if _, err := s.Open(t.Context(), swapped); !errors.Is(err, seal.ErrForeignEnvelope) {
		t.Errorf("with another's timestamp: %v", err)
	}
	_, err = s.Open(t.Context(), good)
	must(t, err)
}

// Between a key and certificates nothing that waits is lost, whichever comes first.
func TestKeysAndCertificatesTakeOver(t *testing.T) {
	k := newKeyless(t)
	key, err := seal.NewKey()
	must(t, err)
	signer, err := seal.LoadSigner(key)
	must(t, err)
	d := k.root(t).Domains()[0]
	d.Keys, err = verify.ParseKeys(signer.PublicKeyPEM())
	must(t, err)
	root, err := verify.New(d)
	must(t, err)
	byKey, certified := k.replicaOf(t, signer, root), k.replicaOf(t, k.client(t), root)
	for name, c := range map[string]struct{ before, after *seal.Sealer }{
		"a key, then certificates":   {byKey, certified},
		"certificates, then the key": {certified, byKey},
	} {
		t.Run(name, func(t *testing.T) {
			stored := k.waiting(t, c.before)
			if _, err := c.after.Open(t.Context(), stored); !errors.Is(err, seal.ErrForeignEnvelope) {
				t.Fatalf("opened as its own: %v", err)
			}
			former, err := c.after.OpenFormer(t.Context(), stored, k.clock.Now())
			must(t, err)
			bundle, err := c.after.Log(t.Context(), prepared(t, c.after, former.Payload()))
			must(t, err)
			if _, err := root.Inspect(bundle); err != nil {
				t.Error(err)
			}
		})
	}
}

// An identity whose time is over signs nothing more.
func TestAnIdentityThatHasEndedSignsNothing(t *testing.T) {
	k := newKeyless(t)
	end := k.clock.Now().Add(time.Hour)
	until := verify.IdentityRule{Issuer: sealtest.Issuer, Subject: sealtest.Subject, ValidUntil: &end}
	s := k.replica(t, until)
	must(t, s.Counts(k.clock.Now()))
	if err := s.Counts(end.Add(time.Minute)); reason.Of(err) != reason.SignerExpired {
		t.Errorf("got %v", err)
	}
	k.pass(2 * time.Hour)
	if _, err := s.Prepare(t.Context(), k.payload(t)); reason.Of(err) != reason.CertificateFailed {
		t.Errorf("it signs: %v", err)
	}
	always := verify.IdentityRule{Issuer: sealtest.Issuer, SubjectPattern: ".*argoseal-notary"}
	if err := k.replica(t, until, always).Counts(end.Add(time.Minute)); err != nil {
		t.Errorf("another identity goes on: %v", err)
	}
}

// What cannot work, or would give the token away, is refused at once.
func TestAFulcioNeedsATokenAndAWayToSendIt(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	good := file("good", sealtest.Token(sealtest.Issuer, sealtest.Account))
	for name, c := range map[string]struct {
		url, token string
		good       bool
	}{
		"https":                {"https://fulcio.example.com/", good, true},
		"this machine":         {"http://127.0.0.1:5555", good, true},
		"http":                 {"http://fulcio.example.com", good, false},
		"http, named alike":    {"http://localhost.example.com", good, false},
		"ftp":                  {"ftp://localhost", good, false},
		"with a password":      {"https://u:p@fulcio.example.com", good, false},
		"no token":             {"https://fulcio.example.com", filepath.Join(dir, "none"), false},
		"an empty token":       {"https://fulcio.example.com", file("empty", ""), false},
		"no JWT":               {"https://fulcio.example.com", file("text", "x.y.z"), false},
		"a token of a person":  {"https://fulcio.example.com", file("person", sealtest.Token(sealtest.Issuer, "jane@example.com")), false},
		"an account of no one": {"https://fulcio.example.com", file("none-of", sealtest.Token(sealtest.Issuer, "system:serviceaccount::x")), false},
		"without an issuer":    {"https://fulcio.example.com", file("issuer", sealtest.Token("", sealtest.Account)), false},
		"too long a token":     {"https://fulcio.example.com", file("long", strings.Repeat("x", 1<<20)), false},
	} {
		f, err := seal.NewFulcio(c.url, c.token, time.Second, clocktesting.NewFakePassiveClock(time.Now()))
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if issuer, subject := func() (string, string) {
			if f == nil || err != nil {
				return sealtest.Issuer, sealtest.Subject
			}
			return f.Identity()
		}(); issuer != sealtest.Issuer || subject != sealtest.Subject {
			t.Errorf("%s: it is %s by %s", name, subject, issuer)
		}
	}
	log := sealtest.NewLog(t)
	if err := seal.CheckFulcio(log.TrustedRoot); reason.Of(err) != reason.CertificateFailed {
		t.Errorf("a trusted root without an authority: %v", err)
	}
	must(t, seal.CheckFulcio(sealtest.NewAuthority(t).TrustedRoot(t, log.TrustedRoot, sealtest.Trust{Certificates: true})))
}
