package keeper

import "github.com/prometheus/client_golang/prometheus"

var (
	readDesc = prometheus.NewDesc("argoseal_trust_followed_timestamp_seconds",
		"When the TUF repository that the trusted root follows was read and verified last; 0: never.", nil, nil)
	expiresDesc = prometheus.NewDesc("argoseal_trust_followed_expires_timestamp_seconds",
		"When what was verified of that repository ends, by role: from then on nothing newer can be told from something old.", []string{"role"}, nil)
)

// Metrics tells how up to date the trusted root is. Its label is a closed set.
func (k *Keeper) Metrics() prometheus.Collector { return metrics{k} }

type metrics struct{ keeper *Keeper }

// Describe implements prometheus.Collector.
func (metrics) Describe(to chan<- *prometheus.Desc) {
	to <- readDesc
	to <- expiresDesc
}

// Collect implements prometheus.Collector.
func (m metrics) Collect(to chan<- prometheus.Metric) {
	roles, last := m.keeper.roles()
	read := 0.0
	if !last.Read.IsZero() {
		read = float64(last.Read.Unix())
	}
	to <- prometheus.MustNewConstMetric(readDesc, prometheus.GaugeValue, read)
	for _, role := range roles {
		to <- prometheus.MustNewConstMetric(expiresDesc, prometheus.GaugeValue, float64(last.Roles[role].Until.Unix()), string(role))
	}
}
