//go:build integration

package early_test

import (
	"context"
	"crypto"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/early"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tlog"
)

// sooner is a real log that is read while it is asked, over HTTP as in the cluster.
type sooner struct {
	*early.Log
	mu sync.Mutex
	// first are the entries that its tiles or answers gave, late those that it answered
	// afterwards, both by their bodies.
	first, late map[string]*protorekor.TransparencyLogEntry
}

func (s *sooner) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	entry, err := s.AppendAfter(ctx, envelope, key, 0, func(e *protorekor.TransparencyLogEntry) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.late[string(e.GetCanonicalizedBody())] = e
	})
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.first[string(entry.GetCanonicalizedBody())] = entry
	}
	return entry, err
}

func soonerThan(tb testing.TB, r sealtest.Rekor) *sooner {
	tb.Helper()
	folder, err := os.OpenRoot(r.Folder)
	must(tb, err)
	tb.Cleanup(func() { _ = folder.Close() })
	server := httptest.NewServer(tlog.Handler(folder.FS()))
	tb.Cleanup(server.Close)
	tiles, err := tlog.NewWeb(server.URL)
	must(tb, err)
	logs, err := tlog.Logs(r.TrustedRoot)
	must(tb, err)
	open := func(checkpoint []byte) (tlog.Log, *tlog.Checkpoint, error) { return tlog.OpenAny(logs, checkpoint) }
	return &sooner{
		Log:   early.New(r.Log, tiles, open),
		first: map[string]*protorekor.TransparencyLogEntry{}, late: map[string]*protorekor.TransparencyLogEntry{},
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func statement(tb testing.TB, i int) []byte {
	tb.Helper()
	return sealtest.Payload(tb, fmt.Sprintf("s3://minio:9000/artifacts/%d.tgz", i), artifact.Digest(strings.Repeat("a", 64)))
}

// TestTilesOfARealRekor: whatever holds of a log's client holds of this one, and an entry
// that the tiles proved is the one that the log answers, but for the checkpoint, which may
// be a later one.
func TestTilesOfARealRekor(t *testing.T) {
	r, foreign := sealtest.StartRekor(t), sealtest.StartRekor(t)
	log, abroad := soonerThan(t, r), soonerThan(t, foreign)
	sealtest.Suite(t, sealtest.Backend{Log: log, TrustedRoot: r.TrustedRoot}, sealtest.Backend{Log: abroad, TrustedRoot: foreign.TrustedRoot})

	notary := sealtest.NewNotaryWith(t, sealtest.Backend{Log: log, TrustedRoot: r.TrustedRoot})
	const entries = 300 // more than a tile has
	var all sync.WaitGroup
	for i := range entries {
		all.Go(func() {
			envelope, err := notary.Sign(t.Context(), statement(t, i))
			if err != nil {
				t.Error(err)
				return
			}
			bundle, err := notary.Record(t.Context(), envelope)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := notary.Root.Verify(bundle); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	compared := 0
	for deadline := time.Now().Add(20 * time.Second); compared < entries/10 && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		compared = log.compare(t)
	}
	if compared < entries/10 {
		t.Errorf("of %d entries only %d were proven by tiles and answered afterwards", entries, compared)
	}
	t.Logf("%d entries were proven by tiles, and answered afterwards", compared)
}

// compare counts the entries that came twice, and wants them to be the same.
func (s *sooner) compare(t *testing.T) int {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for body, answered := range s.late {
		proven := s.first[body]
		if proven == nil || proven.GetLogIndex() != answered.GetLogIndex() || proven.GetIntegratedTime() != answered.GetIntegratedTime() || proven.GetInclusionPromise() != nil ||
			proven.GetLogId().String() != answered.GetLogId().String() || proven.GetKindVersion().String() != answered.GetKindVersion().String() {
			t.Errorf("the tiles prove\n%s\nand the log answers\n%s", proven, answered)
		}
	}
	return len(s.late)
}

// BenchmarkFirstWord says how long it takes from asking the log to a verified seal, one at
// a time: by the log's answer alone, and by what comes first.
//
//	go test -tags integration ./pkg/seal/early -run '^$' -bench FirstWord -benchtime 50x
//
// The pauses between are of any length up to a second: else each entry would come right
// after the log's last look, which is once a second, and wait for the next one.
func BenchmarkFirstWord(b *testing.B) {
	for _, interval := range []string{"200ms", "100ms"} {
		r := sealtest.StartRekor(b, "--checkpoint-interval="+interval)
		both := soonerThan(b, r)
		for _, of := range []struct {
			name string
			log  seal.Log
		}{{"answer", r.Log}, {"tiles", both}} {
			b.Run(of.name+"/"+interval, func(b *testing.B) {
				notary := sealtest.NewNotaryWith(b, sealtest.Backend{Log: of.log, TrustedRoot: r.TrustedRoot})
				var took []time.Duration
				for i := 0; b.Loop(); i++ {
					envelope, err := notary.Sign(b.Context(), statement(b, i))
					must(b, err)
					time.Sleep(time.Duration(rand.Int64N(int64(time.Second))))
					began := time.Now()
					bundle, err := notary.Record(b.Context(), envelope)
					took = append(took, time.Since(began))
					must(b, err)
					_, err = notary.Root.Verify(bundle)
					must(b, err)
				}
				slices.Sort(took)
				b.ReportMetric(took[len(took)/2].Seconds(), "p50-s")
				b.ReportMetric(took[len(took)*9/10].Seconds(), "p90-s")
				b.ReportMetric(took[len(took)-1].Seconds(), "max-s")
			})
		}
	}
}
