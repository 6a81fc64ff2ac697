//go:build integration

package sealtest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/seal"
)

// rekorVariable names the server to test with; make integration sets it.
const rekorVariable = "ARGOSEAL_BIN_REKOR_SERVER_POSIX"

// Rekor is a real Rekor v2 server.
type Rekor struct {
	Backend
	// URL is where it takes entries, and Folder where it publishes them.
	URL, Folder string
}

// StartRekor runs one with a key and a folder of its own until the test ends, with the
// chart's flags and these.
func StartRekor(tb testing.TB, flags ...string) Rekor {
	tb.Helper()
	dir := tb.TempDir()
	private, public, err := seal.NewLogKey()
	check(tb, err)
	key, port := filepath.Join(dir, "log.pem"), FreePort(tb)
	check(tb, os.WriteFile(key, private, 0o600))
	r := Rekor{URL: "http://localhost:" + port, Folder: filepath.Join(dir, "log")}
	ServeRekor(tb, key, r.Folder, port, flags...)
	r.Log, err = seal.NewRekorV2(r.URL, 20*time.Second)
	check(tb, err)
	r.TrustedRoot, err = seal.TrustedRootJSON(r.URL, public, time.Now().Add(-time.Minute))
	check(tb, err)
	return r
}

// ServeRekor runs one until the test ends: the key file is the log's, and the folder is its
// volume.
func ServeRekor(tb testing.TB, key, folder, port string, flags ...string) {
	tb.Helper()
	binary := os.Getenv(rekorVariable)
	if binary == "" {
		tb.Fatalf("%s is not set; run this with make integration", rekorVariable)
	}
	ctx, stop := context.WithCancel(context.Background())       // outlives tb.Context, which ends before cleanup
	server := exec.CommandContext(ctx, binary, append([]string{ // #nosec G702 -- a test's own program and flags
		"serve", "--http-address=127.0.0.1", "--http-port=" + port, "--grpc-address=127.0.0.1", "--grpc-port=" + FreePort(tb),
		"--http-metrics-port=" + FreePort(tb), "--hostname=localhost", "--storage-dir=" + folder,
		"--signer-filepath=" + key, "--checkpoint-interval=100ms", "--batch-max-age=50ms",
	}, flags...)...)
	var output strings.Builder
	server.Stdout, server.Stderr = &output, &output
	check(tb, server.Start())
	tb.Cleanup(func() {
		stop()
		_ = server.Wait()
		if tb.Failed() {
			tb.Logf("rekor-server said:\n%s", output.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("nothing listens on port %s", port)
		}
	}
}

// FreePort is one that nobody listens at on this machine, a moment ago.
func FreePort(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(tb, err)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	check(tb, err)
	return port
}
