package provenance

import (
	"fmt"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// NewImage reads a container's image from its status: image is how the pod
// names it, imageID what the kubelet reports. That is repository@sha256:HEX
// for an image that was pulled, and sha256:HEX (the image's own id) for one
// that was loaded into the node; then the repository is taken from the name.
func NewImage(container, image, imageID string) (Image, error) {
	id := imageID
	if _, after, ok := strings.Cut(id, "://"); ok {
		id = after
	}
	repository, hex := "", ""
	if rest, ok := strings.CutPrefix(id, "sha256:"); ok {
		repository, hex = repositoryOf(image), rest
	} else if before, after, ok := strings.Cut(id, "@sha256:"); ok {
		repository, hex = repositoryOf(before), after
	}
	digest, err := artifact.ParseDigest(hex)
	if err != nil {
		return Image{}, fmt.Errorf("container %q: image id %.200q names no digest: %w", container, imageID, err)
	}
	return Image{Container: container, Ref: image, Repository: repository, SHA256: digest}, nil
}

// repositoryOf cuts digest and tag off an image reference.
func repositoryOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image = image[:i]
	}
	return image
}
