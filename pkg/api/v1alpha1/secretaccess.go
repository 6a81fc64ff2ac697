package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VerbUse on a SecretAccess is the right to let pods take the Secrets that it
// guards, and to let them run as a ServiceAccount that it lets read them. It is a
// right beside that of the pod's ServiceAccount: both are needed.
const VerbUse = "use"

// VerbUseLimited is what a controller needs that makes pods for others: see
// SecretAccessSpec.Controllers.
const VerbUseLimited = "use-limited"

// EnforcementAudit of a SecretAccess refuses nothing. Whatever else stands there does.
const EnforcementAudit = "Audit"

// SecretAccess guards Secrets of its namespace: pods take them only with a grant
// that stands here, and whom it names gets a Role for the one Secret. Where two
// guard one Secret, a pod needs a grant of both.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=secretaccesses,singular=secretaccess,scope=Namespaced,shortName=secacc,categories=argoseal
// +kubebuilder:printcolumn:name="Secrets",type=string,JSONPath=`.status.secrets`
// +kubebuilder:printcolumn:name="Granted",type=integer,JSONPath=`.status.granted`
// +kubebuilder:printcolumn:name="Expired",type=integer,JSONPath=`.status.expired`
// +kubebuilder:printcolumn:name="Next Expiry",type=string,JSONPath=`.status.nextExpiry`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SecretAccess struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec SecretAccessSpec `json:"spec"`
	// +optional
	Status SecretAccessStatus `json:"status,omitzero"`
}

// SecretAccessSpec says which Secrets are guarded, and who may have them.
type SecretAccessSpec struct {
	// secrets that are guarded. One that does not exist yet is guarded, too.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	Secrets []GuardedSecret `json:"secrets"`
	// enforcement is Enforce, or Audit: then nothing is refused that the Secrets' grants do
	// not cover, and the API server's audit log says what would have been, or who would have
	// been asked for a verb (argoseal-secret-…/would-refuse, …/would-ask). Who may write
	// this SecretAccess is the same.
	// +optional
	// +kubebuilder:default=Enforce
	// +kubebuilder:validation:Enum=Enforce;Audit
	Enforcement string `json:"enforcement,omitempty"`
	// users may create pods, and what pods are made from, that take these Secrets or
	// run as a ServiceAccount that may read them; may run commands in such pods; and
	// may get tokens of such a ServiceAccount. They get the verb use on this
	// SecretAccess. Kubernetes' own controllers have it by the chart.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	Users []AccessGrant `json:"users,omitempty"`
	// controllers make pods for other people, as Argo's does. Their pods can only use
	// grants that name containers. They cannot run as a ServiceAccount that may read the
	// Secrets. The controllers get the verb use-limited on this SecretAccess.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	Controllers []AccessGrant `json:"controllers,omitempty"`
}

// GuardedSecret is one Secret and its grants. Without any, no pod takes it.
type GuardedSecret struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// get lets these read the Secret, and nothing else: not list, not watch.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	Get []AccessGrant `json:"get,omitempty"`
	// mount lets pods of these ServiceAccounts take the Secret: mounted, in
	// the environment, projected, to pull images with, or through a driver.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=serviceAccount
	Mount []MountGrant `json:"mount,omitempty"`
}

// The API server takes more for a date-time than Go does, and one object that Go cannot
// read stops whoever lists its kind: so times that others may write have a pattern. The
// type of conditions is not ours: a rule has the API server read their times as Go does.

// AccessGrant is a subject, and until when.
//
// +kubebuilder:validation:XValidation:rule="self.kind == 'ServiceAccount' || !self.name.startsWith('system:')",message="groups and users of the system are too many: name ServiceAccounts by kind ServiceAccount, and others by groups of yours"
// +kubebuilder:validation:XValidation:rule="self.kind == 'ServiceAccount' || !has(self.namespace)",message="only a ServiceAccount has a namespace"
// +kubebuilder:validation:XValidation:rule="self.kind != 'ServiceAccount' || self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="the name of a ServiceAccount is in small letters, digits, dots and hyphens: no RoleBinding takes another"
type AccessGrant struct {
	// +kubebuilder:validation:Enum=ServiceAccount;User;Group
	Kind string `json:"kind"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// namespace of a ServiceAccount. Absent: the one of the SecretAccess.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// until when the grant counts, such as 2027-01-01T00:00:00Z. Absent: as long as it
	// stands here.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	Until *metav1.Time `json:"until,omitempty"`
}

// MountGrant lets pods of one ServiceAccount take the Secret. One that names containers
// counts for no pod whose containers see each other's processes.
//
// +kubebuilder:validation:XValidation:rule="!has(self.images) || has(self.containers)",message="images are those of containers: name these, too"
type MountGrant struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ServiceAccount string `json:"serviceAccount"`
	// containers that may take it. Absent: all containers of the pod, and the
	// kubelet to pull images with.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	Containers []string `json:"containers,omitempty"`
	// images that these containers have to run, as the pod writes them. Absent: whatever
	// is called so may take it.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	// +listType=set
	Images []string `json:"images,omitempty"`
	// until when the grant counts, such as 2027-01-01T00:00:00Z. Absent: as long as it
	// stands here.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	Until *metav1.Time `json:"until,omitempty"`
}

// SecretAccessStatus is what was observed last. Nothing is decided by it.
type SecretAccessStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions has one: Ready, True if the Roles and bindings are as they should be.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('0001-01-01T00:00:00Z'))",message="lastTransitionTime is none"
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// secrets are the names of those that are guarded, in a line.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Secrets string `json:"secrets,omitempty"`
	// granted is how many grants count now, expired how many do not any more.
	// +optional
	Granted int32 `json:"granted,omitempty"`
	// +optional
	Expired int32 `json:"expired,omitempty"`
	// inForce is since when whoever makes pods is asked about what this SecretAccess guards,
	// and about the ServiceAccounts of the namespace that it lets read or use that. Without
	// enforcement nobody is, and it is empty. The audit compares it with workloads.
	// +optional
	// +kubebuilder:validation:MaxItems=2048
	// +listType=atomic
	InForce []InForce `json:"inForce,omitempty"`
	// nextExpiry is when the next grant ends.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	NextExpiry *metav1.Time `json:"nextExpiry,omitempty"`
}

// KindSecret is the kind of a guarded Secret.
const KindSecret = "Secret"

// InForce is one thing that is asked about, by the controller's clock.
type InForce struct {
	// +kubebuilder:validation:Enum=Secret;ServiceAccount
	Kind string `json:"kind"`
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	Since metav1.Time `json:"since"`
}

// Same says whether both are about the same thing.
func (i InForce) Same(o InForce) bool { return i.Kind == o.Kind && i.Name == o.Name }

// SecretAccessList is a list of SecretAccess.
//
// +kubebuilder:object:root=true
type SecretAccessList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SecretAccess `json:"items"`
}
