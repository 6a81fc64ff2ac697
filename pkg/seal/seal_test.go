package seal_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

func TestSealsInMemory(t *testing.T) {
	home, foreign := sealtest.NewLog(t), sealtest.NewLog(t)
	sealtest.Suite(t,
		sealtest.Backend{Log: home, TrustedRoot: home.TrustedRoot},
		sealtest.Backend{Log: foreign, TrustedRoot: foreign.TrustedRoot})
}

func payload(t *testing.T) []byte {
	t.Helper()
	return sealtest.Payload(t, "s3://minio/b/k", artifact.Digest(strings.Repeat("a", 64)))
}

func TestOnlyStatementsOfOursAreSigned(t *testing.T) {
	notary := sealtest.NewNotary(t)
	for name, p := range map[string][]byte{
		"nothing":             nil,
		"anything":            []byte("anything"),
		"a statement changed": []byte(strings.Replace(string(payload(t)), "enforce", "Enforce", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			if envelope, err := notary.Sign(t.Context(), p); reason.Of(err) != reason.StatementInvalid {
				t.Errorf("got %s, %v", envelope, err)
			}
		})
	}
}

func TestOnlyOwnEnvelopesAreLogged(t *testing.T) {
	notary := sealtest.NewNotary(t)
	good, err := notary.Sign(t.Context(), payload(t))
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(f func(map[string]any)) []byte {
		var e map[string]any
		if err := json.Unmarshal(good, &e); err != nil {
			t.Fatal(err)
		}
		f(e)
		out, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	forged := base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(payload(t)), "enforce", "audit", 1)))
	for name, envelope := range map[string][]byte{
		"nothing":              nil,
		"not JSON":             []byte("envelope"),
		"an endless envelope":  append(bytes.Clone(good), bytes.Repeat([]byte(" "), 2<<20)...),
		"another payload":      spoil(func(e map[string]any) { e["payload"] = forged }),
		"another payload type": spoil(func(e map[string]any) { e["payloadType"] = "text/plain" }),
		"no signature":         spoil(func(e map[string]any) { e["signatures"] = []any{} }),
		"two signatures": spoil(func(e map[string]any) {
			e["signatures"] = append(e["signatures"].([]any), e["signatures"].([]any)...)
		}),
		"an empty signature": spoil(func(e map[string]any) { e["signatures"] = []any{map[string]any{"sig": ""}} }),
	} {
		t.Run(name, func(t *testing.T) {
			if bundle, err := notary.Record(t.Context(), envelope); !errors.Is(err, seal.ErrForeignEnvelope) {
				t.Errorf("got %s, %v, want %v", bundle, err, seal.ErrForeignEnvelope)
			}
		})
	}
	if _, err := notary.Record(t.Context(), good); err != nil {
		t.Errorf("its own envelope: %v", err)
	}
}

func TestALogThatIsNotTrustedGivesNoBundle(t *testing.T) {
	trusted, log := sealtest.NewLog(t), sealtest.NewLog(t)
	notary := sealtest.NewNotaryWith(t, sealtest.Backend{Log: log, TrustedRoot: trusted.TrustedRoot})
	envelope, err := notary.Sign(t.Context(), payload(t))
	if err != nil {
		t.Fatal(err)
	}
	if bundle, err := notary.Record(t.Context(), envelope); reason.Of(err) != reason.LogEntryInvalid {
		t.Errorf("got %s, %v, want code %s", bundle, err, reason.LogEntryInvalid)
	}
}

// A signer speaks for the builders of its domain, and what it signs of another is no seal.
func TestASealIsOfABuilderOfTheSignersDomain(t *testing.T) {
	log := sealtest.NewLog(t)
	keyPEM, err := seal.NewKey()
	must(t, err)
	signer, err := seal.LoadSigner(keyPEM)
	must(t, err)
	keys, err := verify.ParseKeys(signer.PublicKeyPEM())
	must(t, err)
	facts := sealtest.Facts("s3://minio/b/k", artifact.Digest(strings.Repeat("a", 64)))
	for builder, want := range map[string]reason.Code{
		facts.Builder.ID(): "", "https://argoseal.dev/builders/v1/another/observed": reason.BuilderNotTrusted,
	} {
		trusted, err := verify.New(verify.Domain{Name: "d", TrustedRoot: log.TrustedRoot, Keys: keys, Builders: []string{builder}, Logs: 1})
		must(t, err)
		sealer := seal.New(signer, seal.NewRecorder(log, clock.RealClock{}), trusted)
		signed, err := sealer.Prepare(t.Context(), payload(t))
		must(t, err)
		bundle, err := sealer.Log(t.Context(), signed)
		if reason.Of(err) != want && err != nil || (err == nil) != (want == "") {
			t.Errorf("where %s is trusted: %s, %v", builder, bundle, err)
		}
	}
}

func TestSigningKeysAreReadBack(t *testing.T) {
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := seal.LoadSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.LoadSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	if signer.Hint() != again.Hint() || string(signer.PublicKeyPEM()) != string(again.PublicKeyPEM()) {
		t.Error("the same key is read as two")
	}
	if raw, err := base64.StdEncoding.DecodeString(signer.Hint()); err != nil || len(raw) != 32 {
		t.Errorf("hint %q is no SHA-256 in base64: %v", signer.Hint(), err)
	}
}

func TestWhatIsNoSigningKeyIsRefusedAndNotQuoted(t *testing.T) {
	good, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	_, public, err := seal.NewLogKey()
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224PEM, err := cryptoutils.MarshalPrivateKeyToPEM(p224)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(good)
	for name, key := range map[string][]byte{
		"nothing":       nil,
		"not PEM":       block.Bytes,
		"a public key":  public,
		"P-224":         p224PEM,
		"half a key":    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: block.Bytes[:60]}),
		"another label": pem.EncodeToMemory(&pem.Block{Type: "SECRET", Bytes: block.Bytes}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := seal.LoadSigner(key)
			if err == nil {
				t.Fatal("loaded")
			}
			if len(err.Error()) > 100 {
				t.Errorf("the error is long enough to quote the key: %v", err)
			}
		})
	}
}

func TestTrustedRootsAreMadeForTheLogTheyName(t *testing.T) {
	_, public, err := seal.NewLogKey()
	if err != nil {
		t.Fatal(err)
	}
	since := time.Date(2026, 11, 21, 10, 0, 0, 5, time.FixedZone("there", 3600))
	const url = "http://argoseal-rekor.argoseal-system.svc:3003"
	first, err := seal.TrustedRootJSON(url, public, since)
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.TrustedRootJSON(url, public, since)
	if err != nil || string(again) != string(first) {
		t.Errorf("the second one differs: %v\n%s\n%s", err, first, again)
	}
	trusted, err := root.NewTrustedRootFromJSON(first)
	if err != nil {
		t.Fatal(err)
	}
	if len(trusted.RekorLogs()) != 1 || len(trusted.FulcioCertificateAuthorities())+len(trusted.CTLogs())+len(trusted.TimestampingAuthorities()) != 0 {
		t.Errorf("it trusts more than the one log:\n%s", first)
	}
	for _, log := range trusted.RekorLogs() {
		if log.BaseURL != url || !log.ValidityPeriodStart.Equal(since.Truncate(time.Second)) {
			t.Errorf("log is %+v", log)
		}
	}
	other, err := seal.TrustedRootJSON("http://elsewhere:3003", public, since)
	if err != nil {
		t.Fatal(err)
	}
	if elsewhere, err := root.NewTrustedRootFromJSON(other); err != nil {
		t.Error(err)
	} else {
		for id := range elsewhere.RekorLogs() {
			if _, same := trusted.RekorLogs()[id]; same {
				t.Error("logs of two hosts have the same id")
			}
		}
	}
	for name, c := range map[string]struct {
		url   string
		key   []byte
		since time.Time
	}{
		"no host":        {"http://", public, since},
		"no scheme":      {"argoseal-rekor:3003", public, since},
		"a file":         {"file:///log", public, since},
		"a user":         {"http://me@argoseal-rekor", public, since},
		"a query":        {"http://argoseal-rekor?x=1", public, since},
		"no key":         {url, nil, since},
		"rubbish as key": {url, []byte("key"), since},
		"no time":        {url, public, time.Time{}},
	} {
		t.Run("but not with "+name, func(t *testing.T) {
			if got, err := seal.TrustedRootJSON(c.url, c.key, c.since); err == nil {
				t.Errorf("made %s", got)
			}
		})
	}
}
