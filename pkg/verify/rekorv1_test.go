package verify_test

import (
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// notaryV1 is a notary whose log is a Rekor v1.
func notaryV1(t *testing.T) (*sealtest.Notary, *sealtest.LogV1) {
	t.Helper()
	log := sealtest.NewLogV1(t)
	return sealtest.NewNotaryWith(t, sealtest.Backend{Log: log, TrustedRoot: log.TrustedRoot}), log
}

func entryOf(b *protobundle.Bundle) *protorekor.TransparencyLogEntry {
	return b.GetVerificationMaterial().GetTlogEntries()[0]
}

// Promise, proof and checkpoint each have to hold, and be about this seal.
func TestASealInARekorV1IsCheckedInFull(t *testing.T) {
	n, log := notaryV1(t)
	root := rootOf(t, domainOf(t, "home", "test", n, verify.Rules{}))
	other := sealtest.Bundle(t, n.Bundle(t, sealtest.Payload(t, "s3://minio:9000/artifacts/b.tgz", digest("b"))))
	abroad, _ := notaryV1(t)
	good := n.Bundle(t, sealtest.Payload(t, uri, digest("a")))
	foreign := sealtest.Bundle(t, abroad.Bundle(t, sealtest.Payload(t, uri, digest("a"))))
	result, err := root.Inspect(good)
	if err != nil || !result.Proven.Equal(log.Time) || result.LogURL != sealtest.URLV1 {
		t.Fatalf("got %+v, %v", result, err)
	}
	for name, spoil := range map[string]func(e *protorekor.TransparencyLogEntry){
		"no promise":               func(e *protorekor.TransparencyLogEntry) { e.InclusionPromise = nil },
		"another entry's promise":  func(e *protorekor.TransparencyLogEntry) { e.InclusionPromise = entryOf(other).GetInclusionPromise() },
		"another log's promise":    func(e *protorekor.TransparencyLogEntry) { e.InclusionPromise = entryOf(foreign).GetInclusionPromise() },
		"another time":             func(e *protorekor.TransparencyLogEntry) { e.IntegratedTime -= 3600 },
		"no time":                  func(e *protorekor.TransparencyLogEntry) { e.IntegratedTime = 0 },
		"no proof":                 func(e *protorekor.TransparencyLogEntry) { e.InclusionProof = nil },
		"another entry's proof":    func(e *protorekor.TransparencyLogEntry) { e.InclusionProof = entryOf(other).GetInclusionProof() },
		"another log's proof":      func(e *protorekor.TransparencyLogEntry) { e.InclusionProof = entryOf(foreign).GetInclusionProof() },
		"a proof of another entry": func(e *protorekor.TransparencyLogEntry) { e.GetInclusionProof().Hashes[0][0] ^= 1 },
		"a proof of another tree":  func(e *protorekor.TransparencyLogEntry) { e.GetInclusionProof().RootHash[0] ^= 1 },
		"another checkpoint": func(e *protorekor.TransparencyLogEntry) {
			e.GetInclusionProof().Checkpoint = entryOf(foreign).GetInclusionProof().GetCheckpoint()
		},
		"a changed checkpoint": func(e *protorekor.TransparencyLogEntry) {
			c := e.GetInclusionProof().GetCheckpoint()
			c.Envelope = strings.Replace(c.GetEnvelope(), "\n2\n", "\n3\n", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := sealtest.Bundle(t, good)
			spoil(entryOf(b))
			_, err := root.Inspect(sealtest.JSON(t, b))
			wants(t, err, reason.LogEntryInvalid)
		})
	}
	bare := sealtest.Bundle(t, good)
	entryOf(bare).GetInclusionProof().Checkpoint = nil
	_, err = root.Inspect(sealtest.JSON(t, bare))
	wants(t, err, reason.BundleInvalid)
	// All of another entry, which holds, is about another seal.
	b := sealtest.Bundle(t, good)
	b.VerificationMaterial.TlogEntries = other.GetVerificationMaterial().GetTlogEntries()
	_, err = root.Inspect(sealtest.JSON(t, b))
	wants(t, err, reason.LogEntryInvalid)
}

// What a Rekor v1 promises is proven: it counts where no record's age does.
func TestAProvenTimeDecides(t *testing.T) {
	n, log := notaryV1(t)
	bundle := n.Bundle(t, sealtest.Payload(t, uri, digest("a")))
	before, after := log.Time.Add(-time.Hour), log.Time.Add(time.Hour)
	for name, c := range map[string]struct {
		rule     verify.KeyRule
		recorded time.Time
		want     reason.Code
	}{
		"before the end, nobody knows of a record": {verify.KeyRule{ValidUntil: &after}, time.Time{}, ""},
		"before the end, in a restored record":     {verify.KeyRule{ValidUntil: &after}, after.Add(time.Hour), ""},
		"after the end, in an old record":          {verify.KeyRule{ValidUntil: &before}, before.Add(-time.Hour), reason.SignerExpired},
		"before the beginning":                     {verify.KeyRule{ValidFrom: &after}, time.Time{}, reason.SignerExpired},
		"before the compromise":                    {verify.KeyRule{CompromisedFrom: &after}, time.Time{}, ""},
		"after the compromise":                     {verify.KeyRule{CompromisedFrom: &before}, before.Add(-time.Hour), reason.SignerCompromised},
	} {
		t.Run(name, func(t *testing.T) {
			c.rule.Hint = n.Signer.Hint()
			root := rootOf(t, domainOf(t, "home", "test", n, verify.Rules{Keys: []verify.KeyRule{c.rule}}))
			_, err := root.At(func() time.Time { return after.AddDate(1, 0, 0) }).InspectRecorded(bundle, c.recorded)
			wants(t, err, c.want)
		})
	}
}

// A domain may ask for two logs: then one, or one twice, is not enough, and an entry of a
// log that is not the domain's counts for nothing.
func TestADomainMayAskForTwoLogs(t *testing.T) {
	v2, v1 := sealtest.NewLog(t), sealtest.NewLogV1(t)
	both := sealtest.TrustedRootOf(t, v1.Log, v2.TrustedRoot)
	n := sealtest.NewNotaryWith(t, sealtest.Backend{Log: v2, TrustedRoot: both})
	root := rootOf(t, domainOf(t, "home", "test", n, verify.Rules{Logs: 2}))
	one := n.Forge(t, sealtest.Payload(t, uri, digest("a")))
	entry := func(log seal.Log) *protorekor.TransparencyLogEntry {
		e, err := log.Append(t.Context(), one.GetDsseEnvelope(), n.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	with := func(entries ...*protorekor.TransparencyLogEntry) []byte {
		b := sealtest.Bundle(t, sealtest.JSON(t, one))
		b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries, entries...)
		return sealtest.JSON(t, b)
	}
	result, err := root.Inspect(with(entry(v1)))
	if err != nil || len(result.Logs) != 2 || result.Proven.IsZero() {
		t.Errorf("two logs: %+v, %v", result, err)
	}
	_, err = root.Inspect(with())
	wants(t, err, reason.LogEntryInvalid)
	_, err = root.Inspect(with(entryOf(one)))
	wants(t, err, reason.BundleInvalid)
	stranger := sealtest.NewLogV1(t)
	_, err = root.Inspect(with(entry(stranger)))
	wants(t, err, reason.LogEntryInvalid)
	// One is enough for the domain; the other has to hold all the same if it is its own.
	single := rootOf(t, domainOf(t, "home", "test", n, verify.Rules{}))
	if _, err := single.Inspect(with(entry(stranger))); err != nil {
		t.Errorf("an entry of a stranger beside a good one: %v", err)
	}
	spoilt := entry(v1)
	spoilt.GetInclusionPromise().SignedEntryTimestamp[9] ^= 1
	_, err = single.Inspect(with(spoilt))
	wants(t, err, reason.LogEntryInvalid)
}
