// Package nodes reads what a Workflow's status says of its nodes: which steps there
// are, and how they ended. Argo keeps the nodes in the status, plain or compressed,
// or in a database.
//
// This is Argo's word, and whoever may write Workflows can change it. So it is
// shown, and decides nothing. It is hostile, and bounded before it is parsed.
package nodes
