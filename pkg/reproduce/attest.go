package reproduce

import (
	"time"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Attest is the payload of a statement about a result, of the two runs that Compare was
// given: what an independent party signs. Logs are left out of it, and that is no caveat.
// Its errors have the code NotComparable: of what nobody can tell nothing is stated, nor of
// runs that did not succeed, because the statement does not say how they ended.
func Attest(first, second provenance.StepStatement, r *Result, argoseal string, at time.Time) ([]byte, error) {
	f := provenance.ReproductionFacts{
		First: provenance.RunOfStatement(first), Second: provenance.RunOfStatement(second), Argoseal: argoseal, Compared: at,
	}
	if err := Attestable(first.Statement); err != nil {
		return nil, err
	}
	if err := Attestable(second.Statement); err != nil {
		return nil, err
	}
	f.Verdict = stated(r.Verdict)
	if f.Verdict == provenance.NotComparable {
		return nil, incomparable(nil, "nothing is stated of runs that cannot be compared: %s", r.Why)
	}
	for _, o := range r.Outputs {
		out := provenance.ReproducedOutput{Name: o.Name, Verdict: stated(o.Verdict)}
		if s, _ := fate(first.Statement, o.Name); s != nil {
			out.URI, out.First = s.URI, provenance.ReproducedContent{SHA256: s.SHA256, Tree: s.Tree}
		}
		if s, _ := fate(second.Statement, o.Name); s != nil {
			out.Second = provenance.ReproducedContent{SHA256: s.SHA256, Tree: s.Tree}
		}
		f.Outputs = append(f.Outputs, out)
	}
	for _, n := range r.Notes {
		if !leftOut(first.Statement, n) {
			f.Caveats = append(f.Caveats, n)
		}
	}
	payload, err := provenance.BuildReproduction(f)
	if err != nil {
		return nil, reason.Wrap(reason.NotComparable, err, "nothing can be stated: %v", err)
	}
	return payload, nil
}

// Attestable says whether a run is one of which something can be stated.
func Attestable(s *provenance.Statement) error {
	if s.Outcome.Result != provenance.Succeeded {
		return incomparable(nil, "nothing is stated of a step that %s", s.Outcome.Result)
	}
	return nil
}

// stated is a verdict as statements have it.
func stated(v Verdict) provenance.Reproduced {
	switch v {
	case Same:
		return provenance.WasReproduced
	case Differs:
		return provenance.NotReproduced
	case NotComparable:
	}
	return provenance.NotComparable
}

// leftOut says whether a note is only that a log is left out.
func leftOut(s *provenance.Statement, note string) bool {
	for _, o := range s.Subjects {
		if isLog(s, o.Output) && note == logNote(o.Output) {
			return true
		}
	}
	return false
}
