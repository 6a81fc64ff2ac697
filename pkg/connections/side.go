package connections

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

const (
	// sideConnections is how many there may be for metrics or probes, and sidePerHost how
	// many of them a host may have. They have few readers, and everybody reaches them.
	sideConnections = 64
	sidePerHost     = 16
	sideTimeout     = 10 * time.Second
	// headerTimeout bounds reading a request, which has no body. idleTimeout bounds
	// how long a connection waits for its next request. maxHeader bounds the
	// headers, in bytes; net/http adds 4 KiB.
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 8 << 10
	// scrapesAtOnce is how many scrapes are answered at once. Others are told to
	// come again.
	scrapesAtOnce = 4
)

// Side serves metrics or probes beside a program's own work, to everybody who
// reaches the address; nil if that is 0.
func Side(ctx context.Context, name, address string, handler http.Handler, to logr.Logger) (*manager.Server, error) {
	if address == "0" || address == "" {
		return nil, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	few := New(Limits{All: sideConnections, PerHost: sidePerHost})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	drain := sideTimeout
	return &manager.Server{
		Name: name, Listener: few.Listener(listener), ShutdownTimeout: &drain,
		Server: &http.Server{
			Handler: handler, Protocols: protocols, ConnState: Changed,
			ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: sideTimeout + headerTimeout,
			IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
			ErrorLog: log.New(&Seldom{Log: to}, "", 0),
		},
	}, nil
}

// MetricsOf serves /metrics.
func MetricsOf(all prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(all, promhttp.HandlerOpts{
		ErrorHandling: promhttp.HTTPErrorOnError, MaxRequestsInFlight: scrapesAtOnce, Timeout: sideTimeout,
	}))
	return mux
}

// Probes serves /healthz and /readyz.
func Probes(alive, ready map[string]healthz.Checker) http.Handler {
	mux := http.NewServeMux()
	for path, checks := range map[string]map[string]healthz.Checker{"/healthz": alive, "/readyz": ready} {
		handler := http.StripPrefix(path, &healthz.Handler{Checks: checks})
		mux.Handle(path, handler)
		mux.Handle(path+"/", handler)
	}
	return mux
}

// Sides are what a program serves beside.
type Sides struct {
	// Metrics and Probes are the addresses; 0 is none.
	Metrics, Probes string
	// Alive and Ready are checked for /healthz and /readyz; nil: there is nothing to check.
	Alive, Ready map[string]healthz.Checker
}

// Serve has a manager serve them, with what is registered for metrics. The manager is to
// serve none by itself: it bounds nothing.
func (s Sides) Serve(ctx context.Context, mgr manager.Manager, to logr.Logger) error {
	probes, err := Side(ctx, "probes", s.Probes, Probes(s.Alive, s.Ready), to.WithName("probes"))
	if err != nil {
		return err
	}
	measures, err := Side(ctx, "metrics", s.Metrics, MetricsOf(metrics.Registry), to.WithName("metrics"))
	if err != nil {
		if probes != nil {
			err = errors.Join(err, probes.Listener.Close())
		}
		return err
	}
	for _, one := range []*manager.Server{probes, measures} {
		if one != nil {
			if err := mgr.Add(one); err != nil {
				return fmt.Errorf("%s: %w", one.Name, err)
			}
		}
	}
	return nil
}
