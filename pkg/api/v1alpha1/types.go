package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Provenance is the record of one pod: its seal, or why there is none (yet).
// Its name is the pod's UID, so creating it claims the pod for one notary.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=provenances,singular=provenance,shortName=prov,categories=argoseal
// +kubebuilder:printcolumn:name="Pod",type=string,JSONPath=`.spec.pod.name`
// +kubebuilder:printcolumn:name="Sealed",type=string,JSONPath=`.status.conditions[?(@.type=="Sealed")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Sealed")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Workflow",type=string,priority=1,JSONPath=`.spec.workflow.name`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Sealed")].message`
type Provenance struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which pod this is about; it never changes.
	Spec ProvenanceSpec `json:"spec"`
	// status holds the seal.
	// +optional
	Status ProvenanceStatus `json:"status,omitempty"`
}

// ProvenanceSpec identifies the pod.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable"
type ProvenanceSpec struct {
	// pod is the producer.
	Pod ObjectRef `json:"pod"`
	// workflow owns the pod.
	Workflow ObjectRef `json:"workflow"`
	// nodeID is Argo's id of the node the pod ran for.
	// +kubebuilder:validation:MaxLength=512
	NodeID string `json:"nodeID"`
	// podCreatedAt is when the API server stored the pod. With the record's own
	// time of creation it tells which of two pods wrote a place last.
	// +optional
	PodCreatedAt metav1.Time `json:"podCreatedAt,omitzero"`
}

// ObjectRef names one object of the same namespace, unmistakably.
type ObjectRef struct {
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	UID types.UID `json:"uid"`
}

// ProvenanceStatus is written by the notary only.
type ProvenanceStatus struct {
	// conditions has the one type Sealed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// claim says which notary is at work on the pod. Another may take over
	// once renewTime is older than the notaries' claim duration.
	// +optional
	Claim *Claim `json:"claim,omitempty"`

	// envelope is the signed DSSE envelope (JSON), stored before it is logged
	// so that a crash never loses a seal. If it is signed under a certificate, it is
	// a Sigstore bundle (JSON) without log entries, which has that and its timestamp.
	// +optional
	// +kubebuilder:validation:MaxLength=1048576
	Envelope string `json:"envelope,omitempty"`

	// bundle is the seal: a Sigstore bundle v0.3 (JSON), verifiable offline.
	// +optional
	// +kubebuilder:validation:MaxLength=1048576
	Bundle string `json:"bundle,omitempty"`

	// outputs says what became of each declared output artifact.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1024
	Outputs []OutputStatus `json:"outputs,omitempty"`
}

// Claim is one notary's hold on a pod.
type Claim struct {
	// +kubebuilder:validation:MaxLength=253
	Holder    string           `json:"holder"`
	RenewTime metav1.MicroTime `json:"renewTime"`
}

// OutputStatus is the fate of one declared output artifact.
type OutputStatus struct {
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// location is the artifact's location URI, the subject's name in the seal.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Location string `json:"location,omitempty"`
	// sha256 of the stored bytes, lower-case hex; empty when not sealed.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256,omitempty"`
	// files of a directory that was stored without an archive, unless there are
	// too many: a line of digest and path for each. They count only if their tree
	// is the one that the seal states.
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	Files string `json:"files,omitempty"`
	// images are the container images that lay whole in it: it was an OCI image layout,
	// or an archive of one.
	// +optional
	// +listType=map
	// +listMapKey=sha256
	// +kubebuilder:validation:MaxItems=32
	Images []SealedImage `json:"images,omitempty"`
	// reason why the output is not sealed; empty when it is.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// message of the signing sidecar: which file could not be measured, and why. It
	// may quote what the step named its files.
	// +optional
	// +kubebuilder:validation:MaxLength=160
	Message string `json:"message,omitempty"`
}

// SealedImage is a container image that lay whole in an output, or an index of several.
type SealedImage struct {
	// sha256 of its manifest or index, lower-case hex: its digest in a registry.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	SHA256 string `json:"sha256"`
	// mediaType of the manifest or index.
	// +kubebuilder:validation:MaxLength=128
	MediaType string `json:"mediaType"`
	// platform that an index says it is for, such as linux/arm64.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Platform string `json:"platform,omitempty"`
}

// ProvenanceList is a list of Provenance.
//
// +kubebuilder:object:root=true
type ProvenanceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Provenance `json:"items"`
}

// ArtifactSeal is the seal of one location within one workflow. Its name is
// SealName(location, workflow UID), so the gate finds it with a single GET.
// It points to the evidence and is none itself: the bundle in the Provenance
// is verified and must say the same.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=artifactseals,singular=artifactseal,shortName=seal,categories=argoseal
// +kubebuilder:printcolumn:name="Workflow",type=string,JSONPath=`.spec.workflow.name`
// +kubebuilder:printcolumn:name="Output",type=string,JSONPath=`.spec.producer.output`
// +kubebuilder:printcolumn:name="Key",type=string,JSONPath=`.spec.location.key`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Altered",type=string,JSONPath=`.status.conditions[?(@.status=="False")].reason`
// +kubebuilder:printcolumn:name="Size",type=integer,priority=1,JSONPath=`.spec.size`
// +kubebuilder:printcolumn:name="SHA256",type=string,priority=1,JSONPath=`.spec.sha256`
// +kubebuilder:printcolumn:name="Provenance",type=string,priority=1,JSONPath=`.spec.provenance`
type ArtifactSeal struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ArtifactSealSpec `json:"spec"`
	// status says what became of the stored bytes; it is no evidence.
	// +optional
	Status ArtifactSealStatus `json:"status,omitzero"`
}

// ArtifactSealStatus is written by argoseal-scrubber, and only once something is altered.
type ArtifactSealStatus struct {
	// conditions has the one type Intact.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ConditionIntact is on ArtifactSeals whose artifact was found altered once. False: the
// artifact store does not have what was sealed, and the reason says how. True: it has it
// again.
const ConditionIntact = "Intact"

// ArtifactSealSpec says what lies at the location and which pod put it there.
type ArtifactSealSpec struct {
	Location Location  `json:"location"`
	Workflow ObjectRef `json:"workflow"`
	// sha256 of the stored bytes, lower-case hex.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	SHA256 string `json:"sha256"`
	// treeDigest of what the stored bytes unpack to, lower-case hex.
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	TreeDigest string `json:"treeDigest,omitempty"`
	// size of the stored bytes.
	// +kubebuilder:validation:Minimum=0
	Size     int64    `json:"size"`
	Producer Producer `json:"producer"`
	// images are the container images that lay whole in it.
	// +optional
	// +listType=map
	// +listMapKey=sha256
	// +kubebuilder:validation:MaxItems=32
	Images []SealedImage `json:"images,omitempty"`
	// provenance is the name of the Provenance with the bundle.
	// +kubebuilder:validation:MaxLength=253
	Provenance string `json:"provenance"`
	// shared says that several steps of the workflow each stored a directory without an
	// archive at the location. Each has a seal; all but that of the step that ran last
	// have the UID of their pod at the end of their name.
	// +optional
	Shared bool `json:"shared,omitempty"`
}

// Location is an artifact's location; package artifact gives it its meaning.
type Location struct {
	// scheme is the kind of store, such as gs or azure, and S3 where it is not given.
	// +optional
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9]*$`
	Scheme string `json:"scheme,omitempty"`
	// store is the server; empty for gs, which has one for all.
	// +kubebuilder:validation:MaxLength=253
	Store string `json:"store"`
	// +kubebuilder:validation:MaxLength=255
	Bucket string `json:"bucket"`
	// +kubebuilder:validation:MaxLength=1024
	Key string `json:"key"`
	// +kubebuilder:validation:Enum=object;prefix
	Kind string `json:"kind"`
}

// Producer is the pod and the output that an artifact came from.
type Producer struct {
	Pod ObjectRef `json:"pod"`
	// +kubebuilder:validation:MaxLength=512
	NodeID string `json:"nodeID"`
	// +kubebuilder:validation:MaxLength=253
	Template string `json:"template"`
	// +kubebuilder:validation:MaxLength=253
	Output string `json:"output"`
	// finishedAt is when the pod's last container ended, by the kubelet's
	// clock. Only a pod that ran later may replace the seal.
	FinishedAt metav1.Time `json:"finishedAt"`
	// podCreatedAt is when the API server stored the pod.
	// +optional
	PodCreatedAt metav1.Time `json:"podCreatedAt,omitzero"`
	// recordedAt is when the API server stored the record of the pod's end, its
	// Provenance: of a pod that was made no earlier it is known that it ran later.
	// +optional
	RecordedAt metav1.Time `json:"recordedAt,omitzero"`
}

// ArtifactSealList is a list of ArtifactSeal.
//
// +kubebuilder:object:root=true
type ArtifactSealList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ArtifactSeal `json:"items"`
}
