package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

func newKey(t *testing.T, letter string) encryption.Key {
	t.Helper()
	k, err := encryption.NewKey(encryption.Secretbox, 0, time.Unix(1_800_000_000, 0), strings.NewReader(strings.Repeat(letter, 64)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func configOf(t *testing.T, write encryption.Key, read ...encryption.Key) encryption.Config {
	t.Helper()
	c, err := encryption.NewConfig(write, read...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is in flight is over when our own clock says so: what a server says of time is
// not asked for, and whatever may have let another key be written begins the wait anew.
func TestCleanSinceIsOurClocks(t *testing.T) {
	a, b := newKey(t, "a"), newKey(t, "b")
	clean := func() encryption.Observed {
		s := encryption.Server{Name: "cp", ID: "1", File: configOf(t, b, a), FileHash: "h", Loaded: "h"}
		return encryption.Observed{Servers: []encryption.Server{s}, Scan: &encryption.Scan{Objects: map[encryption.Ref]int{b.Ref: 3}}}
	}
	for what, c := range map[string]struct {
		change func(*encryption.Observed)
		gap    time.Duration
		ends   bool
	}{
		"nothing":                             {change: func(*encryption.Observed) {}},
		"it loads another file with the key":  {change: func(o *encryption.Observed) { o.Servers[0].FileHash = "h2"; o.Scan = nil }},
		"it is not scanned":                   {change: func(o *encryption.Observed) { o.Scan = nil }},
		"it runs with a file that nobody saw": {change: func(o *encryption.Observed) { o.Servers[0].Loaded = "x"; o.Scan = nil }, ends: true},
		"a server is unseen":                  {change: func(o *encryption.Observed) { o.Servers[0].Unseen = "down"; o.Scan = nil }, ends: true},
		"a file is gone":                      {change: func(o *encryption.Observed) { o.Servers[0].FileProblem = encryption.FileGone; o.Scan = nil }, ends: true},
		"a file writes with another key":      {change: func(o *encryption.Observed) { o.Servers[0].File = configOf(t, a, b); o.Scan = nil }, ends: true},
		"an object lies under another":        {change: func(o *encryption.Observed) { o.Scan.Objects[a.Ref]++ }, ends: true},
		"nobody looked for a while":           {change: func(*encryption.Observed) {}, gap: maxGap + time.Second, ends: true},
	} {
		t.Run(what, func(t *testing.T) {
			var m memory
			now := time.Unix(1_700_000_000, 0)
			look := func(o encryption.Observed) time.Duration {
				l := look{observed: o}
				m.remember(&l, now)
				if m.began = now; o.Scan != nil {
					m.rememberScan(&l.observed, now.Add(time.Second))
				}
				return l.observed.Clean
			}
			for i, want := range []time.Duration{0, 9 * time.Second, 19 * time.Second} {
				if got := look(clean()); got != want {
					t.Fatalf("at look %d it was clean for %s, not %s", i, got, want)
				}
				now = now.Add(10 * time.Second)
			}
			o := clean()
			c.change(&o)
			now = now.Add(c.gap)
			look(o)
			now = now.Add(10 * time.Second)
			if got := look(clean()); (got < 20*time.Second) != c.ends {
				t.Errorf("afterwards it was clean for %s", got)
			}
		})
	}
}

// A server that fails to load a file is told from one that has not tried yet, and from
// one that failed with an earlier file.
func TestRefusedFiles(t *testing.T) {
	var m memory
	for i, c := range []struct {
		file, loaded string
		count        float64
		refused      bool
	}{
		{file: "1", loaded: "1", count: 2}, // it failed with something once
		{file: "2", loaded: "1", count: 2},
		{file: "2", loaded: "1", count: 2},
		{file: "2", loaded: "1", count: 3, refused: true},
		{file: "2", loaded: "1", count: 3, refused: true},
		{file: "3", loaded: "1", count: 3}, // another is tried
		{file: "3", loaded: "3", count: 3},
		{file: "4", loaded: "3", count: 0}, // it was restarted
		{file: "4", loaded: "3", count: 1, refused: true},
		{file: "4", loaded: "4", count: 1},
	} {
		l := look{
			observed: encryption.Observed{Servers: []encryption.Server{{Name: "cp", FileHash: c.file, Loaded: c.loaded}}},
			failures: map[string]float64{"cp": c.count},
		}
		m.remember(&l, time.Unix(1_700_000_000, 0))
		if got := l.observed.Servers[0].Refused; got != c.refused {
			t.Errorf("at look %d: %v", i, got)
		}
	}
}
