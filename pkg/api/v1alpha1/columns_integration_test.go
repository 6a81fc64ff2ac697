//go:build integration

package v1alpha1_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// condition is one as our programs write them.
func condition(kind string, status metav1.ConditionStatus, code, message string) []metav1.Condition {
	return []metav1.Condition{{Type: kind, Status: status, Reason: code, Message: message, LastTransitionTime: metav1.Now()}}
}

// TestWhatKubectlShows: the API server itself makes the lines that `kubectl get`
// prints, and those that it adds with -o wide.
func TestWhatKubectlShows(t *testing.T) {
	api, config := start(t)
	meta := metav1.ObjectMeta{Namespace: "default", Name: "shown"}
	workflow := v1alpha1.ObjectRef{Name: "flow", UID: "11111111-1111-4111-8111-111111111111"}
	pod := v1alpha1.ObjectRef{Name: "flow-make-1", UID: "22222222-2222-4222-8222-222222222222"}
	rules := v1alpha1.PolicyRules{Require: &v1alpha1.Require{Level: "isolated"}}
	status := v1alpha1.PolicyStatus{Conditions: condition(v1alpha1.ConditionReady, metav1.ConditionFalse, "PolicyInvalid", "require.maxAge: soon")}
	for path, c := range map[string]struct {
		object client.Object
		// columns are the cells by their headings; in wide those of -o wide.
		columns, wide map[string]any
	}{
		"clusterprovenancepolicies/shown": {
			object: &v1alpha1.ClusterProvenancePolicy{
				ObjectMeta: metav1.ObjectMeta{Name: meta.Name}, Status: status,
				Spec: v1alpha1.ClusterProvenancePolicySpec{Namespaces: []string{"ml-*", "team"}, PolicyRules: rules},
			},
			columns: map[string]any{"Name": "shown", "Namespaces": `["ml-*","team"]`, "Level": "isolated", "Ready": "False"},
			wide:    map[string]any{"Message": "require.maxAge: soon"},
		},
		"namespaces/default/provenancepolicies/shown": {
			object:  &v1alpha1.ProvenancePolicy{ObjectMeta: meta, Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: rules}, Status: status},
			columns: map[string]any{"Name": "shown", "Level": "isolated", "Ready": "False"},
			wide:    map[string]any{"Message": "require.maxAge: soon"},
		},
		"namespaces/default/reproductions/shown": {
			object:  &v1alpha1.Reproduction{ObjectMeta: meta, Spec: v1alpha1.ReproductionSpec{Verdict: "NotReproduced", Bundle: "{}"}},
			columns: map[string]any{"Name": "shown", "Verdict": "NotReproduced"}, wide: map[string]any{},
		},
		"namespaces/default/sboms/shown": {
			object:  &v1alpha1.SBOM{ObjectMeta: meta, Spec: v1alpha1.SBOMSpec{Formats: []string{"spdx"}, Bundle: "{}"}},
			columns: map[string]any{"Name": "shown", "Formats": `["spdx"]`}, wide: map[string]any{},
		},
		"namespaces/default/provenances/shown": {
			object: &v1alpha1.Provenance{
				ObjectMeta: meta, Spec: v1alpha1.ProvenanceSpec{Pod: pod, Workflow: workflow, NodeID: "flow-1"},
				Status: v1alpha1.ProvenanceStatus{Conditions: condition(v1alpha1.ConditionSealed, metav1.ConditionFalse, "DefinitionChanged", "it was changed")},
			},
			columns: map[string]any{"Name": "shown", "Pod": "flow-make-1", "Sealed": "False", "Reason": "DefinitionChanged"},
			wide:    map[string]any{"Workflow": "flow", "Message": "it was changed"},
		},
		"namespaces/default/workflowprovenances/shown": {
			object: &v1alpha1.WorkflowProvenance{
				ObjectMeta: meta, Spec: v1alpha1.WorkflowProvenanceSpec{Workflow: workflow},
				Status: v1alpha1.WorkflowProvenanceStatus{
					State: v1alpha1.WorkflowPartial, WorkflowPhase: "Succeeded", Counts: v1alpha1.WorkflowCounts{Sealed: 3, Unsealed: 1, Pending: 2},
					Conditions: append(condition(v1alpha1.ConditionSealed, metav1.ConditionFalse, "Partial", "3 outputs sealed"),
						condition(v1alpha1.ConditionAttested, metav1.ConditionTrue, "Attested", "")...),
				},
			},
			columns: map[string]any{"Name": "shown", "Workflow": "flow", "State": "Partial", "Sealed": 3.0, "Unsealed": 1.0, "Pending": 2.0, "Attested": "True"},
			wide:    map[string]any{"Phase": "Succeeded", "Message": "3 outputs sealed"},
		},
		"namespaces/default/artifactseals/shown": {
			object: &v1alpha1.ArtifactSeal{ObjectMeta: meta, Spec: v1alpha1.ArtifactSealSpec{
				Location: v1alpha1.Location{Kind: "object", Store: "minio:9000", Bucket: "data", Key: "flow/art.tgz"}, Workflow: workflow,
				SHA256: digest, TreeDigest: digest, Size: 124, Provenance: string(pod.UID),
				Producer: v1alpha1.Producer{Pod: pod, NodeID: "flow-1", Output: "art", FinishedAt: metav1.NewTime(time.Unix(1700000000, 0))},
			}},
			columns: map[string]any{"Name": "shown", "Workflow": "flow", "Output": "art", "Key": "flow/art.tgz", "Altered": nil},
			wide:    map[string]any{"Size": 124.0, "SHA256": digest, "Provenance": string(pod.UID)},
		},
	} {
		t.Run(path, func(t *testing.T) {
			written, ok := c.object.DeepCopyObject().(client.Object)
			if !ok {
				t.Fatalf("%T is no object", c.object)
			}
			if err := api.Create(t.Context(), written); err != nil {
				t.Fatal(err)
			}
			switch c.object.(type) {
			case *v1alpha1.ArtifactSeal, *v1alpha1.Reproduction, *v1alpha1.SBOM: // nothing of their status is shown
			default:
				c.object.SetResourceVersion(written.GetResourceVersion())
				if err := api.Status().Update(t.Context(), c.object); err != nil {
					t.Fatal(err)
				}
			}
			columns, wide := table(t, config, path)
			if age, _ := columns["Age"].(string); age == "" {
				t.Errorf("it has no age: %v", columns)
			}
			delete(columns, "Age")
			if !reflect.DeepEqual(columns, c.columns) || !reflect.DeepEqual(wide, c.wide) {
				t.Errorf("kubectl get shows\n%v, and with -o wide %v, want\n%v, %v", columns, wide, c.columns, c.wide)
			}
		})
	}
}

// table asks for an object as kubectl does.
func table(t *testing.T, config *rest.Config, path string) (columns, wide map[string]any) {
	t.Helper()
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := api.RESTClient().Get().AbsPath("/apis/"+v1alpha1.Group+"/v1alpha1/"+path).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	var got metav1.Table
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 1 || len(got.Rows[0].Cells) != len(got.ColumnDefinitions) {
		t.Fatalf("want one row of cells: %s", raw)
	}
	columns, wide = map[string]any{}, map[string]any{}
	for i, c := range got.ColumnDefinitions {
		if c.Priority == 0 {
			columns[c.Name] = got.Rows[0].Cells[i]
		} else {
			wide[c.Name] = got.Rows[0].Cells[i]
		}
	}
	return columns, wide
}
