package trust

import "github.com/prometheus/client_golang/prometheus"

var (
	loadedSince = prometheus.NewDesc("argoseal_trust_loaded_timestamp_seconds",
		"Since when what is loaded of an object has been in use, by object. Objects of which nothing is in use are left out.",
		[]string{"object"}, nil)
	stale = prometheus.NewDesc("argoseal_trust_stale",
		"1 while something of the tag keys, roots and trust domains is missing, or cannot be read or used, so that what was loaded before stays in use; the log says why.",
		nil, nil)
)

// Metrics tells since when what is loaded has been in use. Its labels are the objects'
// kinds and names, which are ours; the log says which keys they hold.
func (s *Store) Metrics() prometheus.Collector { return metrics{s} }

type metrics struct{ store *Store }

// Describe implements prometheus.Collector.
func (metrics) Describe(to chan<- *prometheus.Desc) {
	to <- loadedSince
	to <- stale
}

// Collect implements prometheus.Collector.
func (m metrics) Collect(to chan<- prometheus.Metric) {
	for _, l := range m.store.Loaded() {
		to <- prometheus.MustNewConstMetric(loadedSince, prometheus.GaugeValue, float64(l.Since.Unix()), l.Object)
	}
	value := 0.0
	if m.store.Stale() {
		value = 1
	}
	to <- prometheus.MustNewConstMetric(stale, prometheus.GaugeValue, value)
}
