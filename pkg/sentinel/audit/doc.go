// Package audit says who has more access to Secrets than they need: by what RBAC
// grants, and, where there is an audit log of the API server, by what nobody has used.
// It reads no Secret and asks nobody; it takes nothing away.
//
// It trusts the log: what is not in it was not done. So of a log that is too short, or
// has no reads of Secrets at all, it says that nothing is known.
package audit
