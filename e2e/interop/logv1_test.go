//go:build e2e

package interop

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// logV1 is a Rekor v1, with the processes that it needs.
type logV1 struct {
	url         string
	key         crypto.PublicKey
	trustedRoot []byte

	dir, port, tree, trillian string
	server, log, signer       *process
}

// startV1 runs a Rekor v1 whose key is ECDSA P-256, until the test ends.
func startV1(t *testing.T) *logV1 {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return startV1With(t, key)
}

func startV1With(t *testing.T, key crypto.Signer) *logV1 {
	t.Helper()
	l := &logV1{dir: shortDir(t), port: freePort(t), trillian: freePort(t), key: key.Public()}
	l.url = "http://localhost:" + l.port
	l.trustedRoot = sealtest.TrustedRootOf(t, l.trusted(t))
	private, err := cryptoutils.MarshalPrivateKeyToPEM(key)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(l.dir, "log.pem"), private, 0o600))
	l.startDatabase(t)
	l.startTrillian(t)
	l.startSigner(t)
	created, err := exec.CommandContext(t.Context(), program(t, "createtree"), "--admin_server=127.0.0.1:"+l.trillian).Output()
	must(t, err)
	l.tree = strings.TrimSpace(string(created))
	l.startServer(t)
	return l
}

// trusted is the log as a trusted root has it. As in that of the public instance, its id
// is the digest of its key.
func (l *logV1) trusted(t *testing.T) *root.TransparencyLog {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(l.key)
	must(t, err)
	id := sha256.Sum256(spki)
	return &root.TransparencyLog{
		BaseURL: l.url, ID: id[:], HashFunc: crypto.SHA256, SignatureHashFunc: crypto.SHA256, PublicKey: l.key,
		ValidityPeriodStart: time.Now().Add(-time.Hour).UTC().Truncate(time.Second),
	}
}

func (l *logV1) socket() string { return filepath.Join(l.dir, "db.sock") }

// startDatabase runs a MariaDB of the test's own, which no port leads to. In a folder for
// temporary files that others have, too, one takes away what another one needs.
func (l *logV1) startDatabase(t *testing.T) {
	t.Helper()
	data := filepath.Join(l.dir, "data")
	me, err := user.Current()
	must(t, err)
	_, err = run(t, nil, ofDebian(t, "mariadb-install-db"), "--no-defaults", "--datadir="+data, "--user="+me.Username, "--tmpdir="+l.dir,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--force") // it asks no DNS
	must(t, err)
	start(t, l.dir, "mariadb", ofDebian(t, "mariadbd"), "--no-defaults", "--datadir="+data, "--user="+me.Username, "--tmpdir="+l.dir,
		"--socket="+l.socket(), "--skip-networking", "--pid-file="+filepath.Join(l.dir, "db.pid"), "--innodb-buffer-pool-size=32M")
	sources, err := part.ModuleDir(t.Context(), "trillian")
	must(t, err)
	schema, err := os.ReadFile(filepath.Join(sources, "storage", "mysql", "schema", "storage.sql"))
	must(t, err)
	client := []string{"--no-defaults", "--user=root", "--socket=" + l.socket()}
	await(t, "MariaDB answers", func() error {
		_, err := run(t, []byte("CREATE DATABASE IF NOT EXISTS trillian"), ofDebian(t, "mariadb"), client...)
		return err
	})
	_, err = run(t, schema, ofDebian(t, "mariadb"), append(client, "trillian")...)
	must(t, err)
}

// storage are the flags of both programs of Trillian's.
func (l *logV1) storage(t *testing.T, port string) []string {
	t.Helper()
	return []string{
		"--storage_system=mysql", "--quota_system=noop",
		"--mysql_uri=root@unix(" + l.socket() + ")/trillian?parseTime=true&interpolateParams=true",
		"--rpc_endpoint=127.0.0.1:" + port, "--http_endpoint=", "--logtostderr",
	}
}

func (l *logV1) startTrillian(t *testing.T) {
	t.Helper()
	l.log = start(t, l.dir, "trillian_log_server", program(t, "trillian_log_server"), l.storage(t, l.trillian)...)
	await(t, "Trillian listens", func() error { return listens(l.trillian) })
}

func (l *logV1) startSigner(t *testing.T) {
	t.Helper()
	l.signer = start(t, l.dir, "trillian_log_signer", program(t, "trillian_log_signer"),
		append(l.storage(t, freePort(t)), "--force_master", "--sequencer_interval=50ms")...)
}

// startServer starts Rekor, with all that it needs and nothing else: no index, which it
// would need another server for, and no attestations. Its metrics it serves on port 2112 of
// all addresses, if that is free, and cannot be told not to.
func (l *logV1) startServer(t *testing.T) {
	t.Helper()
	l.server = start(t, l.dir, "rekor-server", program(t, "rekor-server"), "serve",
		"--trillian_log_server.address=127.0.0.1", "--trillian_log_server.port="+l.trillian, "--trillian_log_server.tlog_id="+l.tree,
		"--rekor_server.address=127.0.0.1", "--rekor_server.hostname=localhost", "--rekor_server.signer="+filepath.Join(l.dir, "log.pem"), "--port="+l.port,
		"--enable_retrieve_api=false", "--enabled_api_endpoints=getLogInfo,getPublicKey,getLogProof,createLogEntry,searchLogQuery,getLogEntryByIndex,getLogEntryByUUID")
	await(t, "Rekor v1 answers", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+"/api/v1/log", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", response.Status)
		}
		return nil
	})
}

// ofDebian is a program of Debian's packages mariadb-server-core and mariadb-client-core.
func ofDebian(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/"} { // where users do not look for it
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	t.Fatalf("no %s: apt-get install mariadb-server-core mariadb-client-core", name)
	return ""
}

// shortDir is a folder whose sockets have names that are not too long.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "interop")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// freeze has it do nothing, and thaw go on.
func (p *process) freeze(t *testing.T) { must(t, p.Process.Signal(syscall.SIGSTOP)) }
func (p *process) thaw(t *testing.T)   { must(t, p.Process.Signal(syscall.SIGCONT)) }
