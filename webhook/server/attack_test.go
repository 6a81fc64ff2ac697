package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	admissionv1 "k8s.io/api/admission/v1"
)

// attacked is a webhook over TLS, and hosts beside the one that the API server has.
type attacked struct {
	address string
	roots   *tls.Config
}

// dial connects from a host, 127.0.0.N.
func (a *attacked) dial(ctx context.Context, host byte) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}}
	return d.DialContext(ctx, "tcp", a.address)
}

// dialTLS connects and shakes hands.
func (a *attacked) dialTLS(ctx context.Context, host byte) (net.Conn, error) {
	c, err := a.dial(ctx, host)
	if err != nil {
		return nil, err
	}
	over := tls.Client(c, a.roots)
	if err := over.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return over, nil
}

// underAttack serves with room for few connections.
func underAttack(t *testing.T) *attacked {
	t.Helper()
	certificate := httptest.NewTLSServer(nil)
	t.Cleanup(certificate.Close)
	s := &HTTPS{
		Handler: handlers(t, "enforce").Mux(), Log: logr.Discard(), connections: newConnections(96, 64),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate.TLS.Certificates[0], nil },
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- s.serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		<-stopped // whose requests hold on is of no matter
	})
	return &attacked{listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}}
}

// admit has the API server ask about a pod of some size, over a new connection.
func (a *attacked) admit(t *testing.T, body []byte) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return a.dialTLS(ctx, 1) }}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+a.address+PathDeletion+"?timeout=10s", bytes.NewReader(body))
	check(t, err)
	r.Header.Set("Content-Type", "application/json")
	start := time.Now()
	answer, err := transport.RoundTrip(r)
	took := time.Since(start)
	if err != nil {
		return took, err
	}
	defer func() { _ = answer.Body.Close() }()
	var said admissionv1.AdmissionReview
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return took, fmt.Errorf("%d: %w", answer.StatusCode, err)
	}
	if said.Response == nil || !said.Response.Allowed {
		return took, fmt.Errorf("%d: %+v", answer.StatusCode, said.Response)
	}
	return took, nil
}

// deletion is an honest request, whose answer needs nothing else.
func honestDeletion(t *testing.T, size int) []byte {
	t.Helper()
	return review(t, func(r *admissionv1.AdmissionRequest) {
		r.Operation = admissionv1.Delete
		r.OldObject.Raw = fmt.Appendf(nil, `{"metadata":{"name":"web","namespace":"team","annotations":{"a":%q}}}`, strings.Repeat("x", size))
		r.Object.Raw = nil
	})
}

// header is of a request that says to be so large, or nothing.
func header(size int) string {
	said := "Transfer-Encoding: chunked"
	if size >= 0 {
		said = fmt.Sprint("Content-Length: ", size)
	}
	return "POST " + PathDeletion + "?timeout=30s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + said + "\r\n\r\n"
}

// begins is the beginning of a request about the honest namespace, longer than what is read
// at once.
func begins(size int) string {
	head := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","namespace":"team","operation":"DELETE","oldObject":{"a":"`
	return head + strings.Repeat("x", size-len(head))
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

// Whoever reaches the webhook's port past the API server, from two hosts and from many,
// makes nobody's admission take a second.
func TestWhoAttacksPastTheAPIServerStarvesNobody(t *testing.T) {
	request := func(text string) func(context.Context, *attacked, byte) {
		return func(ctx context.Context, a *attacked, host byte) {
			c, err := a.dialTLS(ctx, host)
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			trickle(ctx, c, text)
		}
	}
	const pause = 250 * time.Millisecond // client and server share this machine's processor
	for name, c := range map[string]struct {
		// hosts attack with so many connections each, over and over again.
		hosts, each int
		pause       time.Duration
		attack      func(context.Context, *attacked, byte)
	}{
		"nobody":                        {0, 0, 0, nil},
		"connections that say nothing":  {2, 64, pause, silent},
		"handshakes":                    {4, 4, time.Millisecond, hello},
		"headers that come slowly":      {2, 60, pause, request("POST /validate-pod HTTP/1.1\r\nX: ")},
		"bodies that do not begin":      {2, 60, pause, request(header(largestBody))},
		"large bodies that come slowly": {2, 60, pause, request(header(largestBody) + begins(headSize+100))},
		"ordinary ones":                 {2, 60, pause, request(header(ordinaryBody) + begins(headSize+100))},
		"ones that do not say":          {2, 60, pause, request(header(-1) + fmt.Sprintf("%x\r\n", 1<<20) + begins(headSize+100))},
		"many hosts":                    {40, 4, pause, request(header(ordinaryBody) + begins(headSize+100))},
		"all but the last byte":         {3, 8, pause, request(header(largestBody) + begins(largestBody-1000))},
		"all but that of ordinary ones": {20, 5, pause, request(header(ordinaryBody) + begins(ordinaryBody-1000))},
		"huge ones":                     {2, 8, pause, request(header(1<<40) + begins(1<<20))},
	} {
		t.Run(name, func(t *testing.T) {
			a := underAttack(t)
			ctx, stop := context.WithCancel(t.Context())
			var all sync.WaitGroup
			defer all.Wait()
			defer stop()
			for host := range c.hosts {
				for range c.each {
					all.Go(func() {
						for ctx.Err() == nil {
							once, cancel := context.WithTimeout(ctx, 20*time.Second)
							c.attack(once, a, byte(10+host))
							cancel()
							time.Sleep(c.pause)
						}
					})
				}
			}
			if c.hosts > 0 {
				time.Sleep(1500 * time.Millisecond)
			}
			small, large := honestDeletion(t, 20<<10), honestDeletion(t, 1<<20)
			for _, body := range [][]byte{small, small, large, small, large, small} {
				if took, err := a.admit(t, body); err != nil || took > promptly {
					t.Errorf("%d KiB: after %s, %v", len(body)>>10, took, err)
				}
			}
		})
	}
}

// silent holds a connection.
func silent(ctx context.Context, a *attacked, host byte) {
	c, err := a.dial(ctx, host)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	gone := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Now()) })
	defer gone()
	_, _ = c.Read(make([]byte, 1))
}

// hello begins a handshake, and hears no more than that it is answered.
func hello(ctx context.Context, a *attacked, host byte) {
	c, err := a.dial(ctx, host)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_ = tls.Client(deaf{c}, a.roots).HandshakeContext(brief)
}

// deaf ends after the first bytes.
type deaf struct{ net.Conn }

func (d deaf) Read(p []byte) (int, error) {
	_, _ = d.Conn.Read(p[:1])
	return 0, io.EOF
}

// A connection has one request at a time: not the 250 of HTTP/2, whatever a client offers.
func TestAConnectionHasOneRequestAtATime(t *testing.T) {
	a := underAttack(t)
	for _, offers := range [][]string{{"h2"}, {"h2", "http/1.1"}, nil} {
		c, err := a.dial(t.Context(), 2)
		check(t, err)
		over := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: offers})
		err = over.HandshakeContext(t.Context())
		if agreed := over.ConnectionState().NegotiatedProtocol; agreed == "h2" || err == nil && len(offers) == 1 {
			t.Errorf("of %q it takes %q", offers, agreed)
		}
		if err == nil {
			_, _ = io.WriteString(over, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
			if code, err := status(over); err == nil && code < 400 {
				t.Errorf("HTTP/2 that was not agreed on is answered %d", code)
			}
		}
		_ = c.Close()
	}
}

// status of an answer.
func status(c io.Reader) (int, error) {
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// More of headers than an API server writes is not read.
func TestHeadersAreBounded(t *testing.T) {
	a := underAttack(t)
	for size, want := range map[int]int{4 << 10: http.StatusBadRequest, 32 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		c, err := a.dialTLS(t.Context(), 2)
		check(t, err)
		_, _ = io.WriteString(c, "POST "+PathDeletion+" HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", size)+"\r\n\r\n")
		if code, err := status(c); err != nil || code != want {
			t.Errorf("%d bytes: %d, %v", size, code, err)
		}
		_ = c.Close()
	}
}

// However much a request says, the log has little of it.
func TestALineOfTheLogIsShort(t *testing.T) {
	h := handlers(t, "enforce")
	longest := 0
	h.Log = funcr.New(func(_, line string) { longest = max(longest, len(line)) }, funcr.Options{})
	long := strings.Repeat("x", 100<<10)
	post(t, h.Mux(), PathValidate, review(t, func(r *admissionv1.AdmissionRequest) { r.UserInfo.Username = long }))
	post(t, h.Mux(), PathValidate, review(t, func(r *admissionv1.AdmissionRequest) {
		r.Name, r.Object.Raw = "", fmt.Appendf(nil, `{"metadata":{"name":%q}}`, long)
	}))
	if longest == 0 || longest > 4<<10 {
		t.Errorf("a line has %d bytes", longest)
	}
}
