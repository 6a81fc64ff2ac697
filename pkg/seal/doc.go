// Package seal turns a statement into a seal: it signs the payload under the
// notary's key (DSSE), records the signature in a transparency log and gives
// back a Sigstore bundle that it has verified with package verify, the code
// that users run.
//
// It trusts its signing key and its trusted root. The transparency log is not trusted:
// what it answers counts only if it verifies under the root. In this package, log means
// that one, and entry an entry of it.
package seal
