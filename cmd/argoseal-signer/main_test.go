package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
)

// The tests run the program as the kubelet does: the real binary, by signals,
// exit codes and the termination log.

const (
	maxBinary   = 15 << 20
	maxResident = 32 // MiB
)

var program string

func TestMain(m *testing.M) {
	// The kernel says of a process at least what the one that started it had
	// resident then.
	debug.SetMemoryLimit(memoryLimit)
	folder, err := os.MkdirTemp("", "argoseal-signer")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(folder, "argoseal-signer")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

func TestTheProgramIsSmallAndStatic(t *testing.T) {
	info, err := os.Stat(program)
	if err != nil || info.Size() > maxBinary {
		t.Errorf("%d bytes (%v), at most %d are allowed", info.Size(), err, maxBinary)
	}
	raw, err := os.ReadFile(program)
	if err != nil || bytes.Contains(raw, []byte("ld-linux")) {
		t.Errorf("it names a dynamic linker (%v)", err)
	}
}

func TestTheProgramDependsOnNothing(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "github.com/argoseal/argoseal/pkg/argo/layout\n" +
		"github.com/argoseal/argoseal/pkg/artifact\n" +
		"github.com/argoseal/argoseal/pkg/text\n" +
		"github.com/argoseal/argoseal/pkg/reason\n" +
		"github.com/argoseal/argoseal/pkg/content\n" +
		"github.com/argoseal/argoseal/pkg/image/oci\n" +
		"github.com/argoseal/argoseal/pkg/measurement\n" +
		"github.com/argoseal/argoseal/pkg/pin\n" +
		"github.com/argoseal/argoseal/pkg/sidecar/company\n" +
		"github.com/argoseal/argoseal/cmd/argoseal-signer\n"
	if string(out) != want {
		t.Errorf("it depends on\n%swant\n%s", out, want)
	}
	std, err := exec.Command("go", "list", "-deps", ".").Output()
	for _, banned := range []string{"net", "net/http", "os/exec", "plugin"} {
		if err != nil || strings.Contains("\n"+string(std), "\n"+banned+"\n") {
			t.Errorf("it depends on %s (%v)", banned, err)
		}
	}
}

// signer is a running sidecar.
type signer struct {
	*exec.Cmd
	terminationFile, out string
}

func startSigner(t *testing.T, args ...string) *signer {
	t.Helper()
	s := &signer{terminationFile: filepath.Join(t.TempDir(), "termination-log"), out: filepath.Join(t.TempDir(), "out")}
	out, err := os.Create(s.out)
	must(t, err)
	defer out.Close()
	s.Cmd = exec.Command(program, append([]string{"sign", "--proc=", "--termination-log=" + s.terminationFile}, args...)...)
	s.Stdout, s.Stderr = out, out
	must(t, s.Start())
	t.Cleanup(func() { _ = s.Process.Kill() })
	s.says(t, "\n", 1)
	return s
}

// says waits until it has said something that often.
func (s *signer) says(t *testing.T, what string, times int) {
	t.Helper()
	for began := time.Now(); strings.Count(s.said(t), what) < times; time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("it does not say %q %d times:\n%s", what, times, s.said(t))
		}
	}
}

func (s *signer) said(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(s.out)
	must(t, err)
	return string(raw)
}

// end sends SIGTERM, wants exit code 0 and gives the message.
func (s *signer) end(t *testing.T) string {
	t.Helper()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("sign must exit 0: %v\n%s", err, s.said(t))
	}
	raw, err := os.ReadFile(s.terminationFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// peak is the most memory it ever had resident, in MiB.
func (s *signer) peak() int64 {
	return s.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
}

// stagedFile makes the folders of wait and gives the place of an output.
func stagedFile(t *testing.T, root, output string) string {
	t.Helper()
	dir := filepath.Join(root, "argo/outputs/artifacts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, output+".tgz")
}

// pack writes an archive of files, each of so many random bytes.
func pack(t *testing.T, path string, files int, size int64) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	z, err := gzip.NewWriterLevel(f, gzip.NoCompression)
	must(t, err)
	w := tar.NewWriter(z)
	random := rand.NewChaCha8([32]byte{})
	must(t, w.WriteHeader(&tar.Header{Name: "out", Typeflag: tar.TypeDir, Mode: 0o755}))
	for i := range files {
		must(t, w.WriteHeader(&tar.Header{Name: fmt.Sprintf("out/file-%09d", i), Typeflag: tar.TypeReg, Mode: 0o644, Size: size}))
		_, err := io.CopyN(w, random, size)
		must(t, err)
	}
	must(t, w.Close())
	must(t, z.Close())
	must(t, f.Close())
}

// packZip writes a zip of so many files with short names.
func packZip(t *testing.T, path string, files int) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	w := zip.NewWriter(f)
	for i := range files {
		entry, err := w.Create(fmt.Sprintf("o/%07d", i))
		must(t, err)
		_, err = entry.Write([]byte("x"))
		must(t, err)
	}
	must(t, w.Close())
	must(t, f.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSignMeasuresUntilItIsTold(t *testing.T) {
	root := t.TempDir()
	s := startSigner(t, "--staged="+root, "--output=art", "--output=gone", "--output=plain=none=plain file", "--output=main-logs=log=plain file", "--poll=10ms")
	s.says(t, `"watching"`, 1)
	path := stagedFile(t, root, "art")
	pack(t, path, 3, 1000)
	must(t, os.WriteFile(filepath.Join(filepath.Dir(path), "plain file"), []byte("x"), 0o644))
	logs := filepath.Join(root, "argo/outputs/logs")
	must(t, os.Mkdir(logs, 0o755))
	must(t, os.WriteFile(filepath.Join(logs, "plain file"), []byte("x"), 0o644))
	s.says(t, "output read", 3)
	m, _, err := measurement.Decode(s.end(t))
	must(t, err)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	want, err := content.Measure(t.Context(), f)
	must(t, err)
	plain := content.Sum{Form: content.FormFile, Size: 1, SHA256: sumOfX, Tree: content.FileTree(sumOfX)}
	if !reflect.DeepEqual(m, measurement.Measurement{
		{Output: "art", Found: measurement.Bytes{Sum: want}}, {Output: "gone", Found: measurement.Problem{Code: reason.OutputAbsent}}, {Output: "plain", Found: measurement.Bytes{Sum: plain}}, {Output: "main-logs", Found: measurement.Bytes{Sum: plain}},
	}) {
		t.Errorf("got %+v, want %+v", m, want)
	}
}

// bytesOf is what was found of an output, if it has no problem.
func bytesOf(e measurement.Entry) measurement.Bytes {
	b, _ := e.Found.(measurement.Bytes)
	return b
}

// complete reads the message and what it says is in the log.
func (s *signer) complete(t *testing.T, message string) (measurement.Measurement, bool) {
	t.Helper()
	m, more, err := measurement.Decode(message)
	must(t, err)
	if more == nil {
		return m, false
	}
	whole, err := more.Find(strings.NewReader(s.said(t)))
	must(t, err)
	return whole, true
}

func TestWhatTheMessageHasNoRoomForIsInTheLog(t *testing.T) {
	t.Run("300 outputs", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		args := []string{"--staged=" + root}
		for i := range 300 {
			pack(t, stagedFile(t, root, fmt.Sprintf("output-%d", i)), 1, 10)
			args = append(args, fmt.Sprintf("--output=output-%d", i))
		}
		s := startSigner(t, args...)
		m, logged := s.complete(t, s.end(t))
		if len(m) != 300 || !logged {
			t.Fatalf("%d entries, in the log: %t", len(m), logged)
		}
		for _, e := range m {
			if bytesOf(e).SHA256 == "" {
				t.Errorf("%s: %+v", e.Output, e.Found)
			}
		}
	})
	t.Run("2000 files in a directory", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		dir := filepath.Join(filepath.Dir(stagedFile(t, root, "")), "tree")
		must(t, os.Mkdir(dir, 0o755))
		for i := range 2000 {
			must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%04d", i)), []byte("x"), 0o644))
		}
		s := startSigner(t, "--staged="+root, "--output=tree=none=tree")
		message := s.end(t)
		if m, _, err := measurement.Decode(message); err != nil || len(m) != 1 || bytesOf(m[0]).Tree == "" || bytesOf(m[0]).Files != nil {
			t.Errorf("the message has %+v, %v", m, err)
		}
		m, logged := s.complete(t, message)
		if !logged || len(m) != 1 || len(bytesOf(m[0]).Files) != 2000 || bytesOf(m[0]).Files.Tree() != bytesOf(m[0]).Tree {
			t.Errorf("%d entries, in the log: %t", len(m), logged)
		}
	})
	t.Run("as many files as are listed, in as many directories as there can be", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		dir := filepath.Dir(stagedFile(t, root, ""))
		args := []string{"--staged=" + root}
		for i := range 3 {
			name := fmt.Sprintf("tree-%d", i)
			must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
			for n := range 1600 {
				must(t, os.WriteFile(filepath.Join(dir, name, fmt.Sprintf("file-%030d", n)), nil, 0o644))
			}
			args = append(args, "--output="+name+"=none="+name)
		}
		s := startSigner(t, args...)
		m, _ := s.complete(t, s.end(t))
		if len(m) != 3 || len(bytesOf(m[0]).Files) != 1600 || bytesOf(m[1]).Files != nil || bytesOf(m[2]).Files != nil || bytesOf(m[2]).Tree != bytesOf(m[0]).Tree {
			t.Errorf("%d entries", len(m))
		}
		if s.peak() > maxResident {
			t.Errorf("sign had %d MiB resident, at most %d are allowed", s.peak(), maxResident)
		}
		t.Logf("sign had %d MiB resident", s.peak())
	})
}

func TestSignExitsZeroWhateverHappens(t *testing.T) {
	many := []string{"--staged=/nowhere", "--max-message=256"}
	for i := range 4200 {
		many = append(many, fmt.Sprintf("--output=%s%d", strings.Repeat("o", 240), i))
	}
	for title, c := range map[string]struct {
		args []string
		want reason.Code // of the message; "" if it is a measurement
		says string
	}{
		"nothing happened":   {[]string{"--staged=" + t.TempDir(), "--output=a"}, "", ""},
		"no volume":          {[]string{"--staged=/nowhere", "--output=a"}, "", ""},
		"too many outputs":   {many, reason.MeasurementIncomplete, "1048576 are kept"},
		"no outputs":         {nil, reason.Internal, "no --output"},
		"an output twice":    {[]string{"--output=a", "--output=a"}, reason.Internal, "twice"},
		"a file twice":       {[]string{"--output=a=none=x", "--output=b=none=x"}, reason.Internal, "twice"},
		"a file of another":  {[]string{"--output=a=none=b.tgz", "--output=b"}, reason.Internal, "twice"},
		"a log twice":        {[]string{"--output=a=log=x", "--output=b=log=x"}, reason.Internal, "twice"},
		"a file's path":      {[]string{"--output=a=none=../b"}, reason.Internal, "staged file"},
		"an output's path":   {[]string{"--output=../a"}, reason.Internal, "artifact name"},
		"an unknown flag":    {[]string{"--output=a", "--no-such-flag"}, reason.Internal, "no-such-flag"},
		"an argument":        {[]string{"--output=a", "b"}, reason.Internal, "unexpected argument"},
		"no room":            {[]string{"--output=a", "--max-message=10"}, reason.Internal, "--max-message"},
		"more than is kept":  {[]string{"--output=a", "--max-message=5000"}, reason.Internal, "--max-message"},
		"no time":            {[]string{"--output=a", "--grace=0s"}, reason.Internal, "--grace"},
		"no pause":           {[]string{"--output=a", "--poll=-1s"}, reason.Internal, "--poll"},
		"no number":          {[]string{"--output=a", "--max-message=x"}, reason.Internal, "max-message"},
		"an unclosed output": {[]string{"--output"}, reason.Internal, "output"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := startSigner(t, c.args...)
			m, _, err := measurement.Decode(s.end(t))
			if c.want == "" && (err != nil || len(m) != 1 || m[0].Found == nil || bytesOf(m[0]).SHA256 != "") {
				t.Errorf("got %+v, %v", m, err)
			}
			if c.want != "" && (reason.Of(err) != c.want || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %s with %q", err, c.want, c.says)
			}
		})
	}
	t.Run("no termination log", func(t *testing.T) {
		s := startSigner(t, "--output=a", "--termination-log=/nowhere/log")
		must(t, s.Process.Signal(syscall.SIGTERM))
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a panic", func(t *testing.T) {
		_, _, err := measurement.Decode(guarded(func() string { panic("boom") }))
		if reason.Of(err) != reason.Internal || !strings.Contains(err.Error(), "boom") {
			t.Errorf("got %v", err)
		}
	})
}

// A native sidecar that ends is started again: it must stay, even if it has
// nothing to do.
func TestSignDoesNotEndByItself(t *testing.T) {
	for title, args := range map[string][]string{
		"when it is wrong": {"--no-such-flag"},
		"when all is done": {"--staged=" + t.TempDir(), "--output=a"},
	} {
		t.Run(title, func(t *testing.T) {
			s := startSigner(t, args...)
			time.Sleep(150 * time.Millisecond)
			if err := s.Process.Signal(syscall.Signal(0)); err != nil {
				t.Errorf("it ended: %v", err)
			}
			s.end(t)
		})
	}
}

func TestMemoryIsConstant(t *testing.T) {
	if testing.Short() {
		t.Skip("packs 300 MB")
	}
	for title, c := range map[string]struct {
		output string
		pack   func(t *testing.T, path string)
	}{
		"with 300 MB in one file": {"big", func(t *testing.T, path string) { pack(t, path, 1, 300<<20) }},
		"with a zip of as many files as it may have": {"big=zip", func(t *testing.T, path string) {
			packZip(t, strings.TrimSuffix(path, ".tgz")+".zip", 26_000)
		}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			c.pack(t, stagedFile(t, root, "big"))
			s := startSigner(t, "--staged="+root, "--output="+c.output)
			m, _, err := measurement.Decode(s.end(t))
			if err != nil || bytesOf(m[0]).SHA256 == "" {
				t.Fatal(m, err)
			}
			if s.peak() > maxResident {
				t.Errorf("sign had %d MiB resident, at most %d are allowed", s.peak(), maxResident)
			}
			t.Logf("sign had %d MiB resident", s.peak())
		})
	}
}

func TestWithoutACommandItSaysWhatItCan(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
	}{{nil, 2}, {[]string{"bench"}, 2}, {[]string{"--help"}, 0}} {
		var out bytes.Buffer
		if code := run(c.args, nil, &out, &out); code != c.code || !strings.Contains(out.String(), "argoseal-signer sign") {
			t.Errorf("%v: exit code %d\n%s", c.args, code, out.String())
		}
	}
}
