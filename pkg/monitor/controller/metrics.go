package controller

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// Metrics counts what workflows came to.
type Metrics struct {
	states *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(with prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{states: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "argoseal_controller_workflow_states_total",
		Help: "Changes of a workflow's state, by the state that it came to.",
	}, []string{"state"})}
	if err := with.Register(m.states); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return m, nil
}

func (m *Metrics) count(state v1alpha1.WorkflowState) {
	m.states.WithLabelValues(string(state)).Inc()
}
