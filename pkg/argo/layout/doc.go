// Package layout has the names that Argo Workflows (v3.7 and v4.0) gives to the parts of
// a pod and to what it writes on it: containers, volumes, paths, variables, labels and
// annotations. Whoever needs one takes it from here; tests spell them themselves.
//
// It trusts nothing and imports nothing, so that what runs in pods can have it, too.
package layout
