//go:build integration

package notary

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/seal"
)

// rekor is a real Rekor v2 server behind a proxy.
type rekor struct {
	proxy       *proxy
	url         string
	trustedRoot []byte
	storage     string
}

// entries is how many the log has.
func (r *rekor) entries(tb testing.TB) int {
	tb.Helper()
	checkpoint, err := os.ReadFile(filepath.Join(r.storage, "checkpoint"))
	must(tb, err)
	lines := strings.Split(string(checkpoint), "\n")
	if len(lines) < 3 {
		tb.Fatalf("the checkpoint is %q", checkpoint)
	}
	size, err := strconv.Atoi(lines[1])
	must(tb, err)
	return size
}

// client makes a client that goes through the proxy.
func (r *rekor) client(tb testing.TB) seal.Log {
	tb.Helper()
	log, err := seal.NewRekorV2(r.url, testClaim*2/3)
	must(tb, err)
	return log
}

// startRekor runs a server of its own for a test.
func startRekor(t testing.TB) *rekor {
	t.Helper()
	binary := program("ARGOSEAL_REKOR_SERVER", "ARGOSEAL_BIN_REKOR_SERVER_POSIX")
	if binary == "" {
		t.Fatal("ARGOSEAL_REKOR_SERVER does not say where rekor-server (posix) is")
	}
	dir := t.TempDir()
	private, public, err := seal.NewLogKey()
	must(t, err)
	keyFile := filepath.Join(dir, "log.pem")
	must(t, os.WriteFile(keyFile, private, 0o600))
	http := freePort(t)
	ctx, stop := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, binary, "serve",
		"--http-address=127.0.0.1", "--http-port="+http, "--grpc-address=127.0.0.1", "--grpc-port="+freePort(t),
		"--http-metrics-port="+freePort(t), "--hostname=localhost", "--storage-dir="+filepath.Join(dir, "log"),
		"--signer-filepath="+keyFile, "--checkpoint-interval=100ms", "--batch-max-age=50ms")
	var said strings.Builder
	server.Stdout, server.Stderr = &said, &said
	must(t, server.Start())
	t.Cleanup(func() {
		stop()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("rekor-server said:\n%s", said.String())
		}
	})
	r := &rekor{proxy: startProxy(t, "127.0.0.1:"+http), storage: filepath.Join(dir, "log")}
	r.url = "http://localhost:" + port(t, r.proxy.listener.Addr())
	r.trustedRoot, err = seal.TrustedRootJSON(r.url, public, time.Now().Add(-time.Minute))
	must(t, err)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+http, time.Second)
		if err == nil {
			_ = c.Close()
			return r
		}
		if time.Now().After(deadline) {
			t.Fatal("rekor-server does not listen")
		}
	}
}

func freePort(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	defer func() { _ = l.Close() }()
	return port(tb, l.Addr())
}

func port(tb testing.TB, a net.Addr) string {
	tb.Helper()
	_, p, err := net.SplitHostPort(a.String())
	must(tb, err)
	return p
}

// What a proxy does with connections.
const (
	proxyPasses  int32 = iota
	proxyRefuses       // hang up at once
	proxyCuts          // deliver what is asked, and hang up instead of answering
	proxyAlters        // change what is answered
)

// proxy stands between the notaries and the log.
type proxy struct {
	listener net.Listener
	backend  string
	mode     atomic.Int32
}

func startProxy(t testing.TB, backend string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: l, backend: backend}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	if p.mode.Load() == proxyRefuses {
		return
	}
	server, err := net.Dial("tcp", p.backend)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		switch p.mode.Load() {
		case proxyPasses:
		case proxyAlters:
			alter(buffer[:n])
		default:
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// alter makes the checkpoint one of another tree.
func alter(answer []byte) {
	if _, after, ok := bytes.Cut(answer, []byte(`"envelope":"`)); ok && len(after) > 0 {
		after[0] ^= 1
	}
}
