package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// AddToScheme registers this package's types with a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &Provenance{}, &ProvenanceList{}, &ArtifactSeal{}, &ArtifactSealList{},
		&WorkflowProvenance{}, &WorkflowProvenanceList{}, &Revocation{}, &RevocationList{}, &Reproduction{}, &ReproductionList{}, &SBOM{}, &SBOMList{}, &TransparencyLog{}, &TransparencyLogList{},
		&ClusterProvenancePolicy{}, &ClusterProvenancePolicyList{}, &ProvenancePolicy{}, &ProvenancePolicyList{},
		&SecretEncryption{}, &SecretEncryptionList{}, &SecretAccess{}, &SecretAccessList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
