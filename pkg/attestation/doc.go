// Package attestation reads the provenance that others make: in-toto statements with a
// predicate of SLSA Provenance v1 or v0.2, by in-toto's own types. It takes of them who
// built, how, and the digests of what was built.
//
// It is kept apart from package provenance, which reads our own statements to the byte. A
// statement with a build type, a builder or a predicate of Argoseal's is refused here.
//
// It trusts nothing: who signed the payload is the matter of package verify, and whether
// builder and build type are those that somebody trusts is the caller's. It is pure.
package attestation
