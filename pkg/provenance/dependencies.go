package provenance

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"

	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
)

// Kinds of what is referred to.
const (
	kindTemplate        = "WorkflowTemplate"
	kindClusterTemplate = "ClusterWorkflowTemplate"
)

func (w WorkflowTemplate) kind() string {
	if w.ClusterScope {
		return kindClusterTemplate
	}
	return kindTemplate
}

// id tells references apart; no part of it has a slash.
func (r Reference) id() string {
	id := r.kind() + "/" + r.Name
	if r.Template != "" {
		id += "/" + r.Template
	}
	return id
}

// uri is the object's path at the API server of the cluster, with the template
// that was taken from it as fragment.
func (r Reference) uri(cluster, namespace string) string {
	path := "/apis/" + layout.APIVersion + "/clusterworkflowtemplates/"
	if !r.ClusterScope {
		path = "/apis/" + layout.APIVersion + "/namespaces/" + url.PathEscape(namespace) + "/workflowtemplates/"
	}
	uri := "k8s://" + cluster + path + url.PathEscape(r.Name)
	if r.Template != "" {
		uri += "#" + url.PathEscape(r.Template)
	}
	return uri
}

func (r Reference) descriptor(cluster, namespace string) *intoto.ResourceDescriptor {
	if r.ClusterScope {
		namespace = ""
	}
	return &intoto.ResourceDescriptor{
		Name:   depReference + r.id(),
		Uri:    r.uri(cluster, namespace),
		Digest: digestSet(r.SHA256),
		Annotations: annotations(map[string]*structpb.Value{
			"kind":      structpb.NewStringValue(r.kind()),
			"name":      structpb.NewStringValue(r.Name),
			"namespace": unless("", namespace),
			"template":  unless("", r.Template),
		}),
	}
}

// reference reads a descriptor as far as it decides; Build makes the rest of it
// anew.
func (d wireDescriptor) reference() Reference {
	a := d.Annotations
	return Reference{
		WorkflowTemplate: WorkflowTemplate{Name: a.Name, ClusterScope: a.Kind == kindClusterTemplate},
		Template:         a.Template, SHA256: d.Digest.SHA256,
	}
}

// Executed is the digest of the Workflow's own spec as Argo stored it, where the statement
// says so, and else as it was admitted.
func (d Definition) Executed() artifact.Digest { return cmp.Or(d.Stored, d.Spec) }

// Effective is the digest of the spec that was made of the template that the
// workflow refers to as a whole. It is empty if the workflow refers to none, or the
// statement is older than such digests.
func (d Definition) Effective() artifact.Digest {
	for _, r := range d.References {
		if r.Template == "" {
			return r.SHA256
		}
	}
	return ""
}

// validateReferences wants each once, and of whole specs only the one that the
// workflow refers to.
func (d *Definition) validateReferences() error {
	if len(d.References) > maxList {
		return fmt.Errorf("%d references, want at most %d", len(d.References), maxList)
	}
	references := names{}
	for _, r := range d.References {
		if err := errors.Join(checkSegment("workflow template", r.Name), references.add("reference", r.id()), checkDigest("reference", r.SHA256)); err != nil {
			return err
		}
		if r.Template != "" {
			if err := checkSegment("template", r.Template); err != nil {
				return err
			}
			continue
		}
		if d.WorkflowTemplate == nil || *d.WorkflowTemplate != r.WorkflowTemplate {
			return fmt.Errorf("the workflow does not refer to %s", r.id())
		}
	}
	return nil
}

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
