package verify

import (
	"errors"
	"time"

	"github.com/argoseal/argoseal/pkg/reason"
)

// Period is when something counts; an end that is zero is open.
type Period struct{ Start, End time.Time }

func period(from, until *time.Time) Period {
	var p Period
	if from != nil {
		p.Start = *from
	}
	if until != nil {
		p.End = *until
	}
	return p
}

func (p Period) check() error {
	if !p.Start.IsZero() && !p.End.IsZero() && p.End.Before(p.Start) {
		return errors.New("a period ends before it begins")
	}
	return nil
}

// contains says whether a time lies in the period, its ends included.
func (p Period) contains(t time.Time) bool {
	return (p.Start.IsZero() || !t.Before(p.Start)) && (p.End.IsZero() || !t.After(p.End))
}

// times is what is known of when a bundle was made.
type times struct {
	// proven are the times by which the signature was there, by logs with a clock
	// and by timestamp authorities that the domain trusts.
	proven []time.Time
	// recorded is when the API server says that the record was made; zero: nobody
	// knows. Nothing is signed for a record before it is made. Guards let only the
	// notary make records, and nobody can choose this time.
	recorded time.Time
	now      time.Time
}

// within says whether a bundle may have been made in a period. Proven times have to
// lie in it. Without a proven time, the bundle was made after its record and before
// now, and the period has to share some of that time. Without a record either, a
// period that has ended does not count.
func (t times) within(p Period) *reason.Error {
	const say = "2006-01-02T15:04:05Z"
	switch {
	case !p.Start.IsZero() && t.now.Before(p.Start):
		return reason.New(reason.SignerExpired, "counts from %s on", p.Start.UTC().Format(say))
	case len(t.proven) != 0:
		for _, at := range t.proven {
			if !p.contains(at) {
				return reason.New(reason.SignerExpired, "does not count at %s, when the seal is proven to have been there", at.UTC().Format(say))
			}
		}
	case p.End.IsZero(), !t.now.After(p.End):
	case t.recorded.IsZero():
		return reason.New(reason.SignerExpired, "counts until %s, and nothing says when this was signed: its log gives no times", p.End.UTC().Format(say))
	case t.recorded.After(p.End):
		return reason.New(reason.SignerExpired, "counts until %s, and the record was made at %s", p.End.UTC().Format(say), t.recorded.UTC().Format(say))
	}
	return nil
}

// withinAny says whether a bundle may have been made in a period of one of these.
func (t times) withinAny(ids []Identity) *reason.Error {
	no := reason.New(reason.SignerExpired, "counts at no time")
	for _, id := range ids {
		if no = t.within(id.Period); no == nil {
			break
		}
	}
	return no
}

// before says whether the bundle is proven to be older than a time. The age of its
// record does not prove it, because the envelope is put in later.
func (t times) before(limit time.Time) bool {
	for _, at := range t.proven {
		if at.Before(limit) {
			return true
		}
	}
	return false
}

// earliest is the earliest time that is proven; zero: none is.
func (t times) earliest() time.Time {
	var first time.Time
	for _, at := range t.proven {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}
