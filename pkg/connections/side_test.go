package connections

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
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
			for host := range 8 {
				for range 20 {
					all.Go(func() {
						for ctx.Err() == nil {
							if conn, err := dial(ctx, address, byte(10+host)); err == nil {
								trickle(ctx, conn, "GET /metrics HTTP/1.1\r\nX: ")
								_ = conn.Close()
							}
							time.Sleep(100 * time.Millisecond)
						}
					})
				}
			}
			time.Sleep(500 * time.Millisecond)
			if n := len(heldBy(side)); n > sideConnections {
				t.Errorf("%d connections are open", n)
			}
			for path, want := range c.want {
				transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, address, 1) }}
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s%s", address, path), nil)
				check(t, err)
				start := time.Now()
				answer, err := transport.RoundTrip(r)
				if took := time.Since(start); err != nil || answer.StatusCode != want || took > promptly {
					t.Errorf("%s: %+v, %v, after %s, want %d", path, answer, err, took, want)
				}
				if err == nil {
					_, _ = io.Copy(io.Discard, answer.Body)
					_ = answer.Body.Close()
					_ = answer.Body.Close()
				}
			}
		})
	}
	if none, err := Side(t.Context(), "none", "0", probes, logr.Discard()); none != nil || err != nil {
		t.Errorf("address 0 gives %v, %v", none, err)
	}
}

// promptly is how soon an honest request is answered beside those that attack, which share
// a processor or two with it and the other tests.
const promptly = 4 * time.Second

// dial connects from a host, 127.0.0.N.
func dial(ctx context.Context, address string, host byte) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}}
	return d.DialContext(ctx, "tcp", address)
}

// trickle sends a text, and then a byte now and then.
func trickle(ctx context.Context, c net.Conn, text string) {
	_, err := io.WriteString(c, text)
	for err == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
			_, err = io.WriteString(c, "x")
		}
	}
}

// heldBy are the connections that a server has, by host.
func heldBy(s *manager.Server) map[*connection]struct{} {
	set := s.Listener.(*listener).set
	set.mu.Lock()
	defer set.mu.Unlock()
	return maps.Clone(set.all)
}

// Of one host there are few connections, and whoever says nothing for long is cut off; an
// honest one is answered on its connection again and again.
func TestOneHostHasFewConnectionsBeside(t *testing.T) {
	side, err := Side(t.Context(), "probes", "127.0.0.1:0", Probes(nil, nil), logr.Discard())
	check(t, err)
	served := make(chan error, 1)
	go func() { served <- side.Server.Serve(side.Listener) }()
	t.Cleanup(func() {
		_ = side.Server.Close()
		<-served
	})
	address := side.Listener.Addr().String()
	honest, err := dial(t.Context(), address, 1)
	check(t, err)
	defer func() { _ = honest.Close() }()
	answers := bufio.NewReader(honest)
	ask := func() {
		t.Helper()
		_, err := io.WriteString(honest, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		check(t, err)
		answer, err := http.ReadResponse(answers, nil)
		check(t, err)
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("it is answered %d", answer.StatusCode)
		}
	}
	ask()
	const many = 3 * sidePerHost
	began := time.Now()
	var all sync.WaitGroup
	lived := make([]time.Duration, many)
	for i := range many {
		c, err := dial(t.Context(), address, 2)
		check(t, err)
		all.Go(func() {
			defer func() { _ = c.Close() }()
			_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nX: ")
			_ = c.SetReadDeadline(began.Add(4 * headerTimeout))
			_, _ = io.Copy(io.Discard, c)
			lived[i] = time.Since(began)
		})
	}
	deadline := time.Now().Add(promptly)
	for len(heldBy(side)) > sidePerHost+1 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := len(heldBy(side)); n > sidePerHost+1 {
		t.Errorf("there are %d connections, want %d of a host", n, sidePerHost)
	}
	ask()
	all.Wait()
	for _, d := range lived {
		if d > 3*headerTimeout {
			t.Errorf("one that says nothing lives for %s", d)
		}
	}
}

// However many ask for metrics at once, a few are gathered at a time, and the others come
// again.
func TestAFewScrapesAreAnsweredAtOnce(t *testing.T) {
	gathering, end := make(chan struct{}), make(chan struct{})
	handler := MetricsOf(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		gathering <- struct{}{}
		<-end
		return nil, nil
	}))
	ask := func() int {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return answer.Code
	}
	done := make(chan int, scrapesAtOnce)
	for range scrapesAtOnce {
		go func() { done <- ask() }()
		<-gathering
	}
	more := make(chan int, 1)
	go func() { more <- ask() }()
	select {
	case <-gathering:
		t.Error("one more is gathered")
	case code := <-more:
		if code != http.StatusServiceUnavailable {
			t.Errorf("one more is answered %d", code)
		}
	}
	close(end)
	for range scrapesAtOnce {
		if code := <-done; code != http.StatusOK {
			t.Errorf("it is answered %d", code)
		}
	}
}

// A program that serves them has the manager serve none, and ends with it.
func TestSidesAreServedByAManager(t *testing.T) {
	mgr, err := ctrl.NewManager(&rest.Config{Host: "http://127.0.0.1:1"}, ctrl.Options{
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return meta.NewDefaultRESTMapper(nil), nil },
	})
	check(t, err)
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		defer func() { _ = l.Close() }()
		return l.Addr().String()
	}
	ready := errors.New("not yet")
	s := Sides{Metrics: free(), Probes: free(), Alive: map[string]healthz.Checker{"ping": healthz.Ping}, Ready: map[string]healthz.Checker{"a": func(*http.Request) error { return ready }}}
	check(t, s.Serve(t.Context(), mgr, logr.Discard()))
	if err := (Sides{Metrics: s.Metrics, Probes: "0"}).Serve(t.Context(), mgr, logr.Discard()); err == nil {
		t.Error("an address that is taken is no error")
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }()
	for url, want := range map[string]int{s.Metrics + "/metrics": 200, s.Probes + "/healthz": 200, s.Probes + "/readyz": 500, s.Probes + "/metrics": 404} {
		got := 0
		for range 100 {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+url, nil)
			check(t, err)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				time.Sleep(50 * time.Millisecond) // it has not begun
				continue
			}
			_ = answer.Body.Close()
			got = answer.StatusCode
			break
		}
		if got != want {
			t.Errorf("%s is answered %d, want %d", url, got, want)
		}
	}
	stop()
	check(t, <-stopped)
}
