// Package suite holds Argoseal to what it promises, on a real cluster: pods of
// a real Argo on a real kubelet, a real S3 store, a real Rekor.
//
//	go test -tags e2e ./e2e/suite
//
// It needs git and the development cluster, and installs Argoseal if that has not
// been done: then it also knows what a cluster without it looks like. With
// ARGOSEAL_E2E_ANEW set, as `make e2e` does, it is taken out first, and no test is
// skipped because of what was installed.
//
//   - Every attack runs twice: once where Argoseal refuses it, for the reason it is
//     named by, and once without the defence, where it succeeds; so no test here can
//     pass because the attack was never one.
//   - Every honest shape has to come out as it does without Argoseal: as the trees in
//     testdata say, which -update writes from a second run, without the label. With it,
//     every output has its seal or the reason why not, and every input was gated.
//   - The README's commands run as they stand there.
//
// Tests run side by side, each in a namespace of its own, and while some of
// them take the log or a notary away from all others. That is meant: nothing
// may fail because of it.
//
// Those named TestConformance… are what `make conformance` runs, the others what
// `make e2e` does.
package suite
