package gobuild

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func recipe() Recipe {
	return Recipe{
		Name: "thing", Module: "example.com/thing", Version: "v1.2.3", Sum: "h1:abc=",
		Copy:    map[string]string{"a": "b", "c": "d"},
		Targets: []Target{{Name: "thing", Package: "."}},
	}
}

// Whatever a recipe says is part of its key, and nothing else is.
func TestKey(t *testing.T) {
	key := recipe().Key()
	if !strings.HasPrefix(key, "v1.2.3-") {
		t.Errorf("key %q does not begin with the version", key)
	}
	for range 20 { // maps have no order
		if again := recipe().Key(); again != key {
			t.Fatalf("equal recipes have keys %q and %q", key, again)
		}
	}
	for name, change := range map[string]func(*Recipe){
		"sum":    func(r *Recipe) { r.Sum = "h1:def=" },
		"sums":   func(r *Recipe) { r.Sums = "x" },
		"copy":   func(r *Recipe) { r.Copy["a"] = "z" },
		"tags":   func(r *Recipe) { r.Tags = []string{"t"} },
		"flags":  func(r *Recipe) { r.LDFlags = []string{"-X a=b"} },
		"target": func(r *Recipe) { r.Targets[0].Package = "./x" },
	} {
		r := recipe()
		change(&r)
		if r.Key() == key {
			t.Errorf("another %s, the same key", name)
		}
	}
}

// A download that is not the pinned module is refused.
func TestCheckDownload(t *testing.T) {
	good := downloaded{Path: "example.com/thing", Version: "v1.2.3", Dir: "/d", Sum: "h1:abc="}
	if dir, err := recipe().checkDownload(good); err != nil || dir != "/d" {
		t.Errorf("refused the pinned module: %q, %v", dir, err)
	}
	for name, change := range map[string]func(*downloaded){
		"another checksum": func(d *downloaded) { d.Sum = "h1:abd=" },
		"no checksum":      func(d *downloaded) { d.Sum = "" },
		"another path":     func(d *downloaded) { d.Path = "example.com/fork" },
		"another version":  func(d *downloaded) { d.Version = "v1.2.4" },
		"no folder":        func(d *downloaded) { d.Dir = "" },
		"an error":         func(d *downloaded) { d.Error = "not found" },
	} {
		d := good
		change(&d)
		if _, err := recipe().checkDownload(d); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*Recipe){
		"no name":    func(r *Recipe) { r.Name = "" },
		"a path":     func(r *Recipe) { r.Name = "../x" },
		"no version": func(r *Recipe) { r.Version = "" },
		"no pin":     func(r *Recipe) { r.Sum = "" },
		"no target":  func(r *Recipe) { r.Targets = nil },
	} {
		r := recipe()
		change(&r)
		if err := (Cache{Dir: t.TempDir()}).Build(context.Background(), nil, r); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What is in the cache is not built again: there is no such module, and no
// network is needed.
func TestBuiltIsNotBuiltAgain(t *testing.T) {
	c := Cache{Dir: t.TempDir()}
	r := recipe()
	if c.Built(r) {
		t.Fatal("built before anything is there")
	}
	if err := os.MkdirAll(c.BinDir(r), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Path(r, "thing"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.Build(context.Background(), newProgress(&bytes.Buffer{}, false, time.Now), r); err != nil {
		t.Error(err)
	}
}

// Two builds of one recipe do not run at the same time, and waiting ends with
// the context.
func TestLock(t *testing.T) {
	c := Cache{Dir: t.TempDir()}
	unlock, err := c.lock(context.Background(), recipe(), func() { t.Error("waits for nobody") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := c.lock(ctx, recipe(), cancel); err == nil {
		t.Error("locked twice")
	}
	unlock()
	unlock, err = c.lock(context.Background(), recipe(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

// A program deleted by hand comes back although its folder is still there.
func TestInstall(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "bin"), filepath.Join(t.TempDir(), "x", "y")
	for range 2 {
		if err := os.MkdirAll(from, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, "thing"), []byte("new"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := install(from, to); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(filepath.Join(to, "thing")); err != nil || string(data) != "new" {
			t.Fatalf("%q, %v", data, err)
		}
	}
}

func TestProgress(t *testing.T) {
	for _, tc := range []struct {
		name     string
		terminal bool
		want     []string
	}{
		{"log", false, []string{"build x: 0s\n", "build x: 10s (thing: 3 packages)\n", "build x: 20s", "build x: done after 25s\n"}},
		{"terminal", true, []string{"\r\x1b[Kbuild x: 0s", "\r\x1b[Kbuild x: 1s (thing: 3 packages)", "build x: 24s", "\r\x1b[Kbuild x: done after 25s\n"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out safeBuffer
			p := newProgress(&out, tc.terminal, time.Now)
			p.Start("build x")
			p.Note("thing: 3 packages")
			time.Sleep(25 * time.Second)
			p.Done()
			rest := out.String()
			for _, want := range tc.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Errorf("%s: no %q in order in %q", tc.name, want, out.String())
				}
				rest = after
			}
		})
	}
}

// safeBuffer is written to by the ticking goroutine.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestLineWriter(t *testing.T) {
	var lines []string
	w := &lineWriter{line: func(l string) { lines = append(lines, l) }}
	for _, chunk := range []string{"a", "b\nc\n\nd", "\ne"} {
		if n, err := w.Write([]byte(chunk)); n != len(chunk) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := strings.Join(lines, "|"); got != "ab|c||d" {
		t.Errorf("got %q", got)
	}
}
