// Package retention says which records may be removed: those of workflows that are
// gone, by age and by number, a whole workflow at a time.
//
// Removing records must not change what the gate says of those that stay. The gate
// asks for records in two ways, and each has a rule:
//
//   - The steps of a workflow consume by that workflow's own records. So nothing goes as
//     long as the Workflow or one of its pods is there. Without them, no step of that
//     UID is ever admitted again. A pod that stayed would be sealed anew, as if it had
//     just ended.
//   - A policy lets steps consume by the last seal at a place, of any workflow in the
//     namespaces that policies name. What was overwritten must never count again. So a
//     seal goes only in one of two cases. Either a seal that stays in its namespace was
//     made once this one was on record (provenance.Run.Succeeds). Or every seal that
//     stays, in its namespace and in those that policies name beside it, ran later
//     (Supersedes). If a policy trusts the namespace's producers, or admits any content
//     from the place, the last seal of each place stays, too. Else what a Revocation
//     says of it would go with it, and what a policy admits from outside would take its
//     place.
//
// A record that is not final, or whose seal is not published yet, may still become
// a seal for any place. So nothing goes that could be later than that.
package retention
