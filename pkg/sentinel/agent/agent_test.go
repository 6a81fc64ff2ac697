package agent_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/argoseal/argoseal/e2e/cluster/pki"
	"github.com/argoseal/argoseal/pkg/sentinel/agent"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

func TestFile(t *testing.T) {
	dir := t.TempDir()
	f := &agent.File{Path: filepath.Join(dir, "config.yaml")}
	if content, hash, err := f.Read(1); err != nil || hash != agent.Absent || len(content) != 0 {
		t.Fatalf("%q %s %v", content, hash, err)
	}
	if err := f.Write([]byte("one"), agent.Absent, 1); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(f.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
	for _, stale := range []string{agent.Absent, "", encryption.Hash([]byte("zero"))} {
		if err := f.Write([]byte("two"), stale, 1); !errors.Is(err, agent.ErrChanged) {
			t.Errorf("in place of %q: %v", stale, err)
		}
	}
	if err := f.Write([]byte("two"), encryption.Hash([]byte("one")), 1); err != nil {
		t.Fatal(err)
	}
	if content, hash, err := f.Read(1); err != nil || string(content) != "two" || hash != encryption.Hash(content) {
		t.Errorf("%q %s %v", content, hash, err)
	}
	// Who had the file open goes on with the old one: it was replaced, not written to.
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("something was left: %v, %v", entries, err)
	}
	// Whom the API server runs as still reads it, and nobody else.
	if err := errors.Join(os.Chmod(f.Path, 0o644), os.WriteFile(filepath.Join(dir, ".config.yaml.next"), []byte("left"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(f.Path, 1000, 1001); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.Stat(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write([]byte("three"), encryption.Hash([]byte("two")), 1); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(f.Path)
	if err != nil || after.Mode().Perm() != 0o640 {
		t.Fatalf("%v %v", after.Mode(), err)
	}
	if was, is := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t); is.Uid != was.Uid || is.Gid != was.Gid {
		t.Errorf("it is %d:%d's, and was %d:%d's", is.Uid, is.Gid, was.Uid, was.Gid)
	}
	if err := os.WriteFile(f.Path, bytes.Repeat([]byte("x"), 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Read(1); err == nil {
		t.Error("it read a file of any size")
	}
}

// serve starts an agent and returns its URL and what it logs.
func serve(t *testing.T, dir string, f *agent.File) (url string, logs *bytes.Buffer) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	logs = &bytes.Buffer{}
	log := funcr.New(func(prefix, args string) { fmt.Fprintln(logs, prefix, args) }, funcr.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- agent.Serve(ctx, l, agent.Handler(f, logr.New(log.GetSink())), files(dir, "server"), "argoseal-sentinel")
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "https://" + l.Addr().String(), logs
}

func files(dir, name string) agent.TLS {
	return agent.TLS{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key")}
}

func keys(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	authority, err := pki.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range []pki.Leaf{
		{Name: "server", CommonName: "server", Hosts: []string{"127.0.0.1"}},
		{Name: "sentinel", CommonName: "argoseal-sentinel"},
		{Name: "other", CommonName: "kubelet"},
	} {
		if err := authority.Issue(leaf); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestClientAndServer(t *testing.T) {
	dir := keys(t)
	f := &agent.File{Path: filepath.Join(dir, "config.yaml")}
	url, logs := serve(t, dir, f)
	config, err := files(dir, "sentinel").Config()
	if err != nil {
		t.Fatal(err)
	}
	client := agent.NewClient(url, config)
	if _, hash, err := client.Read(t.Context(), 1); err != nil || hash != agent.Absent {
		t.Fatalf("%s %v", hash, err)
	}
	if err := client.Write(t.Context(), []byte("a secret key"), agent.Absent, 1); err != nil {
		t.Fatal(err)
	}
	if err := client.Write(t.Context(), []byte("another"), agent.Absent, 1); !errors.Is(err, agent.ErrChanged) {
		t.Errorf("a write that was decided on before another: %v", err)
	}
	if content, hash, err := client.Read(t.Context(), 1); err != nil || string(content) != "a secret key" || hash != encryption.Hash(content) {
		t.Errorf("%q %s %v", content, hash, err)
	}
	if strings.Contains(logs.String(), "secret key") || !strings.Contains(logs.String(), "Wrote the file") {
		t.Errorf("it logged %s", logs)
	}
}

func TestOnlyTheController(t *testing.T) {
	dir := keys(t)
	f := &agent.File{Path: filepath.Join(dir, "config.yaml")}
	if err := os.WriteFile(f.Path, []byte("a secret key"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, _ := serve(t, dir, f)
	other, err := files(dir, "other").Config()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := files(keys(t), "sentinel").Config()
	if err != nil {
		t.Fatal(err)
	}
	foreign.RootCAs = other.RootCAs
	for who, config := range map[string]*tls.Config{
		"a certificate of another name":      other,
		"a certificate of another authority": foreign,
		"no certificate":                     {RootCAs: other.RootCAs, MinVersion: tls.VersionTLS13},
	} {
		if content, _, err := agent.NewClient(url, config).Read(t.Context(), 1); err == nil {
			t.Errorf("with %s it gave %q", who, content)
		}
	}
}

// rendered is a file with a key that is made of one letter.
func rendered(t *testing.T, letter string) []byte {
	t.Helper()
	key, err := encryption.NewKey(encryption.Secretbox, 0, time.Unix(1_800_000_000, 0), strings.NewReader(strings.Repeat(letter, 64)))
	if err != nil {
		t.Fatal(err)
	}
	config, err := encryption.NewConfig(key)
	if err != nil {
		t.Fatal(err)
	}
	content, err := config.Render([]string{"secrets"})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// An operator that was paused while another took over writes nothing more: not where
// the other has looked, and not where the agent has forgotten who looked.
func TestOnlyWhoLookedLastWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	f := &agent.File{Path: path}
	if err := f.Write([]byte("one"), agent.Absent, 7); !errors.Is(err, agent.ErrOutdated) {
		t.Errorf("nobody has looked: %v", err)
	}
	for _, nobody := range []int64{0, -1} {
		if _, _, err := f.Read(nobody); !errors.Is(err, agent.ErrOutdated) {
			t.Errorf("term %d reads: %v", nobody, err)
		}
	}
	read := func(f *agent.File, term int64) {
		t.Helper()
		if _, _, err := f.Read(term); err != nil {
			t.Fatal(err)
		}
	}
	read(f, 7)
	read(f, 9)
	if _, _, err := f.Read(7); !errors.Is(err, agent.ErrOutdated) {
		t.Errorf("the former operator reads: %v", err)
	}
	if err := f.Write([]byte("one"), agent.Absent, 7); !errors.Is(err, agent.ErrOutdated) {
		t.Errorf("the former operator writes: %v", err)
	}
	if err := f.Write([]byte("one"), agent.Absent, 9); err != nil {
		t.Error(err)
	}
	f = &agent.File{Path: path} // the agent is restarted
	if err := f.Write([]byte("two"), encryption.Hash([]byte("one")), 7); !errors.Is(err, agent.ErrOutdated) {
		t.Errorf("after a restart: %v", err)
	}
}

// What was replaced, by the operator or by hand, can be had back until the operator
// says that nothing needs it.
func TestReplacedFilesAreKept(t *testing.T) {
	dir := keys(t)
	f := &agent.File{Path: filepath.Join(dir, "config.yaml")}
	url, logs := serve(t, dir, f)
	config, err := files(dir, "sentinel").Config()
	if err != nil {
		t.Fatal(err)
	}
	client := agent.NewClient(url, config)
	first, second, third := rendered(t, "a"), rendered(t, "b"), rendered(t, "c")
	if err := os.WriteFile(f.Path, first, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.Read(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Path, second, 0o600); err != nil { // by hand
		t.Fatal(err)
	}
	if err := client.Write(t.Context(), third, encryption.Hash(second), 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.Read(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	kept, err := client.Kept(t.Context(), 1)
	if err != nil || len(kept) != 3 {
		t.Fatalf("%d are kept, %v", len(kept), err)
	}
	for _, content := range [][]byte{first, second, third} {
		if !bytes.Equal(kept[encryption.Hash(content)], content) {
			t.Errorf("a file is not kept as it was")
		}
	}
	onlyTheirs(t, filepath.Join(dir, ".config.yaml.kept"))
	if err := client.Forget(t.Context(), encryption.Hash(second), 1); !errors.Is(err, agent.ErrChanged) {
		t.Errorf("forget all but a file that does not lie there: %v", err)
	}
	if _, err := client.Kept(t.Context(), 2); !errors.Is(err, agent.ErrOutdated) {
		t.Errorf("who has not looked: %v", err)
	}
	if err := client.Forget(t.Context(), encryption.Hash(third), 2); !errors.Is(err, agent.ErrOutdated) {
		t.Errorf("who has not looked forgets: %v", err)
	}
	if err := client.Forget(t.Context(), encryption.Hash(third), 1); err != nil {
		t.Fatal(err)
	}
	if kept, err = client.Kept(t.Context(), 1); err != nil || len(kept) != 1 || !bytes.Equal(kept[encryption.Hash(third)], third) {
		t.Errorf("%d are kept, %v", len(kept), err)
	}
	for line := range strings.Lines(string(first)) {
		if _, secret, ok := strings.Cut(line, "secret: "); ok && strings.Contains(logs.String(), strings.TrimSpace(secret)) {
			t.Error("it logged a key")
		}
	}
}

// onlyTheirs fails if anybody else may read what is in a folder.
func onlyTheirs(t *testing.T, folder string) {
	t.Helper()
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info, err)
		}
	}
}
