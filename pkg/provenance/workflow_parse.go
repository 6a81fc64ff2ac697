package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/reason"
)

// ParseWorkflow reads a payload that BuildWorkflow made, and accepts no other: what it
// read is built again and has to be the same bytes. Its errors have the code
// StatementInvalid.
func ParseWorkflow(payload []byte) (WorkflowFacts, error) {
	f, err := parseWorkflow(payload)
	if err != nil {
		return WorkflowFacts{}, reason.Wrap(reason.StatementInvalid, err, "%v", err)
	}
	return f, nil
}

func parseWorkflow(payload []byte) (f WorkflowFacts, err error) {
	var w wireWorkflow
	if err := decode(payload, &w, "build type "+WorkflowBuildType); err != nil {
		return f, err
	}
	definition := &w.Predicate.BuildDefinition
	if f.Builder, f.StartedAt, f.FinishedAt, err = w.Predicate.RunDetails.read(); err != nil {
		return f, err
	}
	f.Subjects = w.subjects()
	var d Definition
	external := wireExternal{
		WorkflowTemplateRef: definition.ExternalParameters.WorkflowTemplateRef, WorkflowSpecDigest: definition.ExternalParameters.WorkflowSpecDigest,
		Entrypoint: definition.ExternalParameters.Entrypoint, Parameters: definition.ExternalParameters.Parameters,
	}
	if err := external.into(&d); err != nil {
		return f, err
	}
	in := &definition.InternalParameters
	f.WorkflowTemplate, f.Entrypoint, f.Parameters = d.WorkflowTemplate, d.Entrypoint, d.Parameters
	f.Workflow, f.Namespace, f.Mode, f.Argoseal = in.Workflow, in.Namespace, v1alpha1.Mode(in.Mode), in.Argoseal
	f.Steps, f.StepCount, f.StepsDigest, f.Unsealed = in.Steps, in.StepCount, in.StepsDigest.SHA256, in.Unsealed
	for _, r := range definition.ResolvedDependencies {
		switch {
		case r.Name == depWorkflow:
			f.Spec = r.Digest.SHA256
		case strings.HasPrefix(r.Name, depReference):
			f.References = append(f.References, r.reference())
		case r.Name == depOfImage:
			f.Images = append(f.Images, r.image(""))
		case r.Name == depOfInput:
			f.Inputs = append(f.Inputs, WorkflowInput{URI: r.URI, SHA256: r.Digest.SHA256, Tree: r.Annotations.TreeSHA256, Seal: r.Annotations.Seal, Policy: r.Annotations.Policy})
		default:
			return f, fmt.Errorf("resolved dependency %.200q is of no kind we know", r.Name)
		}
	}
	again, err := BuildWorkflow(f)
	if err != nil {
		return f, err
	}
	if !bytes.Equal(again, payload) {
		return f, errors.New("not in canonical form, or it contradicts itself")
	}
	return f.sorted(), nil
}

// Subject finds the subject with this location and digest; an empty one finds any.
func (f *WorkflowFacts) Subject(uri string, digest artifact.Digest) (WorkflowSubject, bool) {
	for _, s := range f.Subjects {
		if (uri == "" || s.URI == uri) && (digest == "" || s.SHA256 == digest) {
			return s, true
		}
	}
	return WorkflowSubject{}, false
}

// HasImage says whether one of the outputs has a container image in it.
func HasImage(of []WorkflowSubject, digest artifact.Digest) bool {
	return digest != "" && slices.ContainsFunc(of, func(s WorkflowSubject) bool {
		return slices.ContainsFunc(s.Images, func(i oci.Image) bool { return i.Digest == digest })
	})
}

// Names of resolved dependencies: a whole workflow's images and inputs have no names
// of their own.
const (
	depOfImage = "image"
	depOfInput = "input"
)

// The statement as JSON.

type wireWorkflow struct {
	wireLeaving
	Predicate struct {
		BuildDefinition struct {
			BuildType            string               `json:"buildType"`
			ExternalParameters   wireWorkflowExternal `json:"externalParameters"`
			InternalParameters   wireWorkflowInternal `json:"internalParameters"`
			ResolvedDependencies []wireDescriptor     `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		RunDetails wireRun `json:"runDetails"`
	} `json:"predicate"`
}

type wireWorkflowExternal struct {
	WorkflowTemplateRef *WorkflowTemplate          `json:"workflowTemplateRef,omitempty"`
	WorkflowSpecDigest  *wireDigest                `json:"workflowSpecDigest,omitempty"`
	Entrypoint          string                     `json:"entrypoint,omitempty"`
	Parameters          map[string]json.RawMessage `json:"parameters,omitempty"`
}

type wireWorkflowInternal struct {
	Workflow    Ref            `json:"workflow"`
	Namespace   string         `json:"namespace"`
	Mode        string         `json:"mode"`
	StepCount   int            `json:"stepCount"`
	StepsDigest wireDigest     `json:"stepsDigest"`
	Steps       []WorkflowStep `json:"steps,omitempty"`
	Unsealed    int            `json:"unsealed,omitempty"`
	Argoseal    string         `json:"argoseal"`
}
