package controller

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/argoseal/argoseal/pkg/scrub"
)

// Metrics tell what comparing came to.
type Metrics struct {
	compared *prometheus.CounterVec
	altered  prometheus.Gauge
	// said is what altered has.
	said int
	last prometheus.Gauge
}

// NewMetrics registers them.
func NewMetrics(with prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		compared: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "argoseal_scrub_compared_total", Help: "Places in artifact stores that were compared with their seals, by the result.",
		}, []string{"result"}),
		altered: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "argoseal_scrub_altered", Help: "Places in artifact stores that do not have what was sealed, as of the last pass, or of the one under way if that has found more.",
		}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "argoseal_scrub_last_success_timestamp_seconds", Help: "When a pass over the artifact stores ended last in which all could be read that was to be.",
		}),
	}
	if err := errors.Join(with.Register(m.compared), with.Register(m.altered), with.Register(m.last)); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	for _, r := range scrub.Reasons() {
		m.compared.WithLabelValues(string(r))
	}
	return m, nil
}

func (m *Metrics) found(f scrub.Finding) { m.compared.WithLabelValues(string(f.Reason)).Inc() }

// atLeast says in the midst of a pass how much is altered: a pass may take days.
func (m *Metrics) atLeast(altered int) {
	if altered > m.said {
		m.said = altered
		m.altered.Set(float64(altered))
	}
}

func (m *Metrics) passed(altered int, all bool, at time.Time) {
	m.said = altered
	m.altered.Set(float64(altered))
	if all {
		m.last.Set(float64(at.Unix()))
	}
}
