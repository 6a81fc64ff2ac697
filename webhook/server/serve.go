package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

const (
	headerTimeout = 5 * time.Second
	// bodyTimeout bounds reading a request, answerTimeout reading and answering.
	bodyTimeout   = 15 * time.Second
	answerTimeout = bodyTimeout + longestTimeout
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	// drainTimeout bounds the wait for requests at work once no new ones come.
	drainTimeout = longestTimeout
)

// maxConnections is how many a host may have. An API server has one for each request that
// is at work, and some more for the next ones.
const maxConnections = 1024

// connections of each host.
type connections struct {
	mu sync.Mutex
	of map[string]int
}

// changed closes a new connection of a host that has as many as it may have.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	host := hostOf(conn.RemoteAddr().String())
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		if c.of[host]++; c.of[host] > maxConnections {
			_ = conn.Close() // its handshake fails, and it is counted out
		}
	case http.StateClosed, http.StateHijacked:
		if c.of[host]--; c.of[host] <= 0 {
			delete(c.of, host)
		}
	case http.StateActive, http.StateIdle:
	}
}

// HTTPS serves the handlers.
type HTTPS struct {
	Address        string
	Handler        http.Handler
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ShutdownDelay is how long to go on serving after the order to stop: until
	// then new requests may still be sent here.
	ShutdownDelay time.Duration
	Log           logr.Logger

	state atomic.Int32
}

const (
	stateNew int32 = iota
	stateServing
	stateDraining
)

var (
	errNotServing = errors.New("not serving yet")
	errDraining   = errors.New("shutting down")
)

// Ready is a readiness check: it serves, and is not about to stop.
func (s *HTTPS) Ready(*http.Request) error {
	switch s.state.Load() {
	case stateServing:
		return nil
	case stateDraining:
		return errDraining
	}
	return errNotServing
}

// Run serves until ctx ends, then for ShutdownDelay more, then finishes what
// is at work.
func (s *HTTPS) Run(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return s.serve(ctx, listener)
}

func (s *HTTPS) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(logr.ToSlogHandler(s.Log), slog.LevelInfo),
		TLSConfig: &tls.Config{
			// The API server speaks 1.3; 1.2 is for proxies in between.
			MinVersion:     tls.VersionTLS12,
			GetCertificate: s.GetCertificate,
			// What API servers speak to webhooks, so that several of us are asked. With
			// HTTP/2 each connection could have 250 requests and a MiB of buffers.
			NextProtos: []string{"http/1.1"},
		},
		ConnState: (&connections{of: map[string]int{}}).changed,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	s.state.Store(stateServing)
	s.Log.Info("serving", "address", listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("webhook: %w", err)
	case <-ctx.Done():
	}
	s.state.Store(stateDraining)
	s.Log.Info("draining", "delay", s.ShutdownDelay.String())
	delay := time.NewTimer(s.ShutdownDelay)
	defer delay.Stop()
	select {
	case err := <-failed:
		return fmt.Errorf("webhook: %w", err)
	case <-delay.C:
	}
	// Not ctx, which has ended: what is at work shall be answered.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return fmt.Errorf("webhook: drain: %w", err)
	}
	return nil
}
