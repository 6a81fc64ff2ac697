package seal

import "github.com/prometheus/client_golang/prometheus"

// How asking for a timestamp ended.
const (
	stampGood    = "timestamped"
	stampFailed  = "failed"
	stampLeftOut = "left_out"
)

func countStamps() *prometheus.CounterVec {
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "argoseal_notary_timestamps_total",
		Help: "Times that a seal needed a timestamp, by result: timestamped, failed (the seal waits) or left_out (it goes without).",
	}, []string{"result"})
	for _, result := range []string{stampGood, stampFailed, stampLeftOut} {
		counted.WithLabelValues(result)
	}
	return counted
}

// How asking for a certificate ended.
const (
	certificateGood   = "certified"
	certificateFailed = "failed"
)

func countCertificates() *prometheus.CounterVec {
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "argoseal_notary_certificates_total",
		Help: "Times that Fulcio was asked for a certificate, by result: certified, or failed (the one before goes on as long as it counts).",
	}, []string{"result"})
	for _, result := range []string{certificateGood, certificateFailed} {
		counted.WithLabelValues(result)
	}
	return counted
}

// Metrics tells how often Fulcio certified, and how often not.
func (f *Fulcio) Metrics() prometheus.Collector { return f.counted }

// Metrics tells how often there was a timestamp, and how often not.
func (t *Timestamps) Metrics() prometheus.Collector { return t.counted }
