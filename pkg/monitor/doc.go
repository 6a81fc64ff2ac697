// Package monitor says what became of everything that a workflow makes: one
// WorkflowProvenance a workflow, from the notary's records and Argo's word for the
// nodes. It decides nothing and holds no key.
//
// It trusts the records that the API server has. Of the Workflow's status it shows
// what is there; that a step ran, and that its outputs are sealed, only a record says.
package monitor
