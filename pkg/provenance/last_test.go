package provenance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// lastByPairs compares each run with each.
func lastByPairs(runs []Run) int {
	last := -1
	for i, r := range runs {
		over := slices.ContainsFunc(runs, func(other Run) bool { return other.follows(r) && !r.follows(other) })
		if !over && (last < 0 || r.ended().After(runs[last].ended())) {
			last = i
		}
	}
	return last
}

func TestTheLastOfManyIsThatOfEachWithEach(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	at := func() time.Time { // the fewer different ones, the more of them meet
		if n := random.IntN(7); n > 0 {
			return time.Unix(int64(n), 0)
		}
		return time.Time{}
	}
	for range 50_000 {
		runs := make([]Run, random.IntN(6))
		for i := range runs {
			runs[i] = Run{Created: at(), Recorded: at(), Finished: at()}
		}
		want := lastByPairs(runs)
		if got := Last(runs); got != want {
			t.Fatalf("of %v the last is %d, want %d", runs, got, want)
		}
	}
}

// spent is the processor's time that this program has had: the machine may be busy.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano())
}

// Steps that ran beside each other and stored at the same places: nobody's record was there
// when another's pod was made.
func TestManyStepsAtOnePlaceTakeLittleTime(t *testing.T) {
	const pods, places = 5000, 40
	model := stepsOfExample(t)[0]
	var steps []StepStatement
	for i := range pods {
		s := *model.Statement
		s.Step.Pod.UID, s.Inputs, s.Subjects = fmt.Sprint("pod-", i), nil, nil
		for place := range places {
			sub := model.Subjects[0]
			sub.URI = fmt.Sprint("s3://minio:9000/artifacts/shared/", place)
			s.Subjects = append(s.Subjects, sub)
		}
		s.FinishedAt = model.FinishedAt.Add(time.Duration(i) * time.Second)
		steps = append(steps, StepStatement{
			Statement: &s, SHA256: artifact.DigestOfText(s.Step.Pod.UID), Created: model.StartedAt.Add(time.Duration(i) * time.Millisecond), Recorded: model.StartedAt.Add(3 * time.Hour),
		})
	}
	began := spent(t)
	last := lying(steps)
	// Each with each would be 10^9 comparisons, some ten seconds of a processor.
	took := spent(t) - began
	if took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
	t.Logf("it took %s of a processor", took)
	if len(last) != places || last[0].by.Step.Pod.UID != fmt.Sprint("pod-", pods-1) {
		t.Errorf("%d outputs lie there, of %s", len(last), last[0].by.Step.Pod.UID)
	}
}
