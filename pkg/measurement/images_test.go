package measurement

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
)

// withImages are outputs that each have so many images in them.
func withImages(outs, images int) Measurement {
	m := outputs(outs)
	for n := range m {
		b := bytesIn(m[n])
		for i := range images {
			b.Images = append(b.Images, oci.Image{Digest: artifact.Digest(fmt.Sprintf("%064x", i+1)), Kind: oci.KindManifest, Platform: "linux/arm64/v8"})
		}
		m[n].Found = b
	}
	return m
}

func TestImagesComeOutAsTheyWentIn(t *testing.T) {
	for name, m := range map[string]Measurement{"one": withImages(1, 1), "as many as one output may have": withImages(1, oci.MaxImages), "several outputs": withImages(3, 5)} {
		message, log, err := m.Encode(MaxMessage)
		if err != nil || log != "" {
			t.Fatalf("%s: %v, the log has %d bytes", name, err, len(log))
		}
		got, more, err := Decode(message)
		if err != nil || more != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %v, got %+v", name, err, got)
		}
	}
}

// TestImagesWithoutRoomAreInTheLog: and the message has those that it has room for, so
// that a log that is gone costs as little as it can.
func TestImagesWithoutRoomAreInTheLog(t *testing.T) {
	m := withImages(20, oci.MaxImages)
	l, log := logged(t, m)
	got, err := l.Find(strings.NewReader(log))
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%v: the log gives %d entries", err, len(got))
	}
	list := withImages(1, 4)
	var files content.Files
	for n := range 2000 {
		files = append(files, content.File{Path: fmt.Sprintf("f%04d", n), SHA256: artifact.Digest(fmt.Sprintf("%064x", n))})
	}
	b := bytesIn(list[0])
	b.Sum, b.Files = content.Sum{Form: content.FormDirectory, SHA256: files.Tree(), Tree: files.Tree()}, files
	list[0].Found = b
	message, log, err := list.Encode(MaxMessage)
	if err != nil || log == "" {
		t.Fatal(err)
	}
	short, more, err := Decode(message)
	if err != nil || more == nil || len(bytesIn(short[0]).Images) != 4 || bytesIn(short[0]).Files != nil {
		t.Errorf("%v: without the log there is %+v", err, short)
	}
	var out strings.Builder
	must(t, WriteLog(&out, log))
	if whole, err := more.Find(strings.NewReader(out.String())); err != nil || !reflect.DeepEqual(whole, list) {
		t.Errorf("%v: with the log there is something else", err)
	}
}

// A message whose images contradict themselves is none.
func TestImagesAreReadStrictly(t *testing.T) {
	m := withImages(1, 2)
	good, _, err := m.Encode(MaxMessage)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(good, "\n")
	lines := strings.SplitAfter(strings.TrimSuffix(body, "\n"), "\n")
	lines[2] += "\n"
	for name, body := range map[string]string{
		"out of order":        lines[0] + lines[2] + lines[1],
		"twice":               lines[0] + lines[1] + lines[1],
		"before their output": lines[1] + lines[0],
		"without a platform":  lines[0] + strings.Replace(lines[1], " linux/arm64/v8", " ", 1),
		"of no kind":          lines[0] + strings.Replace(lines[1], "manifest", "image", 1),
		"of a problem":        "o !OutputAbsent\n" + lines[1],
	} {
		if got, _, err := Decode(withHeader("1", body)); err == nil {
			t.Errorf("%s: taken for %+v", name, got)
		}
	}
	if _, _, err := Decode(withHeader("1", strings.Join(lines, ""))); err != nil {
		t.Errorf("the honest one: %v", err)
	}
}

// imageLayout makes an OCI layout with one image in a folder.
func imageLayout(t *testing.T, dir string) {
	t.Helper()
	at, err := layout.Write(dir, empty.Index)
	must(t, err)
	img, err := random.Image(100, 2)
	must(t, err)
	must(t, at.AppendImage(img))
}

// packDir packs a folder as Argo does.
func packDir(t *testing.T, dir string) []byte {
	t.Helper()
	return packedBelow(t, dir, filepath.Base(dir))
}

// packedBelow packs a folder or file below a name, or a folder's files without one.
func packedBelow(t *testing.T, dir, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		h, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if h.Name = filepath.Join(name, rel); h.Name == "." {
			return nil
		}
		if err := w.WriteHeader(h); err != nil || info.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return write(w, string(raw))
	}))
	must(t, w.Close())
	must(t, z.Close())
	return b.Bytes()
}

// TestTheImagesOfAStagedLayoutAreMeasured: of one in Argo's archive, as it is staged or
// read while the emissary packs it, and of one that is stored as it is.
func TestTheImagesOfAStagedLayoutAreMeasured(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "image")
	imageLayout(t, dir)
	packed := packDir(t, dir)
	stage(t, root, "archived", packed)
	imageLayout(t, filepath.Join(root, "argo/outputs/artifacts", "plain"))
	w, _ := watcher(root, "archived", "plain=none=plain")
	early := t.TempDir()
	l, end := running(t, early, "archived=tar=/tmp/a")
	pack(t, early, "/tmp/a", packed)
	l.draft(t, "/tmp/a", false) // what the program leaves unread when its step ends counts for nothing
	exits(t, early)
	l.draft(t, "/tmp/a", true)
	stage(t, early, "archived", packed)
	time.Sleep(looked) // what it begins to read at the end alone, it reads without what it knew
	for _, e := range append(w.Run(ended(t)), end()...) {
		if got := bytesIn(e).Images; len(got) != 1 || got.Validate() != nil {
			t.Errorf("output %s has %+v", e.Output, e.Found)
		}
	}
	if l.packedAlready() != 1 {
		t.Errorf("nothing was read early:\n%s", l)
	}
}

// TestTheImagesOfAStagedArchiveAreMeasured: of a builder's own archive, compressed or not,
// as it is and in Argo's.
func TestTheImagesOfAStagedArchiveAreMeasured(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "image")
	imageLayout(t, dir)
	compressed := packedBelow(t, dir, "")
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	must(t, err)
	plain, err := io.ReadAll(z)
	must(t, err)
	for name, raw := range map[string][]byte{"image.tar.gz": compressed, "image.tar": plain} {
		at := filepath.Join(t.TempDir(), name)
		put(t, at, raw)
		stage(t, root, "archived-"+strings.TrimPrefix(filepath.Ext(name), "."), packedBelow(t, at, name))
		put(t, filepath.Join(root, "argo/outputs/artifacts", name), raw)
	}
	w, _ := watcher(root, "archived-tar", "archived-gz", "gz=none=image.tar.gz", "tar=none=image.tar")
	for _, e := range w.Run(ended(t)) {
		if got := bytesIn(e).Images; len(got) != 1 || got.Validate() != nil {
			t.Errorf("output %s has %+v", e.Output, e.Found)
		}
	}
}

// TestImagesCostNoOutputItsDigests: they are looked for until half of the grace is over. The
// rest is for the digests.
func TestImagesCostNoOutputItsDigests(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "image")
	imageLayout(t, dir)
	at := filepath.Join(t.TempDir(), "image.tar.gz")
	put(t, at, packedBelow(t, dir, ""))
	stage(t, root, "archived", packedBelow(t, at, "image.tar.gz"))
	put(t, filepath.Join(root, "argo/outputs/artifacts", "image.tar.gz"), packedBelow(t, dir, ""))
	w, _ := watcher(root, "archived", "bare=none=image.tar.gz")
	w.Grace = time.Minute
	honest := w.Run(ended(t))
	late := make(chan struct{})
	close(late)
	w.late = late
	for n, o := range w.Outputs {
		b, _, err := w.read(t.Context(), o, false)
		if want := bytesIn(honest[n]); err != nil || len(want.Images) != 1 || b.Images != nil || b.Sum != want.Sum {
			t.Errorf("output %s: %v, once it is late %+v, before %+v", o.Output, err, b, want)
		}
	}
	w.Grace = 100 * time.Millisecond
	w.Run(ended(t))
	select {
	case <-w.late:
	case <-time.After(time.Minute):
		t.Error("it is never late")
	}
}
