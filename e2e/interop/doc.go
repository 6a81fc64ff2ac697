// Package interop records seals in a Rekor v1 as others run it, which is its server,
// Trillian and MariaDB, in a Rekor v2, and in both; signed under keys, by an emulator of
// AWS KMS and by a Vault, and under certificates of a Fulcio that a real API server's tokens
// convince, timestamped by Sigstore's authority.
// Programs that are not ours judge them: cosign, what npm verifies with, and gh and
// slsa-verifier, as far as they take any but GitHub's. Our command line does, too, and judges
// what cosign attests there, and what the controller of Tekton Chains signs, which the gate
// takes as evidence. All of it runs as processes of the tests on addresses of this machine.
// They need neither root nor the development cluster, but the programs that are built for it,
// and MariaDB and npm of this machine.
package interop
