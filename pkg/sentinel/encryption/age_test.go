package encryption_test

import (
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// A key that was made while a clock was years ahead is replaced once the clock is right:
// it would be young for years. One whose time is a little ahead is not.
func TestAClockYearsAheadDoesNotStopRotation(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	const month = 30 * 24 * time.Hour
	for what, c := range map[string]struct {
		made      time.Duration
		maxAge    time.Duration
		satisfied bool
	}{
		"now":                           {maxAge: month, satisfied: true},
		"by a clock that differs a bit": {made: 10 * time.Minute, maxAge: month, satisfied: true},
		"almost a month ago":            {made: -month + time.Minute, maxAge: month, satisfied: true},
		"a month ago":                   {made: -month, maxAge: month},
		"years ahead":                   {made: 100 * month, maxAge: month},
		"a day ahead":                   {made: 24 * time.Hour, maxAge: month},
		"years ahead, of any age":       {made: 100 * month, satisfied: true},
	} {
		key, err := encryption.NewKey(encryption.Secretbox, 0, now.Add(c.made), strings.NewReader(strings.Repeat("k", 64)))
		if err != nil {
			t.Fatal(err)
		}
		want := encryption.Want{Provider: encryption.Secretbox, MaxAge: c.maxAge, Now: now}
		if got := want.SatisfiedBy(key.Ref); got != c.satisfied {
			t.Errorf("made %s: %v", what, got)
		}
	}
}
