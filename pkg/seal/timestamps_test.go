package seal_test

import (
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// stamping is a notary that asks a timestamp authority, which can be made to answer
// otherwise.
type stamping struct {
	*recording
	authority *sealtest.Authority
	signer    *seal.Signer
	trusted   []byte
	stamps    *seal.Timestamps
	asked     atomic.Int64
	instead   atomic.Pointer[http.HandlerFunc]
}

func newStamping(t *testing.T, required bool) *stamping {
	t.Helper()
	log := sealtest.NewLog(t)
	s := &stamping{authority: sealtest.NewAuthority(t)}
	s.recording = &recording{log: &faultyLog{Log: log}, clock: clocktesting.NewFakePassiveClock(time.Now())}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if instead := s.instead.Load(); instead != nil {
			(*instead)(w, r)
			return
		}
		s.answer(t, w, r, s.authority, nil)
	}))
	t.Cleanup(server.Close)
	key, err := seal.NewKey()
	must(t, err)
	s.signer, err = seal.LoadSigner(key)
	must(t, err)
	s.trusted = s.authority.TrustedRoot(t, log.TrustedRoot, sealtest.Trust{Timestamps: true})
	s.stamps, err = seal.NewTimestamps(server.URL+"/api/v1/timestamp", required, time.Second, s.clock)
	must(t, err)
	s.Sealer = seal.New(s.signer, seal.NewRecorder(s.log, s.clock), s.root(t, time.Time{})).Timestamped(s.stamps)
	return s
}

func (s *stamping) answer(t *testing.T, w http.ResponseWriter, r *http.Request, by *sealtest.Authority, change func(*timestamp.Timestamp)) {
	request, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	_, _ = w.Write(by.Answer(t, request, change))
}

// root trusts the notary, whose key others have since then.
func (s *stamping) root(t *testing.T, compromised time.Time) *verify.Root {
	t.Helper()
	keys, err := verify.ParseKeys(s.signer.PublicKeyPEM())
	must(t, err)
	keys[0].Compromised = compromised
	root, err := verify.New(verify.Domain{Name: "home", TrustedRoot: s.trusted, Keys: keys, AnyBuilder: true, Logs: 1})
	must(t, err)
	return root
}

// A seal with a timestamp outlives its key: what an authority has seen before the key was
// in other hands counts, and nothing else does.
func TestATimestampOutlivesACompromisedKey(t *testing.T) {
	s := newStamping(t, true)
	stamped, err := s.Record(t.Context(), s.envelope(t))
	must(t, err)
	result, err := s.root(t, time.Time{}).Inspect(stamped)
	must(t, err)
	if time.Since(result.Proven).Abs() > time.Minute {
		t.Errorf("proven at %s", result.Proven)
	}
	later, earlier := time.Now().Add(time.Minute), time.Now().Add(-time.Minute)
	if _, err := s.root(t, later).Inspect(stamped); err != nil {
		t.Errorf("a key that was lost later: %v", err)
	}
	if _, err := s.root(t, earlier).Inspect(stamped); reason.Of(err) != reason.SignerCompromised {
		t.Errorf("a key that was lost before: %v", err)
	}
	s.Sealer = s.Timestamped(nil)
	bare, err := s.Record(t.Context(), s.envelope(t))
	must(t, err)
	if _, err := s.root(t, later).Inspect(bare); reason.Of(err) != reason.SignerCompromised {
		t.Errorf("without a timestamp: %v", err)
	}
}

// misbehaving are authorities that answer what is of no use, and what is said of it.
func misbehaving(t *testing.T, s *stamping) map[string]struct {
	do   http.HandlerFunc
	says string
} {
	abroad := sealtest.NewAuthority(t)
	changed := func(change func(*timestamp.Timestamp)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { s.answer(t, w, r, s.authority, change) }
	}
	writes := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = io.WriteString(w, body) }
	}
	return map[string]struct {
		do   http.HandlerFunc
		says string
	}{
		"another digest":    {changed(func(s *timestamp.Timestamp) { s.HashedMessage = make([]byte, 32) }), "another digest"},
		"another nonce":     {changed(func(s *timestamp.Timestamp) { s.Nonce = big.NewInt(1) }), "nonce"},
		"no nonce":          {changed(func(s *timestamp.Timestamp) { s.Nonce = nil }), "nonce"},
		"long ago":          {changed(func(s *timestamp.Timestamp) { s.Time = time.Now().Add(-time.Hour) }), "clock"},
		"in an hour":        {changed(func(s *timestamp.Timestamp) { s.Time = time.Now().Add(time.Hour) }), "clock"},
		"another authority": {func(w http.ResponseWriter, r *http.Request) { s.answer(t, w, r, abroad, nil) }, "no authority of the trusted root"},
		"an error":          {writes(http.StatusInternalServerError, strings.Repeat("x", 1<<20)), "500"},
		"nothing":           {writes(http.StatusOK, ""), "its answer"},
		"no timestamp":      {writes(http.StatusOK, "<html>"), "its answer"},
		"too much":          {writes(http.StatusOK, strings.Repeat("x", 1<<20)), "more than"},
		"no end":            {func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); <-r.Context().Done() }, "deadline"},
		"elsewhere":         {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, "302"},
		"a hung-up":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	}
}

// An authority that is away or lies costs time, never truth: where timestamps are required
// nothing is logged, and it is said why; else the seal has none. Once the authority is
// well, seals have one.
func TestABadTimestampAuthorityIsNeverTrusted(t *testing.T) {
	for _, required := range []bool{true, false} {
		s := newStamping(t, required)
		for name, c := range misbehaving(t, s) {
			t.Run(fmt.Sprintf("%s, required %t", name, required), func(t *testing.T) {
				s.instead.Store(&c.do)
				envelope, before, began := s.envelope(t), s.log.asked, time.Now()
				bundle, err := s.Record(t.Context(), envelope)
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
				if required {
					if reason.Of(err) != reason.TimestampFailed || !reason.Of(err).Retryable() || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 1000 {
						t.Errorf("it says: %v", err)
					}
					if s.log.asked != before {
						t.Error("it was logged all the same")
					}
				} else {
					must(t, err)
					if stamps := sealtest.Bundle(t, bundle).GetVerificationMaterial().GetTimestampVerificationData(); stamps != nil {
						t.Errorf("it has %v", stamps)
					}
				}
				s.instead.Store(nil)
				s.pass(2 * time.Minute)
				bundle, err = s.Record(t.Context(), s.envelope(t))
				must(t, err)
				result, err := s.root(t, time.Time{}).Inspect(bundle)
				must(t, err)
				if result.Proven.IsZero() {
					t.Error("when it is well there is no timestamp either")
				}
			})
			s.clock.SetTime(time.Now())
		}
	}
}

// An authority that is away is left alone, and asked again within a minute.
func TestATimestampAuthorityThatIsAwayIsLeftAlone(t *testing.T) {
	s := newStamping(t, false)
	down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	s.instead.Store(&down)
	for end := s.clock.Now().Add(3 * time.Minute); s.clock.Now().Before(end); s.pass(time.Second) {
		_, err := s.Record(t.Context(), s.envelope(t))
		must(t, err)
	}
	if n := s.asked.Load(); n < 5 || n > 40 {
		t.Errorf("it was asked %d times in three minutes", n)
	}
	if got, want := counted(t, s.stamps.Metrics()), map[string]float64{"failed": 0, "left_out": 180, "timestamped": 0}; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// counted is what a counter with one label has, by its value.
func counted(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	must(t, registry.Register(c))
	families, err := registry.Gather()
	must(t, err)
	by := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		by[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	return by
}

// What waits for the log has its timestamp already: it is asked for once.
func TestATimestampIsKeptUntilTheLogHasTheSeal(t *testing.T) {
	s := newStamping(t, true)
	envelope := s.envelope(t)
	honest := s.log.Log
	s.log.Log = refuses{}
	for range 5 {
		if _, err := s.Record(t.Context(), envelope); err == nil {
			t.Fatal("it was recorded")
		}
		s.pass(time.Second)
	}
	s.log.Log = honest
	_, err := s.Record(t.Context(), envelope)
	must(t, err)
	if n := s.asked.Load(); n != 1 {
		t.Errorf("the authority was asked %d times", n)
	}
}

// A trusted root without an authority is told before anything is signed under it.
func TestATrustedRootNeedsATimestampAuthority(t *testing.T) {
	log := sealtest.NewLog(t)
	if err := seal.CheckTimestamps(log.TrustedRoot); reason.Of(err) != reason.TimestampFailed {
		t.Errorf("got %v", err)
	}
	must(t, seal.CheckTimestamps(sealtest.NewAuthority(t).TrustedRoot(t, log.TrustedRoot, sealtest.Trust{Timestamps: true})))
	for _, url := range []string{"", "ftp://x", "http://u:p@x", "http://"} {
		if _, err := seal.NewTimestamps(url, true, time.Second, clocktesting.NewFakePassiveClock(time.Now())); err == nil {
			t.Errorf("%q is taken", url)
		}
	}
}
