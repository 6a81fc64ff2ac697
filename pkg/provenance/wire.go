package provenance

import (
	"encoding/json"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

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
	RunDetails struct {
		Builder struct {
			ID      string            `json:"id"`
			Version map[string]string `json:"version"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string `json:"invocationId"`
			StartedOn    string `json:"startedOn"`
			FinishedOn   string `json:"finishedOn"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

// wireDigest is a DigestSet with sha256 and nothing else.
type wireDigest struct {
	SHA256 artifact.Digest `json:"sha256"`
}

// wireHMAC stands for the value of a parameter.
type wireHMAC struct {
	HMACSHA256 artifact.Digest `json:"hmacSha256"`
}

// wireDigests is the DigestSet of what is listed. A commit is a part of its URI
// too, so only Build looks at it.
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

// wireAnnotations are those of subjects (form, output, size, treeSha256,
// volume), images (digestOf, image), inputs (archive, policy, seal, treeSha256, volume)
// and references (kind, name, namespace, template). Where form or archive is
// missing, tar is meant, as with Argo.
type wireAnnotations struct {
	Archive    content.Archive `json:"archive"`
	DigestOf   DigestOf        `json:"digestOf" since:"2"`
	Form       content.Form    `json:"form"`
	Image      string          `json:"image"`
	Kind       string          `json:"kind"`
	Name       string          `json:"name"`
	Namespace  string          `json:"namespace"`
	Output     string          `json:"output"`
	Policy     string          `json:"policy"`
	Seal       string          `json:"seal"`
	Size       int64           `json:"size"`
	Template   string          `json:"template"`
	TreeSHA256 artifact.Digest `json:"treeSha256"`
	Volume     string          `json:"volume"`
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
	Workflow       Ref          `json:"workflow"`
	Pod            Ref          `json:"pod"`
	Node           wireNode     `json:"node"`
	Namespace      string       `json:"namespace"`
	ServiceAccount string       `json:"serviceAccount"`
	Mode           string       `json:"mode"`
	Verdict        string       `json:"verdict,omitempty"`
	PodSpecDigest  wireDigest   `json:"podSpecDigest"`
	Versions       Versions     `json:"versions"`
	Outcome        Outcome      `json:"outcome"`
	Outputs        []wireOutput `json:"outputs"`
	// ReferencesComplete is about the resolved dependencies.
	ReferencesComplete bool `json:"referencesComplete,omitempty" since:"2"`
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
