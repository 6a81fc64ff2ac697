package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConditionConsistent is the one condition of a TransparencyLog. True: the log still has
// everything that it had. False: it has signed checkpoints that contradict each other, and
// the reason says how. Unknown: it could not be checked lately.
const ConditionConsistent = "Consistent"

// TransparencyLog is the last checkpoint of the log that the notary writes to, kept where
// the log's own volume is not: what the log shows next has to extend it. Its name is the
// log's id, in hex: the hash of its key and of its host. Deleting it has the notary take
// whatever the log shows then.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=transparencylogs,singular=transparencylog,shortName=tlog,scope=Cluster,categories=argoseal
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Entries",type=integer,JSONPath=`.status.size`
// +kubebuilder:printcolumn:name="Consistent",type=string,JSONPath=`.status.conditions[?(@.type=="Consistent")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Consistent")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Consistent")].message`
type TransparencyLog struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which log this is about; it never changes.
	Spec TransparencyLogSpec `json:"spec"`
	// status is what has been seen of it. The notary writes it.
	// +optional
	Status TransparencyLogStatus `json:"status,omitempty"`
}

// TransparencyLogSpec identifies the log.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable"
type TransparencyLogSpec struct {
	// url is the log's base URL, as the trusted root has it.
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url"`
}

// TransparencyLogStatus is the newest checkpoint that extends all before it.
type TransparencyLogStatus struct {
	// size is how many entries the log had then.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Size int64 `json:"size,omitempty"`
	// checkpoint is the checkpoint, as the log signed it.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Checkpoint string `json:"checkpoint,omitempty"`
	// seenAt is when it was seen first.
	// +optional
	SeenAt metav1.Time `json:"seenAt,omitzero"`
	// contradiction is the last checkpoint that the log has signed and that does not
	// extend the one kept then. It stays when the log is well again: it is evidence.
	// +optional
	Contradiction *Contradiction `json:"contradiction,omitempty"`
	// conditions have one of the type Consistent.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Contradiction is two checkpoints of one log that cannot both be true.
type Contradiction struct {
	// reason is LogForked or LogRolledBack.
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`
	// kept is the checkpoint that was kept.
	// +kubebuilder:validation:MaxLength=16384
	Kept string `json:"kept"`
	// shown is the one that the log showed afterwards.
	// +kubebuilder:validation:MaxLength=16384
	Shown string `json:"shown"`
	// seenAt is when that was.
	SeenAt metav1.Time `json:"seenAt"`
	// answered: shown came with the log's answer to a new entry, and kept is what it
	// showed to whoever reads it. The log counts again when this TransparencyLog is
	// deleted.
	// +optional
	Answered bool `json:"answered,omitempty"`
	// entries are those that were answered so: their seals prove nothing. The notary's
	// log has all of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=512
	Entries []string `json:"entries,omitempty"`
	// entryCount is how many there are.
	// +optional
	// +kubebuilder:validation:Minimum=0
	EntryCount int64 `json:"entryCount,omitempty"`
}

// TransparencyLogList is a list of TransparencyLog.
//
// +kubebuilder:object:root=true
type TransparencyLogList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TransparencyLog `json:"items"`
}
