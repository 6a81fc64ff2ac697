package measurement

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/argoseal/argoseal/pkg/content"
)

// pack writes a file where Argo's emissary would pack what lies at a path.
func pack(t *testing.T, root, path string, stored []byte) string {
	t.Helper()
	file := filepath.Join(root, "run/outputs/artifacts", path+".tgz")
	put(t, file, stored)
	return file
}

func put(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, content, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// exits leaves what the emissary leaves when all is packed.
func exits(t *testing.T, root string) {
	t.Helper()
	put(t, root+"/run/ctr/main/exitcode", []byte("0"))
}

// trickle appends to a file in small parts.
func trickle(t *testing.T, file string, content []byte) {
	t.Helper()
	put(t, file, nil)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for part := range slices.Chunk(content, 7) {
		if _, err := f.Write(part); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// looked is how long a watcher takes to look at all there is, many times: for what is not
// to happen. In a bubble of synctest no time passes while anybody reads.
const looked = time.Second

// running is a watcher that runs until it is told that wait has ended.
func running(t *testing.T, root string, outputs ...string) (*log, func() Measurement) {
	t.Helper()
	w, l := watcher(root, outputs...)
	w.VarRun = root + "/run"
	ctx, end := context.WithCancel(t.Context())
	result := make(chan Measurement, 1)
	go func() { result <- w.Run(ctx) }()
	return l, func() Measurement {
		end()
		select {
		case m := <-result:
			return m
		case <-time.After(time.Minute):
			t.Fatal("it does not end")
			return nil
		}
	}
}

// packedAlready counts the outputs whose trees were known before they were staged.
func (l *log) packedAlready() int {
	return strings.Count(l.String(), "read while it was packed")
}

func measures(t *testing.T, e Entry, stored []byte) {
	t.Helper()
	want, err := content.Measure(t.Context(), bytes.NewReader(stored))
	if err != nil {
		t.Fatal(err)
	}
	if b := bytesIn(e); b.Sum != want || b.Files != nil {
		t.Errorf("got %+v, want %+v", e, want)
	}
}

func TestAnArchiveIsReadWhileItIsPackedAndWhileItIsStaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		l, end := running(t, root, "a=tar=/tmp/a", "b=tar=/b")
		first, second := archive(t, strings.Repeat("first", 100)), archive(t, "second")
		trickle(t, filepath.Join(root, "run/outputs/artifacts/tmp/a.tgz"), first)
		l.draft(t, "/tmp/a", false)
		trickle(t, filepath.Join(root, "run/outputs/artifacts/b.tgz"), second)
		l.draft(t, "/tmp/a", true)
		l.draft(t, "/b", false)
		exits(t, root)
		l.draft(t, "/b", true)
		trickle(t, root+"/argo/outputs/artifacts/a.tgz", first)
		time.Sleep(looked)
		if l.reads() != 0 {
			t.Errorf("wait may still write:\n%s", l)
		}
		trickle(t, root+"/argo/outputs/artifacts/b.tgz", second)
		l.has(t, 1)
		m := end()
		measures(t, m[0], first)
		measures(t, m[1], second)
		if l.reads() != 2 || l.packedAlready() != 2 {
			t.Errorf("each is to be read once, and nothing unpacked twice:\n%s", l)
		}
	})
}

func TestWhatIsStagedCountsWhateverTheStepPacked(t *testing.T) {
	stored, other := archive(t, "honest"), archive(t, "forged")
	for title, c := range map[string]struct {
		packed func(t *testing.T, root string)
		read   bool // while it is packed
	}{
		"what is staged":  {func(t *testing.T, root string) { pack(t, root, "/tmp/a", stored) }, true},
		"nothing":         {func(*testing.T, string) {}, false},
		"another archive": {func(t *testing.T, root string) { pack(t, root, "/tmp/a", other) }, true},
		"more than is staged": {func(t *testing.T, root string) {
			pack(t, root, "/tmp/a", append(bytes.Clone(stored), 0))
		}, true},
		"less than is staged": {func(t *testing.T, root string) { pack(t, root, "/tmp/a", stored[:len(stored)-1]) }, true},
		"no archive":          {func(t *testing.T, root string) { pack(t, root, "/tmp/a", []byte("text")) }, true},
		"an empty file":       {func(t *testing.T, root string) { pack(t, root, "/tmp/a", nil) }, true},
		"a link": {func(t *testing.T, root string) {
			put(t, root+"/elsewhere", other)
			link(t, root+"/elsewhere", pack(t, root, "/tmp/b", nil)[:len(root)]+"/run/outputs/artifacts/tmp/a.tgz")
		}, false},
		"a folder that is a link": {func(t *testing.T, root string) {
			put(t, root+"/elsewhere/a.tgz", other)
			pack(t, root, "/b", nil)
			link(t, root+"/elsewhere", root+"/run/outputs/artifacts/tmp")
		}, false},
		"a FIFO": {func(t *testing.T, root string) {
			pack(t, root, "/tmp/b", nil)
			if err := syscall.Mkfifo(root+"/run/outputs/artifacts/tmp/a.tgz", 0o644); err != nil {
				t.Fatal(err)
			}
		}, false},
		"a directory": {func(t *testing.T, root string) { pack(t, root, "/tmp/a.tgz/b", nil) }, false},
	} {
		t.Run(title, func(t *testing.T) {
			root := t.TempDir()
			c.packed(t, root)
			l, end := running(t, root, "a=tar=/tmp/a", "z")
			if c.read {
				l.draft(t, "/tmp/a", false)
			}
			exits(t, root)
			if c.read {
				l.draft(t, "/tmp/a", true)
			}
			stage(t, root, "a", stored)
			stage(t, root, "z", other) // so a is whole
			l.has(t, 1)
			measures(t, end()[0], stored)
			if known := l.packedAlready() > 0; known != (title == "what is staged") {
				t.Errorf("what was packed counts: %t\n%s", known, l)
			}
		})
	}
}

func TestWhatIsPackedForEverHoldsNothingUp(t *testing.T) {
	for title, says := range map[string]bool{"and says that it has ended": true, "and does not end": false} {
		t.Run(title, func(t *testing.T) {
			root := t.TempDir()
			stored := archive(t, "content")
			file := pack(t, root, "/tmp/a", stored)
			l, end := running(t, root, "a=tar=/tmp/a", "z")
			ctx, stop := context.WithCancel(t.Context())
			written := make(chan struct{})
			go func() {
				defer close(written)
				f, err := os.OpenFile(file, os.O_WRONLY, 0)
				if err != nil {
					t.Error(err)
					return
				}
				defer f.Close()
				for size := int64(len(stored)); ctx.Err() == nil; size += 4 << 20 { // faster than it is read
					_ = f.Truncate(size)
					time.Sleep(time.Millisecond)
				}
			}()
			defer func() { stop(); <-written }()
			l.draft(t, "/tmp/a", false)
			if says {
				exits(t, root)
			}
			stage(t, root, "a", stored)
			stage(t, root, "z", stored)       // so a is whole
			time.Sleep(20 * time.Millisecond) // a few looks; it ends only when wait has
			measures(t, end()[0], stored)
		})
	}
}

func TestAnArchiveThatIsWrittenAnewIsMeasuredAnew(t *testing.T) {
	root := t.TempDir()
	l, end := running(t, root, "a", "z")
	stage(t, root, "a", archive(t, strings.Repeat("long", 1000)))
	stage(t, root, "z", archive(t, "z")) // so a is whole
	l.has(t, 1)
	last := archive(t, "other")
	stage(t, root, "a", last)
	measures(t, end()[0], last)
	if l.reads() < 3 {
		t.Errorf("it is not read a second time:\n%s", l)
	}
}

// Two outputs can have one path: what lies there is packed for each of them.
func TestWhatIsPackedTwiceIsReadForBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		l, end := running(t, root, "a=tar=/x", "b=tar=/x")
		stored := archive(t, strings.Repeat("twice", 100))
		packed := filepath.Join(root, "run/outputs/artifacts/x.tgz")
		trickle(t, packed, stored)
		l.draft(t, "/x", false)
		trickle(t, packed, stored)
		exits(t, root)
		l.draft(t, "/x", true)
		trickle(t, root+"/argo/outputs/artifacts/a.tgz", stored)
		trickle(t, root+"/argo/outputs/artifacts/b.tgz", stored)
		l.has(t, 1)
		time.Sleep(looked) // b is followed too
		m := end()
		measures(t, m[0], stored)
		measures(t, m[1], stored)
		if l.packedAlready() != 2 {
			t.Errorf("both were to be known:\n%s", l)
		}
	})
}

// An archive whose draft failed would be read a second time once wait has ended,
// and the grace may be too short for that.
func TestADraftThatFailedIsNotWaitedFor(t *testing.T) {
	for title, c := range map[string]struct {
		draft draft
		over  bool
		want  bool
	}{
		"is being made": {want: true},
		"was made":      {over: true, want: true},
		"failed":        {draft: draft{err: errChanged}, over: true},
	} {
		o := Staged{Output: "a", Archive: content.ArchiveTar, Path: "/x"}
		p := &preview{drafts: map[string]*draft{o.Path: &c.draft}}
		c.draft.done = make(chan struct{})
		if c.over {
			close(c.draft.done)
		}
		if got := p.of(o) != nil; got != c.want {
			t.Errorf("one that %s is given: %t", title, got)
		}
	}
}

// What comes before an archive can be seen for the first time together with it,
// and says nothing about whether that is whole.
func TestAnArchiveIsNotWholeBecauseOfWhatWasStagedBeforeIt(t *testing.T) {
	stored := archive(t, strings.Repeat("0", 32<<20)) // takes longer to unpack than to read
	for title, first := range map[string]string{"what comes before it": "z=zip", "a file of its name": "z=none=a.tgz"} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root := t.TempDir()
				file := root + "/argo/outputs/artifacts/a.tgz"
				put(t, root+"/argo/outputs/artifacts/z.zip", nil)
				put(t, file, stored[:len(stored)/2])
				outputs := []string{first, "a"}
				if first != "z=zip" {
					slices.Reverse(outputs)
				}
				_, end := running(t, root, outputs...)
				time.Sleep(looked)
				f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if _, err := f.Write(stored[len(stored)/2:]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(looked)
				m := end()
				measures(t, m[slices.Index(outputs, "a")], stored)
			})
		})
	}
}
