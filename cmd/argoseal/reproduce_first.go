package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/reproduce"
	"github.com/argoseal/argoseal/pkg/verify"
)

// The first run: its statement, from the cluster or a file, and the text of what ran.

// sealedStep is a statement that holds, the digest of its payload, and the lists of files
// beside it.
type sealedStep struct {
	*provenance.Statement
	sha256 artifact.Digest
	files  reproduce.Listings
}

func (s sealedStep) stated() provenance.StepStatement {
	return provenance.StepStatement{Statement: s.Statement, SHA256: s.sha256}
}

// recordNamed says whether what is given names a record in the cluster, rather than a file.
func recordNamed(what string) (namespace, name string, ok bool) {
	if _, err := os.Stat(what); err == nil {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(what, "/")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, "/")
}

// sealIn is the seal in a file.
func (o *verifyOptions) sealIn(path string) (sealedStep, error) {
	bundle, err := readBounded(path, verify.MaxBundle)
	if err != nil {
		return sealedStep{}, err
	}
	signed, err := o.signed(bundle)
	if err != nil {
		return sealedStep{}, err
	}
	s, err := stepOf(signed)
	if err != nil {
		return sealedStep{}, err
	}
	return sealedStep{Statement: s, sha256: artifact.DigestOfText(string(signed.Payload))}, nil
}

// sealWithLists is the seal in a file. Its record, if there is one, adds lists of files, which
// count only where the statement has their digest.
func (o *reproduceOptions) sealWithLists(ctx context.Context, api client.Reader, path string) (sealedStep, error) {
	is, err := o.sealIn(path)
	if err != nil {
		return sealedStep{}, err
	}
	var p v1alpha1.Provenance
	if api.Get(ctx, client.ObjectKey{Namespace: is.Step.Namespace, Name: is.Step.Pod.UID}, &p) == nil {
		is.files = listings(&p)
	}
	return is, nil
}

// recorded is the seal of a Provenance, or of the one that an ArtifactSeal names.
func recorded(ctx context.Context, api client.Reader, root *verify.Root, namespace, name string) (sealedStep, error) {
	var p v1alpha1.Provenance
	err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &p)
	if apierrors.IsNotFound(err) {
		var a v1alpha1.ArtifactSeal
		if err = api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &a); err == nil {
			err = api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: a.Spec.Provenance}, &p)
		}
	}
	switch {
	case apierrors.IsNotFound(err):
		return sealedStep{}, usage(fmt.Errorf("namespace %s has neither a Provenance nor an ArtifactSeal %s, and there is no such file", namespace, name))
	case err != nil:
		return sealedStep{}, reason.Wrap(reason.LookupFailed, err, "read the seal: %v", err)
	case p.Status.Bundle == "":
		return sealedStep{}, reason.New(reason.NotComparable, "Provenance %s/%s has no seal", namespace, p.Name)
	}
	return verifiedStep(root, &p)
}

// verifiedStep is the step of a record, verified.
func verifiedStep(root *verify.Root, p *v1alpha1.Provenance) (sealedStep, error) {
	r, err := root.InspectRecorded([]byte(p.Status.Bundle), p.CreationTimestamp.Time)
	if err != nil {
		return sealedStep{}, err
	}
	if r.Statement.Step.Namespace != p.Namespace || r.Statement.Step.Pod.UID != p.Name {
		return sealedStep{}, reason.New(reason.ProducerMismatch, "Provenance %s/%s has the seal of another pod", p.Namespace, p.Name)
	}
	return sealedStep{r.Statement, artifact.DigestOfText(string(r.Payload)), listings(p)}, nil
}

func listings(p *v1alpha1.Provenance) reproduce.Listings {
	list := reproduce.Listings{}
	for _, o := range p.Status.Outputs {
		list[o.Name] = o.Files
	}
	return list
}

// source finds the text of what ran. Package reproduce checks that it is the right
// one.
func (o *reproduceOptions) source(ctx context.Context, api client.Reader, s *provenance.Statement) (from reproduce.Source, err error) {
	if o.definition != "" {
		raw, err := readBounded(o.definition, maxDefinition)
		if err != nil {
			return from, err
		}
		if from.Workflow, err = workflowIn(raw); err != nil {
			return from, usage(fmt.Errorf("--definition: %w", err))
		}
	} else {
		u := newWorkflow()
		err := api.Get(ctx, client.ObjectKey{Namespace: s.Step.Namespace, Name: s.Step.Workflow.Name}, u)
		switch {
		case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
			return from, reason.New(reason.NotComparable, "Workflow %s/%s is gone, and the statement has only its digest", s.Step.Namespace, s.Step.Workflow.Name).
				Advise("Give it as it was submitted, or from Argo's archive (--definition)")
		case err != nil:
			return from, reason.Wrap(reason.LookupFailed, err, "read the Workflow: %v", err)
		}
		from.Workflow = u.Object
	}
	var pod corev1.Pod
	err = api.Get(ctx, client.ObjectKey{Namespace: s.Step.Namespace, Name: s.Step.Pod.Name}, &pod)
	switch {
	case apierrors.IsNotFound(err):
		return from, nil
	case err != nil:
		return from, reason.Wrap(reason.LookupFailed, err, "read the step's pod: %v", err)
	case string(pod.UID) != s.Step.Pod.UID:
		return from, nil
	}
	if step, err := argo.Parse(&pod); err == nil {
		from.Pod = step
	}
	return from, nil
}

func newWorkflow() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(layout.APIVersion)
	u.SetKind(layout.Kind)
	return u
}

// workflowIn reads a Workflow, YAML or JSON.
func workflowIn(raw []byte) (map[string]any, error) {
	if len(raw) > maxDefinition {
		return nil, fmt.Errorf("it has more than %d bytes", maxDefinition)
	}
	asJSON, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, err
	}
	u := newWorkflow()
	if err := u.UnmarshalJSON(asJSON); err != nil {
		return nil, err
	}
	if u.GetKind() != layout.Kind || u.GetAPIVersion() != layout.APIVersion {
		return nil, fmt.Errorf("it is no %s %s", layout.APIVersion, layout.Kind)
	}
	return u.Object, nil
}
