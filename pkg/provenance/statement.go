package provenance

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/reason"
)

// The fixed parts of every statement.
const (
	// Version is the version of the statements that Build makes. Parse reads it and
	// the one before it.
	Version = 2
	// BuildType is their build type; docs/buildtypes/argo-step-v2.md is its page.
	BuildType = buildTypePrefix + "2"
	// PayloadType is the DSSE payload type of a statement.
	PayloadType = "application/vnd.in-toto+json"
	// PredicateType is SLSA Provenance v1.
	PredicateType = "https://slsa.dev/provenance/v1"

	ours            = "https://argoseal.dev/"
	buildTypePrefix = "https://argoseal.dev/buildtypes/argo-step/v"
	builderPrefix   = "https://argoseal.dev/builders/v1/"
)

// MaxPayload is the size of the largest payload, in bytes. Twice as much would
// still fit into a Provenance, as base64 in the envelope of a bundle.
const MaxPayload = 512 << 10

// MaxSubjects is the number of subjects that sigstore-go verifies at most, images in
// outputs among them.
const MaxSubjects = 1024

// Statement is a statement that Parse accepted. It is shared between callers:
// do not change it.
type Statement struct {
	Facts
	// Version is that of the statement. A version that has no room for a fact says
	// nothing about it.
	Version int
}

// Subject finds the subject with this location. Whether its digest is the
// expected one is for the caller to compare, on the subject that is returned:
// name and digest have to match in the same subject.
func (s *Statement) Subject(uri string) (Subject, bool) {
	for _, subject := range s.Subjects {
		if subject.URI == uri {
			return subject, true
		}
	}
	return Subject{}, false
}

// Match finds the subject with this location and checks that it has this digest.
// Without a location (an empty uri) it finds the first subject with the digest.
// Its errors have the code SubjectMismatch if no subject has the location, and
// DigestMismatch if the digest is another.
func (s *Statement) Match(uri string, digest artifact.Digest) (Subject, error) {
	if _, err := artifact.ParseDigest(string(digest)); err != nil {
		return Subject{}, reason.Wrap(reason.DigestMismatch, err, "no digest to compare with")
	}
	for _, subject := range s.Subjects {
		if uri == "" && subject.SHA256 == digest {
			return subject, nil
		}
	}
	if uri == "" {
		return Subject{}, reason.New(reason.DigestMismatch, "none of the %d subjects has the digest sha256:%s", len(s.Subjects), digest)
	}
	subject, ok := s.Subject(uri)
	switch {
	case !ok:
		return Subject{}, reason.New(reason.SubjectMismatch, "no subject is named %s", uri)
	case subject.SHA256 != digest:
		return Subject{}, reason.New(reason.DigestMismatch, "%s is stated with sha256:%s, not sha256:%s", uri, subject.SHA256, digest)
	}
	return subject, nil
}

// HasImage says whether a container image lay whole in an output.
func (f *Facts) HasImage(output string, digest artifact.Digest) bool {
	return digest != "" && slices.ContainsFunc(f.Measured, func(m Measured) bool { return m.Output == output && m.Digest == digest })
}

// ImagesOf are the container images that lay whole in an output.
func (f *Facts) ImagesOf(output string) []oci.Image {
	var images []oci.Image
	for _, m := range f.Measured {
		if m.Output == output {
			images = append(images, m.Image)
		}
	}
	return images
}

// BuilderID is runDetails.builder.id.
func (s *Statement) BuilderID() string { return s.Builder.ID() }

// BuildType is buildDefinition.buildType.
func (s *Statement) BuildType() string { return buildType(s.Version) }

// InvocationID is runDetails.metadata.invocationId:
// "<workflow UID>/<node id>/<pod UID>".
func (f *Facts) InvocationID() string {
	return f.Step.Workflow.UID + "/" + f.Step.NodeID + "/" + f.Step.Pod.UID
}

// ID is builder.id: https://argoseal.dev/builders/v1/<cluster>/<level>.
func (b Builder) ID() string { return builderPrefix + b.Cluster + "/" + string(b.Level) }

var clusterName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$`)

// IsOurs says whether a URI is of those that Argoseal's statements have as build types,
// builders and predicates, of any version. Only our own parsers may read them.
func IsOurs(uri string) bool { return strings.HasPrefix(strings.ToLower(uri), ours) }

// ParseBuilderID reads a builder.id of ours.
func ParseBuilderID(id string) (Builder, error) {
	rest, ok := strings.CutPrefix(id, builderPrefix)
	cluster, level, found := strings.Cut(rest, "/")
	b := Builder{Cluster: cluster, Level: Level(level)}
	if !ok || !found {
		return Builder{}, fmt.Errorf("builder id %.200q is not one of ours", id)
	}
	return b, b.validate()
}

func (b Builder) validate() error {
	if !clusterName.MatchString(b.Cluster) {
		return fmt.Errorf("cluster %.200q is not a name", b.Cluster)
	}
	if b.Level != LevelIsolated && b.Level != LevelObserved {
		return fmt.Errorf("level %.200q is neither %s nor %s", b.Level, LevelIsolated, LevelObserved)
	}
	return nil
}

// checkURI accepts the one spelling of an artifact's location and nothing else.
func checkURI(uri string) error {
	if _, err := artifact.ParseLocation(uri); err != nil {
		return fmt.Errorf("location %.200q: %w", uri, err)
	}
	return nil
}

// Location is the location that the subject's URI spells.
func (s Subject) Location() (artifact.Location, error) { return artifact.ParseLocation(s.URI) }
