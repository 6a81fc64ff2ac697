package kms

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the plugin's own; labels come from closed sets.
type Metrics struct {
	requests *prometheus.CounterVec
	usable   *prometheus.GaugeVec
	tried    prometheus.Gauge
}

// NewMetrics registers the plugin's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "argoseal_sentinel_kms_requests_total",
			Help: "What the KMS plugin was asked (encrypt, decrypt) or tried by itself (probe), by what came of it: ok, refused by the plugin, or failed at the key service.",
		}, []string{"operation", "result"}),
		usable: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "argoseal_sentinel_kms_key_usable",
			Help: "1 if a key of the KMS plugin can be used; 0 if it never could, or two probes in a row failed. By its ID, and by whether it is written with (role write) or only read with (read).",
		}, []string{"key", "role"}),
		tried: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "argoseal_sentinel_kms_probe_timestamp_seconds",
			Help: "When the last probe of the KMS plugin's keys ended; 0 before the first.",
		}),
	}
	r.MustRegister(m.requests, m.usable, m.tried)
	return m
}

// count counts a request. Without metrics it does nothing.
func (m *Metrics) count(operation string, err error) {
	if m == nil {
		return
	}
	result := "ok"
	switch {
	case refused(err):
		result = "refused"
	case err != nil:
		result = "failed"
	}
	m.requests.WithLabelValues(operation, result).Inc()
}

// usableKey tells whether a key can be used.
func (m *Metrics) usableKey(k *tried) {
	if m == nil {
		return
	}
	usable := 0.0
	if k.failed == nil {
		usable = 1
	}
	m.usable.WithLabelValues(k.ID, k.role).Set(usable)
}

// probed tells when a probe of all keys ended.
func (m *Metrics) probed(at time.Time) {
	if m == nil {
		return
	}
	m.tried.Set(float64(at.Unix()))
}
