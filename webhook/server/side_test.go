package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// Whoever reaches probes and metrics keeps neither from whom they are for.
func TestProbesAndMetricsAreAnsweredUnderAttack(t *testing.T) {
	ready := errors.New("not yet")
	probes := Probes(map[string]healthz.Checker{"ping": healthz.Ping}, map[string]healthz.Checker{"a": func(*http.Request) error { return ready }})
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "something"}))
	for name, c := range map[string]struct {
		handler http.Handler
		want    map[string]int
	}{
		"probes":  {probes, map[string]int{"/healthz": 200, "/healthz/ping": 200, "/readyz": 500, "/metrics": 404}},
		"metrics": {MetricsOf(registry), map[string]int{"/metrics": 200, "/": 404}},
	} {
		t.Run(name, func(t *testing.T) {
			side, err := Side(t.Context(), name, "127.0.0.1:0", c.handler, logr.Discard())
			check(t, err)
			ctx, stop := context.WithCancel(t.Context())
			var all sync.WaitGroup
			defer all.Wait()
			defer stop()
			all.Go(func() { _ = side.Server.Serve(side.Listener) })
			all.Go(func() {
				<-ctx.Done()
				_ = side.Server.Close()
			})
			address := side.Listener.Addr().String()
			a := &attacked{address: address}
			for host := range 8 {
				for range 20 {
					all.Go(func() {
						for ctx.Err() == nil {
							if conn, err := a.dial(ctx, byte(10+host)); err == nil {
								trickle(ctx, conn, "GET /metrics HTTP/1.1\r\nX: ")
								_ = conn.Close()
							}
							time.Sleep(100 * time.Millisecond)
						}
					})
				}
			}
			time.Sleep(500 * time.Millisecond)
			for path, want := range c.want {
				transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return a.dial(ctx, 1) }}
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s%s", address, path), nil)
				check(t, err)
				start := time.Now()
				answer, err := transport.RoundTrip(r)
				if took := time.Since(start); err != nil || answer.StatusCode != want || took > time.Second {
					t.Errorf("%s: %+v, %v, after %s, want %d", path, answer, err, took, want)
				}
				if err == nil {
					_, _ = io.Copy(io.Discard, answer.Body)
					_ = answer.Body.Close()
				}
			}
		})
	}
	if none, err := Side(t.Context(), "none", "0", probes, logr.Discard()); none != nil || err != nil {
		t.Errorf("address 0 gives %v, %v", none, err)
	}
}
