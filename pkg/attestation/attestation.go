package attestation

import (
	"errors"
	"fmt"

	slsa02 "github.com/in-toto/attestation/go/predicates/provenance/v02"
	slsa1 "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// MaxStatement is the size of the largest payload, in bytes: that of a bundle in a policy, which
// has it as base64.
const MaxStatement = 48 << 10

// The predicate types that are read.
const (
	slsaV1  = "https://slsa.dev/provenance/v1"
	slsaV02 = "https://slsa.dev/provenance/v0.2"
)

// Statement is what is read of a statement.
type Statement struct {
	// Builder is runDetails.builder.id, or builder.id of v0.2.
	Builder string
	// BuildType is buildDefinition.buildType, or buildType of v0.2.
	BuildType string
	Subjects  []Subject
}

// Subject is what was built.
type Subject struct {
	Name string
	// SHA256 is empty where the statement has none of it.
	SHA256 artifact.Digest
}

// Parse reads a payload. Fields that nobody here knows are skipped, as in-toto asks of
// consumers. Errors have the code StatementInvalid.
func Parse(payload []byte) (Statement, error) {
	s, err := parse(payload)
	if err != nil {
		return Statement{}, reason.Wrap(reason.StatementInvalid, err, "%v", err)
	}
	return s, nil
}

// lenient reads what may have more fields than are known.
var lenient = protojson.UnmarshalOptions{DiscardUnknown: true}

func parse(payload []byte) (Statement, error) {
	if len(payload) == 0 || len(payload) > MaxStatement {
		return Statement{}, fmt.Errorf("statement has %d bytes, want 1 to %d", len(payload), MaxStatement)
	}
	var wire intoto.Statement
	if err := lenient.Unmarshal(payload, &wire); err != nil {
		return Statement{}, errors.Join(errors.New("not a statement of in-toto"), err)
	}
	if err := wire.Validate(); err != nil {
		return Statement{}, err
	}
	var s Statement
	switch of := wire.GetPredicateType(); of {
	case slsaV1:
		var p slsa1.Provenance
		if err := read(wire.GetPredicate(), &p); err != nil {
			return Statement{}, err
		}
		if err := p.Validate(); err != nil {
			return Statement{}, err
		}
		s.Builder, s.BuildType = p.GetRunDetails().GetBuilder().GetId(), p.GetBuildDefinition().GetBuildType()
	case slsaV02:
		var p slsa02.Provenance
		if err := read(wire.GetPredicate(), &p); err != nil {
			return Statement{}, err
		}
		s.Builder, s.BuildType = p.GetBuilder().GetId(), p.GetBuildType()
	default:
		return Statement{}, fmt.Errorf("predicate is a %.200q, want %s or %s", of, slsaV1, slsaV02)
	}
	if s.Builder == "" || s.BuildType == "" {
		return Statement{}, errors.New("predicate has no builder, or no build type")
	}
	if provenance.IsOurs(s.Builder) || provenance.IsOurs(s.BuildType) {
		return Statement{}, fmt.Errorf("builder %.200q or build type %.200q is one of Argoseal's, whose statements have another parser", s.Builder, s.BuildType)
	}
	for _, d := range wire.GetSubject() {
		subject := Subject{Name: d.GetName()}
		if text, ok := d.GetDigest()["sha256"]; ok {
			digest, err := artifact.ParseDigest(text)
			if err != nil {
				return Statement{}, fmt.Errorf("subject %.200q: sha256: %w", subject.Name, err)
			}
			subject.SHA256 = digest
		}
		s.Subjects = append(s.Subjects, subject)
	}
	return s, nil
}

// read makes of a predicate what its type says.
func read(predicate *structpb.Struct, into proto.Message) error {
	raw, err := protojson.Marshal(predicate)
	if err == nil {
		err = lenient.Unmarshal(raw, into)
	}
	if err != nil {
		return errors.Join(errors.New("predicate is not of its type"), err)
	}
	return nil
}

// Subject finds the one subject of that name; without a name there has to be only one.
// Errors have the code SubjectMismatch.
func (s Statement) Subject(name string) (Subject, error) {
	var found []Subject
	for _, subject := range s.Subjects {
		if name == "" || subject.Name == name {
			found = append(found, subject)
		}
	}
	switch {
	case len(found) != 1 && name == "":
		return Subject{}, reason.New(reason.SubjectMismatch, "the statement has %d subjects, and nobody says which one is meant", len(found))
	case len(found) != 1:
		return Subject{}, reason.New(reason.SubjectMismatch, "the statement has %d subjects named %.200q, want one", len(found), name)
	case found[0].SHA256 == "":
		return Subject{}, reason.New(reason.SubjectMismatch, "subject %.200q has no sha256", found[0].Name)
	}
	return found[0], nil
}
