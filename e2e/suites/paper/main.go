// Command paper runs what shows the five abilities that the paper on ARGO-SLSA
// (arXiv:2503.20079) validates, and says of each whether it holds.
//
// `make paper` raises what it needs, and runs this. docs/papers.md has each case beside
// what the paper's published code does. `go run ./e2e/suites/paper -list` names them.
package main

import (
	"slices"

	"github.com/argoseal/argoseal/e2e/suites"
)

const suite = "e2e/suite"

// abilities are the paper's, by its own names.
var abilities = []suites.Ability{
	{Name: "reconcile workflows", Cases: slices.Concat(
		suites.In("pkg/monitor/controller", "TestWorkflows"),
		suites.In(suite, "TestConformanceLifecycle", "TestConformancePaperControllerAway"),
	)},
	{Name: "detect the pods of nodes", Cases: slices.Concat(
		suites.In("pkg/monitor", "TestStatus"),
		suites.In(suite, "TestWorkflowProvenance", "TestConformanceWorkflowsThatAreEndedEndTheSame"),
	)},
	{Name: "operate without disrupting", Cases: suites.In(suite,
		"TestConformanceHonestWorkflows", "TestPodsOfAnUnlabelledNamespaceAreThoseOfAClusterWithoutArgoseal", "TestOutages",
	)},
	{Name: "enforce integrity", Cases: suites.In(suite,
		"TestAProducedArtifactIsSealedAndBothToolsVerifyIt", "TestAnObjectPutIntoTheBucketByHandIsRefusedAtTheGate",
		"TestAnArtifactOverwrittenBetweenTwoStepsNeverReachesMain", "TestConformanceAStatementNamesWhatWasAskedFor",
		"TestConformanceAttackImages", "TestConformanceImagesInALayout", "TestConformanceImagesFromARegistry",
	)},
	{Name: "monitor artifacts", Cases: slices.Concat(
		suites.In(suite, "TestWorkflowProvenance", "TestRevocation", "TestTrace", "TestTheLogIsWatched"),
		suites.In("cmd/argoseal-scrubber", "TestAlteredArtifactsAreFoundInARealStore"),
		[]suites.Case{{Package: suite, Test: "TestScrubbingFindsWhatWasAltered", Make: "install-scrubber"}},
	)},
}

func main() { suites.Main(abilities) }
