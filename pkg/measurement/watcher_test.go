package measurement

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

func archive(t *testing.T, content string) []byte {
	t.Helper()
	return archiveOf(t, "message", 0o644, content)
}

// archiveOf has one file.
func archiveOf(t *testing.T, name string, mode int64, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{write(w, content), w.Close(), z.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func write(w *tar.Writer, content string) error {
	_, err := w.Write([]byte(content))
	return err
}

// stage writes a file where Argo's wait would.
func stage(t *testing.T, root, output string, stored []byte) string {
	t.Helper()
	path := filepath.Join(root, "argo/outputs/artifacts", output+".tgz")
	put(t, path, stored)
	return path
}

// log records what a watcher says, while it says it.
type log struct {
	mu   sync.Mutex
	said bytes.Buffer
	w    *Watcher
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.String()
}

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to this: %s", what)
		}
	}
}

// has waits until so many files have been read.
func (l *log) has(t *testing.T, reads int) {
	t.Helper()
	await(t, "files are read", func() bool { return l.reads() >= reads })
}

// draft waits for what lies at a path in main to be read where it is packed, and, if
// it is to be over, until it has been.
func (l *log) draft(t *testing.T, path string, over bool) {
	t.Helper()
	await(t, "the watcher watches", func() bool { return strings.Contains(l.String(), `"watching"`) })
	p := l.w.preview
	await(t, path+" is read while it is packed", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		d := p.drafts[path]
		return d != nil && d.done != nil && (!over || closed(d.done))
	})
}

func watcher(root string, outputs ...string) (*Watcher, *log) {
	l := &log{}
	var staged []Staged
	for _, o := range outputs {
		s, err := ParseStaged(o)
		if err != nil {
			panic(err)
		}
		staged = append(staged, s)
	}
	l.w = &Watcher{
		Dir: root, Outputs: staged, Poll: 5 * time.Millisecond, Grace: 10 * time.Second,
		Log: slog.New(slog.NewJSONHandler(l, nil)),
	}
	return l.w, l
}

// ended is the context of a sidecar that is told to end at once.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// reads counts how often the watcher read a file.
func (l *log) reads() int { return strings.Count(l.String(), "output read") }

func TestWhatIsStagedIsMeasuredBeforeTheEnd(t *testing.T) {
	root := t.TempDir()
	w, l := watcher(root, "a", "b")
	ctx, end := context.WithCancel(t.Context())
	result := make(chan Measurement)
	go func() { result <- w.Run(ctx) }()
	stored := archive(t, "content")
	time.Sleep(20 * time.Millisecond) // wait makes the folders late
	stage(t, root, "a", stored)
	stage(t, root, "b", stored)
	l.has(t, 1)
	end()
	m := <-result
	if len(m) != 2 || m[0].Output != "a" || m[1].Output != "b" || bytesIn(m[0]).SHA256 != contenttest.DigestOf(string(stored)) ||
		bytesIn(m[0]).Size != int64(len(stored)) || bytesIn(m[0]).Tree == "" || bytesIn(m[1]).Tree != bytesIn(m[0]).Tree {
		t.Errorf("got %+v", m)
	}
	if l.reads() != 2 {
		t.Errorf("each file is to be read once, not again at the end:\n%s", l)
	}
}

func TestAFileIsReadOnceItRestsAndAgainWhenItChanged(t *testing.T) {
	root := t.TempDir()
	w, l := watcher(root, "a")
	o := &output{Staged: Staged{Output: "a", Archive: content.ArchiveTar}, followed: true}
	look := func(step string, want int) {
		t.Helper()
		w.look(t.Context(), o)
		if l.reads() != want {
			t.Errorf("%s: read %d times, want %d", step, l.reads(), want)
		}
	}
	first, last := archive(t, "first"), archive(t, "other")
	look("not there", 0)
	path := stage(t, root, "a", first[:10])
	look("just begun", 0)
	stage(t, root, "a", first)
	look("grown", 0)
	look("at rest", 1)
	look("still at rest", 1)
	if e := w.finish(t.Context(), o); bytesOf(e).SHA256 != contenttest.DigestOf(string(first)) || l.reads() != 1 {
		t.Errorf("at the end: %+v, read %d times", e, l.reads())
	}
	for title, change := range map[string]func() error{
		"replaced":  func() error { return errors.Join(os.Remove(path), os.WriteFile(path, last, 0o644)) },
		"rewritten": func() error { return os.WriteFile(path, append(last, 0), 0o644) },
		"touched":   func() error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) },
	} {
		reads := l.reads()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		stored, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if e := w.finish(t.Context(), o); bytesOf(e).SHA256 != contenttest.DigestOf(string(stored)) || l.reads() != reads+1 {
			t.Errorf("%s: %+v, read %d times", title, e, l.reads()-reads)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if e := w.finish(t.Context(), o); e != Found(Problem{Code: reason.OutputAbsent}) {
		t.Errorf("removed: %+v", e)
	}
}

func TestAtTheEndEveryOutputHasAnEntry(t *testing.T) {
	stored := archive(t, "content")
	for title, c := range map[string]struct {
		prepare func(t *testing.T, root string)
		want    reason.Code
		note    string
	}{
		"staged a moment ago": {func(t *testing.T, root string) { stage(t, root, "a", stored) }, "", ""},
		"nothing staged":      {func(*testing.T, string) {}, reason.OutputAbsent, ""},
		"another staged":      {func(t *testing.T, root string) { stage(t, root, "b", stored) }, reason.OutputAbsent, ""},
		"not an archive":      {func(t *testing.T, root string) { stage(t, root, "a", []byte("text")) }, reason.OutputUnreadable, "reading the gzip header: "},
		"a name that is hostile": {func(t *testing.T, root string) {
			stage(t, root, "a", archiveOf(t, "a\n!\x1b", 0o10644, "content"))
		}, reason.OutputUnreadable, `"a\n!\x1b" has mode 10644`},
		"no volume": {func(t *testing.T, root string) {
			if err := os.Remove(root); err != nil {
				t.Fatal(err)
			}
		}, reason.MeasurementIncomplete, "volume of Argo's cannot be opened"},
		"a link to a good one": {func(t *testing.T, root string) {
			link(t, stage(t, root, "b", stored), root+"/argo/outputs/artifacts/a.tgz")
		}, reason.OutputUnreadable, "a"},
		"a folder that is a link": {func(t *testing.T, root string) {
			stage(t, root+"/elsewhere", "a", stored)
			link(t, "elsewhere/argo", root+"/argo")
		}, reason.OutputUnreadable, "a"},
		"a directory": {func(t *testing.T, root string) {
			if err := os.MkdirAll(root+"/argo/outputs/artifacts/a.tgz", 0o755); err != nil {
				t.Fatal(err)
			}
		}, reason.OutputUnreadable, "a"},
		"a FIFO": {func(t *testing.T, root string) {
			stage(t, root, "b", stored)
			if err := syscall.Mkfifo(root+"/argo/outputs/artifacts/a.tgz", 0o644); err != nil {
				t.Fatal(err)
			}
		}, reason.OutputUnreadable, "a"},
	} {
		t.Run(title, func(t *testing.T) {
			root := t.TempDir()
			c.prepare(t, root)
			w, l := watcher(root, "a")
			m := w.Run(ended(t))
			if len(m) != 1 || m[0].Output != "a" || problemIn(m[0]).Code != c.want || (bytesIn(m[0]).SHA256 == "") != (c.want != "") || !strings.Contains(problemIn(m[0]).Note, c.note) {
				t.Errorf("got %+v, want problem %q, %q\n%s", m, c.want, c.note, l)
			}
			if _, _, err := m.Encode(MaxMessage); err != nil {
				t.Error(err)
			}
		})
	}
}

// place puts a file into wait's folder under its own name.
func place(t *testing.T, root, name string, stored []byte) {
	t.Helper()
	if err := os.Rename(stage(t, root, name, stored), filepath.Join(root, "argo/outputs/artifacts", name)); err != nil {
		t.Fatal(err)
	}
}

func TestAnOutputWithoutAnArchiveIsAFileOrTold(t *testing.T) {
	folder := func(t *testing.T, root, name string) {
		t.Helper()
		place(t, root, name+"/inside", nil)
	}
	for title, c := range map[string]struct {
		prepare func(t *testing.T, root string)
		form    content.Form
		want    reason.Code
		gs      reason.Code // in GCS, if it is another
		azure   reason.Code
	}{
		"an empty file":                  {prepare: func(t *testing.T, root string) { place(t, root, "message.txt", nil) }, form: content.FormFile, azure: reason.OutputUnreadable},
		"a directory with an empty file": {prepare: func(t *testing.T, root string) { folder(t, root, "a") }, form: content.FormDirectory},
		"a directory with a link": {prepare: func(t *testing.T, root string) {
			folder(t, root, "a")
			link(t, "inside", root+"/argo/outputs/artifacts/a/link")
		}, form: content.FormDirectory, gs: reason.OutputUnreadable},
		"a directory with a link in it": {prepare: func(t *testing.T, root string) {
			folder(t, root, "a/b")
			link(t, "/etc/passwd", root+"/argo/outputs/artifacts/a/b/link")
		}, form: content.FormDirectory, gs: reason.OutputUnreadable},
		"a file":                   {prepare: func(t *testing.T, root string) { place(t, root, "message.txt", []byte("x")) }, form: content.FormFile, want: ""},
		"a file like an archive":   {prepare: func(t *testing.T, root string) { place(t, root, "message.txt", archive(t, "x")) }, form: content.FormLookalike, want: ""},
		"nothing":                  {prepare: func(t *testing.T, root string) { place(t, root, "other", nil) }, form: "", want: reason.OutputAbsent},
		"a directory":              {prepare: func(t *testing.T, root string) { folder(t, root, "a") }, form: content.FormDirectory, want: ""},
		"a directory of that name": {prepare: func(t *testing.T, root string) { folder(t, root, "message.txt") }, form: "", want: reason.OutputUnreadable},
		"an empty directory": {prepare: func(t *testing.T, root string) {
			folder(t, root, "a")
			if err := os.Remove(root + "/argo/outputs/artifacts/a/inside"); err != nil {
				t.Fatal(err)
			}
		}, want: reason.OutputAbsent},
		"a directory and a file": {prepare: func(t *testing.T, root string) {
			folder(t, root, "a")
			place(t, root, "message.txt", []byte("x"))
		}, want: reason.OutputUnreadable},
		"a directory with a FIFO": {prepare: func(t *testing.T, root string) {
			folder(t, root, "a")
			if err := syscall.Mkfifo(root+"/argo/outputs/artifacts/a/fifo", 0o644); err != nil {
				t.Fatal(err)
			}
		}, want: reason.OutputUnreadable},
		"a file not yet renamed": {prepare: func(t *testing.T, root string) { place(t, root, "a", []byte("x")) }, form: "", want: reason.OutputUnreadable},
		"the archive in between": {prepare: func(t *testing.T, root string) { stage(t, root, "a", archive(t, "x")) }, form: "", want: reason.OutputAbsent},
		"a link to a file": {prepare: func(t *testing.T, root string) {
			place(t, root, "other", []byte("x"))
			link(t, "other", root+"/argo/outputs/artifacts/message.txt")
		}, want: reason.OutputUnreadable},
		"a link to a directory": {prepare: func(t *testing.T, root string) {
			folder(t, root, "other")
			link(t, "other", root+"/argo/outputs/artifacts/a")
		}, want: reason.OutputUnreadable},
	} {
		for store, want := range map[string]reason.Code{"": c.want, "@gs": cmp.Or(c.gs, c.want), "@azure": cmp.Or(c.azure, c.want)} {
			t.Run(title+store, func(t *testing.T) {
				root := t.TempDir()
				c.prepare(t, root)
				w, l := watcher(root, "a=none"+store+"=message.txt")
				m := w.Run(ended(t))
				form := c.form
				if want != "" {
					form = ""
				}
				if len(m) != 1 || problemIn(m[0]).Code != want || bytesIn(m[0]).Form != form {
					t.Errorf("got %+v, want form %q, problem %q\n%s", m, form, want, l)
				}
				if _, _, err := m.Encode(MaxMessage); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestWhatDoesNotFinishInTheGraceIsIncomplete(t *testing.T) {
	root := t.TempDir()
	// Two gibibytes of what is not in the archive still have to be hashed.
	path := stage(t, root, "a", archive(t, "content"))
	if err := os.Truncate(path, 2<<30); err != nil {
		t.Fatal(err)
	}
	stage(t, root, "b", archive(t, "content"))
	w, l := watcher(root, "a", "b")
	w.Grace = 20 * time.Millisecond
	m := w.Run(ended(t))
	for _, e := range m {
		if problemIn(e).Code != reason.MeasurementIncomplete {
			t.Errorf("got %+v, want MeasurementIncomplete\n%s", e, l)
		}
	}
}

// Where the pod's time is over, wait may end well a moment after we are told to end.
func TestTheRestOfAnArchiveMayComeAMomentLate(t *testing.T) {
	stored := archive(t, strings.Repeat("content", 100))
	for name, first := range map[string][]byte{"nothing yet": {}, "a part of the header": stored[:4], "half": stored[:len(stored)/2]} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			path := stage(t, root, "a", first)
			w, l := watcher(root, "a")
			result := make(chan Measurement)
			go func() { result <- w.Run(ended(t)) }()
			l.has(t, 1)
			if err := os.WriteFile(path, stored, 0o600); err != nil {
				t.Fatal(err)
			}
			if m := <-result; bytesIn(m[0]).SHA256 != contenttest.DigestOf(string(stored)) || bytesIn(m[0]).Tree == "" {
				t.Errorf("got %+v\n%s", m, l)
			}
		})
	}
	t.Run("where others than wait may write", func(t *testing.T) {
		root := t.TempDir()
		w, l := watcher(root, "a=packed=/out/a")
		w.VarRun = t.TempDir()
		path := filepath.Join(w.VarRun, "outputs/artifacts/out/a.tgz")
		put(t, path, stored[:len(stored)/2])
		stage(t, root, "b", stored) // wait stages outputs
		result := make(chan Measurement)
		go func() { result <- w.Run(ended(t)) }()
		l.has(t, 1)
		if err := os.WriteFile(path, stored, 0o600); err != nil {
			t.Fatal(err)
		}
		if m := <-result; problemIn(m[0]).Code != reason.OutputUnreadable {
			t.Errorf("got %+v, want OutputUnreadable\n%s", m, l)
		}
	})
	t.Run("never", func(t *testing.T) {
		root := t.TempDir()
		outputs := strings.Split("abcdefghij", "")
		for _, o := range outputs {
			stage(t, root, o, stored[:len(stored)/2])
		}
		w, l := watcher(root, outputs...)
		began := time.Now()
		for _, e := range w.Run(ended(t)) {
			if problemIn(e).Code != reason.OutputUnreadable {
				t.Errorf("got %+v, want OutputUnreadable\n%s", e, l)
			}
		}
		if took := time.Since(began); took > 5*restWait {
			t.Errorf("it waited %s for all together, want %s", took, restWait)
		}
		if l.reads() != len(outputs) {
			t.Errorf("what does not grow is to be read once:\n%s", l)
		}
	})
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestWhatMayNotBeReadIsUnreadable(t *testing.T) {
	if got := problemOf(&os.PathError{Op: "open", Path: "plain", Err: syscall.EACCES}); got != reason.OutputUnreadable {
		t.Errorf("it is %s", got)
	}
}
