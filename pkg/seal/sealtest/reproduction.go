package sealtest

import (
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Reproduced is what somebody states who has run a sealed step again, by the seal's
// payload: it made the same, in other bytes.
func Reproduced(tb testing.TB, payload []byte) provenance.ReproductionFacts {
	tb.Helper()
	s, err := provenance.Parse(payload)
	check(tb, err)
	first := provenance.RunOfStatement(provenance.StepStatement{Statement: s, SHA256: artifact.DigestOfText(string(payload))})
	second := first
	second.Statement = artifact.DigestOfText("the second run")
	second.Namespace, second.Workflow.UID, second.Pod.UID = "again", "second-workflow", "second-pod"
	f := provenance.ReproductionFacts{
		Verdict: provenance.WasReproduced, First: first, Second: second, Argoseal: "v0.1.0", Compared: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
	}
	for _, subject := range s.Subjects {
		f.Outputs = append(f.Outputs, provenance.ReproducedOutput{
			Name: subject.Output, Verdict: provenance.WasReproduced, URI: subject.URI,
			First:  provenance.ReproducedContent{SHA256: subject.SHA256, Tree: subject.Tree},
			Second: provenance.ReproducedContent{SHA256: artifact.DigestOfText("other bytes"), Tree: subject.Tree},
		})
	}
	return f
}

// Differs is the same of a run that made something else.
func Differs(f provenance.ReproductionFacts) provenance.ReproductionFacts {
	f.Verdict = provenance.NotReproduced
	f.Outputs = append([]provenance.ReproducedOutput(nil), f.Outputs...)
	f.Outputs[0].Verdict, f.Outputs[0].Second.Tree = provenance.NotReproduced, artifact.DigestOfText("another tree")
	return f
}

// Reproduction is such a statement, signed and logged.
func (n *Notary) Reproduction(tb testing.TB, f provenance.ReproductionFacts) []byte {
	tb.Helper()
	payload, err := provenance.BuildReproduction(f)
	check(tb, err)
	return n.Bundle(tb, payload)
}

// Domain is a trust domain with the notary's key and log, and no builder.
func (n *Notary) Domain(tb testing.TB, name string) verify.Domain {
	tb.Helper()
	keys, err := verify.ParseKeys(n.Signer.PublicKeyPEM())
	check(tb, err)
	return verify.Domain{Name: name, TrustedRoot: n.TrustedRoot(), Keys: keys, Logs: 1}
}
