package definition

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "k8s.io/apimachinery/pkg/util/json"
)

// Essence is the part of a Workflow that counts, as the API server spells it. A
// workflow that runs may have a megabyte of status, but only Argo's copies of
// templates in it count, and the phase says whether Argo has stored it.
type Essence struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Namespace         string      `json:"namespace"`
		Name              string      `json:"name"`
		UID               string      `json:"uid"`
		CreationTimestamp metav1.Time `json:"creationTimestamp"`
		// ResourceVersion is in neither Digest nor Parse: another version may have
		// the same essence.
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Spec   json.RawMessage `json:"spec"`
	Status struct {
		Phase                      string          `json:"phase"`
		StoredTemplates            json.RawMessage `json:"storedTemplates"`
		StoredWorkflowTemplateSpec json.RawMessage `json:"storedWorkflowTemplateSpec"`
	} `json:"status"`
}

// ReadEssence reads it from a Workflow's JSON. Names of fields count to the letter.
func ReadEssence(raw []byte) (*Essence, error) {
	e := &Essence{}
	if err := kjson.Unmarshal(raw, e); err != nil {
		return nil, err
	}
	return e, nil
}

// Size is how many bytes it has, about.
func (e *Essence) Size() int {
	return len(e.Spec) + len(e.Status.StoredTemplates) + len(e.Status.StoredWorkflowTemplateSpec) + 512
}

// Parts are the texts that Parse decodes.
func (e *Essence) Parts() [][]byte {
	return [][]byte{e.Spec, e.Status.StoredTemplates, e.Status.StoredWorkflowTemplateSpec}
}

// Digest is the same for two essences only if Parse gives the same for both.
func (e *Essence) Digest() ([sha256.Size]byte, error) {
	all, err := json.Marshal([]string{
		e.APIVersion, e.Kind, e.Metadata.Namespace, e.Metadata.Name, e.Metadata.UID, e.Metadata.CreationTimestamp.UTC().String(),
		e.Status.Phase, spelled(e.Spec), spelled(e.Status.StoredTemplates), spelled(e.Status.StoredWorkflowTemplateSpec),
	})
	return sha256.Sum256(all), err
}

// spelled tells a field that is missing from any that is there.
func spelled(raw json.RawMessage) string {
	if raw == nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Parse is Parse of the Workflow.
func (e *Essence) Parse() (*Workflow, error) {
	metadata := map[string]any{"namespace": e.Metadata.Namespace, "name": e.Metadata.Name, "uid": e.Metadata.UID}
	if !e.Metadata.CreationTimestamp.IsZero() {
		metadata["creationTimestamp"] = e.Metadata.CreationTimestamp.UTC().Format(time.RFC3339)
	}
	object := map[string]any{"apiVersion": e.APIVersion, "kind": e.Kind, "metadata": metadata}
	status := map[string]any{}
	if e.Status.Phase != "" {
		status["phase"] = e.Status.Phase
	}
	for _, field := range []struct {
		of   map[string]any
		name string
		raw  json.RawMessage
	}{
		{object, "spec", e.Spec},
		{status, "storedTemplates", e.Status.StoredTemplates},
		{status, "storedWorkflowTemplateSpec", e.Status.StoredWorkflowTemplateSpec},
	} {
		if field.raw == nil {
			continue
		}
		var value any
		if err := kjson.Unmarshal(field.raw, &value); err != nil {
			return nil, err
		}
		field.of[field.name] = value
	}
	if len(status) > 0 {
		object["status"] = status
	}
	return Parse(&unstructured.Unstructured{Object: object})
}
