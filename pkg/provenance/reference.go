package provenance

import (
	"errors"
	"fmt"
	"net/url"

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

// Effective is the digest of the spec that was made of the template that the
// workflow refers to as a whole; empty if it refers to none, or the statement is
// older than such digests.
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
