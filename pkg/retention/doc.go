// Package retention says which records may be removed: those of workflows that are gone,
// by age and by number, a whole workflow at a time.
//
// What is removed must not change what the gate says of what stays. It asks for records
// in two ways, and each has a rule:
//
//   - The steps of a workflow consume by that workflow's own records. So nothing goes as
//     long as the Workflow or one of its pods is there: afterwards no step of that UID is
//     ever admitted again. A pod that stayed would be sealed anew, as if it had just ended.
//   - A policy lets steps consume by the last seal at a place, of whichever workflow in the
//     namespaces that policies name. So a seal goes only if one that stays in its namespace
//     was made once it was on record (provenance.Run.Succeeds), or each that stays, in its
//     namespace and in those that policies name beside it, ran later (Supersedes): what was
//     overwritten never counts again. Where a policy trusts the namespace's producers, the
//     last seal of each place stays, too: with it would go what a Revocation says of it, and
//     what a policy admits from outside would take its place.
//
// A record without its last word, or of which the seal is not published yet, may still
// become a seal for any place: nothing goes that could be later than that.
package retention
