// Package nodes reads what a Workflow's status says of its nodes: which steps there
// are, and how they ended. Argo keeps it in the status, compressed in the status, or
// in a database.
//
// It is Argo's word, which whoever may write Workflows can change: it is shown, and
// nothing is decided by it. It is hostile, and bounded before it is parsed.
package nodes
