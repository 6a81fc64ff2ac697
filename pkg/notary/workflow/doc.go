// Package workflow states what left a whole workflow. It begins once the controller
// says that a workflow has come to its end. Then a notary reads all of its records
// at the API server, verifies each seal, and signs and logs two statements:
// provenance of the workflow, and a summary.
//
// It trusts the API server and its own keys. That a workflow has ended it reads
// from the Workflow's phase, because a guard lets only Argo's controllers write a
// final phase. Which steps there were it takes from the records, never from the
// status of nodes, and never from what the controller has written.
package workflow
