// Package policy turns verified facts and a policy into a verdict. It is pure.
//
// It trusts the facts it is given: the caller has verified the bundle and
// matched the subject. Whatever it does not know it refuses, and the zero
// Verdict is a refusal.
package policy
