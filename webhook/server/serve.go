package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/argoseal/argoseal/pkg/connections"
	"github.com/argoseal/argoseal/pkg/fairshare"
)

const (
	// maxConnections is how many a host may have. An API server has one for each request
	// that is at work, and some more for the next ones.
	maxConnections = 1024
	// maxAllConnections is for some API servers that do that. One takes some 40 KiB.
	maxAllConnections = 2048
	// handshakesAtOnce bounds the handshakes that are computed at a time, each a
	// signature: whoever asks for many does not have all of the processor.
	handshakesAtOnce = 16

	headerTimeout = 5 * time.Second
	// bodyTimeout bounds reading a request, answerTimeout reading and answering.
	bodyTimeout   = 15 * time.Second
	answerTimeout = bodyTimeout + longestTimeout
	idleTimeout   = 2 * time.Minute
	// maxHeader is several times what an API server writes. net/http adds 4 KiB.
	maxHeader = 8 << 10
	// drainTimeout bounds the wait for requests at work once no new ones come.
	drainTimeout = longestTimeout
)

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
	// connections that there may be; nil: as many as there may be.
	connections *connections.Set
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

// newConnections allows so many, and shares out the handshakes by host.
func newConnections(all, perHost int) *connections.Set {
	handshakes := fairshare.New(handshakesAtOnce)
	return connections.New(connections.Limits{All: all, PerHost: perHost, Patience: headerTimeout,
		Turn: func(ctx context.Context, host string) (release func(), err error) {
			return handshakes.Acquire(ctx, fairshare.Party{Host: host, Namespace: host}, 1)
		}})
}

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
	all := s.connections
	if all == nil {
		all = newConnections(maxAllConnections, maxConnections)
	}
	protocols := new(http.Protocols)
	// What API servers speak to webhooks, so that several of us are asked. With HTTP/2 each
	// connection could have 250 requests and a MiB of buffers.
	protocols.SetHTTP1(true)
	server := &http.Server{
		Handler:           s.Handler,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(&connections.Seldom{Log: s.Log}, "", 0),
		TLSConfig: &tls.Config{
			// The API server speaks 1.3; 1.2 is for proxies in between.
			MinVersion:         tls.VersionTLS12,
			GetCertificate:     s.GetCertificate,
			GetConfigForClient: all.Handshake,
		},
		ConnContext: connections.InContext,
		ConnState:   connections.Changed,
	}
	listener = all.Listener(listener)
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
