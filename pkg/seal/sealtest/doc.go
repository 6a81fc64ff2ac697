// Package sealtest is for the tests of packages that make or consume seals: a
// Rekor v2 log in memory, with the real entries, proofs and checkpoints but
// without a server, a notary that writes to it, and a suite that every log
// client has to pass. Nothing trusts it: its keys are made anew for each test.
package sealtest
