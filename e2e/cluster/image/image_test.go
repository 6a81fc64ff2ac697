package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// spec is an image with all kinds of entries.
func spec(program string) Spec {
	return Spec{
		Name: "localhost/test/thing",
		Layers: [][]File{
			{
				{Path: "/bin/thing", From: program},
				{Path: "etc/passwd", Data: []byte("root:x:0:0::/:/bin/sh\n")},
				{Path: "/bin/alias", Link: "thing"},
				{Path: "/tmp", Dir: true, Mode: 0o1777},
			},
			{{Path: "/extra", Data: []byte("x"), UID: 7, GID: 8}},
		},
		Entrypoint: []string{"thing"},
		Env:        map[string]string{"B": "2", "A": "1"},
	}
}

func program(t *testing.T, mtime time.Time) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "thing")
	if err := os.WriteFile(name, []byte("\x7fELF, or so"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, mtime, mtime); err != nil {
		t.Fatal(err)
	}
	return name
}

// Equal files give equal images, whatever their times, places and order.
func TestBuildIsDeterministic(t *testing.T) {
	a := spec(program(t, time.Unix(1, 0)))
	b := spec(program(t, time.Now()))
	first := b.Layers[0]
	first[0], first[3] = first[3], first[0]
	imgA, err := Build(a)
	if err != nil {
		t.Fatal(err)
	}
	imgB, err := Build(b)
	if err != nil {
		t.Fatal(err)
	}
	if imgA.Digest != imgB.Digest {
		t.Errorf("digests differ: %s, %s", imgA.Digest, imgB.Digest)
	}
	b.Layers[1][0].Data = []byte("y")
	imgB, err = Build(b)
	if err != nil {
		t.Fatal(err)
	}
	if imgA.Digest == imgB.Digest {
		t.Error("another content, the same digest")
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, s := range map[string]Spec{
		"no name":         {},
		"a digest":        {Name: "a@sha256:00"},
		"a path twice":    {Name: "a", Layers: [][]File{{{Path: "/x"}, {Path: "x"}}}},
		"no path":         {Name: "a", Layers: [][]File{{{Path: "/"}}}},
		"no such program": {Name: "a", Layers: [][]File{{{Path: "/x", From: "/does/not/exist"}}}},
	} {
		if _, err := Build(s); err == nil {
			t.Errorf("%s: built", name)
		}
	}
}

// The archive's index names the digest that Build told, twice, and every blob
// is what its name says.
func TestArchive(t *testing.T) {
	img, err := Build(spec(program(t, time.Now())))
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := WriteArchive(&buf, img, img); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(&buf); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name] != nil {
			t.Errorf("%s is there twice", h.Name)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range files {
		sum := sha256.Sum256(data)
		if filepath.Dir(name) == "blobs/sha256" && filepath.Base(name) != hex.EncodeToString(sum[:]) {
			t.Errorf("%s has another content", name)
		}
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 4 {
		t.Fatalf("%d manifests in the index", len(index.Manifests))
	}
	for i, want := range []string{img.Tagged(), img.Ref()} {
		m := index.Manifests[i]
		if m.Digest.String() != img.Digest || m.Annotations[nameAnnotation] != want {
			t.Errorf("manifest %d is %s, %s", i, m.Digest, m.Annotations[nameAnnotation])
		}
		if _, ok := files["blobs/sha256/"+m.Digest.Hex]; !ok {
			t.Errorf("no blob for %s", m.Digest)
		}
	}
}

// Parents of a file are there before it, once each, in order.
func TestLayerOrder(t *testing.T) {
	data, err := layer([]File{{Path: "/b/c/d"}, {Path: "/b/a"}, {Path: "/a", Dir: true, Mode: 0o700}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(epoch) {
			t.Errorf("%s has time %s", h.Name, h.ModTime)
		}
		names = append(names, h.Name)
	}
	want := []string{"a/", "b/", "b/a", "b/c/", "b/c/d"}
	if len(names) != len(want) {
		t.Fatalf("got %v", names)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Fatalf("got %v, want %v", names, want)
		}
	}
}
