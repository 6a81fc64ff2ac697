package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	vsa "github.com/in-toto/attestation/go/predicates/vsa/v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/reason"
)

// The fixed parts of summaries.
const (
	// SummaryType is the predicate type of a Verification Summary Attestation.
	SummaryType = "https://slsa.dev/verification_summary/v1"
	// SummaryPolicy names what a summary says of its subjects, from signed
	// statements alone. Each was sealed by the step that made it. That step, and
	// all others of the workflow that have a seal, ran in mode enforce. So
	// everything that one of them took was sealed, or admitted by policy. It says
	// nothing of anything that is no subject.
	SummaryPolicy = "https://argoseal.dev/policies/sealed-in-enforce/v1"
	slsaVersion   = "1.0"
	passed        = "PASSED"
	failed        = "FAILED"
)

// SummaryFacts is everything that a Verification Summary Attestation says of what leaves
// a workflow.
type SummaryFacts struct {
	Subjects  []WorkflowSubject
	Builder   Builder
	Namespace string
	Workflow  Ref
	// Statement is the digest of the payload about the workflow.
	Statement artifact.Digest
	// Verified is when the statements of all steps were.
	Verified time.Time
	// Passed says that SummaryPolicy holds.
	Passed bool
}

// SummaryLevel is the SLSA level of a builder level. isolated meets Build L3, on
// nodes that tenants do not own. observed is genuine, and signed by the platform:
// L2.
func SummaryLevel(l Level) string {
	if l == LevelIsolated {
		return "SLSA_BUILD_LEVEL_3"
	}
	return "SLSA_BUILD_LEVEL_2"
}

// BuildSummary makes the payload of a summary.
func BuildSummary(f SummaryFacts) ([]byte, error) {
	f.Subjects = sortedBy(f.Subjects, func(s WorkflowSubject) string { return s.URI })
	f.Verified = f.Verified.UTC().Truncate(time.Second)
	if err := errors.Join(validateLeaving(f.Subjects), f.Builder.validate(), f.Workflow.validate("workflow"), checkSegment("namespace", f.Namespace),
		checkSegment("workflow", f.Workflow.Name), checkDigest("statement", f.Statement), (&Facts{StartedAt: f.Verified, FinishedAt: f.Verified}).validateTimes()); err != nil {
		return nil, err
	}
	result, level := failed, failed
	if f.Passed {
		result, level = passed, SummaryLevel(f.Builder.Level)
	}
	return statementOf(f.Subjects, SummaryType, &vsa.VerificationSummary{
		Verifier:     &vsa.VerificationSummary_Verifier{Id: f.Builder.ID()},
		TimeVerified: timestamppb.New(f.Verified),
		ResourceUri:  resource(f.Builder.Cluster, layout.APIVersion, f.Namespace, "workflows", f.Workflow.Name),
		Policy:       &vsa.VerificationSummary_Policy{Uri: SummaryPolicy},
		InputAttestations: []*vsa.VerificationSummary_InputAttestation{{
			Uri:    resource(f.Builder.Cluster, "argoseal.dev/v1alpha1", f.Namespace, "workflowprovenances", f.Workflow.UID),
			Digest: digestSet(f.Statement),
		}},
		VerificationResult: result, VerifiedLevels: []string{level}, SlsaVersion: slsaVersion,
	})
}

func resource(cluster, apiVersion, namespace, kind, name string) string {
	return "k8s://" + cluster + "/apis/" + apiVersion + "/namespaces/" + namespace + "/" + kind + "/" + name
}

// ParseSummary reads a payload that BuildSummary made, and accepts no other. Its errors
// have the code StatementInvalid.
func ParseSummary(payload []byte) (SummaryFacts, error) {
	f, err := parseSummary(payload)
	if err != nil {
		return SummaryFacts{}, reason.Wrap(reason.StatementInvalid, err, "%v", err)
	}
	return f, nil
}

func parseSummary(payload []byte) (f SummaryFacts, err error) {
	var w wireSummary
	if err := decode(payload, &w, "type "+SummaryType); err != nil {
		return f, err
	}
	p := &w.Predicate
	if f.Builder, err = ParseBuilderID(p.Verifier.ID); err != nil {
		return f, err
	}
	if f.Verified, err = time.Parse(time.RFC3339, p.TimeVerified); err != nil {
		return f, fmt.Errorf("timeVerified: %w", err)
	}
	f.Subjects = w.subjects()
	of := strings.Split(strings.TrimPrefix(p.ResourceURI, "k8s://"), "/")
	if len(p.InputAttestations) != 1 || len(of) < 2 {
		return f, errors.New("it is not about one workflow")
	}
	f.Statement = p.InputAttestations[0].Digest.SHA256
	record := strings.Split(p.InputAttestations[0].URI, "/")
	f.Workflow = Ref{Name: of[len(of)-1], UID: record[len(record)-1]}
	if len(of) > 3 {
		f.Namespace = of[len(of)-3]
	}
	f.Passed = p.VerificationResult == passed
	again, err := BuildSummary(f)
	if err != nil {
		return f, err
	}
	if !bytes.Equal(again, payload) {
		return f, errors.New("not in canonical form, or it contradicts itself")
	}
	return f, nil
}

// Kind is what a statement of ours is about.
type Kind int

const (
	// KindStep is one step; also what cannot be told, which Parse refuses.
	KindStep Kind = iota
	// KindWorkflow is a whole workflow: see ParseWorkflow.
	KindWorkflow
	// KindSummary is the summary of one: see ParseSummary.
	KindSummary
	// KindReproduction is a second run of a step: see ParseReproduction.
	KindReproduction
	// KindReference names documents about something, such as SBOMs: see ParseReference.
	KindReference
	// KindSBOM has a whole SBOM: see BuildSBOM.
	KindSBOM
)

// KindOf says by which parser a payload is to be read. It says nothing else of it.
func KindOf(payload []byte) Kind {
	var w struct {
		PredicateType string `json:"predicateType"`
		Predicate     struct {
			BuildDefinition struct {
				BuildType string `json:"buildType"`
			} `json:"buildDefinition"`
		} `json:"predicate"`
	}
	if len(payload) > MaxPayload {
		return KindStep
	}
	// What cannot be read is none of the others, and Parse says what is wrong with it.
	_ = json.Unmarshal(payload, &w)
	switch {
	case w.PredicateType == SummaryType:
		return KindSummary
	case w.PredicateType == ReproductionType:
		return KindReproduction
	case w.PredicateType == ReferenceType:
		return KindReference
	case sbomOf(w.PredicateType) != "":
		return KindSBOM
	case w.Predicate.BuildDefinition.BuildType == WorkflowBuildType:
		return KindWorkflow
	}
	return KindStep
}

// Check accepts what this release signs: a statement about a step, about a workflow,
// about a second run or about an SBOM, or a summary, each as strictly as its own parser. It gives the
// statement if it is about a step. Its errors have the codes of Parse.
func Check(payload []byte) (*Statement, error) {
	if len(payload) == 0 || len(payload) > MaxPayload {
		return nil, reason.New(reason.StatementInvalid, "statement has %d bytes, want 1 to %d", len(payload), MaxPayload)
	}
	switch KindOf(payload) {
	case KindSummary:
		_, err := ParseSummary(payload)
		return nil, err
	case KindWorkflow:
		_, err := ParseWorkflow(payload)
		return nil, err
	case KindReproduction:
		_, err := ParseReproduction(payload)
		return nil, err
	case KindReference:
		_, err := ParseReference(payload)
		return nil, err
	case KindSBOM:
		if err := checkSBOM(payload); err != nil {
			return nil, reason.Wrap(reason.StatementInvalid, err, "%v", err)
		}
		return nil, nil
	default:
		return Parse(payload)
	}
}

type wireSummary struct {
	wireLeaving
	Predicate struct {
		Verifier struct {
			ID string `json:"id"`
		} `json:"verifier"`
		TimeVerified string `json:"timeVerified"`
		ResourceURI  string `json:"resourceUri"`
		Policy       struct {
			URI string `json:"uri"`
		} `json:"policy"`
		InputAttestations []struct {
			URI    string     `json:"uri"`
			Digest wireDigest `json:"digest"`
		} `json:"inputAttestations"`
		VerificationResult string   `json:"verificationResult"`
		VerifiedLevels     []string `json:"verifiedLevels"`
		SLSAVersion        string   `json:"slsaVersion"`
	} `json:"predicate"`
}

// wireLeaving is what statements about workflows have in common.
type wireLeaving struct {
	Type    string `json:"_type"`
	Subject []struct {
		Name        string     `json:"name"`
		Digest      wireDigest `json:"digest"`
		Annotations struct {
			MediaType  string          `json:"mediaType"`
			Output     string          `json:"output"`
			Platform   string          `json:"platform"`
			Pod        string          `json:"pod"`
			TreeSHA256 artifact.Digest `json:"treeSha256"`
		} `json:"annotations"`
	} `json:"subject"`
	PredicateType string `json:"predicateType"`
}

// subjects are the outputs, each with the images that follow it. An image of none is left
// out, and missed when the statement is built again.
func (w *wireLeaving) subjects() (all []WorkflowSubject) {
	at := map[string]int{}
	for _, s := range w.Subject {
		a := s.Annotations
		if a.MediaType == "" {
			at[s.Name] = len(all)
			all = append(all, WorkflowSubject{URI: s.Name, SHA256: s.Digest.SHA256, Tree: a.TreeSHA256, Output: a.Output, Pod: a.Pod})
			continue
		}
		uri, _, _ := strings.Cut(s.Name, "#")
		if n, known := at[uri]; known {
			all[n].Images = append(all[n].Images, oci.Image{Digest: s.Digest.SHA256, Kind: oci.KindOf(a.MediaType), Platform: a.Platform})
		}
	}
	return all
}
