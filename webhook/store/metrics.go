package store

import "github.com/prometheus/client_golang/prometheus"

// Size says how many objects are kept, how many there are that are not, and how many
// bytes those that are take.
func (s *Store) Size() (kept, left, bytes int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.tenants {
		kept += len(t.items)
		left += max(0, t.total-len(t.items))
	}
	return kept, left, s.bytes
}

// Metrics are gauges of what is kept, with the kind as their label.
func (s *Store) Metrics() []prometheus.Collector {
	gauge := func(name, help string, labels prometheus.Labels, value func() int) prometheus.Collector {
		labels["kind"] = s.kind
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 { return float64(value()) })
	}
	const objects, objectsHelp = "argoseal_webhook_watched_objects", "Watched objects, by kind: those that are kept in memory, and those that are left out and asked of the API server."
	return []prometheus.Collector{
		gauge(objects, objectsHelp, prometheus.Labels{"kept": "true"}, func() int { kept, _, _ := s.Size(); return kept }),
		gauge(objects, objectsHelp, prometheus.Labels{"kept": "false"}, func() int { _, left, _ := s.Size(); return left }),
		gauge("argoseal_webhook_watched_bytes", "Memory that watched objects take, by kind.", prometheus.Labels{}, func() int { _, _, bytes := s.Size(); return bytes }),
		gauge("argoseal_webhook_watch_stale", "1 if a watch is broken or being begun, by kind, so that the API server is asked instead.", prometheus.Labels{}, func() int {
			if s.Stale() != "" {
				return 1
			}
			return 0
		}),
	}
}
