package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nameAnnotation is where containerd looks for the full name of an image in
// an archive's index.
const nameAnnotation = "io.containerd.image.name"

// WriteArchive writes images as one OCI layout in a tar archive. Unlike
// Docker's format it holds the manifests themselves, so nobody has to make
// them anew and the digests stay what they are. Each image stands in the
// index twice, by tag and by digest: containerd then knows both names.
func WriteArchive(w io.Writer, images ...*Image) error {
	a := &archive{w: tar.NewWriter(w), written: map[string]bool{}}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	for _, img := range images {
		descriptor, err := a.image(img)
		if err != nil {
			return fmt.Errorf("archive %s: %w", img.Spec.Name, err)
		}
		for _, name := range []string{img.Tagged(), img.Ref()} {
			d := *descriptor
			d.Annotations = map[string]string{nameAnnotation: name}
			index.Manifests = append(index.Manifests, d)
		}
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return errors.Join(
		a.file("index.json", data),
		a.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)),
		a.w.Close(),
	)
}

// WriteFile writes images to a file as [WriteArchive] does.
func WriteFile(name string, images ...*Image) (err error) {
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	if err := errors.Join(WriteArchive(f, images...), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name+".new"))
	}
	return os.Rename(name+".new", name)
}

type archive struct {
	w       *tar.Writer
	written map[string]bool // blobs, which images share
}

// image writes the blobs of one image and describes its manifest.
func (a *archive) image(img *Image) (*v1.Descriptor, error) {
	layers, err := img.v1.Layers()
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close(), a.blob(data)); err != nil {
			return nil, err
		}
	}
	config, err := img.v1.RawConfigFile()
	if err != nil {
		return nil, err
	}
	manifest, err := img.v1.RawManifest()
	if err != nil {
		return nil, err
	}
	digest, err := v1.NewHash(img.Digest)
	if err != nil {
		return nil, err
	}
	return &v1.Descriptor{
		MediaType: types.OCIManifestSchema1,
		Size:      int64(len(manifest)),
		Digest:    digest,
	}, errors.Join(a.blob(config), a.blob(manifest))
}

// blob writes content under its digest, once.
func (a *archive) blob(data []byte) error {
	sum := sha256.Sum256(data)
	name := "blobs/sha256/" + hex.EncodeToString(sum[:])
	if a.written[name] {
		return nil
	}
	a.written[name] = true
	return a.file(name, data)
}

func (a *archive) file(name string, data []byte) error {
	h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: epoch, Format: tar.FormatPAX}
	if err := a.w.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(a.w, bytes.NewReader(data))
	return err
}
