//go:build e2e

package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// change changes an answer before it is passed on.
type change func(*http.Response)

// between stands between a client and a Rekor v1, and says what was answered.
type between struct {
	url string

	mu sync.Mutex
	// change is made to each answer; nil: none is.
	change change
	said   []string
}

func standBetween(t *testing.T, l *logV1) *between {
	t.Helper()
	to, err := url.Parse(l.url)
	must(t, err)
	b := &between{}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.said = append(b.said, r.Request.Method+" "+strconv.Itoa(r.StatusCode))
		if b.change != nil {
			b.change(r)
		}
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// changing changes answers from now on, and forgets what was said.
func (b *between) changing(c change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change, b.said = c, nil
}

func (b *between) answered() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.said)
}

// found is what a Rekor v1 answers whoever sends what it has, and then asks for it.
var found = []string{"POST 409", "GET 200"}

// Each kind of key that fits makes seals, which prove a time. What the log has already it
// gives again, and there is no second entry.
func TestSealsInARealRekorV1(t *testing.T) {
	l := startV1(t)
	must(t, seal.CheckLog(l.trustedRoot, l.url))
	for kind := range keyKinds {
		t.Run(kind, func(t *testing.T) { sealsUnder(t, l, kind) })
	}
}

func sealsUnder(t *testing.T, l *logV1, kind string) {
	signer := newSigner(t, kind)
	proxy := standBetween(t, l)
	through := at{version: 1, url: proxy.url, log: l.url}
	first, root := sealer(t, keyed(signer), l.trustedRoot, through)
	envelope, err := first.Sign(t.Context(), statement(t))
	must(t, err)
	fits := signer.FitsRekorV1()
	before := time.Now().Truncate(time.Second)
	bundle, err := first.Record(t.Context(), envelope)
	if fits != nil {
		if kind != "P-384" || !errors.Is(err, seal.ErrNotLogged) || bundle != nil {
			t.Errorf("it does not fit (%v), and recording gives %v", fits, err)
		}
		return
	}
	must(t, err)
	result, err := root.Inspect(bundle)
	must(t, err)
	if !slices.Equal(result.Logs, []string{l.url}) || result.Proven.Before(before) || result.Proven.After(time.Now().Add(time.Second)) {
		t.Errorf("got %+v, since %s", result, before)
	}
	proxy.changing(nil)
	again, _ := sealer(t, keyed(signer), l.trustedRoot, through) // another process of the notary's
	bundle, err = again.Record(t.Context(), envelope)
	must(t, err)
	second, err := root.Inspect(bundle)
	must(t, err)
	if said := proxy.answered(); !slices.Equal(said, found) || second.LogIndex != result.LogIndex || !second.Proven.Equal(result.Proven) {
		t.Errorf("the log said %v, and gave %+v after %+v", said, second, result)
	}
}

// What the log is said to have counts only if it is about this seal, and holds.
func TestADuplicateInARealRekorV1HasToHold(t *testing.T) {
	l := startV1(t)
	signer := newSigner(t, "P-256")
	proxy := standBetween(t, l)
	fresh := func() *seal.Sealer {
		s, _ := sealer(t, keyed(signer), l.trustedRoot, at{version: 1, url: proxy.url, log: l.url})
		return s
	}
	envelope, err := fresh().Sign(t.Context(), statement(t))
	must(t, err)
	_, err = fresh().Record(t.Context(), envelope)
	must(t, err)

	var other string
	proxy.changing(func(r *http.Response) { other = uuidIn(t, r) })
	neighbour, err := fresh().Sign(t.Context(), statement(t))
	must(t, err)
	_, err = fresh().Record(t.Context(), neighbour)
	must(t, err)

	at409 := func(location string) change {
		return func(r *http.Response) {
			if r.StatusCode == http.StatusConflict {
				r.Header.Set("Location", location)
			}
		}
	}
	for name, c := range map[string]struct {
		change change
		want   reason.Code // "": any error
		holds  bool
	}{
		"what it has":                          {change: nil, holds: true},
		"what it has, at another host":         {change: func(r *http.Response) { elsewhere(r) }, holds: true},
		"another seal of the same notary's":    {change: at409("/api/v1/log/entries/" + other), want: reason.LogEntryInvalid},
		"one that it lacks":                    {change: at409("/api/v1/log/entries/" + strings.Repeat("0", len(other)))},
		"a name that is none":                  {change: at409("/api/v1/log/publicKey")},
		"nowhere":                              {change: at409("")},
		"what it has, with another promise":    {change: replacing(t, "signedEntryTimestamp"), want: reason.LogEntryInvalid},
		"what it has, with another checkpoint": {change: replacing(t, "checkpoint"), want: reason.LogEntryInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			proxy.changing(c.change)
			bundle, err := fresh().Record(t.Context(), envelope)
			if (err == nil) != c.holds || (bundle != nil) != c.holds || c.want != "" && reason.Of(err) != c.want {
				t.Errorf("got %d bytes, %v", len(bundle), err)
			}
			if errors.Is(err, seal.ErrNotLogged) {
				t.Errorf("there is an entry, and it says that there is none: %v", err)
			}
		})
	}
}

// elsewhere names another host for what the log has, which must not be asked.
func elsewhere(r *http.Response) {
	if location := r.Header.Get("Location"); location != "" {
		r.Header.Set("Location", "https://elsewhere.invalid"+location)
	}
}

// uuidIn is the name of the entry in an answer.
func uuidIn(t *testing.T, r *http.Response) string {
	raw := body(t, r)
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil || len(all) != 1 {
		t.Errorf("the log answers %s: %v", raw, err)
	}
	for uuid := range all {
		return uuid
	}
	return ""
}

// body reads an answer that somebody else reads again.
func body(t *testing.T, r *http.Response) []byte {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	_ = r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(raw))
	return raw
}

// replacing changes a letter near the end of one text of the entry that is asked for, which
// is of a signature in either.
func replacing(t *testing.T, field string) change {
	return func(r *http.Response) {
		if r.Request.Method != http.MethodGet {
			return
		}
		raw := body(t, r)
		_, rest, ok := bytes.Cut(raw, []byte(`"`+field+`":"`))
		end := bytes.IndexByte(rest, '"')
		if !ok || end < 0 {
			t.Errorf("no %s in %s", field, raw)
			return
		}
		at := len(raw) - len(rest) + end - 10
		if raw[at] == 'A' {
			raw[at] = 'B'
		} else {
			raw[at] = 'A'
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
	}
}

// A log that is away, or has lost what it stands on, costs time and no seal.
func TestARealRekorV1ThatStopsSealsLater(t *testing.T) {
	l := startV1(t)
	signer := newSigner(t, "P-256")
	early, root := sealer(t, keyed(signer), l.trustedRoot, at{version: 1, url: l.url})
	envelope, err := early.Sign(t.Context(), statement(t))
	must(t, err)
	before, err := early.Record(t.Context(), envelope)
	must(t, err)

	for name, c := range map[string]struct {
		stop, start func()
		nothing     bool // it is certain that there is no entry
	}{
		"Rekor":    {func() { l.server.end() }, func() { l.startServer(t) }, true},
		"Trillian": {func() { l.log.end() }, func() { l.startTrillian(t) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			during, _ := sealer(t, keyed(signer), l.trustedRoot, at{version: 1, url: l.url})
			signed, err := during.Prepare(t.Context(), statement(t))
			must(t, err)
			c.stop()
			bundle, err := during.Log(t.Context(), signed)
			if err == nil || bundle != nil || errors.Is(err, seal.ErrNotLogged) != c.nothing || errors.Is(err, seal.ErrDuplicate) {
				t.Fatalf("got %d bytes, %v", len(bundle), err)
			}
			c.start()
			await(t, "it seals again", func() error {
				bundle, err = during.Log(t.Context(), signed)
				return err
			})
			_, err = root.Inspect(bundle)
			must(t, err)
		})
	}
	// It goes on where it was: what was sealed counts, and is found.
	late, _ := sealer(t, keyed(signer), l.trustedRoot, at{version: 1, url: l.url})
	after, err := late.Record(t.Context(), envelope)
	must(t, err)
	_, err = root.Inspect(before)
	must(t, err)
	if a, b := entries(t, before)[0], entries(t, after)[0]; a.GetLogIndex() != b.GetLogIndex() || a.GetIntegratedTime() != b.GetIntegratedTime() {
		t.Errorf("the entry was %d of %d, and is %d of %d", a.GetLogIndex(), a.GetIntegratedTime(), b.GetLogIndex(), b.GetIntegratedTime())
	}
}

// An entry whose answer was lost is found again, and not made twice.
func TestALostAnswerOfARealRekorV1IsFound(t *testing.T) {
	l := startV1(t)
	signer := newSigner(t, "P-256")
	proxy := standBetween(t, l)
	client, err := seal.NewRekorV1(proxy.url, 3*time.Second)
	must(t, err)
	root := rootOf(t, keyed(signer), l.trustedRoot, 1)
	s := seal.New(signer, seal.NewRecorder(client, clock.RealClock{}).Only(l.url), root)
	signed, err := s.Prepare(t.Context(), statement(t))
	must(t, err)
	// Trillian takes what it is given, and nothing comes into the tree.
	l.signer.freeze(t)
	bundle, err := s.Log(t.Context(), signed)
	l.signer.thaw(t)
	if err == nil || bundle != nil || errors.Is(err, seal.ErrNotLogged) {
		t.Fatalf("got %d bytes, %v", len(bundle), err)
	}
	await(t, "the entry is found", func() error {
		proxy.changing(nil)
		bundle, err = s.Log(t.Context(), signed)
		return err
	})
	if said := proxy.answered(); !slices.Equal(said, found) {
		t.Errorf("the log said %v, want %v", said, found)
	}
	_, err = root.Inspect(bundle)
	must(t, err)
}

// A seal is in a Rekor v1 and a Rekor v2 at once, and a domain may ask for both.
func TestASealInBothRealLogs(t *testing.T) {
	l := startV1(t)
	url2, root2 := startV2(t)
	signer := newSigner(t, "P-256")
	trusted := sealtest.TrustedRootOf(t, l.trusted(t), root2)
	for _, url := range []string{l.url, url2} {
		must(t, seal.CheckLog(trusted, url))
	}
	both, root := sealer(t, keyed(signer), trusted, at{version: 1, url: l.url}, at{version: 2, url: url2})
	signed, err := both.Prepare(t.Context(), statement(t))
	must(t, err)
	bundle, err := both.Log(t.Context(), signed)
	must(t, err)
	result, err := root.Inspect(bundle)
	must(t, err)
	if want := []string{l.url, url2}; len(result.Logs) != 2 || !slices.Contains(result.Logs, want[0]) || !slices.Contains(result.Logs, want[1]) || result.Proven.IsZero() {
		t.Errorf("got %+v, want the logs %v and a time", result, want)
	}
	for i := range 2 {
		b := sealtest.Bundle(t, bundle)
		kept := b.GetVerificationMaterial().GetTlogEntries()
		b.VerificationMaterial.TlogEntries = kept[i : i+1]
		if _, err := root.Inspect(sealtest.JSON(t, b)); err == nil {
			t.Errorf("a domain asks for two logs, and entry %d is enough", i)
		}
	}
}

// So it does under a trusted root that cosign made for a Rekor v1, which is also what
// the notary finds its log in.
func TestWhatCosignAttestsInARekorV1Verifies(t *testing.T) {
	l := startV1(t)
	c := newCosigner(t)
	public, err := cryptoutils.MarshalPublicKeyToPEM(l.key)
	must(t, err)
	c.write(t, "rekor.pub", public)
	c.run(t, "trusted-root", "create", "--rekor=url="+l.url+",public-key=rekor.pub,start-time="+since(), "--out=made.json")
	made := c.read(t, "made.json")
	must(t, seal.CheckLog(made, l.url))
	c.attests(t, "1", l.url, made)
}

func entries(t *testing.T, bundle []byte) []*protorekor.TransparencyLogEntry {
	t.Helper()
	return sealtest.Bundle(t, bundle).GetVerificationMaterial().GetTlogEntries()
}
