package measurement

import (
	"archive/tar"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// stageLog writes a log where Argo's wait would.
func stageLog(t *testing.T, root, name, content string) string {
	t.Helper()
	path := filepath.Join(root, "argo/outputs/logs", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestALogIsMeasuredWhereWaitStagesIt(t *testing.T) {
	stored := "hello\n"
	for title, c := range map[string]struct {
		prepare func(t *testing.T, root string)
		form    content.Form
		want    reason.Code
	}{
		"a log":                 {func(t *testing.T, root string) { stageLog(t, root, "main.log", stored) }, content.FormFile, ""},
		"an empty log":          {func(t *testing.T, root string) { stageLog(t, root, "main.log", "") }, content.FormFile, ""},
		"a log like an archive": {func(t *testing.T, root string) { stageLog(t, root, "main.log", string(archive(t, "x"))) }, content.FormLookalike, ""},
		"nothing":               {func(*testing.T, string) {}, "", reason.OutputAbsent},
		"another's log":         {func(t *testing.T, root string) { stageLog(t, root, "other.log", stored) }, "", reason.OutputAbsent},
		"an output of that name": {func(t *testing.T, root string) {
			place(t, root, "main.log", []byte(stored))
		}, "", reason.OutputAbsent},
		"a directory": {func(t *testing.T, root string) { stageLog(t, root, "main.log/x", stored) }, "", reason.OutputUnreadable},
		"a directory of the output's name": {func(t *testing.T, root string) {
			stageLog(t, root, "main-logs/x", stored)
		}, "", reason.OutputAbsent},
		"a link to a log": {func(t *testing.T, root string) {
			link(t, filepath.Base(stageLog(t, root, "other.log", stored)), root+"/argo/outputs/logs/main.log")
		}, "", reason.OutputUnreadable},
		"a folder that is a link": {func(t *testing.T, root string) {
			place(t, root, "main.log", []byte(stored))
			link(t, "artifacts", root+"/argo/outputs/logs")
		}, "", reason.OutputUnreadable},
	} {
		t.Run(title, func(t *testing.T) {
			root := t.TempDir()
			c.prepare(t, root)
			w, l := watcher(root, "main-logs=log=main.log")
			m := w.Run(ended(t))
			if len(m) != 1 || m[0].Output != "main-logs" || problemIn(m[0]).Code != c.want || bytesIn(m[0]).Form != c.form {
				t.Errorf("got %+v, want form %q, problem %q\n%s", m, c.form, c.want, l)
			}
			if _, _, err := m.Encode(MaxMessage); err != nil {
				t.Error(err)
			}
		})
	}
}

// A step that prints what users send must not get images for it; the same bytes as an output
// of their own have them.
func TestALogHasNoImages(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "image")
	imageLayout(t, dir)
	raw := tarDir(t, dir)
	stageLog(t, root, "main.log", raw)
	w, l := watcher(root, "main-logs=log=main.log")
	m := w.Run(ended(t))
	if len(m) != 1 || bytesIn(m[0]).SHA256 == "" || len(bytesIn(m[0]).Images) != 0 {
		t.Errorf("the log has %+v\n%s", m, l)
	}
	f, err := os.Open(filepath.Join(root, "argo/outputs/logs/main.log"))
	must(t, err)
	defer f.Close()
	same, err := w.sum(t.Context(), Staged{Output: "image", Archive: content.ArchiveNone}, f, int64(len(raw)))
	must(t, err)
	if len(same.Images) != 1 {
		t.Errorf("as an output it has %+v", same.Images)
	}
}

// tarDir is a layout as builders write it.
func tarDir(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	w := tar.NewWriter(&b)
	must(t, w.AddFS(os.DirFS(dir)))
	must(t, w.Close())
	return b.String()
}

func TestALogThatGrowsIsMeasuredWhole(t *testing.T) {
	root := t.TempDir()
	w, _ := watcher(root, "a", "main-logs=log=main.log")
	ctx, end := context.WithCancel(t.Context())
	result := make(chan Measurement)
	go func() { result <- w.Run(ctx) }()
	stored := archive(t, "content")
	stage(t, root, "a", stored)
	stageLog(t, root, "main.log", "one")
	time.Sleep(100 * time.Millisecond)
	stageLog(t, root, "main.log", "one and two")
	end()
	if m := <-result; bytesIn(m[0]).SHA256 != contenttest.DigestOf(string(stored)) || bytesIn(m[1]).SHA256 != contenttest.DigestOf("one and two") {
		t.Errorf("got %+v", m)
	}
}
