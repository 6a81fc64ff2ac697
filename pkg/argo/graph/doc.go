// Package graph is a workflow's definition as Argo Workflows executes it: which
// template calls which, and what each hands to the other. It says which steps, and
// which of their outputs, the definition names as the origin of a node's input. It
// also says whether a pod's template is the one that the node is to run.
//
// A step's own report decides where Argo tells the next step to look: any workflow
// pod may write any node's WorkflowTaskResult. So the location that a pod consumes
// does not prove who made it. But no step can write the definition. This package
// trusts the definition, and nothing that ran. Templates from elsewhere it reads in
// Argo's own copies, in the Workflow's status: a guard lets nobody else write
// these.
//
// It is pure, and trusts no names, depths or expressions. What it cannot follow is
// Unresolvable, never "anything".
package graph
