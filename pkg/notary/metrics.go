package notary

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/reason"
)

// stage is a part of the way from a finished pod to its seal.
type stage string

const (
	stageClaim   stage = "claim"   // the Provenance is there and ours
	stageFacts   stage = "facts"   // Workflow, node and log read, pod judged, statement made
	stageSign    stage = "sign"    // under the signing key
	stageStore   stage = "store"   // the envelope is in the Provenance
	stageLog     stage = "log"     // recorded, and verified
	stagePublish stage = "publish" // ArtifactSeals and bundle written
	stageTotal   stage = "total"   // all of it, where one attempt was enough
	stagePod     stage = "pod"     // since the pod's end by the kubelet's clock (whole seconds)
)

var stages = [...]stage{stageClaim, stageFacts, stageSign, stageStore, stageLog, stagePublish, stageTotal, stagePod}

// Metrics are the notary's own; labels come from closed sets.
type Metrics struct {
	seconds map[stage]prometheus.Observer
	ended   map[reason.Code]prometheus.Counter
}

// NewMetrics registers the notary's metrics. backlog is what the gauges read.
func NewMetrics(r prometheus.Registerer, backlog *Backlog, c clock.PassiveClock) *Metrics {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "argoseal_notary_seal_seconds",
		Help:    "Time that each stage from a finished pod to its published seal took.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, .75, 1, 1.25, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800},
	}, []string{"stage"})
	ended := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "argoseal_notary_seals_total",
		Help: "Pods that got their final record, by its reason.",
	}, []string{"reason"})
	r.MustRegister(seconds, ended,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "argoseal_notary_pending_pods",
			Help: "Pods whose seal is on its way through this replica.",
		}, func() float64 { return float64(len(backlog.Keys())) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "argoseal_notary_log_lag_seconds",
			Help: "How long the oldest of these pods has been waiting; 0 without any.",
		}, func() float64 { return backlog.oldest(c.Now()).Seconds() }))
	m := &Metrics{seconds: map[stage]prometheus.Observer{}, ended: map[reason.Code]prometheus.Counter{}}
	for _, s := range stages {
		m.seconds[s] = seconds.WithLabelValues(string(s))
	}
	for _, code := range reason.All() {
		m.ended[code] = ended.WithLabelValues(string(code))
	}
	return m
}

func (m *Metrics) took(s stage, d time.Duration) { m.seconds[s].Observe(max(0, d).Seconds()) }

// count counts a final record. A code that is not in the table cannot become a
// label.
func (m *Metrics) count(code reason.Code) {
	c, known := m.ended[code]
	if !known {
		c = m.ended[reason.Internal]
	}
	c.Inc()
}

// Backlog is the pods whose seal is on its way through this replica. Its zero
// value is empty and ready.
type Backlog struct {
	mu    sync.Mutex
	since map[Key]time.Time
}

// Add notes a pod that waits since then.
func (b *Backlog) Add(key Key, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since == nil {
		b.since = map[Key]time.Time{}
	}
	b.since[key] = since
}

// Remove forgets a pod.
func (b *Backlog) Remove(key Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.since, key)
}

// Keys lists the pods.
func (b *Backlog) Keys() []Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	keys := make([]Key, 0, len(b.since))
	for key := range b.since {
		keys = append(keys, key)
	}
	return keys
}

func (b *Backlog) oldest(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	var longest time.Duration
	for _, since := range b.since {
		longest = max(longest, now.Sub(since))
	}
	return longest
}
