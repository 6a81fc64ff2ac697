// Package access says what a SecretAccess means: which Secrets a pod would take,
// whether it has the grants for them, and which Roles and bindings its grants come
// to. It asks nobody.
//
// The API server decides by the policies in charts/argoseal-sentinel/files/access,
// which say the same in CEL; tests put the same pods to both.
package access
