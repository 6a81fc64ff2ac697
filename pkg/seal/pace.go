package seal

import (
	"fmt"
	"time"
)

// How long a service is left alone whose answers are of no use, and how it is asked again.

// These are who may be left alone for a while.
const (
	whoLog    = "the log"
	whoStamps = "the timestamp authority"
	whoFulcio = "Fulcio"
)

// PausedError says that the transparency log, a timestamp authority or Fulcio is not asked
// for a while, because its answers were of no use.
type PausedError struct {
	// Who is not asked.
	Who   string
	Until time.Time
	// Why is what was wrong the last time.
	Why error
}

func (e *PausedError) Error() string {
	return fmt.Sprintf("%s is not asked before %s: %v", e.Who, e.Until.UTC().Format(time.RFC3339), e.Why)
}

// pause is a time in which nothing is asked. It is zero as long as all is well.
type pause struct {
	length time.Duration
	until  time.Time
	why    error
}

func (p *pause) extend(now time.Time, f fault, why error) {
	p.length = min(max(firstPause, time.Duration(float64(p.length)*f.growth)), f.limit)
	p.until, p.why = now.Add(p.length), why
}

func (p *pause) check(now time.Time) error {
	if now.Before(p.until) {
		return &PausedError{Who: whoLog, Until: p.until, Why: p.why}
	}
	return nil
}

// pace is how many are let through in a second, after the log wanted to be asked less. It
// begins with one, and doubles with each second in which an answer was of use and none said
// that again. It is zero as long as all may ask.
type pace struct {
	each, left int
	// until is the end of this second.
	until time.Time
	// useful says that an answer was of use in it.
	useful bool
}

// slowly is the pace after a pause.
func slowly() pace { return pace{each: 1} }

// step lets one through, or says until when to wait.
func (p *pace) step(now time.Time, why error) error {
	if !now.Before(p.until) {
		if p.useful {
			p.each *= 2
		}
		p.left, p.useful, p.until = p.each, false, now.Add(firstPause)
	}
	if p.left == 0 {
		return &PausedError{Who: whoLog, Until: p.until, Why: why}
	}
	p.left--
	return nil
}
