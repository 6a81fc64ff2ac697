package provenance

import (
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// NewImage reads a container's image from its status: image is how the pod
// names it, imageID what the kubelet reports. That is
//   - repository@sha256:HEX, with docker-pullable:// before it from cri-dockerd:
//     the digest of a manifest, or of an index of several;
//   - an id that the runtime has for the image, mostly the digest of its config:
//     sha256:HEX from containerd, HEX from CRI-O, docker://sha256:HEX from
//     cri-dockerd. Which manifest led to it the runtime does not say, but the pod's
//     name of the image does if it pins one: a runtime runs nothing else;
//   - anything else, which is not stated.
func NewImage(container, image, imageID string) Image {
	i := Image{Container: container, Ref: image, Repository: repositoryOf(image)}
	if _, after, ok := strings.Cut(imageID, "://"); ok {
		imageID = after
	}
	if repository, hex, ok := strings.Cut(imageID, "@sha256:"); ok {
		if digest, err := artifact.ParseDigest(hex); err == nil {
			i.Repository, i.SHA256 = repositoryOf(repository), digest
			return i
		}
	}
	if _, hex, ok := strings.Cut(image, "@sha256:"); ok {
		if digest, err := artifact.ParseDigest(hex); err == nil {
			i.SHA256 = digest
			return i
		}
	}
	if id, err := artifact.ParseDigest(strings.TrimPrefix(imageID, "sha256:")); err == nil {
		i.SHA256, i.DigestOf = id, DigestOfID
	}
	return i
}

// DigestOf says what an image's digest is of, where it is not a manifest.
type DigestOf string

// DigestOfID is the id that the runtime of the node has for the image.
const DigestOfID DigestOf = "id"

// repositoryOf cuts digest and tag off an image reference.
func repositoryOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image = image[:i]
	}
	return image
}
