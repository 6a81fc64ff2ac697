package verify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/types"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1" // kinds of entries
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.2"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// storedBody is an entry as Rekor v1 stores it, by its own code.
func storedBody(t *testing.T, kind, version string, of types.ArtifactProperties) string {
	t.Helper()
	proposed, err := types.NewProposedEntry(t.Context(), kind, version, of)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := types.UnmarshalEntry(proposed)
	if err != nil {
		t.Fatal(err)
	}
	body, err := types.CanonicalizeEntry(t.Context(), entry)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// What a log stores is read, of each kind; what differs from that in a byte is not, though
// JSON may mean the same.
func TestABodyIsAsALogStoresIt(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	signed := func(what []byte) ([]byte, string) {
		digest := sha256.Sum256(what)
		sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig, hex.EncodeToString(digest[:])
	}
	const payloadType, payload = "application/vnd.in-toto+json", `{"subject":[]}`
	sig, _ := signed(dsse.PAE(payloadType, []byte(payload)))
	envelope, err := json.Marshal(dsse.Envelope{
		PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString([]byte(payload)),
		Signatures: []dsse.Signature{{KeyID: "<key>", Sig: base64.StdEncoding.EncodeToString(sig)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	inEnvelope := types.ArtifactProperties{ArtifactBytes: envelope, PublicKeyBytes: [][]byte{public}}
	sig, digest := signed([]byte("a file"))
	file := types.ArtifactProperties{PKIFormat: "x509", ArtifactHash: "sha256:" + digest, SignatureBytes: sig, PublicKeyBytes: [][]byte{public}}
	long := base64.StdEncoding.EncodeToString(make([]byte, maxStoredSignature+1))
	many := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(public), 2)))
	wide := base64.StdEncoding.EncodeToString(make([]byte, maxStoredVerifier+1))
	for kind, c := range map[string]struct {
		of       types.ArtifactProperties
		mutation map[string]func(string) string
	}{
		"dsse 0.0.1": {inEnvelope, map[string]func(string) string{
			"a proposal beside it": func(s string) string {
				return strings.Replace(s, `"signatures":`, `"proposedContent":{"envelope":"","verifiers":[]},"signatures":`, 1)
			},
			"two signatures": func(s string) string {
				_, one, _ := strings.Cut(strings.TrimSuffix(s, "]}}"), `"signatures":[`)
				return strings.Replace(s, one, one+","+one, 1)
			},
			"no signature": func(s string) string {
				_, one, _ := strings.Cut(strings.TrimSuffix(s, "]}}"), `"signatures":[`)
				return strings.Replace(s, one, "", 1)
			},
		}},
		"hashedrekord 0.0.1": {file, map[string]func(string) string{
			"a long signature":     func(s string) string { return put(t, s, `"signature":{"content":"`, long) },
			"a wide verifier":      func(s string) string { return put(t, s, `"publicKey":{"content":"`, wide) },
			"a chain of verifiers": func(s string) string { return put(t, s, `"publicKey":{"content":"`, many) },
		}},
		"intoto 0.0.2": {inEnvelope, map[string]func(string) string{
			"a long signature":     func(s string) string { return put(t, s, `"sig":"`, long) },
			"a wide verifier":      func(s string) string { return put(t, s, `"publicKey":"`, wide) },
			"a chain of verifiers": func(s string) string { return put(t, s, `"publicKey":"`, many) },
			"two signatures": func(s string) string {
				_, after, _ := strings.Cut(s, `"signatures":[`)
				one, _, _ := strings.Cut(after, "]")
				return strings.Replace(s, one, one+","+one, 1)
			},
		}},
	} {
		t.Run(kind, func(t *testing.T) {
			name, version, _ := strings.Cut(kind, " ")
			entry := &protorekor.TransparencyLogEntry{KindVersion: &protorekor.KindVersion{Kind: name, Version: version}}
			good := storedBody(t, name, version, c.of)
			check := func(body string) error {
				entry.CanonicalizedBody = []byte(body)
				return checkStored(entry)
			}
			if err := check(good); err != nil {
				t.Fatalf("%v\n%s", err, good)
			}
			// Some logs keep the payload: the library then verifies its one signature.
			if kept := strings.Replace(good, `"envelope":{`, `"envelope":{"payload":"e30=",`, 1); name == "intoto" && check(kept) != nil {
				t.Errorf("with its payload: %v", check(kept))
			}
			c.mutation["nothing"] = func(string) string { return "" }
			c.mutation["null"] = func(string) string { return "null" }
			c.mutation["a space"] = func(s string) string { return " " + s }
			c.mutation["a line"] = func(s string) string { return s + "\n" }
			c.mutation["two entries"] = func(s string) string { return s + s }
			c.mutation["another field"] = func(s string) string { return `{"a":1,` + s[1:] }
			c.mutation["another spelling"] = func(s string) string { return strings.Replace(s, `"spec"`, `"Spec"`, 1) }
			c.mutation["a second spec"] = func(s string) string { return strings.TrimSuffix(s, "}") + `,"Spec":{}}` }
			c.mutation["no spec"] = func(s string) string {
				before, _, _ := strings.Cut(s, `,"spec"`)
				return before + "}"
			}
			c.mutation["another version"] = func(s string) string { return strings.Replace(s, `"apiVersion":"0.0.`, `"apiVersion":"0.1.`, 1) }
			c.mutation["a hundred KiB"] = func(s string) string { return strings.Replace(s, `"sha256"`, `"`+strings.Repeat("x", 100<<10)+`"`, 1) }
			for how, change := range c.mutation {
				bad := change(good)
				if bad == good {
					t.Errorf("%s: it is not changed", how)
				}
				if err := check(bad); err == nil {
					t.Errorf("%s: it is read", how)
				}
			}
			for _, other := range []*protorekor.KindVersion{nil, {Kind: name}, {Kind: name, Version: "0.0.3"}, {Kind: "dsse", Version: "0.0.2"}, {Kind: "rekord", Version: "0.0.1"}, {Kind: "hashedrekord", Version: "0.0.2"}} {
				if err := checkStored(&protorekor.TransparencyLogEntry{KindVersion: other, CanonicalizedBody: []byte(good)}); err == nil {
					t.Errorf("it is read as %v", other)
				}
			}
		})
	}
}

// put gives a body another text at a place.
func put(t *testing.T, body, at, text string) string {
	t.Helper()
	before, after, found := strings.Cut(body, at)
	_, after, closed := strings.Cut(after, `"`)
	if !found || !closed {
		t.Fatalf("%s has no %s", body, at)
	}
	return before + at + text + `"` + after
}
