package server

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
)

const (
	// sideConnections is how many there may be for metrics or probes, and sidePerHost how
	// many of them a host may have. They have few readers, and everybody reaches them.
	sideConnections = 64
	sidePerHost     = 16
	sideTimeout     = 10 * time.Second
	// scrapesAtOnce are answered, and others told to come again.
	scrapesAtOnce = 4
)

// Side serves metrics or probes beside the webhook, to whom reaches it; nil if the address
// is 0.
func Side(ctx context.Context, name, address string, handler http.Handler, to logr.Logger) (*manager.Server, error) {
	if address == "0" || address == "" {
		return nil, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	few := newConnections()
	few.most, few.perHost = sideConnections, sidePerHost
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	drain := sideTimeout
	return &manager.Server{
		Name: name, Listener: &limitedListener{Listener: listener, connections: few}, ShutdownTimeout: &drain,
		Server: &http.Server{
			Handler: handler, Protocols: protocols, ConnState: changed,
			ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: sideTimeout + headerTimeout,
			IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
			ErrorLog: log.New(&seldom{log: to}, "", 0),
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

// AddSides has a manager run those that are some.
func AddSides(mgr manager.Manager, sides ...*manager.Server) error {
	var errs []error
	for _, s := range sides {
		if s != nil {
			errs = append(errs, mgr.Add(s))
		}
	}
	return errors.Join(errs...)
}
