// Package seal turns a statement into a seal. It signs the payload under the
// notary's key (DSSE), records the signature in a transparency log, and gives back
// a Sigstore bundle. It has verified that with package verify, the code that users
// run.
//
// It trusts its signing key and its trusted root. It does not trust the
// transparency log: an answer counts only if it verifies under the root. In this
// package, log means a transparency log, and entry an entry of one.
package seal
