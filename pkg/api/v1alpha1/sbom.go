package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SBOM holds what somebody has signed who has a software bill of materials of sealed
// bytes. It lies in the namespace of the seal, under SBOMName. Whoever may write there may
// write it, because nothing but the bundle counts: policies say whose (require.sbom).
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=sboms,singular=sbom,categories=argoseal
// +kubebuilder:printcolumn:name="Formats",type=string,JSONPath=`.spec.formats`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SBOM struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec SBOMSpec `json:"spec"`
}

// SBOMSpec is what was signed.
type SBOMSpec struct {
	// formats repeats what the statement says, for people who list them. Nothing goes by
	// it.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=spdx;cyclonedx
	// +listType=set
	Formats []string `json:"formats"`
	// bundle is the signed statement, a Sigstore bundle (JSON): which document it is, by
	// digest, and about which bytes. The document itself is elsewhere.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	Bundle string `json:"bundle"`
}

// MaxSBOM is the size of the largest bundle in an SBOM, in bytes.
const MaxSBOM = 64 << 10

// SBOMName is the name of the SBOM of sealed bytes, by their SHA-256 and what that is of
// (file, tree or image), that a trust domain has signed. So there is one of each, for every
// output of a step and every platform of an image, and nobody has to search.
func SBOMName(sha256, of, domain string) string { return sha256 + "." + of + "." + domain }

// SBOMList is a list of SBOM.
//
// +kubebuilder:object:root=true
type SBOMList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SBOM `json:"items"`
}
