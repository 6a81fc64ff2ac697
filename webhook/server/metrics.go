package server

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/argoseal/argoseal/pkg/reason"
)

// operation is what was asked; a closed enumeration.
type operation string

const (
	opMutate operation = "mutate"
	opCreate operation = "create"
	opUpdate operation = "update"
	opDebug  operation = "debug"
	opDelete operation = "delete"
	opCopies operation = "copies"
	opEvict  operation = "evict"
	opExec   operation = "exec"
	opOther  operation = "other"
)

// answer is what was said; a closed enumeration.
type answer string

const (
	answerAllow answer = "allow" // admitted without objection
	answerWarn  answer = "warn"  // admitted with a warning, mode warn
	answerAudit answer = "audit" // admitted with an audit annotation, mode audit
	answerRetry answer = "retry" // 429
	answerDeny  answer = "deny"  // 403
)

// Metrics of the webhook. Their labels are closed enumerations.
type Metrics struct {
	decisions *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	inFlight  prometheus.Gauge
}

// NewMetrics registers the webhook's metrics. expiry is the serving
// certificate's end, root whether a trusted root is loaded.
func NewMetrics(r prometheus.Registerer, expiry func() time.Time, root func() bool) (*Metrics, error) {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "argoseal_admission_decisions_total",
			Help: "Admission decisions, by operation, decision and reason code.",
		}, []string{"operation", "decision", "reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "argoseal_admission_duration_seconds",
			Help:    "Time an admission decision took, by operation.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"operation"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "argoseal_admission_in_flight",
			Help: "Admission requests at work.",
		}),
	}
	collectors := []prometheus.Collector{m.decisions, m.duration, m.inFlight,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "argoseal_webhook_certificate_expiry_timestamp_seconds",
			Help: "End of the serving certificate's validity; 0 if there is none.",
		}, func() float64 {
			if t := expiry(); !t.IsZero() {
				return float64(t.Unix())
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "argoseal_webhook_trusted_root_loaded",
			Help: "1 if a trusted root is loaded, else 0.",
		}, func() float64 {
			if root() {
				return 1
			}
			return 0
		}),
	}
	for _, c := range collectors {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) observe(op operation, a answer, code reason.Code, took time.Duration) {
	m.decisions.WithLabelValues(string(op), string(a), string(label(code))).Inc()
	m.duration.WithLabelValues(string(op)).Observe(took.Seconds())
}

// label keeps what is not a code of ours out of the labels.
func label(code reason.Code) reason.Code {
	if code == "" || slices.Contains(reason.All(), code) {
		return code
	}
	return reason.Internal
}
