// Package image builds container images from a list of files, without Docker
// and without a registry, and loads them into the development cluster.
//
// Equal input gives equal bytes: fixed times, fixed order, fixed owners, no
// compression whose output could change between releases. So the manifest's
// digest is known before anything is loaded, and `image: NAME@sha256:…` means
// the same image on every machine that built it.
package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Spec is an image to build.
type Spec struct {
	// Name is the full repository name without tag, such as
	// "localhost/argoseal/argoexec".
	Name string
	// Tag is a second name for people; "dev" if empty.
	Tag string
	// Layers are lists of files; most images need one.
	Layers [][]File

	Entrypoint, Cmd []string
	// User is the numeric user, "0" if empty.
	User string
	// Env adds variables to PATH, which is always set.
	Env        map[string]string
	WorkingDir string
	Labels     map[string]string
	// Arch is the architecture of the programs in it, as Go calls it; this machine's if
	// empty.
	Arch string
}

// File is one entry of a layer. Exactly one of From, Data, Link and Dir says
// what it is; an empty regular file has none of them.
type File struct {
	Path string // within the image, with or without the leading slash
	From string // file of this machine to copy
	Data []byte // content
	Link string // target of a symbolic link
	Dir  bool
	Mode int64 // 0644 for files, 0755 for From and Dir if zero
	UID  int
	GID  int
}

// Image is a built image.
type Image struct {
	Spec Spec
	// Digest is that of the manifest, "sha256:…".
	Digest string

	v1 v1.Image
}

// Tagged is NAME:TAG.
func (i *Image) Tagged() string { return i.Spec.Name + ":" + i.Spec.Tag }

// Ref is NAME@sha256:…, the name to use in pod specs.
func (i *Image) Ref() string { return i.Spec.Name + "@" + i.Digest }

// OCI is the image as go-containerregistry knows it, to push it for example.
func (i *Image) OCI() v1.Image { return i.v1 }

// defaultPath is what images get whose authors set no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Build builds an image for one platform.
func Build(spec Spec) (*Image, error) {
	if spec.Name == "" || strings.ContainsAny(spec.Name, "@ ") {
		return nil, fmt.Errorf("image: %q is no name", spec.Name)
	}
	if spec.Tag == "" {
		spec.Tag = "dev"
	}
	if spec.User == "" {
		spec.User = "0"
	}
	if spec.Arch == "" {
		spec.Arch = runtime.GOARCH
	}
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	config := &v1.ConfigFile{
		Architecture: spec.Arch,
		OS:           "linux",
		Created:      v1.Time{Time: epoch},
		RootFS:       v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
		Config: v1.Config{
			Entrypoint: spec.Entrypoint, Cmd: spec.Cmd, User: spec.User,
			WorkingDir: spec.WorkingDir, Labels: spec.Labels, Env: env(spec.Env),
		},
	}
	img, err := mutate.ConfigFile(img, config)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", spec.Name, err)
	}
	for n, files := range spec.Layers {
		data, err := layer(files)
		if err != nil {
			return nil, fmt.Errorf("image %s, layer %d: %w", spec.Name, n, err)
		}
		// Uncompressed, so diff id and digest are the same.
		add := mutate.Addendum{Layer: static.NewLayer(data, types.OCIUncompressedLayer),
			History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "argoseal e2e/cluster/image"}}
		if img, err = mutate.Append(img, add); err != nil {
			return nil, fmt.Errorf("image %s, layer %d: %w", spec.Name, n, err)
		}
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", spec.Name, err)
	}
	return &Image{Spec: spec, Digest: digest.String(), v1: img}, nil
}

// epoch is the time of everything in an image.
var epoch = time.Unix(0, 0).UTC()

func env(vars map[string]string) []string {
	list := []string{}
	if _, set := vars["PATH"]; !set {
		list = append(list, "PATH="+defaultPath)
	}
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		list = append(list, k+"="+vars[k])
	}
	return list
}

// layer writes the files, sorted by path and with their parent folders, as a
// tar archive.
func layer(files []File) ([]byte, error) {
	entries := map[string]File{}
	for _, f := range files {
		f.Path = strings.TrimPrefix(path.Clean("/"+f.Path), "/")
		if f.Path == "" {
			return nil, errors.New("an entry has no path")
		}
		if _, twice := entries[f.Path]; twice {
			return nil, fmt.Errorf("%s is there twice", f.Path)
		}
		entries[f.Path] = f
	}
	for p := range maps.Clone(entries) {
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			if _, ok := entries[dir]; !ok {
				entries[dir] = File{Path: dir, Dir: true}
			}
		}
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, p := range slices.Sorted(maps.Keys(entries)) {
		if err := writeEntry(w, entries[p]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func writeEntry(w *tar.Writer, f File) error {
	h := &tar.Header{
		Name: f.Path, Mode: f.Mode, Uid: f.UID, Gid: f.GID,
		ModTime: epoch, Format: tar.FormatPAX, Typeflag: tar.TypeReg,
	}
	var content io.Reader = bytes.NewReader(f.Data)
	h.Size = int64(len(f.Data))
	fallback := int64(0o644)
	switch {
	case f.Dir:
		h.Typeflag, h.Name, fallback = tar.TypeDir, f.Path+"/", 0o755
	case f.Link != "":
		h.Typeflag, h.Linkname, fallback = tar.TypeSymlink, f.Link, 0o777
	case f.From != "":
		in, err := os.Open(f.From)
		if err != nil {
			return err
		}
		defer in.Close()
		st, err := in.Stat()
		if err != nil {
			return err
		}
		h.Size, content, fallback = st.Size(), in, 0o755
	}
	if h.Mode == 0 {
		h.Mode = fallback
	}
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	if _, err := io.Copy(w, content); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return nil
}
