package image

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// maxReference bounds a reference, in bytes: a repository has at most 255, a tag 128, a
// digest of SHA-512 has 135, and a host's name 253.
const maxReference = 1024

const (
	dockerHub = "docker.io"
	// dockerHubServer is the server behind that name: whoever names it means the same.
	dockerHubServer = "registry-1.docker.io"
	// dockerLibrary is where Docker Hub has images of one word.
	dockerLibrary = "library/"
	// digestPrefix begins the one kind of digest that counts.
	digestPrefix = "sha256:"
	portTLS      = ":443"
)

// Image is a reference, read.
type Image struct {
	// Name is registry and repository in one spelling, such as
	// docker.io/library/nginx or registry.example.com:5000/team/app.
	Name string
	// Digest is the SHA-256 of its manifest or index; empty where the reference does
	// not give one.
	Digest artifact.Digest
}

// String is a reference to it, by digest if it has one.
func (i Image) String() string {
	if i.Digest == "" {
		return i.Name
	}
	return i.At(i.Digest)
}

// At is the reference to a digest of the same name.
func (i Image) At(d artifact.Digest) string { return i.Name + "@" + digestPrefix + string(d) }

// imageID is what runtimes may take for an image that the node has, before they look for
// a name (containerd's LocalResolve).
var imageID = regexp.MustCompile(`^(?i:sha(256|384|512)):`)

// Parse reads a reference by the rules of the kubelet, which parses it before any runtime
// does. Of a tag beside a digest runtimes look at the digest alone.
func Parse(text string) (Image, error) {
	if text == "" || len(text) > maxReference {
		return Image{}, fmt.Errorf("a reference has 1 to %d bytes, this one has %d", maxReference, len(text))
	}
	if imageID.MatchString(text) {
		return Image{}, errors.New("what begins with the name of a hash may be the ID of an image that a node has, of whatever registry")
	}
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return Image{}, err
	}
	i := Image{Name: nameOf(reference.Domain(named), reference.Path(named))}
	digested, ok := named.(reference.Digested)
	if !ok {
		return i, nil
	}
	hex, ok := strings.CutPrefix(string(digested.Digest()), digestPrefix)
	if !ok {
		return i, nil // of another kind: nothing is known by these
	}
	if i.Digest, err = artifact.ParseDigest(hex); err != nil {
		return Image{}, err
	}
	return i, nil
}

// nameOf gives one spelling to what is one place: hosts have no case, TLS has a port of
// its own, and Docker Hub several names.
func nameOf(host, repository string) string {
	host = hostOf(host)
	if host == dockerHub && !strings.Contains(repository, "/") {
		repository = dockerLibrary + repository
	}
	return host + "/" + repository
}

func hostOf(host string) string {
	host = strings.ToLower(host)
	if at := strings.LastIndexByte(host, ':'); at > 0 {
		if port := strings.TrimLeft(host[at+1:], "0"); port != "" { // 0443 is dialled as 443
			host = host[:at+1] + port
		}
	}
	if bare, ok := strings.CutSuffix(host, portTLS); ok && isHost(bare) {
		host = bare
	}
	switch host {
	case dockerHubServer, "index." + dockerHub:
		return dockerHub
	}
	return host
}

// isHost says whether the first part of a name is a registry: else it is a part of a
// repository on Docker Hub.
func isHost(part string) bool { return part == "localhost" || strings.ContainsAny(part, ".:") }

// CheckPattern says whether a pattern of names can match any: it has to begin with a
// registry, in the spelling of Name, and wildcards may stand behind that only. The
// pattern ** stands for all images.
func CheckPattern(pattern string) error {
	if pattern == "**" {
		return nil
	}
	host, repository, _ := strings.Cut(pattern, "/")
	switch {
	case repository == "" || strings.Contains(host, "*"):
		return errors.New("want ** or REGISTRY/REPOSITORY, with * or ** in REPOSITORY only")
	case !isHost(host) && host != "localhost":
		return fmt.Errorf("%.80q is no registry: what has none is of %s", host, dockerHub)
	case hostOf(host) != host:
		return fmt.Errorf("the registry %.80q is spelled %s", host, hostOf(host))
	case host == dockerHub && !strings.Contains(repository, "/") && !strings.Contains(repository, "**"):
		return fmt.Errorf("images of %s have two parts, such as %s%s", dockerHub, dockerLibrary, repository)
	}
	if at := strings.IndexFunc(repository, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("_-./*", r)
	}); at >= 0 {
		return fmt.Errorf("no repository has a %q in its name, and tags and digests are no part of a pattern", repository[at:at+1])
	}
	return nil
}
