package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SecretEncryptionName is the name of the one SecretEncryption that counts: an
// API server has one encryption file.
const SecretEncryptionName = "cluster"

// The conditions of a SecretEncryption, beside Ready.
const (
	// ConditionEncrypted is True if a scan of etcd found every object under a key.
	ConditionEncrypted = "Encrypted"
	// ConditionReconciling is True while a change is under way.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True while nothing goes on until somebody helps.
	ConditionStalled = "Stalled"
)

// SecretEncryption says how the API servers of this cluster encrypt Secrets,
// and other resources, in etcd. No key ever appears in it. To delete it changes
// nothing in etcd: for that, the provider is identity.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=secretencryptions,singular=secretencryption,scope=Cluster,shortName=secenc,categories=argoseal
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'cluster'",message="an API server has one encryption file: the name is cluster"
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider`
// +kubebuilder:printcolumn:name="Encrypted",type=string,JSONPath=`.status.conditions[?(@.type=="Encrypted")].status`
// +kubebuilder:printcolumn:name="Proof",type=string,JSONPath=`.status.proof.summary`
// +kubebuilder:printcolumn:name="Key Age",type=date,JSONPath=`.status.key.createdAt`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Key",type=string,priority=1,JSONPath=`.status.key.name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SecretEncryption struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec SecretEncryptionSpec `json:"spec"`
	// +optional
	Status SecretEncryptionStatus `json:"status,omitzero"`
}

// SecretEncryptionSpec is what is wanted. A key of aesgcm may write 200,000 objects
// at most, because the API server takes random nonces, so it has to have an age.
//
// +kubebuilder:validation:XValidation:rule="self.provider != 'aesgcm' || has(self.maxKeyAge)",message="aesgcm needs maxKeyAge: its keys wear out"
// +kubebuilder:validation:XValidation:rule="(self.provider == 'kms') == has(self.kms)",message="provider kms and field kms need each other"
// +kubebuilder:validation:XValidation:rule="self.provider != 'kms' || !has(self.maxKeyAge)",message="kms takes no maxKeyAge: its keys are the key service's to replace"
// +kubebuilder:validation:XValidation:rule="!has(self.kms) || !has(oldSelf.kms) || self.kms == oldSelf.kms || self.kms.name != oldSelf.kms.name",message="another endpoint or timeout is another plugin: give it another name"
type SecretEncryptionSpec struct {
	// provider encrypts; identity stores as is. kms has a KMS v2 plugin do so.
	// +kubebuilder:validation:Enum=secretbox;aesgcm;aescbc;kms;identity
	Provider string `json:"provider"`
	// resources that are encrypted: Secrets, and ConfigMaps where they are named.
	// +optional
	// +kubebuilder:default={"secrets"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=secrets;configmaps
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="resources are immutable"
	// +listType=set
	Resources []string `json:"resources,omitempty"`
	// rotation asks for a key that was made for this number: raise it to rotate. With kms it
	// asks for nothing: the plugin is told which key to write with.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Rotation int64 `json:"rotation,omitempty"`
	// maxKeyAge rotates when the key is older. Absent: never.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h')",message="a key lives an hour at least"
	MaxKeyAge *metav1.Duration `json:"maxKeyAge,omitempty"`
	// kms is the plugin of provider kms, the same at each API server.
	// +optional
	KMS *SecretKMS `json:"kms,omitempty"`
	// escrow has every key kept, encrypted to somebody, in this resource's status:
	// before it is used. Absent: keys are in the servers' files alone. Of kms there is
	// nothing to keep.
	// +optional
	Escrow *SecretEscrow `json:"escrow,omitempty"`
}

// SecretKMS is a KMS v2 plugin beside each API server, such as argoseal-sentinel
// kms-plugin.
type SecretKMS struct {
	// name stands before each object in etcd: k8s:enc:kms:v2:NAME:. One name is one plugin
	// for good.
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// endpoint is its socket, as each API server sees it: unix:///PATH.
	// +kubebuilder:validation:Pattern=`^unix:///[^@?#%]`
	// +kubebuilder:validation:MaxLength=114
	Endpoint string `json:"endpoint"`
	// timeout of a call.
	// +optional
	// +kubebuilder:default="3s"
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('30s')",message="a call takes up to 30s"
	Timeout metav1.Duration `json:"timeout,omitzero"`
}

// SecretEscrow says who can bring keys back.
type SecretEscrow struct {
	// recipients of age, age1…: public keys. Each can bring back every key alone.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:Pattern=`^age1[0-9a-z]+$`
	// +kubebuilder:validation:items:MaxLength=4096
	// +listType=set
	Recipients []string `json:"recipients"`
}

// SecretEncryptionStatus is what was observed last. No step is decided by it, but that a
// key is used only if it is in escrow.
type SecretEncryptionStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are Ready, Encrypted, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// key that all servers write with.
	// +optional
	Key *EncryptionKey `json:"key,omitempty"`
	// proof is what the last scan of etcd found.
	// +optional
	Proof *EncryptionProof `json:"proof,omitempty"`
	// migration is how far the rewriting of all objects has come.
	// +optional
	Migration *EncryptionMigration `json:"migration,omitempty"`
	// servers are all API servers that are known.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Servers []EncryptionServer `json:"servers,omitempty"`
	// escrow are keys, encrypted to spec.escrow.recipients: those in the files, and all that
	// have left them. Where there is no room no key is made (EscrowFull).
	// `argoseal-sentinel restore` brings them back.
	// +optional
	// +listType=map
	// +listMapKey=key
	// +kubebuilder:validation:MaxItems=64
	Escrow []EscrowedKey `json:"escrow,omitempty"`
}

// EscrowedKey is a key that its recipients can decrypt, and nobody else.
type EscrowedKey struct {
	// key is its name, PROVIDER/NAME.
	// +kubebuilder:validation:MaxLength=320
	Key string `json:"key"`
	// recipients it was encrypted to: the first half of the SHA-256 of their list.
	// +kubebuilder:validation:MaxLength=32
	Recipients string `json:"recipients"`
	// data is an armored file of age.
	// +kubebuilder:validation:MaxLength=32768
	Data string `json:"data"`
	// unused says that no file has been seen to have the key: nothing can lie under it, so
	// that it may make room for another. Every other stays until somebody takes it out.
	// +optional
	Unused bool `json:"unused,omitempty"`
}

// EncryptionKey names a key.
type EncryptionKey struct {
	// +kubebuilder:validation:MaxLength=64
	Provider string `json:"provider"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// idHash is the SHA-256 of the ID of the key that the plugin of kms writes with, as the
	// API server's metrics have it: key_id_hash.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	IDHash string `json:"idHash,omitempty"`
	// +optional
	CreatedAt metav1.Time `json:"createdAt,omitzero"`
}

// EncryptionProof is a scan of etcd.
type EncryptionProof struct {
	// summary reads: n/n.
	// +kubebuilder:validation:MaxLength=64
	Summary string `json:"summary"`
	// objects is how many there are, underKey how many lie under the key that is
	// written with.
	Objects  int64 `json:"objects"`
	UnderKey int64 `json:"underKey"`
	// key that was looked for.
	// +kubebuilder:validation:MaxLength=320
	Key string `json:"key"`
	// time of the scan.
	Time metav1.Time `json:"time"`
}

// EncryptionMigration is how far the rewriting of all objects has come.
type EncryptionMigration struct {
	// key that objects are rewritten with.
	// +kubebuilder:validation:MaxLength=320
	Key string `json:"key"`
	// resource is the index of the one at work, continue where its list goes on.
	// +optional
	Resource int32 `json:"resource,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Continue string `json:"continue,omitempty"`
	// done is how many objects were looked at.
	Done int64 `json:"done"`
}

// EncryptionServer is one API server.
type EncryptionServer struct {
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// state is Loaded, Loading, or why it cannot be worked with.
	// +kubebuilder:validation:MaxLength=1024
	State string `json:"state"`
}

// SecretEncryptionList is a list of SecretEncryption.
//
// +kubebuilder:object:root=true
type SecretEncryptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SecretEncryption `json:"items"`
}
