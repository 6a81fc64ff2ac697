package claim_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/notary/claim"
)

const lasts = 15 * time.Second

func TestAClaimFromTheFutureCountsFromWhenItWasSeen(t *testing.T) {
	now := time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC)
	for _, ahead := range []time.Duration{time.Second, time.Minute, 10 * time.Minute, 48 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			var s claim.Seen
			renewed := now.Add(ahead)
			for _, c := range []struct{ passed, want time.Duration }{{0, lasts}, {lasts / 3, lasts * 2 / 3}} {
				if got := s.Wait("a", renewed, now.Add(c.passed), lasts); ahead > c.passed && got != c.want {
					t.Errorf("after %s it is left for %s, want %s", c.passed, got, c.want)
				}
			}
			if got := s.Wait("a", renewed, now.Add(ahead+lasts), lasts); got != 0 {
				t.Errorf("it is left for %s once it is past by its own time", got)
			}
			if got := s.Wait("a", renewed, now.Add(lasts), lasts); ahead > lasts && got != 0 {
				t.Errorf("it is left for %s more, though nobody renewed it", got)
			}
			// The twin: one that is at work renews it, again and again.
			for i := range time.Duration(10) {
				passed := lasts + i*5*time.Second
				if got := s.Wait("b", renewed.Add(passed), now.Add(passed), lasts); got != lasts {
					t.Errorf("one that renewed it is left alone for %s, want %s", got, lasts)
				}
			}
			s.Forget("a")
			if got := s.Wait("a", renewed, now, lasts); got != lasts {
				t.Errorf("what was forgotten is left for %s, want %s", got, lasts)
			}
		})
	}
}

func TestAClockThatIsSetBackKeepsNobodyWaiting(t *testing.T) {
	var s claim.Seen
	now := time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC)
	renewed := now.Add(3 * time.Hour)
	_ = s.Wait("a", renewed, now, lasts)
	now = now.Add(-time.Hour)
	if got := s.Wait("a", renewed, now, lasts); got != lasts {
		t.Errorf("it is left for %s, want %s", got, lasts)
	}
	if got := s.Wait("a", renewed, now.Add(lasts), lasts); got != 0 {
		t.Errorf("then it is left for %s more", got)
	}
}

func TestFewAreRemembered(t *testing.T) {
	var s claim.Seen
	now := time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC)
	for i := range 10_001 {
		_ = s.Wait(types.UID(fmt.Sprint(i)), now.Add(time.Hour), now, lasts)
	}
	later := now.Add(lasts)
	if got := s.Wait("10000", now.Add(time.Hour), later, lasts); got != 0 {
		t.Errorf("the last one is left for %s", got)
	}
	if got := s.Wait("0", now.Add(time.Hour), later, lasts); got != lasts {
		t.Errorf("the first of too many is left for %s, want %s", got, lasts)
	}
}
