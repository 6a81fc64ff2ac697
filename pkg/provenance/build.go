package provenance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
)

// Build makes the payload for the facts, or says which of them is missing or
// malformed. The same facts always make the same bytes: JSON as RFC 8785 wants
// it. Facts that do not fit MaxPayload are an error.
func Build(f Facts) ([]byte, error) { return buildAs(f, Version) }

// buildAs makes the payload of a version, for facts that this version can state.
func buildAs(f Facts, version int) ([]byte, error) {
	f = f.sorted()
	if err := errors.Join(f.validate(), f.validateAs(version)); err != nil {
		return nil, err
	}
	external, err := toStruct(f.external())
	if err != nil {
		return nil, err
	}
	internal, err := toStruct(f.internal())
	if err != nil {
		return nil, err
	}
	predicate := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{
			BuildType:            buildType(version),
			ExternalParameters:   external,
			InternalParameters:   internal,
			ResolvedDependencies: f.dependencies(),
		},
		RunDetails: &slsa.RunDetails{
			Builder: &slsa.Builder{Id: f.Builder.ID(), Version: map[string]string{"argoseal": f.Versions.Argoseal}},
			Metadata: &slsa.BuildMetadata{
				InvocationId: f.InvocationID(),
				StartedOn:    timestamppb.New(f.StartedAt),
				FinishedOn:   timestamppb.New(f.FinishedAt),
			},
		},
	}
	if err := predicate.Validate(); err != nil {
		return nil, fmt.Errorf("predicate: %w", err)
	}
	statement := &intoto.Statement{
		Type:          intoto.StatementTypeUri,
		Subject:       f.subjects(),
		PredicateType: PredicateType,
		Predicate:     &structpb.Struct{}, // canonical puts it in
	}
	if err := statement.Validate(); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return canonical(statement, predicate)
}

// canonical marshals the statement with its predicate, whose own is empty: going through
// a Struct would be half of all the work. protojson varies its
// whitespace on purpose, so its output is transformed to the canonical form of
// RFC 8785.
func canonical(statement *intoto.Statement, predicate proto.Message) ([]byte, error) {
	statement.Predicate = nil
	outer, err := protojson.Marshal(statement)
	if err != nil {
		return nil, fmt.Errorf("marshal statement: %w", err)
	}
	inner, err := protojson.Marshal(predicate)
	if err != nil {
		return nil, fmt.Errorf("marshal statement: %w", err)
	}
	// Into the outer object, which has its type at least. What is read of it is all of it.
	payload := jsontext.Value(slices.Concat(bytes.TrimSuffix(outer, []byte("}")), []byte(`,"predicate":`), inner, []byte("}")))
	if err := payload.Canonicalize(); err != nil {
		return nil, fmt.Errorf("canonicalize statement: %w", err)
	}
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("statement has %d bytes, at most %d are allowed", len(payload), MaxPayload)
	}
	return payload, nil
}

// sorted returns a copy of the facts with every list in its canonical order.
func (f Facts) sorted() Facts {
	f.Subjects = sortedBy(f.Subjects, func(s Subject) string { return s.URI })
	f.Measured = sortedBy(f.Measured, func(m Measured) string { return m.Output + " " + string(m.Digest) })
	f.Unsealed = sortedBy(f.Unsealed, func(u Unsealed) string { return u.Output })
	f.Additions = sortedBy(f.Additions, func(a string) string { return a })
	f.Images = sortedBy(f.Images, func(i Image) string { return i.Container })
	f.Mounted = sortedBy(f.Mounted, func(i Image) string { return i.Container })
	f.Inputs = sortedBy(f.Inputs, func(i Input) string { return i.Name })
	f.Outcome.Exits = sortedBy(f.Outcome.Exits, func(e Exit) string { return e.Container })
	f.Definition.Parameters = sortedBy(f.Definition.Parameters, func(p Parameter) string { return p.Name })
	f.Definition.Unstated = sortedBy(f.Definition.Unstated, func(name string) string { return name })
	f.Definition.References = sortedBy(f.Definition.References, func(r Reference) string { return r.id() })
	f.Definition.Overrides = sortedBy(f.Definition.Overrides, func(o Override) string { return o.Field })
	return f
}

func sortedBy[T any](list []T, key func(T) string) []T {
	return slices.SortedStableFunc(slices.Values(list), func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}

// subjects are the outputs and, each as one more, the images in them: so whoever asks for
// an image's digest finds it where every tool looks.
func (f *Facts) subjects() []*intoto.ResourceDescriptor {
	var descriptors []*intoto.ResourceDescriptor
	for _, s := range f.Subjects {
		descriptors = append(descriptors, &intoto.ResourceDescriptor{
			Name:   s.URI,
			Digest: digestSet(s.SHA256),
			Annotations: annotations(map[string]*structpb.Value{
				"form":            unless(content.FormTar, s.Form),
				"output":          structpb.NewStringValue(s.Output),
				"plainTreeSha256": unless("", s.Plain),
				"size":            structpb.NewNumberValue(float64(s.Size)),
				"treeSha256":      structpb.NewStringValue(string(s.Tree)),
				"volume":          unless("", s.Volume),
			}),
		})
	}
	for _, m := range f.Measured {
		i := slices.IndexFunc(f.Subjects, func(s Subject) bool { return s.Output == m.Output })
		descriptors = append(descriptors, imageDescriptor(f.Subjects[i].URI, m.Output, m.Image))
	}
	return sortedBy(descriptors, func(d *intoto.ResourceDescriptor) string { return d.GetName() })
}

// imageDescriptor is the subject for an image in an output, whose location it has in its
// name. No location has a #.
func imageDescriptor(uri, output string, i oci.Image) *intoto.ResourceDescriptor {
	return &intoto.ResourceDescriptor{
		Name:   uri + "#sha256:" + string(i.Digest),
		Digest: digestSet(i.Digest),
		Annotations: annotations(map[string]*structpb.Value{
			"mediaType": structpb.NewStringValue(i.Kind.MediaType()),
			"output":    structpb.NewStringValue(output),
			"platform":  unless("", i.Platform),
		}),
	}
}

func (f *Facts) dependencies() []*intoto.ResourceDescriptor {
	descriptors := []*intoto.ResourceDescriptor{
		{Name: depWorkflow, Digest: digestSet(f.Definition.Spec)},
		{Name: depTemplate, Digest: digestSet(f.Definition.TemplateBody)},
	}
	for _, reference := range f.Definition.References {
		descriptors = append(descriptors, reference.descriptor(f.Builder.Cluster, f.Step.Namespace))
	}
	for _, image := range f.Images {
		descriptors = append(descriptors, image.descriptor(depImage))
	}
	for _, image := range f.Mounted {
		descriptors = append(descriptors, image.descriptor(depMounted))
	}
	for _, input := range f.Inputs {
		descriptors = append(descriptors, input.descriptor())
	}
	return descriptors
}

// descriptor says what is known of an image; that may be its name alone.
func (i Image) descriptor(kind string) *intoto.ResourceDescriptor {
	d := &intoto.ResourceDescriptor{Name: kind + i.Container, Uri: imageScheme + i.Repository}
	if i.SHA256 != "" {
		d.Digest = digestSet(i.SHA256)
	}
	d.Annotations = annotations(map[string]*structpb.Value{
		"digestOf": unless("", i.DigestOf),
		"image":    structpb.NewStringValue(i.Ref),
	})
	return d
}

// descriptor says what is known of an input; of one from outside that may be
// its place alone.
func (i Input) descriptor() *intoto.ResourceDescriptor {
	d := &intoto.ResourceDescriptor{Name: depInput + i.Name, Uri: i.URI}
	if i.SHA256 != "" {
		d.Digest = digestSet(i.SHA256)
	} else if g, err := artifact.ParseGit(i.URI); err == nil && g.Commit != "" {
		d.Digest = map[string]string{"gitCommit": g.Commit}
	}
	d.Annotations = annotations(map[string]*structpb.Value{
		"archive":    unless(content.ArchiveTar, i.Archive),
		"policy":     unless("", i.Policy),
		"seal":       unless("", i.Seal),
		"treeSha256": unless("", i.Tree),
		"volume":     unless("", i.Volume),
	})
	return d
}

func (f *Facts) external() wireExternal {
	d := f.Definition
	external := wireExternal{
		WorkflowTemplateRef: d.WorkflowTemplate,
		Entrypoint:          d.Entrypoint,
		Template:            d.Template,
		Parameters:          make(map[string]json.RawMessage, len(d.Parameters)),
		Overrides:           make(map[string]wireDigest, len(d.Overrides)),
	}
	if d.WorkflowTemplate == nil {
		external.WorkflowSpecDigest = &wireDigest{SHA256: d.Spec}
	}
	for _, p := range d.Parameters {
		external.Parameters[p.Name] = p.wire()
	}
	for _, o := range d.Overrides {
		external.Overrides[o.Field] = wireDigest{SHA256: o.SHA256}
	}
	return external
}

// wire is the parameter's value, or what stands for it, as JSON; neither a string
// nor these structs can fail to marshal.
func (p Parameter) wire() json.RawMessage {
	var value any = p.Value
	switch {
	case p.HMAC != "":
		value = wireHMAC{HMACSHA256: p.HMAC}
	case p.SHA256 != "":
		value = wireDigest{SHA256: p.SHA256}
	}
	raw, _ := json.Marshal(value)
	return raw
}

func (f *Facts) internal() wireInternal {
	var outputs []wireOutput
	for _, s := range f.Subjects {
		outputs = append(outputs, wireOutput{Name: s.Output})
	}
	for _, u := range f.Unsealed {
		outputs = append(outputs, wireOutput{Name: u.Output, Reason: string(u.Reason)})
	}
	var stored *wireDigest
	if f.Definition.Stored != "" {
		stored = &wireDigest{SHA256: f.Definition.Stored}
	}
	return wireInternal{
		Workflow:       f.Step.Workflow,
		Pod:            f.Step.Pod,
		Node:           wireNode{ID: f.Step.NodeID, Name: f.Step.NodeName},
		Namespace:      f.Step.Namespace,
		ServiceAccount: f.Step.ServiceAccount,
		Mode:           string(f.Mode),
		Verdict:        string(f.Verdict),
		PodSpecDigest:  wireDigest{SHA256: f.PodSpec},
		Versions:       f.Versions,
		Outcome:        f.Outcome,
		Outputs:        sortedBy(outputs, func(o wireOutput) string { return o.Name }),

		ExecutorAdditions:  f.Additions,
		ReferencesComplete: f.Definition.Complete,
		StoredSpecDigest:   stored,
		UnstatedParameters: f.Definition.Unstated,
	}
}

func digestSet(d artifact.Digest) map[string]string { return map[string]string{"sha256": string(d)} }

// annotations leaves out the fields that are nil.
func annotations(fields map[string]*structpb.Value) *structpb.Struct {
	maps.DeleteFunc(fields, func(_ string, v *structpb.Value) bool { return v == nil })
	return &structpb.Struct{Fields: fields}
}

// unless gives a word, and nil for the one that is meant where none is given.
func unless[T ~string](meant, s T) *structpb.Value {
	if s == meant {
		return nil
	}
	return structpb.NewStringValue(string(s))
}

func toStruct(v any) (*structpb.Struct, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("marshal parameters: %w", err)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("convert parameters: %w", err)
	}
	s, err := structpb.NewStruct(fields)
	if err != nil {
		return nil, fmt.Errorf("convert parameters: %w", err)
	}
	return s, nil
}
