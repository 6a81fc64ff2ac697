package controller

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/argoseal/argoseal/pkg/retention"
)

// kind of record, a closed set.
type kind string

const (
	kindSeal       kind = "ArtifactSeal"
	kindProvenance kind = "Provenance"
	kindWhole      kind = "WorkflowProvenance"
)

// Metrics tell what is removed, and what stays beyond the limits.
type Metrics struct {
	gone  *prometheus.CounterVec
	stays *prometheus.GaugeVec
	last  prometheus.Gauge
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		gone: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "argoseal_retention_removed_total", Help: "Records that were removed, by their kind.",
		}, []string{"kind"}),
		stays: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "argoseal_retention_kept_workflows", Help: "Workflows beyond the limits whose records stay, by the reason.",
		}, []string{"why"}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "argoseal_retention_last_success_timestamp_seconds", Help: "When all records that may go were removed last.",
		}),
	}
	if err := errors.Join(r.Register(m.gone), r.Register(m.stays), r.Register(m.last)); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	for _, k := range []kind{kindSeal, kindProvenance, kindWhole} {
		m.gone.WithLabelValues(string(k))
	}
	m.kept(nil)
	return m, nil
}

func (m *Metrics) removed(k kind) { m.gone.WithLabelValues(string(k)).Inc() }

func (m *Metrics) kept(by map[retention.Why]int) {
	for _, why := range retention.Whys() {
		m.stays.WithLabelValues(string(why)).Set(float64(by[why]))
	}
}

func (m *Metrics) swept(at time.Time) { m.last.Set(float64(at.Unix())) }
