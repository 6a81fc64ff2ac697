package provenance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	intoto "github.com/in-toto/attestation/go/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Parse reads a payload. It accepts exactly what Build makes: what it read is
// built again and has to be the same bytes. Its errors have the code
// StatementInvalid.
func Parse(payload []byte) (*Statement, error) {
	facts, err := parse(payload)
	if err != nil {
		return nil, reason.Wrap(reason.StatementInvalid, err, "%v", err)
	}
	return &Statement{Facts: *facts}, nil
}

func parse(payload []byte) (*Facts, error) {
	if len(payload) == 0 || len(payload) > MaxPayload {
		return nil, fmt.Errorf("statement has %d bytes, want 1 to %d", len(payload), MaxPayload)
	}
	var wire wireStatement
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wire); err != nil {
		return nil, fmt.Errorf("not a statement of build type %s: %w", BuildType, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one statement")
	}
	facts, err := wire.facts()
	if err != nil {
		return nil, err
	}
	again, err := Build(*facts)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, payload) {
		return nil, errors.New("not in canonical form, or it contradicts itself")
	}
	return facts, nil
}

// facts reads the statement. It checks only what Build does not: Build runs on
// the result.
func (w *wireStatement) facts() (*Facts, error) {
	definition, run := &w.Predicate.BuildDefinition, &w.Predicate.RunDetails
	switch {
	case w.Type != intoto.StatementTypeUri:
		return nil, fmt.Errorf("statement type is %.200q, want %s", w.Type, intoto.StatementTypeUri)
	case w.PredicateType != PredicateType:
		return nil, fmt.Errorf("predicate type is %.200q, want %s", w.PredicateType, PredicateType)
	case definition.BuildType != BuildType:
		return nil, fmt.Errorf("build type is %.200q, want %s", definition.BuildType, BuildType)
	}
	f := &Facts{}
	var err error
	if f.Builder, err = ParseBuilderID(run.Builder.ID); err != nil {
		return nil, err
	}
	if f.StartedAt, err = time.Parse(time.RFC3339, run.Metadata.StartedOn); err != nil {
		return nil, fmt.Errorf("startedOn: %w", err)
	}
	if f.FinishedAt, err = time.Parse(time.RFC3339, run.Metadata.FinishedOn); err != nil {
		return nil, fmt.Errorf("finishedOn: %w", err)
	}
	for _, s := range w.Subject {
		f.Subjects = append(f.Subjects, Subject{
			URI: s.Name, SHA256: s.Digest.SHA256, Form: cmp.Or(s.Annotations.Form, artifact.FormTar), Tree: s.Annotations.TreeSHA256,
			Size: s.Annotations.Size, Output: s.Annotations.Output, Volume: s.Annotations.Volume,
		})
	}
	definition.InternalParameters.into(f)
	if err := definition.ExternalParameters.into(&f.Definition); err != nil {
		return nil, err
	}
	if err := readDependencies(definition.ResolvedDependencies, f); err != nil {
		return nil, err
	}
	sorted := f.sorted()
	return &sorted, nil
}

func (w *wireInternal) into(f *Facts) {
	f.Step = Step{
		Namespace: w.Namespace, ServiceAccount: w.ServiceAccount,
		Workflow: w.Workflow, Pod: w.Pod, NodeID: w.Node.ID, NodeName: w.Node.Name,
	}
	f.Mode = v1alpha1.Mode(w.Mode)
	f.Verdict = reason.Code(w.Verdict)
	f.PodSpec = w.PodSpecDigest.SHA256
	f.Versions = w.Versions
	f.Outcome = w.Outcome
	for _, o := range w.Outputs {
		if o.Reason != "" {
			f.Unsealed = append(f.Unsealed, Unsealed{Output: o.Name, Reason: reason.Code(o.Reason)})
		}
	}
}

func (w *wireExternal) into(d *Definition) error {
	d.WorkflowTemplate = w.WorkflowTemplateRef
	d.Entrypoint, d.Template = w.Entrypoint, w.Template
	for name, raw := range w.Parameters {
		p := Parameter{Name: name}
		var digest wireDigest
		switch {
		case bytes.HasPrefix(raw, []byte(`"`)):
			if err := json.Unmarshal(raw, &p.Value); err != nil {
				return fmt.Errorf("parameter %.200q: %w", name, err)
			}
		case json.Unmarshal(raw, &digest) == nil && digest.SHA256 != "":
			p.SHA256 = digest.SHA256
		default:
			return fmt.Errorf("parameter %.200q is neither a string nor a digest", name)
		}
		d.Parameters = append(d.Parameters, p)
	}
	for field, digest := range w.Overrides {
		d.Overrides = append(d.Overrides, Override{Field: field, SHA256: digest.SHA256})
	}
	return nil
}

func readDependencies(descriptors []wireDescriptor, f *Facts) error {
	for _, d := range descriptors {
		container, isImage := strings.CutPrefix(d.Name, depImage)
		input, isInput := strings.CutPrefix(d.Name, depInput)
		switch {
		case d.Name == depWorkflow:
			f.Definition.Spec = d.Digest.SHA256
		case d.Name == depTemplate:
			f.Definition.TemplateBody = d.Digest.SHA256
		case strings.HasPrefix(d.Name, depReference):
			f.Definition.References = append(f.Definition.References, d.reference())
		case isImage:
			f.Images = append(f.Images, Image{
				Container: container, Ref: d.Annotations.Image,
				Repository: strings.TrimPrefix(d.URI, imageScheme), SHA256: d.Digest.SHA256,
			})
		case isInput:
			f.Inputs = append(f.Inputs, Input{
				Name: input, URI: d.URI, SHA256: d.Digest.SHA256,
				Archive: cmp.Or(d.Annotations.Archive, artifact.ArchiveTar), Tree: d.Annotations.TreeSHA256,
				Seal: d.Annotations.Seal, Policy: d.Annotations.Policy, Volume: d.Annotations.Volume,
			})
		default:
			return fmt.Errorf("resolved dependency %.200q is of no kind we know", d.Name)
		}
	}
	return nil
}
