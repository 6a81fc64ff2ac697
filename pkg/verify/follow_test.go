package verify_test

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// logsOf joins the logs of trusted roots.
func logsOf(t *testing.T, trusted ...[]byte) []byte {
	t.Helper()
	all := trusted[0]
	for _, more := range trusted[1:] {
		for _, log := range idsOf(t, more) {
			all = sealtest.TrustedRootOf(t, log, all)
		}
	}
	return all
}

func endOf(t *testing.T, trusted, log []byte) time.Time {
	t.Helper()
	for id := range idsOf(t, log) {
		l, ok := idsOf(t, trusted)[id]
		if !ok {
			t.Fatalf("the log %s is not there", id)
		}
		return l.ValidityPeriodEnd
	}
	return time.Time{}
}

// A trusted root follows another one: what that has counts as it says, what that has not any
// more ends, and what is trusted besides stays.
func TestATrustedRootFollowsAnother(t *testing.T) {
	ours, first, second := sealtest.NewLog(t).TrustedRoot, sealtest.NewLog(t), sealtest.NewLog(t).TrustedRoot
	now := time.Now().Truncate(time.Second).UTC()
	follow := func(f verify.Followed, wantEnded int) []byte {
		t.Helper()
		if f.At.IsZero() {
			f.At = now
		}
		made, ended, err := f.Root()
		if err != nil {
			t.Fatal(err)
		}
		if len(ended) != wantEnded {
			t.Errorf("%q ends, want %d", ended, wantEnded)
		}
		return made
	}
	ends := func(what string, trusted, log []byte, want time.Time) {
		t.Helper()
		if got := endOf(t, trusted, log); !got.Equal(want) {
			t.Errorf("%s: it ends at %s, want %s", what, got, want)
		}
	}
	var never time.Time

	begun := follow(verify.Followed{Next: first.TrustedRoot}, 0)
	ends("at first", begun, first.TrustedRoot, never)
	joined := follow(verify.Followed{Current: ours, Next: first.TrustedRoot}, 0)
	ends("beside it", joined, ours, never)
	ends("followed", joined, first.TrustedRoot, never)
	if again := follow(verify.Followed{Current: joined, Before: first.TrustedRoot, Next: first.TrustedRoot}, 0); !bytes.Equal(again, joined) {
		t.Error("the same again changes something")
	}

	moved := follow(verify.Followed{Current: joined, Before: first.TrustedRoot, Next: second}, 1)
	ends("ours stays", moved, ours, never)
	ends("the second comes", moved, second, never)
	ends("the first goes", moved, first.TrustedRoot, now)
	if again := follow(verify.Followed{Current: moved, Before: second, Next: second, At: now.Add(time.Hour)}, 0); !bytes.Equal(again, moved) {
		t.Error("what has gone ends again")
	}
	back := follow(verify.Followed{Current: moved, Before: second, Next: logsOf(t, first.TrustedRoot, second), At: now.Add(time.Hour)}, 0)
	ends("what had gone does not begin again", back, first.TrustedRoot, now)

	// An end that the followed one gives may move; one that somebody here gave does not.
	end, later := now.Add(time.Hour), now.Add(2*time.Hour)
	ending := endsAt(t, first.TrustedRoot, end)
	ended := follow(verify.Followed{Current: joined, Before: first.TrustedRoot, Next: ending}, 0)
	ends("it ends it", ended, first.TrustedRoot, end)
	ends("it ends it later", follow(verify.Followed{Current: ended, Before: ending, Next: endsAt(t, first.TrustedRoot, later)}, 0), first.TrustedRoot, later)
	ends("it ends it no more", follow(verify.Followed{Current: ended, Before: ending, Next: first.TrustedRoot}, 0), first.TrustedRoot, never)
	mine := endsAt(t, first.TrustedRoot, now.Add(-time.Hour))
	for name, next := range map[string][]byte{"the same": ending, "a later end": endsAt(t, first.TrustedRoot, later), "no end": first.TrustedRoot} {
		ends("somebody here ended it; "+name, follow(verify.Followed{Current: mine, Before: ending, Next: next}, 0), first.TrustedRoot, now.Add(-time.Hour))
		ends("and nothing was followed; "+name, follow(verify.Followed{Current: mine, Next: next}, 0), first.TrustedRoot, now.Add(-time.Hour))
	}
	if _, there := idsOf(t, follow(verify.Followed{Current: ours, Before: first.TrustedRoot, Next: second}, 0))[keyOf(t, first.TrustedRoot)]; there {
		t.Error("what somebody here took out comes back")
	}
	// Another name of a key that it ends.
	renamed := edited(t, endsAt(t, first.TrustedRoot, now.Add(-time.Hour)), "tlogs", func(log map[string]any) {
		log["logId"] = map[string]any{"keyId": bytes.Repeat([]byte{1}, 32)}
	})
	ends("it ends the key under another name", follow(verify.Followed{Current: joined, Before: first.TrustedRoot, Next: renamed}, 1), first.TrustedRoot, now.Add(-time.Hour))

	// Another key for a log that is trusted here would take that log's place.
	id, err := hex.DecodeString(keyOf(t, ours))
	if err != nil {
		t.Fatal(err)
	}
	other := edited(t, second, "tlogs", func(log map[string]any) { log["logId"] = map[string]any{"keyId": id} })
	if _, _, err := (verify.Followed{Current: joined, Before: first.TrustedRoot, Next: other, At: now}).Root(); err == nil {
		t.Error("another key takes the place of a log of ours")
	}

	// Seals count accordingly.
	notary := sealtest.NewNotaryWith(t, sealtest.Backend{Log: first, TrustedRoot: first.TrustedRoot})
	bundle := notary.Bundle(t, sealtest.Payload(t, uri, digest("a")))
	for at, want := range map[time.Time]reason.Code{now.Add(-time.Minute): "", now.Add(time.Minute): reason.LogExpired} {
		r, err := verify.NewRoot(moved, notary.Signer.PublicKeyPEM())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = r.InspectRecorded(bundle, at); reason.Of(err) != want {
			t.Errorf("a seal of the first log, recorded at %s: %v, want %q", at, err, want)
		}
	}

	large := append(bytes.Repeat([]byte{' '}, 1<<20), second...)
	for name, f := range map[string]verify.Followed{
		"nothing":                   {Current: ours},
		"nonsense":                  {Current: ours, Next: []byte(strings.Repeat("{", 1000))},
		"another kind of JSON":      {Current: ours, Next: []byte(`{"keys":[]}`)},
		"too much":                  {Current: ours, Next: large},
		"nonsense before":           {Current: ours, Before: []byte("x"), Next: second},
		"nonsense here":             {Current: []byte("x"), Next: second},
		"a log without a key":       {Current: ours, Next: edited(t, second, "tlogs", func(log map[string]any) { delete(log, "publicKey") })},
		"a log whose name is twice": {Current: endsAt(t, ours, now), Next: twice(t, ours)},
	} {
		f.At = now
		made, _, err := f.Root()
		if name == "a log whose name is twice" {
			if err == nil {
				ends(name, made, ours, now)
			}
			continue
		}
		if err == nil || made != nil {
			t.Errorf("%s: it is followed", name)
		}
	}
}

func keyOf(t *testing.T, trusted []byte) string {
	t.Helper()
	for id := range idsOf(t, trusted) {
		return id
	}
	return ""
}

// twice is a trusted root that has its log twice.
func twice(t *testing.T, trusted []byte) []byte {
	t.Helper()
	_, list, _ := bytes.Cut(trusted, []byte(`"tlogs":`))
	open, end := bytes.IndexByte(list, '['), bytes.LastIndexByte(list, ']')
	log := bytes.TrimSpace(list[open+1 : end])
	return slices.Concat(trusted[:len(trusted)-len(list)], []byte("["), log, []byte(","), log, list[end:])
}

// So do authorities.
func TestAuthoritiesAreFollowed(t *testing.T) {
	home, next := newCertified(t, "home"), newCertified(t, "home")
	now := time.Now().Truncate(time.Second).UTC()
	made, ended, err := verify.Followed{Current: home.trusted, Before: home.trusted, Next: next.trusted, At: now}.Root()
	if err != nil || len(ended) < 2 {
		t.Fatalf("%q ends, %v", ended, err)
	}
	beside, ended, err := verify.Followed{Current: home.trusted, Next: next.trusted, At: now}.Root()
	if err != nil || len(ended) != 0 {
		t.Fatalf("%q ends, %v", ended, err)
	}
	for name, c := range map[string]struct {
		trusted []byte
		ended   int
	}{"followed": {made, 1}, "beside it": {beside, 0}} {
		parsed, err := root.NewTrustedRootFromJSON(c.trusted)
		if err != nil {
			t.Fatal(err)
		}
		certificates, stamps := 0, 0
		for _, a := range parsed.FulcioCertificateAuthorities() {
			if ca := a.(*root.FulcioCertificateAuthority); ca.ValidityPeriodEnd.Equal(now) {
				certificates++
			}
		}
		for _, a := range parsed.TimestampingAuthorities() {
			if tsa := a.(*root.SigstoreTimestampingAuthority); tsa.ValidityPeriodEnd.Equal(now) {
				stamps++
			}
		}
		if len(parsed.FulcioCertificateAuthorities()) != 2 || len(parsed.TimestampingAuthorities()) != 2 || certificates != c.ended || stamps != c.ended {
			t.Errorf("%s: of %d and %d authorities %d and %d have ended, want %d", name, len(parsed.FulcioCertificateAuthorities()), len(parsed.TimestampingAuthorities()), certificates, stamps, c.ended)
		}
	}
}
