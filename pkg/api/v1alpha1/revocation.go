package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Revocation takes back trust in something: whatever it names, and every seal that was
// made from it directly, is refused from now on, in every namespace. Seals stay valid
// statements of what happened. Deleting it gives the trust back.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=revocations,singular=revocation,scope=Cluster,categories=argoseal
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Digests",type=string,priority=1,JSONPath=`.spec.digests`
// +kubebuilder:printcolumn:name="Images",type=string,priority=1,JSONPath=`.spec.images`
// +kubebuilder:printcolumn:name="Commits",type=string,priority=1,JSONPath=`.spec.commits`
// +kubebuilder:printcolumn:name="Workflows",type=string,priority=1,JSONPath=`.spec.workflows`
// +kubebuilder:printcolumn:name="Keys",type=string,priority=1,JSONPath=`.spec.keys`
type Revocation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RevocationSpec `json:"spec"`
}

// RevocationSpec says what is not trusted any more, and why.
//
// +kubebuilder:validation:XValidation:rule="has(self.digests) || has(self.images) || has(self.commits) || has(self.workflows) || has(self.keys)",message="a revocation of nothing does nothing: give digests, images, commits, workflows or keys"
type RevocationSpec struct {
	// reason is shown to whoever is refused.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`
	// digests of stored bytes, or of what they unpack to (tree digests), SHA-256 in
	// lower-case hex: these artifacts, and what was made from them.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:Pattern=`^[0-9a-f]{64}$`
	Digests []string `json:"digests,omitempty"`
	// images are digests of container images, as kubelets report them or pods pin them:
	// what steps made that ran one of these.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:Pattern=`^[0-9a-f]{64}$`
	Images []string `json:"images,omitempty"`
	// commits are git commit ids: these sources, and what was made from them.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:Pattern=`^[0-9a-f]{40}$`
	Commits []string `json:"commits,omitempty"`
	// workflows are UIDs of Workflows: everything that they made.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:Pattern=`^[0-9A-Za-z-]{1,64}$`
	Workflows []string `json:"workflows,omitempty"`
	// keys are signing keys, by the hint that a bundle has: what is sealed under one of
	// these, whenever that was.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9+/]{43}=$`
	Keys []string `json:"keys,omitempty"`
}

// RevocationList is a list of Revocation.
//
// +kubebuilder:object:root=true
type RevocationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Revocation `json:"items"`
}
