package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WorkflowProvenance says what became of everything that one workflow makes: each
// node with its seal, and one state. Its name is the Workflow's UID. It is for people
// and for what waits for a workflow to be sealed; evidence is in the Provenances.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=workflowprovenances,singular=workflowprovenance,shortName=wfprov,categories=argoseal
// +kubebuilder:printcolumn:name="Workflow",type=string,JSONPath=`.spec.workflow.name`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Sealed",type=integer,JSONPath=`.status.counts.sealed`
// +kubebuilder:printcolumn:name="Unsealed",type=integer,JSONPath=`.status.counts.unsealed`
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=`.status.counts.pending`
// +kubebuilder:printcolumn:name="Attested",type=string,JSONPath=`.status.conditions[?(@.type=="Attested")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Phase",type=string,priority=1,JSONPath=`.status.workflowPhase`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Sealed")].message`
type WorkflowProvenance struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which Workflow this is about; it never changes.
	Spec WorkflowProvenanceSpec `json:"spec"`
	// status is what has been seen of it.
	// +optional
	Status WorkflowProvenanceStatus `json:"status,omitempty"`
}

// WorkflowProvenanceSpec identifies the Workflow.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable"
type WorkflowProvenanceSpec struct {
	Workflow ObjectRef `json:"workflow"`
}

// WorkflowState is the state of a workflow's outputs as a whole.
//
// +kubebuilder:validation:Enum=Running;Sealed;Partial;Failed
type WorkflowState string

const (
	// WorkflowRunning: the workflow has not ended, or a seal is on its way.
	WorkflowRunning WorkflowState = "Running"
	// WorkflowSealed: everything that its steps stored is sealed, or they stored
	// nothing.
	WorkflowSealed WorkflowState = "Sealed"
	// WorkflowPartial: some of it is sealed, and some will never be.
	WorkflowPartial WorkflowState = "Partial"
	// WorkflowFailed: nothing of it is sealed, or will be.
	WorkflowFailed WorkflowState = "Failed"
)

// ConditionAttested is the condition of a WorkflowProvenance that says whether there is a
// signed statement about the whole workflow. False with reason Pending: on its way.
const ConditionAttested = "Attested"

// ConditionNodesRead is the condition of a WorkflowProvenance that says whether the
// status of the Workflow's nodes could be read. If not, only nodes are known that have a
// record or a pod, or were known before.
const ConditionNodesRead = "NodesRead"

// WorkflowProvenanceStatus is written by Argoseal's controller; claim, attestedRecords,
// bundle, summary and condition Attested by the notary.
type WorkflowProvenanceStatus struct {
	// state of the outputs as a whole.
	// +optional
	State WorkflowState `json:"state,omitempty"`
	// observedGeneration is that of the spec, which never changes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// workflowPhase is Argo's word for the workflow; Gone if it was deleted.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	WorkflowPhase string `json:"workflowPhase,omitempty"`
	// workflowVersion is the resource version of the Workflow that was looked at last.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	WorkflowVersion string `json:"workflowVersion,omitempty"`

	// conditions are Sealed (True, False, or Unknown while it runs) and NodesRead.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// +optional
	Counts WorkflowCounts `json:"counts,omitzero"`

	// nodes that ran a pod, or were to, in the order of their names.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=1000
	Nodes []WorkflowNode `json:"nodes,omitempty"`
	// nodesOmitted is how many there are beyond those in nodes: of those without
	// anything to tell first. They are in the counts.
	// +optional
	NodesOmitted int32 `json:"nodesOmitted,omitempty"`

	// claim says which notary is at work on the statement.
	// +optional
	Claim *Claim `json:"claim,omitempty"`
	// attestedRecords is how many Provenances the workflow had when condition Attested
	// was written: a workflow that is retried has more afterwards, and another statement.
	// +optional
	AttestedRecords int32 `json:"attestedRecords,omitempty"`
	// bundle is the signed provenance of the whole workflow, a Sigstore bundle v0.3
	// (JSON), verifiable offline.
	// +optional
	// +kubebuilder:validation:MaxLength=1048576
	Bundle string `json:"bundle,omitempty"`
	// summary is the Verification Summary Attestation for what leaves the workflow, a
	// bundle, too.
	// +optional
	// +kubebuilder:validation:MaxLength=1048576
	Summary string `json:"summary,omitempty"`
}

// WorkflowCounts counts a workflow's outputs and nodes.
type WorkflowCounts struct {
	// sealed outputs.
	Sealed int32 `json:"sealed"`
	// unsealed are outputs of steps that went well and have no seal, and will have none.
	Unsealed int32 `json:"unsealed"`
	// pending are nodes whose seal is on its way.
	Pending int32 `json:"pending"`
	// records are the Provenances that this was made from.
	Records int32 `json:"records"`
	// pods are nodes that ran a pod.
	Pods int32 `json:"pods"`
	// failed are nodes that failed; an output that one of them has not stored is missed
	// by nobody.
	Failed int32 `json:"failed"`
	// memoized are nodes whose outputs Argo took from an earlier run.
	Memoized int32 `json:"memoized"`
	// skipped are nodes that Argo skipped or omitted.
	Skipped int32 `json:"skipped"`
}

// NodeOutcome is what became of the outputs of one node.
//
// +kubebuilder:validation:Enum=Pending;Sealed;Partial;Refused;NotRecorded;NothingToSeal;Memoized;Skipped
type NodeOutcome string

const (
	// NodePending: the node has not ended, or its seal is on its way.
	NodePending NodeOutcome = "Pending"
	// NodeSealed: all of its outputs are sealed.
	NodeSealed NodeOutcome = "Sealed"
	// NodePartial: some of them are.
	NodePartial NodeOutcome = "Partial"
	// NodeRefused: none is, and the record says why.
	NodeRefused NodeOutcome = "Refused"
	// NodeNotRecorded: Argo says that it stored outputs, and there is no record of its
	// pod: it was not admitted by our webhooks, or was deleted too early.
	NodeNotRecorded NodeOutcome = "NotRecorded"
	// NodeNothing: it has no output artifact.
	NodeNothing NodeOutcome = "NothingToSeal"
	// NodeMemoized: Argo took its outputs from an earlier run, whose seals they have.
	NodeMemoized NodeOutcome = "Memoized"
	// NodeSkipped: Argo skipped or omitted it.
	NodeSkipped NodeOutcome = "Skipped"
)

// WorkflowNode is one node of the workflow. Name, template and phase are Argo's word,
// which whoever may write Workflows could change; the rest is by our records.
type WorkflowNode struct {
	// +kubebuilder:validation:MaxLength=512
	ID string `json:"id"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Template string `json:"template,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Phase string `json:"phase,omitempty"`
	// daemon says that Argo goes on while the pod runs.
	// +optional
	Daemon  bool        `json:"daemon,omitempty"`
	Outcome NodeOutcome `json:"outcome"`
	// provenance is the name of the record of the node's last pod.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Provenance string `json:"provenance,omitempty"`
	// reason of that record where not all is sealed.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// sealed and unsealed outputs.
	// +optional
	Sealed int32 `json:"sealed,omitempty"`
	// +optional
	Unsealed int32 `json:"unsealed,omitempty"`
}

// WorkflowProvenanceList is a list of WorkflowProvenance.
//
// +kubebuilder:object:root=true
type WorkflowProvenanceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []WorkflowProvenance `json:"items"`
}
