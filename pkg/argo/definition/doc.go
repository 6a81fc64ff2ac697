// Package definition is what a Workflow says is to run: its parameters, its digests,
// what its references to other templates came to, and Argo's copies of these. It says
// whether a step that has ended ran what was admitted.
//
// It trusts the API server for what a Workflow says and, of its status, Argo's copies
// alone, which a guard keeps from everybody else. Whose pods a workflow has it does not
// know: package argo does. It is pure.
package definition
