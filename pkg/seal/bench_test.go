package seal_test

import (
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// BenchmarkLog says how many bytes a seal has: its entry in each kind of log, and its
// bundle, where it is in one log and in both; and what recording one costs here, without
// the log.
func BenchmarkLog(b *testing.B) {
	v1, v2 := sealtest.NewLogV1(b), sealtest.NewLog(b)
	key, err := seal.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	signer, err := seal.LoadSigner(key)
	if err != nil {
		b.Fatal(err)
	}
	root, err := verify.NewRoot(sealtest.TrustedRootOf(b, v1.Log, v2.TrustedRoot), signer.PublicKeyPEM())
	if err != nil {
		b.Fatal(err)
	}
	recorder := func(log seal.Log, url string) *seal.Recorder {
		return seal.NewRecorder(log, clock.RealClock{}).Only(url)
	}
	payload := sealtest.Payload(b, "s3://minio:9000/artifacts/a.tgz", artifact.Digest(strings.Repeat("a", 64)))
	for name, sealer := range map[string]*seal.Sealer{
		"v1":   seal.New(signer, recorder(v1, sealtest.URLV1), root),
		"v2":   seal.New(signer, recorder(v2, sealtest.URL), root),
		"both": seal.New(signer, recorder(v1, sealtest.URLV1), root, recorder(v2, sealtest.URL)),
	} {
		b.Run(name, func(b *testing.B) {
			var bundle []byte
			for b.Loop() {
				signed, err := sealer.Prepare(b.Context(), payload)
				if err == nil {
					bundle, err = sealer.Log(b.Context(), signed)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			entries := 0
			for _, entry := range sealtest.Bundle(b, bundle).GetVerificationMaterial().GetTlogEntries() {
				entries += len(entry.GetCanonicalizedBody())
			}
			b.ReportMetric(float64(entries), "entry-bytes")
			b.ReportMetric(float64(len(bundle)), "bundle-bytes")
		})
	}
}
