package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Reproduction holds what somebody who ran a sealed step again has signed about it. It
// lies in the step's namespace, under ReproductionName. Whoever may write there may write
// it, because nothing but the bundle counts: policies say whose (require.reproduced).
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=reproductions,singular=reproduction,categories=argoseal
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.spec.verdict`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Reproduction struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ReproductionSpec `json:"spec"`
}

// ReproductionSpec is what was signed.
type ReproductionSpec struct {
	// verdict repeats what the statement says, for people who list them. Nothing goes by
	// it.
	// +kubebuilder:validation:Enum=Reproduced;NotReproduced
	Verdict string `json:"verdict"`
	// bundle is the signed statement, a Sigstore bundle (JSON).
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	Bundle string `json:"bundle"`
}

// MaxReproduction is the size of the largest bundle in a Reproduction, in bytes.
const MaxReproduction = 256 << 10

// ReproductionName is the name of the Reproduction of a step, by the UID of its pod, that
// a trust domain has signed. So there is one of each, and nobody has to search.
func ReproductionName(pod, domain string) string { return pod + "." + domain }

// ReproductionList is a list of Reproduction.
//
// +kubebuilder:object:root=true
type ReproductionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Reproduction `json:"items"`
}
