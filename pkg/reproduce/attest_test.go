package reproduce_test

import (
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/reproduce"
)

// statedRun is a run that can be stated: ran, with what a statement says of whose it is.
func statedRun(uid string, payload string) provenance.StepStatement {
	s := ran()
	s.Builder = provenance.Builder{Cluster: "prod", Level: provenance.LevelObserved}
	s.Step = provenance.Step{Namespace: "ns", Workflow: provenance.Ref{Name: "w", UID: "w" + uid}, Pod: provenance.Ref{Name: "p", UID: "p" + uid}}
	s.Definition.Template = "build"
	return provenance.StepStatement{Statement: s, SHA256: digest(payload)}
}

func TestAResultIsStated(t *testing.T) {
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	attest := func(t *testing.T, first, second provenance.StepStatement, notes ...string) (*provenance.ReproductionFacts, error) {
		t.Helper()
		r := reproduce.Compare(first.Statement, second.Statement, nil, nil)
		r.Notes = append(r.Notes, notes...)
		payload, err := reproduce.Attest(first, second, &r, "v1", at)
		if err != nil {
			return nil, err
		}
		f, err := provenance.ParseReproduction(payload)
		if err != nil {
			t.Fatal(err)
		}
		return f, nil
	}
	first, second := statedRun("1", "1"), statedRun("2", "2")
	second.Subjects[0].SHA256, second.Subjects[0].URI = digest("c"), "s3://minio:9000/artifacts/again.tgz"
	f, err := attest(t, first, second)
	if err != nil {
		t.Fatal(err)
	}
	// A log is left out, and that is no caveat.
	if f.Verdict != provenance.WasReproduced || len(f.Outputs) != 3 || len(f.Caveats) != 0 || f.First.Statement != digest("1") || f.Second.Pod.UID != "p2" {
		t.Errorf("it states %+v", f)
	}
	if !f.Speaks(digest("1"), first.Subjects[0], false) || !f.Speaks(digest("1"), first.Subjects[1], false) {
		t.Error("it does not speak of what was made again")
	}
	for name, s := range map[string]provenance.Subject{"a log": first.Subjects[2], "what the second run stored": second.Subjects[0]} {
		if f.Speaks(digest("1"), s, false) {
			t.Errorf("it speaks of %s", name)
		}
	}
	if f, err := attest(t, first, second, "nobody has checked it"); err != nil || len(f.Caveats) != 1 || f.Caveats[0] != "nobody has checked it" {
		t.Errorf("with a note: %+v, %v", f, err)
	}

	second.Subjects[0].Tree = digest("b")
	f, err = attest(t, first, second)
	if err != nil || f.Verdict != provenance.NotReproduced || f.Speaks(digest("1"), first.Subjects[0], false) {
		t.Errorf("of what differs: %+v, %v", f, err)
	}
	second.Images = nil
	if f, err := attest(t, first, second); reason.Of(err) != reason.NotComparable || !strings.Contains(err.Error(), "cannot be compared") {
		t.Errorf("of what cannot be compared: %+v, %v", f, err)
	}
	if f, err := attest(t, first, first); reason.Of(err) != reason.NotComparable {
		t.Errorf("of a run and itself: %+v, %v", f, err)
	}
}

// The statement does not say how the runs ended: of those that did not succeed there is none,
// whatever the result says.
func TestNothingIsStatedOfStepsThatFailed(t *testing.T) {
	for name, ends := range map[string][2]provenance.Result{
		"both":        {provenance.Failed, provenance.Failed},
		"the first":   {provenance.Failed, provenance.Succeeded},
		"the second":  {provenance.Succeeded, provenance.Failed},
		"nobody says": {},
	} {
		first, second := statedRun("1", "1"), statedRun("2", "2")
		r := reproduce.Compare(first.Statement, second.Statement, nil, nil)
		if _, err := reproduce.Attest(first, second, &r, "v1", time.Now()); err != nil {
			t.Fatal(err)
		}
		first.Outcome.Result, second.Outcome.Result = ends[0], ends[1]
		if payload, err := reproduce.Attest(first, second, &r, "v1", time.Now()); reason.Of(err) != reason.NotComparable || payload != nil {
			t.Errorf("%s: %s, %v", name, payload, err)
		}
	}
}
