package oci

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// MaxImages is how many images one output may hold. A layout that holds more has none:
// the largest official images have some twenty platforms.
const MaxImages = 32

// Kind is whether an image is for one platform or an index of several, and by whose
// specification. The zero value is none.
type Kind string

// Kinds of images, each with the media type that it stands for.
const (
	KindManifest       Kind = "manifest"
	KindIndex          Kind = "index"
	KindDockerManifest Kind = "docker-manifest"
	KindDockerList     Kind = "docker-list"
)

// mediaTypes are those that registries know images by.
var mediaTypes = map[Kind]string{
	KindManifest:       "application/vnd.oci.image.manifest.v1+json",
	KindIndex:          "application/vnd.oci.image.index.v1+json",
	KindDockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
	KindDockerList:     "application/vnd.docker.distribution.manifest.list.v2+json",
}

// MediaType is empty for what is no kind.
func (k Kind) MediaType() string { return mediaTypes[k] }

// IsIndex says that it is an index of several images.
func (k Kind) IsIndex() bool { return k == KindIndex || k == KindDockerList }

// KindOf is the kind that has a media type; none for any other.
func KindOf(mediaType string) Kind {
	for k, t := range mediaTypes {
		if t == mediaType {
			return k
		}
	}
	return ""
}

// Image is an image, or an index of several, that lay whole in a layout.
type Image struct {
	// Digest is the SHA-256 of its manifest or index: what a registry has it by.
	Digest artifact.Digest
	Kind   Kind
	// Platform is what an index says that it is for, such as linux/arm64/v8. It is
	// empty where none says, or two say different things, and for an index.
	Platform string
}

// platformPattern is OS/ARCHITECTURE, or with a variant behind it. 64 bytes have room for
// each that Go or a registry knows.
var platformPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,20}(/[a-z0-9][a-z0-9._-]{0,20}){1,2}$`)

// Validate wants a digest, a kind and, if any, a platform that is spelled as one.
func (i Image) Validate() error {
	if _, err := artifact.ParseDigest(string(i.Digest)); err != nil {
		return err
	}
	switch {
	case i.Kind.MediaType() == "":
		return fmt.Errorf("%.40q is no kind of image", i.Kind)
	case i.Platform != "" && (i.Kind.IsIndex() || !platformPattern.MatchString(i.Platform)):
		return fmt.Errorf("%.80q is not what a %s is for", i.Platform, i.Kind)
	}
	return nil
}

// Images are those of one output, sorted by digest and each once.
type Images []Image

// Validate wants at most MaxImages, in order.
func (l Images) Validate() error {
	if len(l) > MaxImages {
		return fmt.Errorf("%d images, at most %d are named", len(l), MaxImages)
	}
	for n, i := range l {
		if err := i.Validate(); err != nil {
			return err
		}
		if n > 0 && l[n-1].Digest >= i.Digest {
			return errors.New("images are not in order, or one is there twice")
		}
	}
	return nil
}

// Line is one image in words without spaces: kind, digest and, if any, platform.
func (i Image) Line() string {
	return strings.TrimSuffix(string(i.Kind)+" "+artifact.CompactDigest(i.Digest)+" "+i.Platform, " ")
}

// ParseLine reads what Line wrote, and nothing else.
func ParseLine(line string) (Image, error) {
	kind, rest, _ := strings.Cut(line, " ")
	digest, platform, _ := strings.Cut(rest, " ")
	i := Image{Kind: Kind(kind), Platform: platform}
	var err error
	if i.Digest, err = artifact.ParseCompact(digest); err != nil {
		return Image{}, err
	}
	if err := i.Validate(); err != nil {
		return Image{}, err
	}
	if i.Line() != line {
		return Image{}, fmt.Errorf("%.80q is not a kind of image, a digest and a platform", line)
	}
	return i, nil
}
