package controller

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// Metrics are the controller's own; labels come from closed sets.
type Metrics struct {
	step    *prometheus.GaugeVec
	objects *prometheus.GaugeVec
	created prometheus.Gauge
	proven  prometheus.Gauge
}

// NewMetrics registers the controller's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		step: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "argoseal_sentinel_step",
			Help: "1 for the reason of the condition Ready as it is; stalled says whether somebody has to help.",
		}, []string{"reason", "stalled"}),
		objects: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "argoseal_sentinel_objects",
			Help: "Objects that the last scan of etcd found, by what they lie under: the key that is written with, another, or none (plain).",
		}, []string{"under"}),
		created: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "argoseal_sentinel_key_created_timestamp_seconds",
			Help: "When the key that is written with was made; 0 where there is none, or where that is not known.",
		}),
		proven: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "argoseal_sentinel_scan_timestamp_seconds",
			Help: "When the last scan of etcd came to its end; 0 before the first.",
		}),
	}
	r.MustRegister(m.step, m.objects, m.created, m.proven)
	return m
}

// observe tells what was seen, and what comes next. Without metrics it does nothing.
func (m *Metrics) observe(seen encryption.Observed, step encryption.Step, now float64) {
	if m == nil {
		return
	}
	stalled := "false"
	if step.Action == encryption.Halt {
		stalled = "true"
	}
	m.step.Reset()
	m.step.WithLabelValues(string(step.Reason), stalled).Set(1)
	m.created.Set(0)
	if created := step.Write.Created(); !created.IsZero() {
		m.created.Set(float64(created.Unix()))
	}
	if seen.Scan == nil {
		return
	}
	identity := encryption.Ref{Provider: encryption.Identity}
	plain, under := seen.Scan.Objects[identity], 0
	if step.Write != identity {
		under = seen.Scan.Objects[step.Write]
	}
	m.objects.Reset()
	m.objects.WithLabelValues("plain").Set(float64(plain))
	m.proven.Set(now)
	if step.Write == (encryption.Ref{}) {
		return // which of the keys is the one that is written with is not known
	}
	m.objects.WithLabelValues("key").Set(float64(under))
	m.objects.WithLabelValues("another").Set(float64(seen.Scan.Total() - under - plain))
}
