// Package graph is a workflow's definition as Argo Workflows executes it: which
// template calls which, and what each hands to the other. It says of an input
// of a node which steps, and which outputs of theirs, the definition names as
// its origin, and whether a pod's template is the one that the node is to run.
//
// What a step reports of itself decides where Argo tells the next one to look
// (any workflow pod may write any node's WorkflowTaskResult), so the location
// that a pod consumes proves nothing about who made it. The definition is not
// theirs to write; this package trusts it, and nothing that ran. Templates that
// Argo took from elsewhere it reads where Argo keeps its own copies, in the
// Workflow's status: a guard lets nobody else write those.
//
// It is pure, and trusts no names, depths or expressions: what it cannot
// follow is Unresolvable, and never "anything".
package graph
