package verify_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// testdata is a seal that a real Rekor v2 server logged; package seal's
// integration test records it.
func testdata(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func recordedRoot(tb testing.TB) *verify.Root {
	tb.Helper()
	r, err := verify.NewRoot(testdata(tb, "trusted_root.json"), testdata(tb, "notary.pub"))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestTheSealOfARealLogVerifies(t *testing.T) {
	result, err := recordedRoot(t).Inspect(testdata(t, "bundle.json"))
	if err != nil {
		t.Fatal(err)
	}
	const uri = "s3://minio:9000/artifacts/hello-art.tgz"
	if _, ok := result.Statement.Subject(uri); !ok {
		t.Errorf("subjects are %+v", result.Statement.Subjects)
	}
	if result.LogIndex == 0 || !strings.HasPrefix(result.LogURL, "http://localhost:") || result.KeyHint == "" {
		t.Errorf("log and key are %+v", result)
	}
}

// testdata/v1 is the seal that a real Rekor v2 server logged for the code of commit
// 1170783. It is never recorded anew.
func TestASealOfThePredecessorVerifies(t *testing.T) {
	r, err := verify.NewRoot(testdata(t, "v1/trusted_root.json"), testdata(t, "v1/notary.pub"))
	if err != nil {
		t.Fatal(err)
	}
	statement, err := r.Verify(testdata(t, "v1/bundle.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := statement.Subject("s3://minio:9000/artifacts/hello-art.tgz"); !ok || statement.Version != 1 {
		t.Errorf("version %d, subjects %+v", statement.Version, statement.Subjects)
	}
}

func TestBundlesThatAreNotOneJSONBundleAreRefused(t *testing.T) {
	good := string(testdata(t, "bundle.json"))
	for name, bundle := range map[string]string{
		"nothing":              "",
		"null":                 "null",
		"an empty object":      "{}",
		"a list":               "[" + good + "]",
		"not JSON":             "bundle",
		"two bundles":          good + good,
		"an unknown field":     strings.Replace(good, `{"dsseEnvelope"`, `{"extra":1,"dsseEnvelope"`, 1),
		"a duplicate field":    strings.Replace(good, `{"dsseEnvelope"`, `{"mediaType":"x","dsseEnvelope"`, 1),
		"deep nesting":         strings.Repeat(`{"dsseEnvelope":`, 1<<15),
		"more than the bound":  good + strings.Repeat(" ", verify.MaxBundle),
		"an entry that is nil": strings.Replace(good, `"tlogEntries":[{`, `"tlogEntries":[null,{`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if bundle == good {
				t.Fatal("the bundle is not spoilt")
			}
			_, err := recordedRoot(t).Verify([]byte(bundle))
			if got := reason.Of(err); got != reason.BundleInvalid {
				t.Errorf("got %v, want code %s", err, reason.BundleInvalid)
			}
		})
	}
}

func TestARootThatTrustsNothingIsRefused(t *testing.T) {
	trusted, key := testdata(t, "trusted_root.json"), testdata(t, "notary.pub")
	private, _, err := seal.NewLogKey()
	if err != nil {
		t.Fatal(err)
	}
	key224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := cryptoutils.MarshalPublicKeyToPEM(key224.Public())
	if err != nil {
		t.Fatal(err)
	}
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := x509.MarshalPKIXPublicKey(exchange.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: x25519})
	spaces := bytes.Repeat([]byte(" "), 1<<20)
	noLogs := []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)
	for name, c := range map[string]struct {
		trusted []byte
		keys    [][]byte
	}{
		"no trusted root":            {nil, [][]byte{key}},
		"a trusted root of rubbish":  {[]byte("root"), [][]byte{key}},
		"a trusted root without log": {noLogs, [][]byte{key}},
		"an endless trusted root":    {slices.Concat(trusted, spaces), [][]byte{key}},
		"no key":                     {trusted, nil},
		"an empty key":               {trusted, [][]byte{nil}},
		"one key and an empty file":  {trusted, [][]byte{key, []byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")}},
		"a key of another kind":      {trusted, [][]byte{public}},
		"a key of another curve":     {trusted, [][]byte{p224}},
		"a private key":              {trusted, [][]byte{private}},
		"a key by another label":     {trusted, [][]byte{bytes.ReplaceAll(key, []byte("PUBLIC KEY"), []byte("CERTIFICATE"))}},
		"a key with a tail":          {trusted, [][]byte{slices.Concat(key, []byte("and more"))}},
		"an endless key file":        {trusted, [][]byte{slices.Concat(key, spaces)}},
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := verify.NewRoot(c.trusted, c.keys...); err == nil {
				t.Errorf("made a root of version %s", r.Version())
			}
		})
	}
	t.Run("the zero value", func(t *testing.T) {
		for _, r := range []*verify.Root{nil, {}} {
			if _, err := r.Verify(testdata(t, "bundle.json")); reason.Of(err) != reason.TrustedRootNotReady {
				t.Errorf("got %v, want code %s", err, reason.TrustedRootNotReady)
			}
		}
	})
}

func TestRootsHaveTheSameVersionOnlyIfTheyTrustTheSame(t *testing.T) {
	trusted, key := testdata(t, "trusted_root.json"), testdata(t, "notary.pub")
	other := sealtest.NewNotary(t).Signer.PublicKeyPEM()
	version := func(keys ...[]byte) string {
		r, err := verify.NewRoot(trusted, keys...)
		if err != nil {
			t.Fatal(err)
		}
		return r.Version()
	}
	if first, second := version(key), version(key); first != second {
		t.Error("the same root has two versions")
	}
	if version(key) == version(other) || version(key) == version(key, other) || version(key) == "" {
		t.Error("another root has the same version")
	}
	both := slices.Concat(other, key)
	r, err := verify.NewRoot(trusted, both)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Verify(testdata(t, "bundle.json")); err != nil {
		t.Errorf("the second key of a file is not trusted: %v", err)
	}
}

// A log that signed a checkpoint in the manner of Rekor v1 would make sigstore-go
// skip the comparison of entry and bundle.
func TestAnEntryAboutAnotherSealIsRefusedUnderACheckpointOfRekorV1(t *testing.T) {
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := seal.LoadSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	log := sealtest.NewLogWith(t, key, signer.PublicKeyPEM()) // P-256, as v1 has it
	notary := sealtest.NewNotaryWith(t, sealtest.Backend{Log: log, TrustedRoot: log.TrustedRoot})
	forgery := notary.Forge(t, sealtest.Payload(t, "s3://minio/b/forged", digest("f")))
	log.Origin = sealtest.Host + " - 1"
	logged := notary.Forge(t, sealtest.Payload(t, "s3://minio/b/logged", digest("a")))
	forgery.VerificationMaterial = logged.GetVerificationMaterial()

	if err := withSigstoreAlone(t, log.TrustedRoot, notary, forgery); err != nil {
		t.Fatalf("sigstore-go refuses it already, so this tests nothing: %v", err)
	}
	if _, err := notary.Root.Verify(sealtest.JSON(t, forgery)); reason.Of(err) != reason.LogEntryInvalid {
		t.Errorf("got %v, want code %s", err, reason.LogEntryInvalid)
	}
}

func withSigstoreAlone(t *testing.T, trustedRoot []byte, notary *sealtest.Notary, b *protobundle.Bundle) error {
	t.Helper()
	trusted, err := root.NewTrustedRootFromJSON(trustedRoot)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]*root.ExpiringKey{notary.Signer.Hint(): notary.Verifier(t)}
	verifier, err := sigstore.NewVerifier(root.TrustedMaterialCollection{trusted, root.NewTrustedPublicKeyMaterialFromMapping(keys)},
		sigstore.WithTransparencyLog(1), sigstore.WithNoObserverTimestamps())
	if err != nil {
		t.Fatal(err)
	}
	entity, err := bundle.NewBundle(b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = verifier.Verify(entity, sigstore.NewPolicy(sigstore.WithoutArtifactUnsafe(), sigstore.WithKey()))
	return err
}

// Whoever asks at the same time gets the answer to their own bundle. (make unit also
// looks for data races.)
func TestVerifyAnswersEachWhoAsksAtTheSameTime(t *testing.T) {
	notary := sealtest.NewNotary(t)
	const each = 8
	bundles, names := make([][]byte, each), make([]string, each)
	for i := range bundles {
		names[i] = fmt.Sprintf("s3://minio:9000/artifacts/%d.tgz", i)
		payload, err := provenance.Build(sealtest.Facts(names[i], digest(fmt.Sprint(i))))
		if err != nil {
			t.Fatal(err)
		}
		bundles[i] = notary.Bundle(t, payload)
	}
	var group sync.WaitGroup
	for range 4 {
		for i := range bundles {
			group.Go(func() {
				if st, err := notary.Root.Verify(bundles[i]); err != nil || st.Subjects[0].URI != names[i] {
					t.Errorf("%s: %+v, %v", names[i], st, err)
				}
				if _, err := notary.Root.Verify(bundles[i][1:]); err == nil {
					t.Errorf("%s: half a bundle verifies", names[i])
				}
			})
		}
	}
	group.Wait()
}

func digest(c string) artifact.Digest { return artifact.Digest(strings.Repeat(c, 64)) }

func FuzzVerify(f *testing.F) {
	r, good := recordedRoot(f), testdata(f, "bundle.json")
	f.Add(good)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{}}}`))
	proposal := sealtest.Bundle(f, good)
	entryOf(proposal).CanonicalizedBody = sealtest.Proposal(f, 2, 2)
	f.Add(sealtest.JSON(f, proposal))
	want, err := r.Verify(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, bundle []byte) {
		statement, err := r.Verify(bundle)
		if err != nil {
			switch reason.Of(err) {
			case reason.BundleInvalid, reason.SignatureInvalid, reason.LogEntryInvalid:
			default:
				t.Errorf("code %s: %v", reason.Of(err), err)
			}
			return
		}
		if statement.InvocationID() != want.InvocationID() {
			t.Errorf("another statement verified: %+v", statement)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	r, good := recordedRoot(b), testdata(b, "bundle.json")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Verify(good); err != nil {
			b.Fatal(err)
		}
	}
}
