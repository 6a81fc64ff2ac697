//go:build e2e

package interop

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// What a seal costs in each mode of logs, printed: docs/performance.md has it. There is no
// limit that it could fail by, but each seal has to be made.
func TestWhatSealsCostInEachLog(t *testing.T) {
	const alone, together, hands = 25, 100, 20
	l := startV1(t)
	url2, root2 := startV2(t)
	trusted := sealtest.TrustedRootOf(t, l.trusted(t), root2)
	one, two := at{version: 1, url: l.url}, at{version: 2, url: url2}
	a := keyed(newSigner(t, "P-256"))
	t.Logf("%d CPUs, load %s", runtime.NumCPU(), load())
	for _, m := range []struct {
		mode string
		logs []at
	}{{"v1", []at{one}}, {"v2", []at{two}}, {"both", []at{one, two}}} {
		s, _ := sealer(t, a, trusted, m.logs...)
		made := func() ([]byte, time.Duration) {
			signed, err := s.Prepare(t.Context(), statement(t))
			must(t, err)
			began := time.Now()
			bundle, err := s.Log(t.Context(), signed)
			must(t, err)
			return bundle, time.Since(began)
		}
		var took []time.Duration
		bundle, _ := made() // with the first one connections are made
		for range alone {
			_, d := made()
			took = append(took, d)
		}
		slices.Sort(took)
		var inEntries int
		for _, e := range entries(t, bundle) {
			inEntries += len(e.GetCanonicalizedBody())
		}
		t.Logf("%-5s bundle %d bytes; entries %d bytes; alone: median %s, slowest %s; %d at a time: %.0f/s", m.mode, len(bundle), inEntries,
			took[alone/2].Round(time.Millisecond), took[alone-1].Round(time.Millisecond), hands, rate(t, s, together, hands))
	}
	t.Logf("load %s", load())
}

// rate is how many seals are made in a second, by so many at a time.
func rate(t *testing.T, s *seal.Sealer, n, hands int) float64 {
	t.Helper()
	var signed []*seal.Signed
	for range n {
		one, err := s.Prepare(t.Context(), statement(t))
		must(t, err)
		signed = append(signed, one)
	}
	todo := make(chan *seal.Signed, n)
	for _, one := range signed {
		todo <- one
	}
	close(todo)
	began := time.Now()
	var work sync.WaitGroup
	for range hands {
		work.Go(func() {
			for one := range todo {
				if _, err := s.Log(t.Context(), one); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	return float64(n) / time.Since(began).Seconds()
}

// load is how busy the machine is: the averages of one, five and fifteen minutes.
func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(raw))[:3], " ")
}
