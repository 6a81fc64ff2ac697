package verify_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// soon is far more than a bundle takes, and far less than a proposal does that is checked.
const soon = 3 * time.Second

// A log stores no proposals. Whoever reads one as an entry verifies each of its signatures
// under each of its keys: thousands, in a bundle that nobody has signed.
func TestAProposalIsNoEntry(t *testing.T) {
	v1, v2 := sealtest.NewLogV1(t), sealtest.NewLog(t)
	for name, backend := range map[string]sealtest.Backend{
		"of Rekor v1": {Log: v1, TrustedRoot: v1.TrustedRoot},
		"of Rekor v2": {Log: v2, TrustedRoot: v2.TrustedRoot},
	} {
		t.Run(name, func(t *testing.T) {
			n := sealtest.NewNotaryWith(t, backend)
			root := rootOf(t, domainOf(t, "home", "test", n, verify.Rules{}))
			good := n.Bundle(t, sealtest.Payload(t, uri, digest("a")))
			if _, err := root.Verify(good); err != nil {
				t.Fatal(err)
			}
			foreign := verify.Foreign{TrustedRoot: backend.TrustedRoot, Key: n.Signer.PublicKeyPEM(), SHA256: bytes.Repeat([]byte{0xaa}, 32)}
			if err := foreign.Check(good); err != nil {
				t.Fatal(err)
			}
			b := sealtest.Bundle(t, good)
			entryOf(b).CanonicalizedBody = sealtest.Proposal(t, 20, 600)
			bad := sealtest.JSON(t, b)
			began := time.Now()
			_, err := root.Verify(bad)
			wants(t, err, reason.BundleInvalid)
			wants(t, foreign.Check(bad), reason.BundleInvalid)
			if took := time.Since(began); took > soon {
				t.Errorf("it took %s to refuse it", took)
			}
		})
	}
}
