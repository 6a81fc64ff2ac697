//go:build integration

package notary

import (
	"context"
	"crypto"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/early"
	"github.com/argoseal/argoseal/pkg/tlog"
	"github.com/argoseal/argoseal/pkg/tlog/tlogtest"
)

// sooner is a log that is read while it is asked.
type sooner struct{ *early.Log }

func (s sooner) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	return s.AppendAfter(ctx, envelope, key, 0, func(*protorekor.TransparencyLogEntry) {})
}

// sooner makes a client that reads the log while it asks it.
func (r *rekor) sooner(tb testing.TB) seal.Log {
	tb.Helper()
	logs, err := tlog.Logs(r.trustedRoot)
	must(tb, err)
	return sooner{early.New(r.client(tb), tlogtest.Folder(tb, r.storage), func(checkpoint []byte) (tlog.Log, *tlog.Checkpoint, error) {
		return tlog.OpenAny(logs, checkpoint)
	})}
}

// BenchmarkOneSeal says how long after its end a pod is sealed while nothing else is to be
// done, with the log's answer alone and with what it publishes before, and what of that
// each stage takes, on average:
//
//	go test -tags integration ./pkg/notary -run '^$' -bench OneSeal -benchtime 50x
//
// The end is when the API server has it: what the kubelet takes before is not in it.
func BenchmarkOneSeal(b *testing.B) {
	for _, tiles := range []bool{false, true} {
		b.Run(map[bool]string{false: "answer", true: "tiles"}[tiles], func(b *testing.B) {
			r := startRekor(b)
			w := newRealWorld(b, r)
			if tiles {
				w.log = r.sooner(b)
			}
			n := w.replicaAt(b, "replica", w.asServiceAccount(b), 128)
			api := n.API
			n.Epochs = func(ctx context.Context, namespace string) (epoch.Moment, error) {
				return w.scene.moment, w.asTheKeeper(ctx, api, namespace)
			}
			w.awaitFinal(b, n, w.key())
			before := n.stageSums(b)
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				pod := w.step(b, fmt.Sprintf("[1].work(%d)", i))
				time.Sleep(time.Duration(rand.Int64N(int64(time.Second)))) // the log looks once a second
				w.finish(b, pod)
				began := time.Now()
				w.awaitFinal(b, n, Key{Namespace: pod.Namespace, Pod: pod.Name, UID: pod.UID})
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds(), "p50-s")
			b.ReportMetric(took[len(took)*9/10].Seconds(), "p90-s")
			b.ReportMetric(took[len(took)-1].Seconds(), "max-s")
			for s, sum := range n.stageSums(b) {
				if s != stagePod { // in whole seconds
					b.ReportMetric((sum-before[s])*1000/float64(len(took)), string(s)+"-ms")
				}
			}
		})
	}
}

// awaitFinal waits until a replica knows that a pod's record has its last word.
func (w *world) awaitFinal(b *testing.B, n *Notary, key Key) {
	b.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		r, err := n.Seen.record(key)
		must(b, err)
		if r != nil && r.final {
			return
		}
	}
	b.Fatal("it is not sealed")
}

// stageSums is how long each stage took so far, in seconds.
func (n *Notary) stageSums(b *testing.B) map[stage]float64 {
	b.Helper()
	all := map[stage]float64{}
	for s, observer := range n.Metrics.seconds {
		var m dto.Metric
		must(b, observer.(prometheus.Metric).Write(&m))
		all[s] = m.GetHistogram().GetSampleSum()
	}
	return all
}
