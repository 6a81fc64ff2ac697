package provenance

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// stepsDigest is the digest of sorted steps: a line each, the UID of the pod and the
// digest of its statement.
func stepsDigest(steps []WorkflowStep) artifact.Digest {
	var text strings.Builder
	for _, s := range steps {
		text.WriteString(s.Pod + " " + string(s.Statement) + "\n")
	}
	return artifact.DigestOfText(text.String())
}

func (f WorkflowFacts) sorted() WorkflowFacts {
	f.Subjects = sortedBy(f.Subjects, func(s WorkflowSubject) string { return s.URI })
	f.Parameters = sortedBy(f.Parameters, func(p Parameter) string { return p.Name })
	f.Steps = sortedBy(f.Steps, func(s WorkflowStep) string { return s.Pod })
	for i := range f.Steps {
		links := func(l []WorkflowLink) []WorkflowLink {
			return slices.Compact(sortedBy(l, func(l WorkflowLink) string { return l.URI + " " + string(l.SHA256) }))
		}
		f.Steps[i].Takes, f.Steps[i].Makes = links(f.Steps[i].Takes), links(f.Steps[i].Makes)
	}
	f.Inputs = sortedBy(f.Inputs, func(i WorkflowInput) string {
		return fmt.Sprintf("%s %s %s %s %s", i.URI, i.SHA256, i.Tree, i.Seal, i.Policy)
	})
	f.Images = sortedBy(f.Images, func(i Image) string { return i.Ref + " " + i.Repository + " " + string(i.SHA256) + string(i.DigestOf) })
	f.References = sortedBy(f.References, func(r Reference) string { return r.id() + " " + string(r.SHA256) })
	return f
}

// BuildWorkflow makes the payload of the statement about a whole workflow, as Build does
// for a step.
func BuildWorkflow(f WorkflowFacts) ([]byte, error) {
	f = f.sorted()
	if err := f.validate(); err != nil {
		return nil, err
	}
	external, err := toStruct(f.external())
	if err != nil {
		return nil, err
	}
	internal, err := toStruct(wireWorkflowInternal{
		Workflow: f.Workflow, Namespace: f.Namespace, Mode: string(f.Mode), StepCount: f.StepCount, StepsDigest: wireDigest{f.StepsDigest},
		Steps: f.Steps, Unsealed: f.Unsealed, Argoseal: f.Argoseal,
	})
	if err != nil {
		return nil, err
	}
	predicate := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{
			BuildType: WorkflowBuildType, ExternalParameters: external, InternalParameters: internal, ResolvedDependencies: f.dependencies(),
		},
		RunDetails: &slsa.RunDetails{
			Builder: &slsa.Builder{Id: f.Builder.ID(), Version: map[string]string{"argoseal": f.Argoseal}},
			Metadata: &slsa.BuildMetadata{
				InvocationId: f.Workflow.UID, StartedOn: timestamppb.New(f.StartedAt), FinishedOn: timestamppb.New(f.FinishedAt),
			},
		},
	}
	if err := predicate.Validate(); err != nil {
		return nil, fmt.Errorf("predicate: %w", err)
	}
	return statementOf(f.Subjects, PredicateType, predicate)
}

func statementOf(of []WorkflowSubject, predicateType string, predicate proto.Message) ([]byte, error) {
	var subjects []*intoto.ResourceDescriptor
	for _, s := range of {
		subjects = append(subjects, &intoto.ResourceDescriptor{Name: s.URI, Digest: digestSet(s.SHA256), Annotations: annotations(map[string]*structpb.Value{
			"output": structpb.NewStringValue(s.Output), "pod": structpb.NewStringValue(s.Pod), "treeSha256": unless("", s.Tree),
		})})
		for _, i := range s.Images {
			d := imageDescriptor(s.URI, s.Output, i)
			d.Annotations.Fields["pod"] = structpb.NewStringValue(s.Pod)
			subjects = append(subjects, d)
		}
	}
	subjects = sortedBy(subjects, func(d *intoto.ResourceDescriptor) string { return d.GetName() })
	statement := &intoto.Statement{Type: intoto.StatementTypeUri, Subject: subjects, PredicateType: predicateType, Predicate: &structpb.Struct{}}
	if err := statement.Validate(); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return canonical(statement, predicate)
}

func (f *WorkflowFacts) external() wireWorkflowExternal {
	d := &Facts{Definition: Definition{WorkflowTemplate: f.WorkflowTemplate, Spec: f.Spec, Entrypoint: f.Entrypoint, Parameters: f.Parameters}}
	w := d.external()
	return wireWorkflowExternal{w.WorkflowTemplateRef, w.WorkflowSpecDigest, w.Entrypoint, w.Parameters}
}

func (f *WorkflowFacts) dependencies() []*intoto.ResourceDescriptor {
	all := []*intoto.ResourceDescriptor{{Name: depWorkflow, Digest: digestSet(f.Spec)}}
	for _, r := range f.References {
		all = append(all, r.descriptor(f.Builder.Cluster, f.Namespace))
	}
	for _, i := range f.Images {
		d := i.descriptor("")
		d.Name = depOfImage
		all = append(all, d)
	}
	for _, i := range f.Inputs {
		in := Input{URI: i.URI, SHA256: i.SHA256, Tree: i.Tree, Seal: i.Seal, Policy: i.Policy, Archive: content.ArchiveTar}
		d := in.descriptor()
		d.Name = depOfInput
		all = append(all, d)
	}
	return all
}

func (f *WorkflowFacts) validate() error {
	problems := []error{
		validateLeaving(f.Subjects), f.Builder.validate(), f.Workflow.validate("workflow"), checkText("namespace", f.Namespace, maxName),
		checkDigest("workflow spec", f.Spec), checkDigest("steps", f.StepsDigest), checkText("version of argoseal", f.Argoseal, maxName),
		(&Facts{StartedAt: f.StartedAt, FinishedAt: f.FinishedAt}).validateTimes(),
	}
	for _, i := range f.Images {
		problems = append(problems, i.validate())
	}
	for _, i := range f.Inputs {
		problems = append(problems, checkLongText("input", i.URI, maxURI))
	}
	switch {
	case f.Mode != v1alpha1.ModeEnforce && f.Mode != v1alpha1.ModeWarn && f.Mode != v1alpha1.ModeAudit:
		problems = append(problems, fmt.Errorf("mode %.200q is not one", f.Mode))
	case f.StepCount < 1 || f.StepCount < len(f.Steps) || len(f.Steps) > MaxWorkflowSteps || f.Unsealed < 0:
		problems = append(problems, fmt.Errorf("%d steps of %d, %d outputs without a seal", len(f.Steps), f.StepCount, f.Unsealed))
	case len(f.Steps) > 0 && (len(f.Steps) != f.StepCount || stepsDigest(f.Steps) != f.StepsDigest):
		problems = append(problems, errors.New("the digest of the steps is that of others"))
	}
	parameters := names{}
	for _, p := range f.Parameters {
		problems = append(problems, parameters.add("parameter", p.Name), p.validate())
		if p.SHA256 != "" {
			problems = append(problems, fmt.Errorf("parameter %.200q is redacted without a key", p.Name))
		}
	}
	return errors.Join(problems...)
}

func validateLeaving(subjects []WorkflowSubject) error {
	if n := len(subjects); n == 0 || n > MaxSubjects {
		return fmt.Errorf("%d artifacts leave the workflow, want 1 to %d", n, MaxSubjects)
	}
	var problems []error
	locations, images := names{}, 0
	for _, s := range subjects {
		images += len(s.Images)
		problems = append(problems, s.Images.Validate(), checkURI(s.URI), locations.add("subject", s.URI), checkDigest("subject", s.SHA256), checkText("output", s.Output, maxName))
		if !uidPattern.MatchString(s.Pod) {
			problems = append(problems, fmt.Errorf("pod %.200q is not a uid", s.Pod))
		}
		if s.Tree != "" {
			problems = append(problems, checkDigest("tree", s.Tree))
		}
	}
	if images > maxWorkflowImages || images+len(subjects) > MaxSubjects {
		problems = append(problems, fmt.Errorf("%d images in %d artifacts, at most %d are stated, and %d of both", images, len(subjects), maxWorkflowImages, MaxSubjects))
	}
	return errors.Join(problems...)
}
