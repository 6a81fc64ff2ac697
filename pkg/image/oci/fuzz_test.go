package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
)

func hashOf0() artifact.Digest { return hashOf[artifact.Digest](nil) }

// unpacked is what somebody gets who unpacks an archive with whatever overwrites.
func unpacked(raw []byte) map[string][]byte {
	files := map[string][]byte{}
	var from io.Reader = bytes.NewReader(raw)
	if z, err := gzip.NewReader(bytes.NewReader(raw)); err == nil {
		from = z
	}
	r := tar.NewReader(from)
	for {
		h, err := r.Next()
		if err != nil {
			return files
		}
		if content, err := io.ReadAll(io.LimitReader(r, 64<<20)); err == nil {
			files[strings.TrimPrefix(h.Name, "./")] = content
		}
	}
}

// FuzzLayout: whatever an archive has in it, each image that is named can be pulled from
// what it unpacks to: by another reader's account of JSON, and with all its blobs.
func FuzzLayout(f *testing.F) {
	f.Add(tarOf(f, members(f, write(f, image(f)), "")))
	f.Add(tarOf(f, members(f, write(f, index(f, "linux/amd64", "linux/arm64")), "")))
	f.Add(gzipped(f, tarOf(f, members(f, write(f, image(f)), ""))))
	f.Add([]byte(`{"schemaVersion":2}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		images := inFile(t, raw)
		if err := images.Validate(); err != nil {
			t.Fatal(err)
		}
		files := unpacked(raw)
		for _, i := range images {
			manifest := files["blobs/sha256/"+string(i.Digest)]
			if hashOf[artifact.Digest](manifest) != i.Digest {
				t.Fatalf("%s is not there", i.Digest)
			}
			var m struct {
				Config *named
				Layers []named
			}
			if err := json.Unmarshal(manifest, &m); err != nil {
				t.Fatal(err)
			}
			if i.Kind.IsIndex() != (m.Config == nil) {
				t.Fatalf("%s is no %s", i.Digest, i.Kind)
			}
			if m.Config != nil {
				m.Layers = append(m.Layers, *m.Config)
			}
			for _, n := range m.Layers {
				content := files["blobs/sha256/"+strings.TrimPrefix(n.Digest, "sha256:")]
				if int64(len(content)) != n.Size || "sha256:"+hashOf[string](content) != n.Digest {
					t.Fatalf("%s of %s is not there", n.Digest, i.Digest)
				}
			}
		}
	})
}

type named struct {
	Digest string
	Size   int64
}
