package sealtest

import (
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/proto"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/verify"
)

const (
	uriA = "s3://minio:9000/artifacts/a.tgz"
	uriB = "s3://minio:9000/artifacts/b.tgz"
)

func digest(c string) artifact.Digest { return artifact.Digest(strings.Repeat(c, 64)) }

// Suite proves that a seal in the log home verifies, and that any seal with one
// forged part does not. foreign is a second log with a key of its own.
func Suite(t *testing.T, home, foreign Backend) {
	notary := NewNotaryWith(t, home)
	other := NewNotaryWith(t, home)
	abroad := notary.At(t, foreign)
	payload := Payload(t, uriA, digest("a"))
	// Neighbours in the tree, so that proofs are not empty.
	second := Bundle(t, notary.Bundle(t, Payload(t, uriB, digest("b"))))
	good := notary.Bundle(t, payload)
	evidence := evidence{
		second: second,
		abroad: Bundle(t, abroad.Bundle(t, payload)),
		forged: Bundle(t, other.Bundle(t, payload)),
		hint:   notary.Signer.Hint(),
	}

	t.Run("a seal verifies and says what was stated", func(t *testing.T) {
		result, err := notary.Root.Inspect(good)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := provenance.Build(result.Statement.Facts); err != nil || string(again) != string(payload) {
			t.Errorf("statement differs: %v\n%s", err, again)
		}
		if result.LogIndex < 1 || result.LogURL == "" || result.KeyHint != notary.Signer.Hint() {
			t.Errorf("log and key are %+v", result)
		}
	})
	t.Run("another notary's key is refused", func(t *testing.T) {
		_, err := other.Root.Verify(good)
		expect(t, err, reason.SignatureInvalid)
	})
	t.Run("another log's key is refused", func(t *testing.T) {
		_, err := abroad.Root.Verify(good)
		expect(t, err, reason.LogEntryInvalid)
	})
	t.Run("one of several trusted keys and logs is enough", func(t *testing.T) {
		root, err := verify.NewRoot(home.TrustedRoot, other.Signer.PublicKeyPEM(), notary.Signer.PublicKeyPEM())
		check(t, err)
		if _, err := root.Verify(good); err != nil {
			t.Error(err)
		}
	})
	t.Run("what is signed and logged but no statement of ours is refused", func(t *testing.T) {
		forged := notary.Forge(t, []byte(`{"_type":"https://in-toto.io/Statement/v1"}`))
		_, err := notary.Root.Verify(JSON(t, forged))
		expect(t, err, reason.StatementInvalid)
	})
	t.Run("name and digest have to match in the same subject", func(t *testing.T) { crosswise(t, notary) })
	t.Run("a duplicate is told and sealed with a new signature", func(t *testing.T) { duplicate(t, notary, payload) })
	t.Run("an envelope of another key is not logged", func(t *testing.T) {
		envelope, err := other.Sign(t.Context(), payload)
		check(t, err)
		if _, err := notary.Record(t.Context(), envelope); !errors.Is(err, seal.ErrForeignEnvelope) {
			t.Errorf("got %v, want %v", err, seal.ErrForeignEnvelope)
		}
	})
	for name := range evidence.attacks() {
		t.Run(name, func(t *testing.T) {
			b, attack := Bundle(t, good), evidence.clone().attacks()[name]
			attack.deed(b)
			_, err := notary.Root.Verify(JSON(t, b))
			expect(t, err, attack.want)
		})
	}
}

func expect(t *testing.T, err error, want reason.Code) {
	t.Helper()
	if got := reason.Of(err); got != want {
		t.Errorf("got %q (%v), want code %q", got, err, want)
	}
}

func crosswise(t *testing.T, notary *Notary) {
	facts := Facts(uriA, digest("a"))
	facts.Subjects = append(facts.Subjects, provenance.Subject{URI: uriB, Sum: content.Sum{Form: content.FormTar, SHA256: digest("b"), Tree: digest("c")}, Output: "other"})
	payload, err := provenance.Build(facts)
	check(t, err)
	statement, err := notary.Root.Verify(notary.Bundle(t, payload))
	check(t, err)
	for _, c := range []struct {
		uri    string
		digest artifact.Digest
		want   reason.Code
	}{
		{uriA, digest("a"), ""}, {uriB, digest("b"), ""},
		{uriA, digest("b"), reason.DigestMismatch}, {uriB, digest("a"), reason.DigestMismatch},
		{uriA, digest("f"), reason.DigestMismatch}, {uriA + "x", digest("a"), reason.SubjectMismatch},
	} {
		_, err := statement.Match(c.uri, c.digest)
		expect(t, err, c.want)
	}
}

func duplicate(t *testing.T, notary *Notary, payload []byte) {
	envelope, err := notary.Sign(t.Context(), payload)
	check(t, err)
	_, err = notary.Record(t.Context(), envelope)
	check(t, err)
	if _, err := notary.Record(t.Context(), envelope); !errors.Is(err, seal.ErrDuplicate) {
		t.Fatalf("second record of an envelope gives %v, want %v", err, seal.ErrDuplicate)
	}
	envelope, err = notary.Sign(t.Context(), payload)
	check(t, err)
	if _, err := notary.Record(t.Context(), envelope); err != nil {
		t.Errorf("a new signature over the same statement: %v", err)
	}
}

// evidence is what a forger may take parts from; all of it holds by itself.
type evidence struct {
	second *protobundle.Bundle // same notary, same log, another statement
	abroad *protobundle.Bundle // same notary, same statement, another log
	forged *protobundle.Bundle // another notary, same log, same statement
	hint   string
}

// clone makes parts that a deed may change.
func (e evidence) clone() evidence {
	e.second, e.abroad, e.forged = proto.CloneOf(e.second), proto.CloneOf(e.abroad), proto.CloneOf(e.forged)
	return e
}

type attack struct {
	deed func(*protobundle.Bundle)
	want reason.Code
}

func entry(b *protobundle.Bundle) *protorekor.TransparencyLogEntry {
	return b.GetVerificationMaterial().GetTlogEntries()[0]
}

func (e evidence) attacks() map[string]attack {
	type bundle = *protobundle.Bundle
	sig := func(b bundle) *protodsse.Signature { return b.GetDsseEnvelope().GetSignatures()[0] }
	material := func(b bundle) *protobundle.VerificationMaterial { return b.GetVerificationMaterial() }
	return map[string]attack{
		"a flipped byte in the payload":   {func(b bundle) { b.GetDsseEnvelope().Payload[100] ^= 1 }, reason.SignatureInvalid},
		"a flipped byte in the signature": {func(b bundle) { sig(b).Sig[len(sig(b).Sig)-1] ^= 1 }, reason.SignatureInvalid},
		"no signature bytes":              {func(b bundle) { sig(b).Sig = nil }, reason.SignatureInvalid},
		"another statement":               {func(b bundle) { b.Content = e.second.GetContent() }, reason.LogEntryInvalid},
		"another statement's signature":   {func(b bundle) { sig(b).Sig = sig(e.second).Sig }, reason.SignatureInvalid},
		"another key's signature": {func(b bundle) {
			b.Content, b.VerificationMaterial = e.forged.GetContent(), e.forged.GetVerificationMaterial()
			material(b).GetPublicKey().Hint = e.hint
		}, reason.SignatureInvalid},
		"another key's hint":            {func(b bundle) { material(b).GetPublicKey().Hint = material(e.forged).GetPublicKey().GetHint() }, reason.SignatureInvalid},
		"the signature's twin (r, n-s)": {func(b bundle) { sig(b).Sig = twin(sig(b).Sig) }, reason.LogEntryInvalid},

		"no log entry":               {func(b bundle) { material(b).TlogEntries = nil }, reason.LogEntryInvalid},
		"another entry":              {func(b bundle) { material(b).TlogEntries = material(e.second).TlogEntries }, reason.LogEntryInvalid},
		"another log's entry":        {func(b bundle) { material(b).TlogEntries = material(e.abroad).TlogEntries }, reason.LogEntryInvalid},
		"another log's checkpoint":   {func(b bundle) { entry(b).InclusionProof.Checkpoint = entry(e.abroad).InclusionProof.Checkpoint }, reason.LogEntryInvalid},
		"another log's id":           {func(b bundle) { entry(b).LogId = entry(e.abroad).LogId }, reason.LogEntryInvalid},
		"another entry's proof":      {func(b bundle) { entry(b).InclusionProof = entry(e.second).InclusionProof }, reason.LogEntryInvalid},
		"another entry's hashes":     {func(b bundle) { entry(b).InclusionProof.Hashes = entry(e.second).InclusionProof.Hashes }, reason.LogEntryInvalid},
		"an older checkpoint":        {func(b bundle) { entry(b).InclusionProof.Checkpoint = entry(e.second).InclusionProof.Checkpoint }, reason.LogEntryInvalid},
		"a flipped byte in a hash":   {func(b bundle) { entry(b).InclusionProof.Hashes[0][0] ^= 1 }, reason.LogEntryInvalid},
		"another index":              {func(b bundle) { entry(b).LogIndex--; entry(b).InclusionProof.LogIndex-- }, reason.LogEntryInvalid},
		"two indexes":                {func(b bundle) { entry(b).InclusionProof.LogIndex++ }, reason.LogEntryInvalid},
		"a negative index":           {func(b bundle) { entry(b).LogIndex, entry(b).InclusionProof.LogIndex = -1, -1 }, reason.BundleInvalid},
		"no proof":                   {func(b bundle) { entry(b).InclusionProof = nil }, reason.LogEntryInvalid},
		"no checkpoint":              {func(b bundle) { entry(b).InclusionProof.Checkpoint = nil }, reason.BundleInvalid},
		"an unsigned checkpoint":     {func(b bundle) { unsign(entry(b)) }, reason.LogEntryInvalid},
		"a checkpoint for more":      {func(b bundle) { grow(entry(b)) }, reason.LogEntryInvalid},
		"another root hash":          {func(b bundle) { entry(b).InclusionProof.RootHash[0] ^= 1 }, reason.LogEntryInvalid},
		"no root hash":               {func(b bundle) { entry(b).InclusionProof.RootHash = nil }, reason.LogEntryInvalid},
		"another tree size":          {func(b bundle) { entry(b).InclusionProof.TreeSize++ }, reason.LogEntryInvalid},
		"another origin":             {func(b bundle) { rewrite(b, Host+"\n", "log.example.org\n") }, reason.LogEntryInvalid},
		"another name that signed":   {func(b bundle) { rewrite(b, "\u2014 "+Host, "\u2014 log.example.org") }, reason.LogEntryInvalid},
		"a spoilt checkpoint's key":  {func(b bundle) { flip(b, 0) }, reason.LogEntryInvalid},
		"a spoilt checkpoint":        {func(b bundle) { flip(b, 20) }, reason.LogEntryInvalid},
		"a checkpoint cut short":     {func(b bundle) { rewrite(b, "\n\n", "\n") }, reason.LogEntryInvalid},
		"another payload in the log": {func(b bundle) { swapBody(b, entry(e.second), "digest") }, reason.LogEntryInvalid},
		"another signature there":    {func(b bundle) { swapBody(b, entry(e.second), "content") }, reason.LogEntryInvalid},
		"no body":                    {func(b bundle) { entry(b).CanonicalizedBody = nil }, reason.BundleInvalid},

		"two log entries":        {func(b bundle) { material(b).TlogEntries = append(material(b).TlogEntries, entry(e.second)) }, reason.BundleInvalid},
		"an entry of Rekor v1":   {func(b bundle) { entry(b).KindVersion.Version = "0.0.1" }, reason.BundleInvalid},
		"a promise of Rekor v1":  {func(b bundle) { entry(b).InclusionPromise = &protorekor.InclusionPromise{} }, reason.BundleInvalid},
		"a time of Rekor v1":     {func(b bundle) { entry(b).IntegratedTime = 1 }, reason.BundleInvalid},
		"two signatures":         {func(b bundle) { b.GetDsseEnvelope().Signatures = append(b.GetDsseEnvelope().Signatures, sig(e.second)) }, reason.BundleInvalid},
		"no signature":           {func(b bundle) { b.GetDsseEnvelope().Signatures = nil }, reason.BundleInvalid},
		"a key id":               {func(b bundle) { sig(b).Keyid = e.hint }, reason.BundleInvalid},
		"a giant signature":      {func(b bundle) { sig(b).Sig = make([]byte, 1<<10) }, reason.BundleInvalid},
		"another payload type":   {func(b bundle) { b.GetDsseEnvelope().PayloadType = "text/plain" }, reason.BundleInvalid},
		"no payload":             {func(b bundle) { b.GetDsseEnvelope().Payload = nil }, reason.BundleInvalid},
		"a payload too large":    {func(b bundle) { b.GetDsseEnvelope().Payload = make([]byte, provenance.MaxPayload+1) }, reason.BundleInvalid},
		"an endless proof":       {func(b bundle) { entry(b).InclusionProof.Hashes = make([][]byte, 65) }, reason.BundleInvalid},
		"an endless checkpoint":  {func(b bundle) { entry(b).InclusionProof.Checkpoint.Envelope = strings.Repeat("x", 17<<10) }, reason.BundleInvalid},
		"an endless body":        {func(b bundle) { entry(b).CanonicalizedBody = make([]byte, 65<<10) }, reason.BundleInvalid},
		"another media type":     {func(b bundle) { b.MediaType = "application/vnd.dev.sigstore.bundle+json;version=0.2" }, reason.BundleInvalid},
		"a bundle of the future": {func(b bundle) { b.MediaType = "application/vnd.dev.sigstore.bundle.v0.4+json" }, reason.BundleInvalid},
		"a message signature": {func(b bundle) {
			b.Content = &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{Signature: sig(b).Sig}}
		}, reason.BundleInvalid},
		"a certificate": {func(b bundle) {
			material(b).Content = &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: []byte("x")}}
		}, reason.BundleInvalid},
		"a timestamp":              {func(b bundle) { material(b).TimestampVerificationData = &protobundle.TimestampVerificationData{} }, reason.BundleInvalid},
		"no verification material": {func(b bundle) { b.VerificationMaterial = nil }, reason.BundleInvalid},
	}
}

// twin is the other valid ECDSA signature for the same message and key.
func twin(sig []byte) []byte {
	var s struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &s); err != nil {
		panic(err)
	}
	order, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	s.S.Sub(order, s.S)
	out, err := asn1.Marshal(s)
	if err != nil {
		panic(err)
	}
	return out
}

func unsign(e *protorekor.TransparencyLogEntry) {
	text, _, _ := strings.Cut(e.InclusionProof.Checkpoint.Envelope, "\n\n")
	e.InclusionProof.Checkpoint.Envelope = text + "\n\n"
}

// grow claims a larger tree than the checkpoint's signature covers.
func grow(e *protorekor.TransparencyLogEntry) {
	lines := strings.SplitN(e.InclusionProof.Checkpoint.Envelope, "\n", 3)
	lines[1] += "0"
	e.InclusionProof.Checkpoint.Envelope = strings.Join(lines, "\n")
}

// rewrite changes the text of the checkpoint.
func rewrite(b *protobundle.Bundle, from, to string) {
	checkpoint := entry(b).InclusionProof.Checkpoint
	if !strings.Contains(checkpoint.Envelope, from) {
		panic("checkpoint has no " + from)
	}
	checkpoint.Envelope = strings.Replace(checkpoint.Envelope, from, to, 1)
}

// flip changes a byte of the checkpoint's signature, of which the first four are the
// key's hint.
func flip(b *protobundle.Bundle, at int) {
	checkpoint := entry(b).InclusionProof.Checkpoint
	head, line, _ := strings.Cut(checkpoint.Envelope, "\n\n")
	words := strings.Fields(line)
	raw, err := base64.StdEncoding.DecodeString(words[2])
	if err != nil {
		panic(err)
	}
	raw[at] ^= 1
	checkpoint.Envelope = head + "\n\n" + words[0] + " " + words[1] + " " + base64.StdEncoding.EncodeToString(raw) + "\n"
}

// swapBody takes one field of the entry's body from another entry. The proof
// does not notice: verifiers prove the entry that they expect, not this one.
func swapBody(b *protobundle.Bundle, from *protorekor.TransparencyLogEntry, field string) {
	value := func(body []byte) string {
		_, after, ok := strings.Cut(string(body), `"`+field+`":"`)
		if !ok {
			panic("entry has no " + field)
		}
		v, _, _ := strings.Cut(after, `"`)
		if _, err := base64.StdEncoding.DecodeString(v); err != nil {
			panic(err)
		}
		return v
	}
	body := entry(b).CanonicalizedBody
	entry(b).CanonicalizedBody = []byte(strings.Replace(string(body), value(body), value(from.CanonicalizedBody), 1))
}
