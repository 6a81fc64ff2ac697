// Package provenance makes and reads the statements that Argoseal signs: an in-toto
// Statement v1 with a SLSA Provenance v1 predicate of the build type
// https://argoseal.dev/buildtypes/argo-step/v2, one for each pod.
//
// Build turns facts into the one canonical payload (RFC 8785). Parse accepts
// exactly what Build makes: it builds again what it has read, and the result has to
// be the same bytes. So there is no room for unknown fields, duplicate keys, other
// spellings or trailing bytes.
//
// The number at the end of the build type is the version of the statement. A
// release writes its own version, and reads that and the one before, each to the
// byte. A later version is TooNew, which is retried and never final. To add a
// field:
//
//   - give it to Facts, to the wire types as `json:"x,omitempty" since:"N"`, N being
//     Version (raise that first if a release has been made with it), and to the page of
//     the build type. What a version does not have, Check of package version refuses,
//     so Build and Parse need not ask;
//   - where version N changes what a field may say, hand the version on to the rule, as
//     buildAs and parse have it;
//   - statements of version N-1 are kept in testdata and have to be read as they were.
//
// The package trusts nothing. Parse says that a payload is well-formed and one of
// ours. Who signed it is the matter of package verify.
package provenance
