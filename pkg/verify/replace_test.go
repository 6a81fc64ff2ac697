package verify_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// edited is a trusted root in which the first of a list is changed.
func edited(t *testing.T, trusted []byte, list string, change func(map[string]any)) []byte {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(trusted, &all); err != nil {
		t.Fatal(err)
	}
	change(all[list].([]any)[0].(map[string]any))
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// endsAt ends a log of a trusted root.
func endsAt(t *testing.T, trusted []byte, end time.Time) []byte {
	t.Helper()
	return edited(t, trusted, "tlogs", func(log map[string]any) {
		log["publicKey"].(map[string]any)["validFor"].(map[string]any)["end"] = end.UTC().Format(time.RFC3339)
	})
}

func idsOf(t *testing.T, trusted []byte) map[string]*root.TransparencyLog {
	t.Helper()
	parsed, err := root.NewTrustedRootFromJSON(trusted)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.RekorLogs()
}

// What was sealed in a log goes on to count when the trusted root gets another log, as long
// as its record is older than the end of the first one's time.
func TestAReplacedRootKeepsSealsMadeUnderIt(t *testing.T) {
	first, second, third := sealtest.NewLog(t), sealtest.NewLog(t), sealtest.NewLog(t)
	notary := sealtest.NewNotaryWith(t, sealtest.Backend{Log: first, TrustedRoot: first.TrustedRoot})
	payload := sealtest.Payload(t, uri, digest("a"))
	before := notary.Bundle(t, payload)
	after := notary.At(t, sealtest.Backend{Log: second, TrustedRoot: second.TrustedRoot}).Bundle(t, payload)
	now := time.Now().Truncate(time.Second)
	until := now.Add(-time.Hour)
	made := func(r verify.Replacement) []byte {
		t.Helper()
		trusted, err := r.Root()
		if err != nil {
			t.Fatal(err)
		}
		return trusted
	}
	under := func(trusted []byte, bundle []byte, recorded time.Time) error {
		t.Helper()
		r, err := verify.NewRoot(trusted, notary.Signer.PublicKeyPEM())
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.InspectRecorded(bundle, recorded)
		return err
	}
	expect := func(what string, err error, want reason.Code) {
		t.Helper()
		if reason.Of(err) != want {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	old := until.Add(-time.Minute)
	expect("without it", under(second.TrustedRoot, before, old), reason.LogEntryInvalid)

	replaced := verify.Replacement{Before: first.TrustedRoot, Next: second.TrustedRoot, Until: until}
	both := made(replaced)
	expect("an old seal", under(both, before, old), "")
	expect("a new seal", under(both, after, now), "")
	expect("a record after the end", under(both, before, until.Add(time.Minute)), reason.LogExpired)
	expect("no record", under(both, before, time.Time{}), reason.LogExpired)
	if again := made(verify.Replacement{Before: both, Next: both, Until: now}); !bytes.Equal(again, both) {
		t.Error("doing it again changes something")
	}

	// A third root keeps both, and no end moves.
	all := made(verify.Replacement{Before: both, Next: third.TrustedRoot, Until: now})
	if n := len(idsOf(t, all)); n != 3 {
		t.Errorf("it has %d logs", n)
	}
	expect("an old seal under the third", under(all, before, old), "")
	expect("a seal of the second under the third", under(all, after, now.Add(-time.Minute)), "")
	expect("a record after the first one's end", under(all, before, until.Add(time.Minute)), reason.LogExpired)

	// What somebody takes back does not come back.
	var id string
	for id = range idsOf(t, first.TrustedRoot) {
		break
	}
	earlier := until.Add(-time.Hour)
	for name, r := range map[string]verify.Replacement{
		"the new root ends it earlier":        {Before: first.TrustedRoot, Next: sealtest.TrustedRootOf(t, idsOf(t, endsAt(t, first.TrustedRoot, earlier))[id], second.TrustedRoot), Until: until},
		"it had ended earlier":                {Before: endsAt(t, first.TrustedRoot, earlier), Next: second.TrustedRoot, Until: until},
		"the new root has it without its end": {Before: endsAt(t, first.TrustedRoot, earlier), Next: sealtest.TrustedRootOf(t, idsOf(t, first.TrustedRoot)[id], second.TrustedRoot), Until: until},
		"the new root ends its key": {Before: first.TrustedRoot, Until: until, Next: edited(t, endsAt(t, first.TrustedRoot, earlier), "tlogs", func(log map[string]any) {
			log["logId"] = map[string]any{"keyId": bytes.Repeat([]byte{1}, 32)}
		})},
	} {
		expect(name, under(made(r), before, old), reason.LogExpired)
		expect(name+", a record before", under(made(r), before, earlier.Add(-time.Minute)), "")
	}
	for _, without := range []string{id, sealtest.URL, sealtest.URL + "/"} {
		r := replaced
		r.Without = []string{without}
		expect("without "+without, under(made(r), before, old), reason.LogEntryInvalid)
		expect("without "+without+", a new seal", under(made(r), after, now), "")
	}

	// A key that is in other hands stays so: what limits keys lies elsewhere.
	keys, err := verify.ParseKeys(notary.Signer.PublicKeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	keys[0].Compromised = until
	_, err = rootOf(t, verify.Domain{Name: "home", TrustedRoot: both, Keys: keys, AnyBuilder: true, Logs: 1}).InspectRecorded(before, old)
	expect("a compromised key", err, reason.SignerCompromised)

	for name, r := range map[string]verify.Replacement{
		"nothing before":     {Next: second.TrustedRoot, Until: until},
		"nothing new":        {Before: first.TrustedRoot, Until: until},
		"no end":             {Before: first.TrustedRoot, Next: second.TrustedRoot},
		"too much":           {Before: first.TrustedRoot, Next: append(bytes.Repeat([]byte{' '}, 1<<20), second.TrustedRoot...), Until: until},
		"without what not":   {Before: first.TrustedRoot, Next: second.TrustedRoot, Until: until, Without: []string{id[1:]}},
		"without what stays": {Before: both, Next: both, Until: until, Without: []string{id}},
		"a log without key":  {Before: edited(t, first.TrustedRoot, "tlogs", func(log map[string]any) { delete(log, "publicKey") }), Next: second.TrustedRoot, Until: until},
		"a log without id":   {Before: edited(t, first.TrustedRoot, "tlogs", func(log map[string]any) { delete(log, "logId") }), Next: second.TrustedRoot, Until: until},
		"nonsense":           {Before: first.TrustedRoot, Next: []byte(strings.Repeat("{", 1000)), Until: until},
	} {
		if trusted, err := r.Root(); err == nil || trusted != nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	if _, err := hex.DecodeString(id); err != nil {
		t.Error(err)
	}
}

// Authorities that a new root lacks go on to count for what they saw before their end.
func TestAReplacedRootKeepsItsAuthorities(t *testing.T) {
	home, next := newCertified(t, "home"), newCertified(t, "home")
	b := home.now(t)
	now := time.Now()
	inspect := func(r verify.Replacement) error {
		t.Helper()
		trusted, err := r.Root()
		if err != nil {
			t.Fatal(err)
		}
		moved := home
		moved.trusted = trusted
		_, err = rootOf(t, moved.domain(t)).InspectRecorded(sealtest.JSON(t, b), now)
		return err
	}
	kept := verify.Replacement{Before: home.trusted, Next: next.trusted, Until: now.Add(time.Minute)}
	if err := inspect(kept); err != nil {
		t.Errorf("sealed before the end: %v", err)
	}
	ended := kept
	ended.Until = now.Add(-time.Minute)
	if err := inspect(ended); err == nil {
		t.Error("sealed after the end of both authorities")
	}
	for _, uri := range []string{"https://fulcio.example.com", "https://timestamps.example.com"} {
		without := kept
		without.Without = []string{uri}
		if err := inspect(without); err == nil {
			t.Errorf("without %s", uri)
		}
	}
	reopened := verify.Replacement{Next: home.trusted, Until: now.Add(time.Minute), Before: edited(t, home.trusted, "certificateAuthorities", func(ca map[string]any) {
		ca["validFor"].(map[string]any)["end"] = now.Add(-time.Minute).UTC().Format(time.RFC3339)
	})}
	if err := inspect(reopened); err == nil {
		t.Error("an authority that has ended, and begins again")
	}
	// The new root has ended the authority, under another chain of the same key.
	var chain []any
	end := now.Add(-time.Minute).UTC().Format(time.RFC3339)
	revoked := kept
	revoked.Next = edited(t, home.trusted, "certificateAuthorities", func(ca map[string]any) {
		certificates := ca["certChain"].(map[string]any)
		chain = certificates["certificates"].([]any)
		certificates["certificates"] = chain[1:]
		ca["validFor"].(map[string]any)["end"] = end
	})
	if err := inspect(revoked); len(chain) != 2 || err == nil {
		t.Errorf("an authority that the new root has ended: %d certificates, %v", len(chain), err)
	}
}
