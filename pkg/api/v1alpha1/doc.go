// Package v1alpha1 holds Argoseal's custom resources and every public name
// that lives in the Kubernetes API: labels, annotations, condition types.
//
// It trusts nothing: these are data types. Only the notary may write them
// (a ValidatingAdmissionPolicy of the chart holds everyone else off), and
// whoever reads them still verifies the bundle they carry.
//
// +kubebuilder:object:generate=true
// +groupName=argoseal.dev
package v1alpha1
