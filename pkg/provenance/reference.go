package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	intoto "github.com/in-toto/attestation/go/v1"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
)

// ReferenceType is the predicate type of statements that name documents about something, by
// digest: in-toto's Reference predicate v0.1. It is not one of ours, so others make these,
// too.
const ReferenceType = "https://in-toto.io/attestation/reference/v0.1"

// Attester is who says so in our own references: the program, not the party, which is known
// by its key.
const Attester = "https://argoseal.dev/attesters/v1/sbom"

// maxReferences is how many subjects and how many documents one statement may name.
const maxReferences = 64

// DocumentReference says that there are documents about some bytes. It says nothing of where
// these come from.
type DocumentReference struct {
	// Name of the subject, such as its location; only for people.
	Name string
	// About are the bytes.
	About     []About
	Documents []ReferredDocument
}

// About names bytes, and says as what.
type About struct {
	Of     DigestKind
	SHA256 artifact.Digest
}

// DigestKind says what a digest is of. A file that has the listing of a directory as its text
// has that directory's digest, and one that has a manifest has that of the image: nobody who
// looked into the one has looked into the other. The zero value is not known.
type DigestKind string

// What digests are of, as an annotation of a subject (in-toto's ResourceDescriptor) spells it.
const (
	// OfFile is a file as it is stored.
	OfFile DigestKind = "file"
	// OfTree is a directory that was stored without an archive, by its listing
	// (docs/tree-digest.md).
	OfTree DigestKind = "tree"
	// OfImage is an image, by its manifest.
	OfImage DigestKind = "image"
)

// ReferredDocument is one that a DocumentReference names.
type ReferredDocument struct {
	SHA256 artifact.Digest
	// URI is where it may lie. Whoever reads it there compares the digest.
	URI       string
	MediaType string
}

// Speaks says in which formats a statement names SBOMs of just these bytes, as what they are.
func (r *DocumentReference) Speaks(about About) []sbom.Format {
	if about.Of == "" || about.SHA256 == "" || !slices.Contains(r.About, about) {
		return nil
	}
	var formats []sbom.Format
	for _, d := range r.Documents {
		if f := sbom.FormatOf(d.MediaType); f != "" && !slices.Contains(formats, f) {
			formats = append(formats, f)
		}
	}
	return formats
}

type wireResource struct {
	Name             string     `json:"name,omitempty"`
	Digest           wireDigest `json:"digest"`
	DownloadLocation string     `json:"downloadLocation,omitempty"`
	MediaType        string     `json:"mediaType,omitempty"`
	// Annotations are those that this package knows.
	Annotations *wireReferenceNotes `json:"annotations,omitempty"`
}

type wireReferenceNotes struct {
	DigestOf DigestKind `json:"argoseal.dev/digest-of,omitempty"`
}

type wireReferred struct {
	Attester struct {
		ID string `json:"id"`
	} `json:"attester"`
	References []wireResource `json:"references"`
}

type wireStandard[P any] struct {
	Type          string         `json:"_type"`
	Subject       []wireResource `json:"subject"`
	PredicateType string         `json:"predicateType"`
	Predicate     P              `json:"predicate"`
}

// BuildReference makes the payload of a statement that names documents about one subject.
func BuildReference(r DocumentReference) ([]byte, error) {
	s := wireStandard[wireReferred]{Type: intoto.StatementTypeUri, PredicateType: ReferenceType}
	for _, about := range r.About {
		s.Subject = append(s.Subject, wireResource{Name: r.Name, Digest: wireDigest{about.SHA256}, Annotations: &wireReferenceNotes{about.Of}})
	}
	s.Predicate.Attester.ID = Attester
	for _, d := range r.Documents {
		s.Predicate.References = append(s.Predicate.References, wireResource{Digest: wireDigest{d.SHA256}, DownloadLocation: d.URI, MediaType: d.MediaType})
	}
	payload, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("marshal a reference: %w", err)
	}
	_, err = ParseReference(payload)
	return payload, err
}

// ParseReference reads a statement that names documents, of whoever made it: fields that it
// does not know are no matter, as the framework has it. Its errors have the code
// StatementInvalid.
func ParseReference(payload []byte) (*DocumentReference, error) {
	r, err := parseReference(payload)
	if err != nil {
		return nil, reason.Wrap(reason.StatementInvalid, err, "%v", err)
	}
	return r, nil
}

func parseReference(payload []byte) (*DocumentReference, error) {
	var s wireStandard[wireReferred]
	if err := readStatement(payload, &s, ReferenceType); err != nil {
		return nil, err
	}
	r := &DocumentReference{Name: s.Subject[0].Name}
	for _, subject := range s.Subject {
		about := About{SHA256: subject.Digest.SHA256}
		if subject.Annotations != nil {
			about.Of = subject.Annotations.DigestOf
		}
		r.About = append(r.About, about)
	}
	documents := s.Predicate.References
	if n := len(documents); n == 0 || n > maxReferences {
		return nil, fmt.Errorf("it names %d documents, want 1 to %d", n, maxReferences)
	}
	problems := []error{checkText("attester", s.Predicate.Attester.ID, maxURI)}
	for _, d := range documents {
		problems = append(problems, checkDigest("document", d.Digest.SHA256), checkText("downloadLocation", d.DownloadLocation, maxURI), checkText("mediaType", d.MediaType, maxName))
		r.Documents = append(r.Documents, ReferredDocument{d.Digest.SHA256, d.DownloadLocation, d.MediaType})
	}
	return r, errors.Join(problems...)
}

// readStatement reads a statement of one of the standard predicates: its type, and subjects
// with digests.
func readStatement[P any](payload []byte, s *wireStandard[P], predicateType string) error {
	if len(payload) == 0 || len(payload) > MaxPayload {
		return fmt.Errorf("statement has %d bytes, want 1 to %d", len(payload), MaxPayload)
	}
	if err := json.Unmarshal(payload, s); err != nil {
		return fmt.Errorf("not a statement of type %s: %w", predicateType, err)
	}
	switch n := len(s.Subject); {
	case s.Type != intoto.StatementTypeUri || s.PredicateType != predicateType:
		return fmt.Errorf("it is a %.200q with predicate %.200q, want %s with %s", s.Type, s.PredicateType, intoto.StatementTypeUri, predicateType)
	case n == 0 || n > maxReferences:
		return fmt.Errorf("it has %d subjects, want 1 to %d", n, maxReferences)
	}
	for _, subject := range s.Subject {
		if err := checkDigest("subject", subject.Digest.SHA256); err != nil {
			return err
		}
	}
	return nil
}

// BuildSBOM makes the payload of a statement that has a whole SBOM about one subject, as
// cosign and others look for it: the document is the predicate, without the spaces between
// its tokens.
func BuildSBOM(name string, about artifact.Digest, format sbom.Format, document []byte) ([]byte, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, document); err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	var payload bytes.Buffer
	e := json.NewEncoder(&payload)
	e.SetEscapeHTML(false) // the document's own text stays as it is
	err := e.Encode(wireStandard[json.RawMessage]{
		Type: intoto.StatementTypeUri, Subject: []wireResource{{Name: name, Digest: wireDigest{about}}},
		PredicateType: format.PredicateType(), Predicate: compact.Bytes(),
	})
	if err != nil {
		return nil, fmt.Errorf("marshal an SBOM's statement: %w", err)
	}
	stated := bytes.TrimSuffix(payload.Bytes(), []byte("\n"))
	return stated, checkSBOM(stated)
}

// sbomOf is the format that a predicate type says; empty for any other.
func sbomOf(predicateType string) sbom.Format {
	for _, f := range sbom.Formats {
		if f.PredicateType() == predicateType {
			return f
		}
	}
	return ""
}

// checkSBOM accepts what BuildSBOM makes of a document that package sbom reads.
func checkSBOM(payload []byte) error {
	var s wireStandard[json.RawMessage]
	_ = json.Unmarshal(payload, &s) // readStatement says what is wrong with it
	format := sbomOf(s.PredicateType)
	if err := readStatement(payload, &s, format.PredicateType()); err != nil {
		return err
	}
	document, err := sbom.Parse(s.Predicate)
	if err == nil && (format == "" || document.Format != format) {
		err = fmt.Errorf("its predicate is %s, and it says to be %.200q", document.Format, s.PredicateType)
	}
	return err
}
