// Package gate decides whether a pod may be created, changed or deleted in a
// labelled namespace: docs/design.md, section 9, in that order, with one reason
// code and one line for every way to fail.
//
//	1 genuine.go   made by Argo, for a Workflow that is there and counts
//	2 locate.go    which seals can vouch for an input: for all of it, for a directory
//	               it is a part of, or for its parts (several.go); or
//	               none of this workflow's
//	3 evaluate.go  vouch: the seal verifies (package evidence),
//	4              policies want it,
//	5              it is by the step that the definition names (origin.go),
//	6              and nobody wrote there since (package evidence)
//	7 pins.go      what the pod's check is to find
//
// admission.go has the Gate, and asks all that of a pod that is to be created; early.go
// says what of it is known before other webhooks have seen the pod; change.go is about
// pods that are stored, copies.go about Workflows.
//
// It trusts the API server about what it stores, our own tag keys and the trusted
// root. The mutating webhook's result is no evidence: it may refuse, and what it
// admits the validating side evaluates anew, and wants the pod to say the same.
//
// Deny is the zero value. A lookup that failed is "not now" (429), never "no"
// and never "yes". A final refusal (403) that rests on evidence is only given
// after the API server itself, not a cache, has said the same.
package gate
