package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClusterProvenancePolicy is the ceiling: what steps may consume beyond what
// the built-in policy admits, and what is asked of all seals. Only it can allow
// anything. docs/policy.md has the rules.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=clusterprovenancepolicies,singular=clusterprovenancepolicy,scope=Cluster,shortName=cpp,categories=argoseal
// +kubebuilder:printcolumn:name="Namespaces",type=string,JSONPath=`.spec.namespaces`
// +kubebuilder:printcolumn:name="Level",type=string,JSONPath=`.spec.require.level`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterProvenancePolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ClusterProvenancePolicySpec `json:"spec"`

	// +optional
	Status PolicyStatus `json:"status,omitzero"`
}

// ClusterProvenancePolicySpec says where the rules apply, and the rules.
//
// +kubebuilder:validation:XValidation:rule="has(self.allow) || has(self.require) || has(self.images)",message="a policy without rules does nothing: give allow, require or images (fields that do not exist are dropped, so look at the spelling)"
type ClusterProvenancePolicySpec struct {
	// namespaces are the names of the consuming steps' namespaces, in which *
	// stands for any characters. Absent: all namespaces.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`
	Namespaces []string `json:"namespaces,omitempty"`

	PolicyRules `json:",inline"`
}

// ProvenancePolicy narrows, for its namespace, what the cluster's policies and
// the built-in one admit. It can never admit anything that they refuse.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=provenancepolicies,singular=provenancepolicy,shortName=pp,categories=argoseal
// +kubebuilder:printcolumn:name="Level",type=string,JSONPath=`.spec.require.level`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ProvenancePolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ProvenancePolicySpec `json:"spec"`

	// +optional
	Status PolicyStatus `json:"status,omitzero"`
}

// ProvenancePolicySpec are the rules.
//
// +kubebuilder:validation:XValidation:rule="has(self.allow) || has(self.require) || has(self.images)",message="a policy without rules does nothing: give allow, require or images (fields that do not exist are dropped, so look at the spelling)"
// +kubebuilder:validation:XValidation:rule="!has(self.allow) || (!has(self.allow.s3) || !self.allow.s3.exists(e, has(e.attested))) && (!has(self.allow.gcs) || !self.allow.gcs.exists(e, has(e.attested))) && (!has(self.allow.azure) || !self.allow.azure.exists(e, has(e.attested))) && (!has(self.allow.http) || !self.allow.http.exists(e, has(e.attested)))",message="attested stands in a ClusterProvenancePolicy only: give sha256 or treeSHA256"
type ProvenancePolicySpec struct {
	PolicyRules `json:",inline"`
}

// PolicyStatus says whether a policy can be evaluated. Nothing is decided by it:
// the gate reads the rules themselves.
type PolicyStatus struct {
	// conditions: Ready is True for a policy that is in force, and False for one
	// that cannot be evaluated and therefore refuses.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('0001-01-01T00:00:00Z'))",message="lastTransitionTime is none"
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PolicyRules are the rules of a policy of either kind.
type PolicyRules struct {
	// allow, in a ClusterProvenancePolicy: what is admitted beyond the built-in
	// policy. In a ProvenancePolicy: of what the cluster's policies allow, only
	// this; an empty one leaves nothing of it.
	// +optional
	Allow *Allow `json:"allow,omitempty"`
	// require is asked of every seal, whoever allowed it.
	// +optional
	Require *Require `json:"require,omitempty"`
	// images is asked of the container images of all pods, not only Argo's: each policy
	// with an entry about an image wants one of its entries to admit it. Images that no
	// entry is about are free.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Images []ImageRule `json:"images,omitempty"`
}

// Allow lists what needs no seal of the consumer's own workflow.
type Allow struct {
	// s3 are objects that come from outside.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	S3 []S3Input `json:"s3,omitempty"`
	// gcs are objects in Google Cloud Storage that come from outside.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	GCS []GCSInput `json:"gcs,omitempty"`
	// azure are blobs in Azure Blob Storage that come from outside.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Azure []AzureInput `json:"azure,omitempty"`
	// http are URLs that Argo fetches.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	HTTP []HTTPInput `json:"http,omitempty"`
	// git are repositories that Argo clones.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Git []GitInput `json:"git,omitempty"`
	// producers are those whose seals count in other workflows.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	Producers []TrustedProducer `json:"producers,omitempty"`
	// failedProducers lets outputs of steps that failed count, those of the
	// workflow's own and of the producers that are trusted.
	// +optional
	FailedProducers bool `json:"failedProducers,omitempty"`
}

// TrustedProducer is whose seals count in other workflows.
//
// +kubebuilder:validation:XValidation:rule="has(self.namespaces) != (has(self.sameNamespace) && self.sameNamespace)",message="say where the producing workflow may have run: exactly one of namespaces and sameNamespace: true"
// +kubebuilder:validation:XValidation:rule="[has(self.workflowTemplate), has(self.anyWorkflow) && self.anyWorkflow, has(self.sameDefinition) && self.sameDefinition].filter(given, given).size() == 1",message="say whose workflows are trusted: exactly one of workflowTemplate, sameDefinition: true and anyWorkflow: true"
type TrustedProducer struct {
	// namespaces in which the producing workflow may have run, by name.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespaces []string `json:"namespaces,omitempty"`
	// sameNamespace: it ran in the namespace of the step that consumes, whichever that
	// is. One policy can say so for all namespaces.
	// +optional
	SameNamespace bool `json:"sameNamespace,omitempty"`
	// workflowTemplate that the producing workflow refers to, without any field
	// that overrides it.
	// +optional
	WorkflowTemplate *TrustedTemplate `json:"workflowTemplate,omitempty"`
	// sameDefinition: the producing workflow ran what the consuming one runs, by
	// digest: what Argo made of the same WorkflowTemplate or, of workflows with a spec
	// of their own, the same spec. Arguments may differ.
	// +optional
	SameDefinition bool `json:"sameDefinition,omitempty"`
	// anyWorkflow trusts whoever may run workflows in these namespaces.
	// +optional
	AnyWorkflow bool `json:"anyWorkflow,omitempty"`
	// templates whose outputs count, by name; absent: all of the workflow's.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Templates []string `json:"templates,omitempty"`
}

// TrustedTemplate names a WorkflowTemplate or a ClusterWorkflowTemplate.
//
// +kubebuilder:validation:XValidation:rule="!has(self.references) || has(self.pinReferences) && self.pinReferences",message="references are looked at with pinReferences: true only"
// +kubebuilder:validation:XValidation:rule="!has(self.pinReferences) || !self.pinReferences || has(self.sha256)",message="pinReferences needs sha256: a template that may change can have anything in place of its references"
type TrustedTemplate struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// clusterScope: it is a ClusterWorkflowTemplate.
	// +optional
	ClusterScope bool `json:"clusterScope,omitempty"`
	// sha256 of the spec that Argo made of it and ran, lower-case hex: one of
	// these (docs/policy.md says how to find it). Absent: any version counts.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Pattern=`^[0-9a-f]{64}$`
	SHA256 []string `json:"sha256,omitempty"`
	// pinReferences asks that each template that was taken from elsewhere on the
	// way to the step (templateRef) is one of references. Without it any version of
	// these counts: sha256 covers their names, not what they say.
	// +optional
	PinReferences bool `json:"pinReferences,omitempty"`
	// references are the templates that may be on the way to the step; none: it has
	// to come without.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	References []TrustedReference `json:"references,omitempty"`
}

// TrustedReference is a template of a WorkflowTemplate or a
// ClusterWorkflowTemplate, in the versions that count.
type TrustedReference struct {
	// name of the WorkflowTemplate or ClusterWorkflowTemplate.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// clusterScope: it is a ClusterWorkflowTemplate.
	// +optional
	ClusterScope bool `json:"clusterScope,omitempty"`
	// template that is taken from it, by name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Template string `json:"template"`
	// sha256 of the template as Argo ran it, lower-case hex: one of these.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Pattern=`^[0-9a-f]{64}$`
	SHA256 []string `json:"sha256"`
}

// Require is what is asked of seals beyond the built-in policy.
//
// +kubebuilder:validation:XValidation:rule="has(self.level) || has(self.maxAge) || has(self.logs) || has(self.reproduced) || has(self.sbom)",message="give at least one of level, maxAge, logs, reproduced and sbom (fields that do not exist are dropped, so look at the spelling)"
type Require struct {
	// level of the builder: isolated refuses what was only observed.
	// +optional
	// +kubebuilder:validation:Enum=isolated;observed
	Level string `json:"level,omitempty"`
	// maxAge since the producer finished, as a whole number of hours, minutes or
	// seconds: 720h.
	// +optional
	// +kubebuilder:validation:MaxLength=7
	// +kubebuilder:validation:XValidation:rule="self.matches('^[1-9][0-9]{0,5}[hms]$')",message="want a whole number of hours, minutes or seconds, such as 720h"
	MaxAge string `json:"maxAge,omitempty"`
	// logs are the base URLs of transparency logs, as the trusted root spells
	// them; the seal has to be recorded in one of these.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=2048
	// +kubebuilder:validation:items:Pattern=`^https?://[!-~]+$`
	Logs []string `json:"logs,omitempty"`
	// reproduced asks that somebody else has run the step again, and that it made the
	// same (docs/reproduce.md).
	// +optional
	Reproduced *ReproducedBy `json:"reproduced,omitempty"`
	// sbom asks that somebody has signed that there is a software bill of materials of
	// these bytes (docs/sbom.md).
	// +optional
	SBOM *SBOMBy `json:"sbom,omitempty"`
}

// SBOMBy says whose word counts that there is an SBOM, and of what kind.
type SBOMBy struct {
	// by are trust domains that describe; one of them has to have signed.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	By []string `json:"by"`
	// formats that count; without, both.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=spdx;cyclonedx
	Formats []string `json:"formats,omitempty"`
}

// ReproducedBy says whose word counts that a step made the same again.
type ReproducedBy struct {
	// by are trust domains that reproduce; one of them has to have signed.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	By []string `json:"by"`
	// tolerateCaveats lets statements count that name something which nothing has
	// checked, such as the value of a parameter.
	// +optional
	TolerateCaveats bool `json:"tolerateCaveats,omitempty"`
}

// ClusterProvenancePolicyList is a list of ClusterProvenancePolicy.
//
// +kubebuilder:object:root=true
type ClusterProvenancePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterProvenancePolicy `json:"items"`
}

// ProvenancePolicyList is a list of ProvenancePolicy.
//
// +kubebuilder:object:root=true
type ProvenancePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ProvenancePolicy `json:"items"`
}
