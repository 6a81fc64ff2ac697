package image

import (
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Index is one image for several architectures: each node takes its own.
type Index struct {
	// Name and Tag are those of its images.
	Name, Tag string
	// Digest is that of the index, "sha256:…".
	Digest string

	v1 v1.ImageIndex
}

// Tagged is NAME:TAG.
func (i *Index) Tagged() string { return i.Name + ":" + i.Tag }

// Ref is NAME@sha256:…, the name to use in pod specs.
func (i *Index) Ref() string { return i.Name + "@" + i.Digest }

// OCI is the index as go-containerregistry knows it, to push it for example.
func (i *Index) OCI() v1.ImageIndex { return i.v1 }

// NewIndex makes one of images that differ in their architecture, in this order.
func NewIndex(images ...*Image) (*Index, error) {
	if len(images) == 0 {
		return nil, errors.New("index: there are no images")
	}
	first := images[0].Spec
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	seen := map[string]bool{}
	for _, img := range images {
		if img.Spec.Name != first.Name || img.Spec.Tag != first.Tag || seen[img.Spec.Arch] {
			return nil, fmt.Errorf("index %s: %s for %s has another name, or is there twice", first.Name, img.Tagged(), img.Spec.Arch)
		}
		seen[img.Spec.Arch] = true
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img.v1,
			Descriptor: v1.Descriptor{MediaType: types.OCIManifestSchema1, Platform: &v1.Platform{OS: "linux", Architecture: img.Spec.Arch}},
		})
	}
	digest, err := index.Digest()
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", first.Name, err)
	}
	return &Index{Name: first.Name, Tag: first.Tag, Digest: digest.String(), v1: index}, nil
}
