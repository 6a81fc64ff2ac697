package provenance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	intoto "github.com/in-toto/attestation/go/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/reason"
	fields "github.com/argoseal/argoseal/pkg/version"
)

// Parse reads a payload of this version or the one before. It accepts exactly
// what Build made then: what it read is built again and has to be the same bytes.
// Its errors have the code StatementInvalid, or TooNew for a later version.
func Parse(payload []byte) (*Statement, error) {
	if len(payload) == 0 || len(payload) > MaxPayload {
		return nil, reason.New(reason.StatementInvalid, "statement has %d bytes, want 1 to %d", len(payload), MaxPayload)
	}
	version, err := versionOf(payload)
	switch {
	case err != nil:
		return nil, reason.Wrap(reason.StatementInvalid, err, "%v", err)
	case version > Version:
		return nil, reason.New(reason.TooNew, "the statement is of version %d, and this release reads version %d and the one before", version, Version)
	case version < Version-1:
		return nil, reason.New(reason.StatementInvalid, "the statement is of version %d, and this release reads version %d and the one before", version, Version)
	}
	facts, err := parse(payload, version)
	if err != nil {
		return nil, reason.Wrap(reason.StatementInvalid, err, "%v", err)
	}
	return &Statement{Facts: *facts, Version: version}, nil
}

func parse(payload []byte, version int) (*Facts, error) {
	var wire wireStatement
	if err := decode(payload, &wire, "build type "+buildType(version)); err != nil {
		return nil, err
	}
	if err := fields.Check(&wire, version); err != nil {
		return nil, err
	}
	facts, err := wire.facts()
	if err != nil {
		return nil, err
	}
	again, err := buildAs(*facts, version)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, payload) {
		return nil, errors.New("not in canonical form, or it contradicts itself")
	}
	return facts, nil
}

// decode reads a payload of bounded size that has no field which is not known.
func decode(payload []byte, into any, what string) error {
	if len(payload) == 0 || len(payload) > MaxPayload {
		return fmt.Errorf("statement has %d bytes, want 1 to %d", len(payload), MaxPayload)
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("not a statement of %s: %w", what, err)
	}
	return nil
}

// wireRun is what statements of both build types say of a run.
type wireRun struct {
	Builder struct {
		ID      string            `json:"id"`
		Version map[string]string `json:"version"`
	} `json:"builder"`
	Metadata struct {
		InvocationID string `json:"invocationId"`
		StartedOn    string `json:"startedOn"`
		FinishedOn   string `json:"finishedOn"`
	} `json:"metadata"`
}

// read gives the builder, and when the run began and ended.
func (w *wireRun) read() (b Builder, started, finished time.Time, err error) {
	if b, err = ParseBuilderID(w.Builder.ID); err != nil {
		return b, started, finished, err
	}
	if started, err = time.Parse(time.RFC3339, w.Metadata.StartedOn); err != nil {
		return b, started, finished, fmt.Errorf("startedOn: %w", err)
	}
	if finished, err = time.Parse(time.RFC3339, w.Metadata.FinishedOn); err != nil {
		return b, started, finished, fmt.Errorf("finishedOn: %w", err)
	}
	return b, started, finished, nil
}

// facts reads the statement. It checks only what Build does not: Build runs on
// the result, and writes the types anew.
func (w *wireStatement) facts() (*Facts, error) {
	definition, run := &w.Predicate.BuildDefinition, &w.Predicate.RunDetails
	f := &Facts{}
	var err error
	if f.Builder, f.StartedAt, f.FinishedAt, err = run.read(); err != nil {
		return nil, err
	}
	readSubjects(w.Subject, f)
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

// readSubjects reads the outputs, and the images in them.
func readSubjects(descriptors []wireDescriptor, f *Facts) {
	for _, d := range descriptors {
		a := d.Annotations
		if a.MediaType != "" {
			f.Measured = append(f.Measured, Measured{a.Output, oci.Image{Digest: d.Digest.SHA256, Kind: oci.KindOf(a.MediaType), Platform: a.Platform}})
			continue
		}
		f.Subjects = append(f.Subjects, Subject{
			URI: d.Name,
			Sum: content.Sum{
				Form: cmp.Or(a.Form, content.FormTar), Size: a.Size,
				SHA256: d.Digest.SHA256, Tree: a.TreeSHA256, Plain: a.PlainTreeSHA256,
			},
			Output: a.Output, Volume: a.Volume,
		})
	}
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
	f.Additions = w.ExecutorAdditions
	f.Definition.Complete = w.ReferencesComplete
	f.Definition.Unstated = w.UnstatedParameters
	if w.StoredSpecDigest != nil {
		f.Definition.Stored = w.StoredSpecDigest.SHA256
	}
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
		var mac wireHMAC
		switch {
		case bytes.HasPrefix(raw, []byte(`"`)):
			if err := json.Unmarshal(raw, &p.Value); err != nil {
				return fmt.Errorf("parameter %.200q: %w", name, err)
			}
		case json.Unmarshal(raw, &mac) == nil && mac.HMACSHA256 != "":
			p.HMAC = mac.HMACSHA256
		case json.Unmarshal(raw, &digest) == nil && digest.SHA256 != "":
			p.SHA256 = digest.SHA256
		default:
			return fmt.Errorf("parameter %.200q is neither a string nor an HMAC or digest", name)
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
		volume, isMounted := strings.CutPrefix(d.Name, depMounted)
		input, isInput := strings.CutPrefix(d.Name, depInput)
		switch {
		case d.Name == depWorkflow:
			f.Definition.Spec = d.Digest.SHA256
		case d.Name == depTemplate:
			f.Definition.TemplateBody = d.Digest.SHA256
		case strings.HasPrefix(d.Name, depReference):
			f.Definition.References = append(f.Definition.References, d.reference())
		case isImage:
			f.Images = append(f.Images, d.image(container))
		case isMounted:
			f.Mounted = append(f.Mounted, d.image(volume))
		case isInput:
			f.Inputs = append(f.Inputs, Input{
				Name: input, URI: d.URI, SHA256: d.Digest.SHA256,
				Archive: cmp.Or(d.Annotations.Archive, content.ArchiveTar), Tree: d.Annotations.TreeSHA256,
				Seal: d.Annotations.Seal, Policy: d.Annotations.Policy, Volume: d.Annotations.Volume,
			})
		default:
			return fmt.Errorf("resolved dependency %.200q is of no kind we know", d.Name)
		}
	}
	return nil
}

func (d wireDescriptor) image(name string) Image {
	return Image{
		Container: name, Ref: d.Annotations.Image,
		Repository: strings.TrimPrefix(d.URI, imageScheme), SHA256: d.Digest.SHA256, DigestOf: d.Annotations.DigestOf,
	}
}

// versionNumber is how a build type spells its version.
var versionNumber = regexp.MustCompile(`^[1-9][0-9]{0,3}$`)

func buildType(version int) string { return buildTypePrefix + strconv.Itoa(version) }

// versionOf finds the version of a statement. It reads only what every version has,
// because a later one may have fields that this release does not know. It need not
// be strict: nothing else is done with what it reads.
func versionOf(payload []byte) (int, error) {
	var wire struct {
		Type          string `json:"_type"`
		PredicateType string `json:"predicateType"`
		Predicate     struct {
			BuildDefinition struct {
				BuildType string `json:"buildType"`
			} `json:"buildDefinition"`
		} `json:"predicate"`
	}
	if err := json.Unmarshal(payload, &wire); err != nil {
		return 0, fmt.Errorf("not a statement of build type %s: %w", BuildType, err)
	}
	built := wire.Predicate.BuildDefinition.BuildType
	number, ours := strings.CutPrefix(built, buildTypePrefix)
	switch {
	case wire.Type != intoto.StatementTypeUri:
		return 0, fmt.Errorf("statement type is %.200q, want %s", wire.Type, intoto.StatementTypeUri)
	case wire.PredicateType != PredicateType:
		return 0, fmt.Errorf("predicate type is %.200q, want %s", wire.PredicateType, PredicateType)
	case !ours || !versionNumber.MatchString(number):
		return 0, fmt.Errorf("build type is %.200q, want %s", built, BuildType)
	}
	return strconv.Atoi(number)
}

// The statement as JSON. Build writes external and internal; the rest of these
// types only read, because the in-toto library writes the statement.

type wireStatement struct {
	Type          string           `json:"_type"`
	Subject       []wireDescriptor `json:"subject"`
	PredicateType string           `json:"predicateType"`
	Predicate     wirePredicate    `json:"predicate"`
}

type wirePredicate struct {
	BuildDefinition struct {
		BuildType            string           `json:"buildType"`
		ExternalParameters   wireExternal     `json:"externalParameters"`
		InternalParameters   wireInternal     `json:"internalParameters"`
		ResolvedDependencies []wireDescriptor `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails wireRun `json:"runDetails"`
}

// wireDigest is a DigestSet with sha256 and nothing else.
type wireDigest struct {
	SHA256 artifact.Digest `json:"sha256"`
}

// wireHMAC stands for the value of a parameter.
type wireHMAC struct {
	HMACSHA256 artifact.Digest `json:"hmacSha256"`
}

// wireDigests is the DigestSet of a resolved dependency. A commit is a part of the
// URI, too, so only Build looks at it here.
type wireDigests struct {
	SHA256    artifact.Digest `json:"sha256"`
	GitCommit string          `json:"gitCommit"`
}

type wireDescriptor struct {
	Name        string          `json:"name"`
	URI         string          `json:"uri"`
	Digest      wireDigests     `json:"digest"`
	Annotations wireAnnotations `json:"annotations"`
}

// wireAnnotations are those of subjects (form, output, plainTreeSha256, size,
// treeSha256, volume), images in them (mediaType, output, platform), images that ran (digestOf, image), inputs (archive, policy, seal, treeSha256, volume)
// and references (kind, name, namespace, template). Where form or archive is
// missing, tar is meant, as with Argo.
type wireAnnotations struct {
	Archive         content.Archive `json:"archive"`
	DigestOf        DigestOf        `json:"digestOf" since:"2"`
	Form            content.Form    `json:"form"`
	Image           string          `json:"image"`
	Kind            string          `json:"kind"`
	MediaType       string          `json:"mediaType" since:"2"`
	Name            string          `json:"name"`
	Namespace       string          `json:"namespace"`
	Output          string          `json:"output"`
	PlainTreeSHA256 artifact.Digest `json:"plainTreeSha256" since:"2"`
	Platform        string          `json:"platform" since:"2"`
	Policy          string          `json:"policy"`
	Seal            string          `json:"seal"`
	Size            int64           `json:"size"`
	Template        string          `json:"template"`
	TreeSHA256      artifact.Digest `json:"treeSha256"`
	Volume          string          `json:"volume"`
}

type wireExternal struct {
	WorkflowTemplateRef *WorkflowTemplate `json:"workflowTemplateRef,omitempty"`
	WorkflowSpecDigest  *wireDigest       `json:"workflowSpecDigest,omitempty"`
	Entrypoint          string            `json:"entrypoint,omitempty"`
	Template            string            `json:"template"`
	// Parameters has, for each name, a string, a wireHMAC or a wireDigest.
	Parameters map[string]json.RawMessage `json:"parameters,omitempty"`
	Overrides  map[string]wireDigest      `json:"overrides,omitempty"`
}

type wireInternal struct {
	Workflow          Ref          `json:"workflow"`
	Pod               Ref          `json:"pod"`
	Node              wireNode     `json:"node"`
	Namespace         string       `json:"namespace"`
	ServiceAccount    string       `json:"serviceAccount"`
	Mode              string       `json:"mode"`
	Verdict           string       `json:"verdict,omitempty"`
	PodSpecDigest     wireDigest   `json:"podSpecDigest"`
	Versions          Versions     `json:"versions"`
	Outcome           Outcome      `json:"outcome"`
	Outputs           []wireOutput `json:"outputs"`
	ExecutorAdditions []string     `json:"executorAdditions,omitempty" since:"2"`
	// ReferencesComplete is about the resolved dependencies.
	ReferencesComplete bool `json:"referencesComplete,omitempty" since:"2"`
	// StoredSpecDigest is there only where it is another than that of the dependency.
	StoredSpecDigest *wireDigest `json:"storedSpecDigest,omitempty" since:"2"`
	// UnstatedParameters are names of parameters that are not among the external ones.
	UnstatedParameters []string `json:"unstatedParameters,omitempty" since:"2"`
}

type wireNode struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// wireOutput is a declared output; without a reason it is sealed.
type wireOutput struct {
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
}

// Names of the resolved dependencies.
const (
	depWorkflow = "workflow"
	depTemplate = "template"
	depImage    = "image/"
	depMounted  = "mounted/"
	depInput    = "input/"
	// A reference's is "reference/KIND/NAME", and "/TEMPLATE" for one of it.
	depReference = "reference/"

	imageScheme = "oci://"
)
