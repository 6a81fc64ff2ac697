package measurement

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Two outputs of one file name are staged under it one after the other. Whatever lies
// there when, each is what the emissary packed of it.
func TestOutputsOfOneNameAreWhatWasPackedOfEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		w, l := watcher(root, "train=packed=/out/train/metrics", "test=packed=/out/test/metrics", "none=packed=/out/none/metrics", "all")
		w.VarRun = root + "/run"
		pack(t, root, "/out/train/metrics", archiveOf(t, "metrics", 0o600, "0.9"))
		pack(t, root, "/out/test/metrics", archiveOf(t, "metrics", 0o755, "0.7"))
		ctx, end := context.WithCancel(t.Context())
		result := make(chan Measurement)
		go func() { result <- w.Run(ctx) }()
		time.Sleep(looked)
		if l.reads() != 0 {
			t.Errorf("main may still write, and it was read:\n%s", l)
		}
		place(t, root, "metrics", []byte("0.7"))
		stage(t, root, "all", archive(t, "x"))
		time.Sleep(looked)
		end()
		m := <-result
		for i, want := range []string{"0.9", "0.7"} {
			if b, _ := m[i].Found.(Bytes); b.Form != content.FormFile || b.SHA256 != contenttest.DigestOf(want) || b.Size != 3 || b.Tree != content.FileTree(b.SHA256) {
				t.Errorf("got %+v, want %s", m[i], want)
			}
		}
		none, _ := m[2].Found.(Problem)
		all, _ := m[3].Found.(Bytes)
		if none.Code != reason.OutputAbsent || all.Form != content.FormTar {
			t.Errorf("got %+v", m[2:])
		}
		if l.reads() != 3 {
			t.Errorf("each is to be read once:\n%s", l)
		}
		if _, _, err := m.Encode(MaxMessage); err != nil {
			t.Error(err)
		}
	})
}

// What wait takes from a volume is read there, by no link.
func TestWhatWaitTakesFromAVolumeIsReadThere(t *testing.T) {
	for title, c := range map[string]struct {
		prepare func(t *testing.T, volume string)
		form    content.Form
		want    reason.Code
	}{
		"a file":                 {func(t *testing.T, v string) { put(t, v+"/sub/model", []byte("x")) }, content.FormFile, ""},
		"a file like an archive": {func(t *testing.T, v string) { put(t, v+"/sub/model", archive(t, "x")) }, content.FormLookalike, ""},
		"a directory":            {func(t *testing.T, v string) { put(t, v+"/sub/model/a/b", []byte("x")) }, content.FormDirectory, ""},
		"a directory with links": {func(t *testing.T, v string) {
			put(t, v+"/sub/model/a", []byte("x"))
			link(t, "/etc", v+"/sub/model/link")
		}, content.FormDirectory, ""},
		"a directory without a file": {func(t *testing.T, v string) {
			put(t, v+"/sub/model/a", []byte("x"))
			if err := os.Remove(v + "/sub/model/a"); err != nil {
				t.Fatal(err)
			}
		}, "", reason.OutputAbsent},
		"nothing":   {func(*testing.T, string) {}, "", reason.OutputAbsent},
		"no folder": {func(t *testing.T, v string) { put(t, v+"/other", []byte("x")) }, "", reason.OutputAbsent},
		"a link": {func(t *testing.T, v string) {
			put(t, v+"/sub/other", []byte("x"))
			link(t, "other", v+"/sub/model")
		}, "", reason.OutputUnreadable},
		"what lies behind a link": {func(t *testing.T, v string) {
			put(t, v+"/other/model", []byte("x"))
			link(t, "other", v+"/sub")
		}, "", reason.OutputUnreadable},
	} {
		t.Run(title, func(t *testing.T) {
			root, volume := t.TempDir(), t.TempDir()
			c.prepare(t, volume)
			w, l := watcher(root, "model=volume="+volume+"/sub/model")
			m := w.Run(ended(t))
			problem, _ := m[0].Found.(Problem)
			found, _ := m[0].Found.(Bytes)
			if problem.Code != c.want || found.Form != c.form {
				t.Errorf("got %+v, want form %q, problem %q\n%s", m, c.form, c.want, l)
			}
		})
	}
}

// While main runs it may change what lies there. An archive that wait still stages is
// not taken for whole because something lies on a volume.
func TestWhatLiesOnAVolumeIsReadWhenMainHasEnded(t *testing.T) {
	root, volume := t.TempDir(), t.TempDir()
	w, l := watcher(root, "a", "model=volume="+volume+"/model")
	put(t, volume+"/model", []byte("x"))
	for range 3 {
		w.outputs = []*output{{Staged: w.Outputs[0]}, {Staged: w.Outputs[1]}}
		w.look(t.Context(), w.outputs[1])
		w.look(t.Context(), w.outputs[1])
	}
	if l.reads() != 0 || w.whole(w.Outputs[0]) {
		t.Errorf("read %d times, the archive is whole: %v", l.reads(), w.whole(w.Outputs[0]))
	}
	stage(t, root, "b", nil)
	w.look(t.Context(), w.outputs[1])
	if b, _ := w.finish(t.Context(), w.outputs[1]).(Bytes); l.reads() != 1 || b.SHA256 != contenttest.DigestOf("x") {
		t.Errorf("got %+v, read %d times", b, l.reads())
	}
	put(t, volume+"/model", []byte("xy"))
	if b, _ := w.finish(t.Context(), w.outputs[1]).(Bytes); b.SHA256 != contenttest.DigestOf("xy") {
		t.Errorf("what changed since is %+v", b)
	}
}

// A template's sidecar may write to a volume for as long as wait uploads. What changes
// deep in a directory leaves the directory itself as it is.
func TestWhatChangesInADirectoryOnAVolumeIsReadAgain(t *testing.T) {
	for title, change := range map[string]func(t *testing.T, model string){
		"nothing": nil,
		"a file":  func(t *testing.T, model string) { put(t, model+"/a/b", []byte("y")) },
		"a file's name": func(t *testing.T, model string) {
			if err := os.Rename(model+"/a/b", model+"/a/c"); err != nil {
				t.Fatal(err)
			}
		},
		"a folder":    func(t *testing.T, model string) { put(t, model+"/a/d/e", []byte("x")) },
		"a file more": func(t *testing.T, model string) { put(t, model+"/a/c", []byte("x")) },
	} {
		t.Run(title, func(t *testing.T) {
			root, volume := t.TempDir(), t.TempDir()
			w, l := watcher(root, "model=volume="+volume+"/model")
			put(t, volume+"/model/a/b", []byte("x"))
			stage(t, root, "b", nil)
			w.outputs = []*output{{Staged: w.Outputs[0]}}
			for range 3 {
				w.look(t.Context(), w.outputs[0])
			}
			if l.reads() != 1 {
				t.Fatalf("read %d times", l.reads())
			}
			want := 1
			if change != nil {
				time.Sleep(50 * time.Millisecond) // a file's time does not tell less apart
				change(t, volume+"/model")
				want = 2
			}
			tree, err := content.TreeOf(volume + "/model")
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := w.finish(t.Context(), w.outputs[0]).(Bytes); l.reads() != want || b.Tree != tree {
				t.Errorf("got %+v, want %s; read %d times, want %d", b, tree, l.reads(), want)
			}
		})
	}
}

// Without the emissary's volume nothing is known of what it packed.
func TestWhatWasPackedWhereNothingIsMounted(t *testing.T) {
	w, _ := watcher(t.TempDir(), "a=packed=/a")
	m := w.Run(ended(t))
	if p, _ := m[0].Found.(Problem); p.Code != reason.MeasurementIncomplete || !strings.Contains(p.Note, "cannot be opened") {
		t.Errorf("got %+v", m)
	}
}
