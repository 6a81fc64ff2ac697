package certs

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

var (
	birth = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	short = Lifetimes{Authority: 90 * time.Hour, Leaf: 9 * time.Hour, Settle: time.Minute}
	names = []string{"argoseal-webhook.argoseal-system.svc"}
)

// walk takes steps from a state that was made at birth.
func walk(t *testing.T, at time.Time, s State, steps ...Step) State {
	t.Helper()
	for _, step := range steps {
		next, err := short.Take(step, at, s, Observation{Names: names})
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		s = next
	}
	return s
}

func TestPlan(t *testing.T) {
	after := birth.Add
	fresh := walk(t, birth, State{}, StepStart)
	rotating := walk(t, after(60*time.Hour), walk(t, after(59*time.Hour), fresh, StepLeaf), StepAuthority)
	published := walk(t, after(60*time.Hour), rotating, StepPublished)
	rotated := walk(t, after(61*time.Hour), published, StepLeaf)
	tests := map[string]struct {
		state     State
		now       time.Time
		names     []string
		published bool
		want      Step
		next      time.Duration // after birth, for StepNone
	}{
		"nothing at all is started":                           {now: birth, want: StepStart},
		"an authority without its key is of no use":           {state: State{Authorities: keyless(fresh.Authorities), Leaf: fresh.Leaf}, now: birth, want: StepStart},
		"a fresh state rests until the leaf is due":           {state: fresh, now: birth, want: StepNone, next: 6 * time.Hour},
		"a leaf is renewed after two thirds of its life":      {state: fresh, now: after(6 * time.Hour), want: StepLeaf},
		"a leaf for other names is replaced":                  {state: fresh, now: birth, names: []string{"other"}, want: StepLeaf},
		"a state without a leaf gets one":                     {state: State{Authorities: fresh.Authorities}, now: birth, want: StepLeaf},
		"an expired leaf is replaced":                         {state: fresh, now: after(9 * time.Hour), want: StepLeaf},
		"the leaf of an older authority does not hurry":       {state: rotating, now: after(60 * time.Hour), want: StepNone, next: 68 * time.Hour},
		"an expired authority with its leaf starts anew":      {state: fresh, now: after(90 * time.Hour), want: StepStart},
		"publication is noted":                                {state: rotating, now: after(60 * time.Hour), published: true, want: StepPublished},
		"publication that is undone is noted":                 {state: published, now: after(60 * time.Hour), want: StepUnpublished},
		"a published authority settles first":                 {state: published, now: after(60*time.Hour + 59*time.Second), published: true, want: StepNone, next: 60*time.Hour + time.Minute},
		"a settled authority signs":                           {state: published, now: after(60*time.Hour + time.Minute), published: true, want: StepLeaf},
		"after rotation the old authority stays in the end":   {state: rotated, now: after(61 * time.Hour), published: true, want: StepNone, next: 67 * time.Hour},
		"an old authority is forgotten when it has expired":   {state: walk(t, after(89*time.Hour), rotated, StepLeaf), now: after(90 * time.Hour), want: StepForget},
		"an old authority is not forgotten a moment earlier":  {state: walk(t, after(89*time.Hour), rotated, StepLeaf), now: after(90*time.Hour - time.Second), want: StepNone, next: 90 * time.Hour},
		"a rotation that is never published ends with a leaf": {state: rotating, now: after(68 * time.Hour), want: StepLeaf},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			if c.names == nil {
				c.names = names
			}
			step, next := short.Plan(c.now, c.state, Observation{Names: c.names, Published: c.published})
			if step != c.want {
				t.Fatalf("Plan gives %s, want %s", step, c.want)
			}
			if step == StepNone && !next.Equal(birth.Add(c.next)) {
				t.Errorf("Plan looks again after %s, want %s", next.Sub(birth), c.next)
			}
		})
	}
}

func TestARenewedAuthorityIsAddedBesideTheOldOne(t *testing.T) {
	fresh := walk(t, birth, State{}, StepStart)
	leafed := walk(t, birth.Add(59*time.Hour), fresh, StepLeaf)
	if step, _ := short.Plan(birth.Add(60*time.Hour), leafed, Observation{Names: names}); step != StepAuthority {
		t.Fatalf("Plan gives %s", step)
	}
	s := walk(t, birth.Add(60*time.Hour), leafed, StepAuthority)
	if len(s.Authorities) != 2 || !s.Authorities[0].Certificate.Equal(fresh.Authorities[0].Certificate) {
		t.Fatal("the old authority is gone, or not the first")
	}
	if s.Authorities[0].Key != nil || s.Authorities[1].Key == nil {
		t.Error("it is not the newest authority alone that has a key")
	}
	if !s.Leaf.Certificate.Equal(leafed.Leaf.Certificate) || !s.Published.IsZero() {
		t.Error("the leaf changed, or the new authority counts as published")
	}
	if got := strings.Count(string(s.Bundle()), "BEGIN CERTIFICATE"); got != 2 {
		t.Errorf("the bundle has %d authorities", got)
	}
}

// Whatever the times, the leaf that is served verifies under the bundle that
// is published, and under the one before it.
func TestNoMomentOfALongLifeBreaksAHandshake(t *testing.T) {
	s, before, visible := State{}, []byte(nil), []byte(nil)
	rotations := 0
	for now := birth; now.Before(birth.Add(400 * time.Hour)); now = now.Add(20 * time.Minute) {
		for range maxSteps {
			o := Observation{Names: names, Published: s.newest().Certificate != nil && contains(visible, s.newest())}
			step, _ := short.Plan(now, s, o)
			if step == StepNone {
				break
			}
			if step == StepStart && s.newest().Certificate != nil {
				t.Fatalf("%s: started anew", now.Sub(birth))
			}
			if step == StepAuthority {
				rotations++
			}
			var err error
			if s, err = short.Take(step, now, s, o); err != nil {
				t.Fatal(err)
			}
		}
		before, visible = visible, s.Bundle()
		for _, bundle := range [][]byte{before, visible} {
			if bundle == nil {
				continue
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(bundle)
			if _, err := s.Leaf.Certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: names[0], CurrentTime: now}); err != nil {
				t.Fatalf("%s: %v", now.Sub(birth), err)
			}
		}
		if len(s.Authorities) > 2 {
			t.Fatalf("%s: %d authorities pile up", now.Sub(birth), len(s.Authorities))
		}
	}
	if rotations < 5 {
		t.Errorf("only %d rotations in 400 hours", rotations)
	}
}

func TestALeafNeverOutlivesItsAuthority(t *testing.T) {
	s := walk(t, birth.Add(88*time.Hour), walk(t, birth, State{}, StepStart), StepLeaf)
	if leaf, authority := s.Leaf.Certificate.NotAfter, s.newest().Certificate.NotAfter; leaf.After(authority) {
		t.Errorf("leaf ends %s, its authority %s", leaf, authority)
	}
}

func TestClocksMayDiffer(t *testing.T) {
	s := walk(t, birth, State{}, StepStart)
	for _, skew := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(s.Bundle())
		if _, err := s.Leaf.Certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: names[0], CurrentTime: birth.Add(skew)}); err != nil {
			t.Errorf("clock off by %s: %v", skew, err)
		}
	}
}

func TestStateSurvivesTheSecret(t *testing.T) {
	s := walk(t, birth, State{}, StepStart, StepAuthority, StepPublished)
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range data {
		if string(again[key]) != string(value) {
			t.Errorf("%s differs", key)
		}
	}
	if !back.Published.Equal(birth) || len(back.Authorities) != 2 {
		t.Errorf("read back %d authorities, published %s", len(back.Authorities), back.Published)
	}
}

func TestWhatIsNotWholeIsNotDecoded(t *testing.T) {
	good, err := walk(t, birth, State{}, StepStart, StepPublished).Encode()
	if err != nil {
		t.Fatal(err)
	}
	other, err := walk(t, birth, State{}, StepStart).Encode()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(map[string][]byte){
		"nothing":                 func(d map[string][]byte) { clear(d) },
		"no leaf":                 func(d map[string][]byte) { delete(d, keyLeafCertificate) },
		"no leaf key":             func(d map[string][]byte) { delete(d, keyLeafKey) },
		"no authority":            func(d map[string][]byte) { delete(d, keyBundle) },
		"no authority key":        func(d map[string][]byte) { delete(d, keyAuthorityKey) },
		"another leaf's key":      func(d map[string][]byte) { d[keyLeafKey] = other[keyLeafKey] },
		"another authority's key": func(d map[string][]byte) { d[keyAuthorityKey] = other[keyAuthorityKey] },
		"a leaf as authority":     func(d map[string][]byte) { d[keyBundle] = d[keyLeafCertificate] },
		"two leaves": func(d map[string][]byte) {
			d[keyLeafCertificate] = append(d[keyLeafCertificate], other[keyLeafCertificate]...)
		},
		"text after the authorities": func(d map[string][]byte) { d[keyBundle] = append(d[keyBundle], "x"...) },
		"a time that is none":        func(d map[string][]byte) { d[keyPublished] = []byte("soon") },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			data := map[string][]byte{}
			for k, v := range good {
				data[k] = append([]byte(nil), v...)
			}
			spoil(data)
			if _, err := Decode(data); err == nil {
				t.Error("it was read")
			}
		})
	}
}

func TestServingHasNothingBeforeItIsSet(t *testing.T) {
	var s Serving
	if _, err := s.GetCertificate(nil); err == nil {
		t.Error("a certificate out of nothing")
	}
	if s.Ready(nil) == nil || !s.Expiry().IsZero() {
		t.Error("ready without a certificate")
	}
	leaf := walk(t, birth, State{}, StepStart).Leaf
	if !s.set(leaf) || s.set(leaf) {
		t.Error("set does not say what is news")
	}
	if c, err := s.GetCertificate(nil); err != nil || c.Leaf != leaf.Certificate || s.Ready(nil) != nil {
		t.Errorf("GetCertificate gives %v, %v", c, err)
	}
}
