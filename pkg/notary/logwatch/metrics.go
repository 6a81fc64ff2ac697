package logwatch

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/argoseal/argoseal/pkg/reason"
)

var (
	consistentDesc = prometheus.NewDesc("argoseal_notary_log_consistent",
		"1 if the log had everything that it had before at the last look that found out anything; 0 if not, or if there was none.", nil, nil)
	checkedDesc = prometheus.NewDesc("argoseal_notary_log_checked_timestamp_seconds",
		"When that look began; 0: there was none.", nil, nil)
	entriesDesc = prometheus.NewDesc("argoseal_notary_log_entries",
		"Entries of the log in the last checkpoint that extends all before it.", nil, nil)
	alarmsDesc = prometheus.NewDesc("argoseal_notary_log_alarms_total",
		"How often the log turned from well to something else, as this replica wrote it down.", []string{"reason"}, nil)
)

// alarms are the values of the label reason.
var alarms = []reason.Code{reason.LogForked, reason.LogRolledBack, reason.LogUnchecked}

func (w *Watcher) count(code reason.Code) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts == nil {
		w.counts = map[reason.Code]float64{}
	}
	w.counts[code]++
}

// Metrics tells how the log is. Its labels are a closed set.
func (w *Watcher) Metrics() prometheus.Collector { return metrics{w} }

type metrics struct{ watcher *Watcher }

// Describe implements prometheus.Collector.
func (metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{consistentDesc, checkedDesc, entriesDesc, alarmsDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m metrics) Collect(to chan<- prometheus.Metric) {
	w := m.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	consistent, checked := 0.0, 0.0
	if !w.at.IsZero() {
		checked = float64(w.at.UnixMilli()) / 1000
		if w.found == nil {
			consistent = 1
		}
	}
	to <- prometheus.MustNewConstMetric(consistentDesc, prometheus.GaugeValue, consistent)
	to <- prometheus.MustNewConstMetric(checkedDesc, prometheus.GaugeValue, checked)
	to <- prometheus.MustNewConstMetric(entriesDesc, prometheus.GaugeValue, float64(w.kept.size))
	for _, code := range alarms {
		to <- prometheus.MustNewConstMetric(alarmsDesc, prometheus.CounterValue, w.counts[code], string(code))
	}
}
