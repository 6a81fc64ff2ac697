package early

import "github.com/prometheus/client_golang/prometheus"

// What proved an entry first.
const (
	byTiles  = "tiles"
	byAnswer = "answer"
)

func countProofs() *prometheus.CounterVec {
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "argoseal_notary_log_proofs_total",
		Help: "New entries of the installation's own log, by what proved them first: its tiles, or its answer.",
	}, []string{"by"})
	for _, by := range []string{byTiles, byAnswer} {
		counted.WithLabelValues(by)
	}
	return counted
}

func countUnread() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "argoseal_notary_log_unread_total",
		Help: "Looks for new entries at which the log's checkpoint or tiles could not be read, or did not hold. Its answers decide then.",
	})
}

// Metrics tells what proved entries.
func (l *Log) Metrics() []prometheus.Collector { return []prometheus.Collector{l.proofs, l.unread} }
