// Package controller keeps the Roles and bindings that the grants of SecretAccesses
// come to: it makes what is missing, puts back what was changed, and takes away what
// nobody has a grant for any more. What it makes goes with the SecretAccess, also where
// somebody deletes that and leaves its dependents behind.
//
// It never reads a Secret. It may give no right that it has not itself: the API
// server sees to that, because it has neither escalate nor bind.
package controller
