package followed

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// what changed.
type what string

const (
	controllerChange what = "controller"
	imageChange      what = "executor_image"
	envChange        what = "executor_variable"
)

var (
	changesDesc = prometheus.NewDesc("argoseal_notary_argo_changes_total",
		"Controllers, executor images and executor variables that Argo began or ceased to run with in the namespaces of argo.namespaces, as this replica wrote it down.",
		[]string{"what"}, nil)
	foundDesc = prometheus.NewDesc("argoseal_notary_argo_controllers",
		"Deployments of Argo's controller that were found there at the last look.", nil, nil)
	unreadDesc = prometheus.NewDesc("argoseal_notary_argo_unread",
		"Namespaces, and Deployments of Argo's controller, that could not be read at the last look: what runs there is not followed.", nil, nil)
)

type changes struct {
	mu sync.Mutex
	by map[what]float64
}

func (c *changes) count(w what) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[what]float64{}
	}
	c.by[w]++
}

// Metrics tells of changes. Its labels are a closed set.
func (k *Keeper) Metrics() prometheus.Collector { return metrics{k} }

type metrics struct{ keeper *Keeper }

// Describe implements prometheus.Collector.
func (metrics) Describe(to chan<- *prometheus.Desc) {
	to <- changesDesc
	to <- foundDesc
	to <- unreadDesc
}

// Collect implements prometheus.Collector.
func (m metrics) Collect(to chan<- prometheus.Metric) {
	c := &m.keeper.changes
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range []what{controllerChange, imageChange, envChange} {
		to <- prometheus.MustNewConstMetric(changesDesc, prometheus.CounterValue, c.by[w], string(w))
	}
	to <- prometheus.MustNewConstMetric(foundDesc, prometheus.GaugeValue, float64(m.keeper.found.Load()))
	to <- prometheus.MustNewConstMetric(unreadDesc, prometheus.GaugeValue, float64(m.keeper.unread.Load()))
}
