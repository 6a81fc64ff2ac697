// Package provenance makes and reads the statements that Argoseal signs: an
// in-toto Statement v1 with a SLSA Provenance v1 predicate of the build type
// https://argoseal.dev/buildtypes/argo-step/v1, one for each pod.
//
// Build turns facts into the one canonical payload (RFC 8785). Parse accepts
// exactly what Build makes and nothing else: what it read is built again and
// has to come out byte for byte the same, so unknown fields, duplicate keys,
// other spellings and trailing bytes have no room.
//
// The package trusts nothing. Parse says that a payload is well-formed and one
// of ours; who signed it is package verify's business.
package provenance
