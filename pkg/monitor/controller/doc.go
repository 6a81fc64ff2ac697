// Package controller keeps a WorkflowProvenance for every Workflow of a labelled
// namespace: it watches Workflows (their metadata), the notary's records and
// namespaces, reads a Workflow when something has changed, and writes what package
// monitor makes of it. It writes nothing else but events, and never to a Workflow, a
// WorkflowTaskResult or a pod.
//
// It trusts the API server. Killed at any point, it finds out from what is there what
// it has still to do.
package controller
