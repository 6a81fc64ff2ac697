// Package referrer puts a bundle beside an image in its registry, where cosign
// looks for it: an OCI artifact whose subject is the image (cosign's bundle format;
// OCI distribution specification 1.1, section "Referrers"). Of the registry it
// trusts only that it has the image. Whoever verifies the bundle trusts neither.
package referrer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	bundleType types.MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	emptyType  types.MediaType = "application/vnd.oci.empty.v1+json"

	annotationContent   = "dev.sigstore.bundle.content"
	annotationPredicate = "dev.sigstore.bundle.predicateType"
	contentEnvelope     = "dsse-envelope"
)

// maxPlatforms bounds how many manifests of an index are looked at: the largest official
// images have some twenty.
const maxPlatforms = 256

// Part is one manifest of an image.
type Part struct {
	Ref name.Digest
	// Platform is such as linux/arm64; empty for the image itself.
	Platform string
}

func (p Part) String() string {
	if p.Platform == "" {
		return p.Ref.String()
	}
	return p.Ref.String() + " (" + p.Platform + ")"
}

// Platforms are the manifests of images that an index has, in its order and each once.
// Others are those of it that are left out, because they are for no platform: such as a
// builder's own attestations (platform unknown/unknown). Whether the image is an index at
// all, its own bytes say, which have the digest: the registry's header has not. Of an image
// that is none there is no part; an index in an index, or one without parts, is an error.
func Platforms(ctx context.Context, image name.Digest, options ...remote.Option) (parts []Part, others int, err error) {
	got, err := remote.Get(image, append(options, remote.WithContext(ctx))...)
	if err != nil {
		return nil, 0, fmt.Errorf("the registry does not show %s: %w", image, err)
	}
	var m struct {
		Config    *v1.Descriptor  `json:"config"`
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(got.Manifest, &m); err != nil {
		return nil, 0, fmt.Errorf("the manifest of %s: %w", image, err)
	}
	switch {
	case m.Config != nil && m.Manifests != nil:
		return nil, 0, fmt.Errorf("%s is an image and an index at once", image)
	case m.Config != nil:
		return nil, 0, nil
	case len(m.Manifests) > maxPlatforms:
		return nil, 0, fmt.Errorf("the index %s has %d manifests, at most %d are looked at", image, len(m.Manifests), maxPlatforms)
	}
	seen := map[v1.Hash]bool{}
	for _, d := range m.Manifests {
		switch {
		case d.MediaType.IsIndex():
			return nil, 0, fmt.Errorf("the index %s has the index %s in it: attach that by itself", image, d.Digest)
		case !d.MediaType.IsImage() || d.Platform != nil && d.Platform.OS == "unknown":
			others++
			continue
		case seen[d.Digest]:
			continue
		}
		seen[d.Digest] = true
		part := Part{image.Context().Digest(d.Digest.String()), "no platform named"}
		if d.Platform != nil {
			part.Platform = d.Platform.String()
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return nil, 0, fmt.Errorf("the index %s has no manifest for any platform", image)
	}
	return parts, others, nil
}

// Attach writes the bundle of a statement with that predicate type, and returns
// where it is. The same bundle is written only once, because its manifest has no
// time. A registry without the referrers API gets it under the tag that stands for
// that (sha256-HEX).
func Attach(ctx context.Context, image name.Digest, bundle []byte, predicateType string, options ...remote.Option) (name.Digest, error) {
	options = append(options, remote.WithContext(ctx))
	subject, err := remote.Head(image, options...)
	if err != nil {
		return name.Digest{}, fmt.Errorf("the registry does not show %s: %w", image, err)
	}
	if subject.Digest.String() != image.DigestStr() {
		return name.Digest{}, fmt.Errorf("the registry shows %s as %s", image, subject.Digest)
	}
	m := manifest{Manifest: v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Subject:       &v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
		ArtifactType:  string(bundleType),
		Annotations:   map[string]string{annotationContent: contentEnvelope, annotationPredicate: predicateType},
	}}
	if m.Config, err = upload(image.Context(), static.NewLayer([]byte("{}"), emptyType), options); err != nil {
		return name.Digest{}, err
	}
	layer, err := upload(image.Context(), static.NewLayer(bundle, bundleType), options)
	if err != nil {
		return name.Digest{}, err
	}
	m.Layers = []v1.Descriptor{layer}
	raw, err := m.RawManifest()
	if err != nil {
		return name.Digest{}, err
	}
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return name.Digest{}, err
	}
	at := image.Context().Digest(digest.String())
	if err := remote.Put(at, m, options...); err != nil {
		return name.Digest{}, fmt.Errorf("writing the attestation beside %s: %w", image, err)
	}
	return at, nil
}

// upload writes one blob.
func upload(repository name.Repository, layer v1.Layer, options []remote.Option) (v1.Descriptor, error) {
	var d v1.Descriptor
	if err := remote.WriteLayer(repository, layer, options...); err != nil {
		return d, fmt.Errorf("writing to %s: %w", repository, err)
	}
	var err error
	if d.Digest, err = layer.Digest(); err != nil {
		return d, err
	}
	if d.Size, err = layer.Size(); err != nil {
		return d, err
	}
	d.MediaType, err = layer.MediaType()
	return d, err
}

// manifest is one that remote.Put takes.
type manifest struct{ v1.Manifest }

// RawManifest implements remote.Taggable.
func (m manifest) RawManifest() ([]byte, error) { return json.Marshal(m.Manifest) }

// MediaType says what the manifest is.
func (m manifest) MediaType() (types.MediaType, error) { return m.Manifest.MediaType, nil }
