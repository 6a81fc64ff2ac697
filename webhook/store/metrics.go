package store

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Size says how many objects are kept, how many are not, and how many bytes the
// kept ones take.
func (s *Store) Size() (kept, left, bytes int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.tenants {
		kept += len(t.items)
		left += max(0, t.total-len(t.items))
	}
	return kept, left, s.bytes
}

var (
	objects = prometheus.NewDesc("argoseal_webhook_watched_objects",
		"Watched objects: those that are kept in memory, and those that are left out and asked of the API server.", []string{"kind", "kept"}, nil)
	bytes = prometheus.NewDesc("argoseal_webhook_watched_bytes",
		"Memory that watched objects take.", []string{"kind"}, nil)
	stale = prometheus.NewDesc("argoseal_webhook_watch_stale",
		"1 if a watch is broken or being begun, so that the API server is asked instead.", []string{"kind"}, nil)
)

// Metrics are gauges of what some Stores keep.
func Metrics(of ...*Store) prometheus.Collector { return collector(of) }

type collector []*Store

// Describe implements prometheus.Collector.
func (collector) Describe(to chan<- *prometheus.Desc) {
	to <- objects
	to <- bytes
	to <- stale
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	for _, s := range c {
		kept, left, size := s.Size()
		gauge(objects, kept, s.kind, strconv.FormatBool(true))
		gauge(objects, left, s.kind, strconv.FormatBool(false))
		gauge(bytes, size, s.kind)
		broken := 0
		if s.Stale() != "" {
			broken = 1
		}
		gauge(stale, broken, s.kind)
	}
}
