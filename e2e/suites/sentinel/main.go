// Command sentinel runs what shows the claims of the paper on K8s Pro Sentinel
// (arXiv:2411.16639), and says of each whether it holds.
//
// `make sentinel-paper` raises what it needs, and runs this. docs/papers.md has each claim
// beside what the paper's published code does. `go run ./e2e/suites/sentinel -list` names
// the cases.
package main

import (
	"slices"

	"github.com/argoseal/argoseal/e2e/suites"
)

// planes has the tests on three API servers.
const planes = "e2e/sentinel"

const (
	controller = "pkg/sentinel/controller"
	encryption = "pkg/sentinel/encryption"
	access     = "pkg/sentinel/access"
)

// claims are those of the paper's abstract and of its resource, as docs/papers.md has them.
var claims = []suites.Ability{
	{Name: "it has the cluster encrypt Secrets in etcd", Cases: suites.In(planes, "TestSecretEncryption")},
	{Name: "Secrets that were there before are encrypted", Cases: slices.Concat(
		suites.In(planes, "TestSecretEncryption"), suites.In(controller, "TestARotation"),
	)},
	{Name: "keys are managed", Cases: slices.Concat(
		suites.In(planes, "TestSecretEncryption"), suites.In(controller, "TestARotation", "TestFailedWritesEvictNothing"),
		suites.In("cmd/argoseal-sentinel", "TestALostFileIsRestoredFromEscrow"),
	)},
	{Name: "KMS", Cases: slices.Concat(
		suites.In(planes, "TestSecretsUnderAKeyService", "TestSecretEncryptionByAPlugin"), suites.In(controller, "TestAPluginIsSetUpRotatedAndLeft"),
	)},
	{Name: "only who needs a Secret gets it", Cases: slices.Concat(
		suites.In(access+"/controller", "TestGrantsBecomeRightsAndEnd"), suites.In(access, "TestPlan"),
	)},
	{Name: "people and ServiceAccounts are told apart", Cases: suites.In(access, "TestSecretAccessPolicies")},
	{Name: "values of Secrets are protected", Cases: suites.In(access, "TestSecretAccessPolicies")},
	{Name: "drift is repaired", Cases: slices.Concat(
		suites.In(access+"/controller", "TestGrantsBecomeRightsAndEnd"), suites.In(controller, "TestTheOnlyFileIsPutBack"),
	)},
	{Name: "every API server encrypts alike", Cases: slices.Concat(
		suites.In(planes, "TestSecretEncryption"), suites.In(controller, "TestAnAPIServerThatIsLeftOutHoldsEverythingBack"),
	)},
	{Name: "the operator has few rights", Cases: slices.Concat(
		suites.In("charts", "TestRights", "TestRightsOfConfigMaps"), suites.In(access, "TestTheControllerMayDoWhatItGives"),
	)},
	{Name: "it withstands chaos", Cases: slices.Concat(
		suites.In(planes, "TestSecretEncryption", "TestSecretEncryptionUnderChaos", "TestSecretAccessUnderChaos"),
		suites.In(encryption, "TestEverySequence", "TestAClockYearsAheadDoesNotStopRotation"), suites.In("pkg/sentinel/lease", "TestAPausedOperatorWritesNothing"),
	)},
	{Name: "the six tests of Operator Scorecard pass", Cases: suites.In("e2e/scorecard",
		"TestScorecard", "TestScorecardTells", "TestExamplesAreWhole", "TestTheBundleIsNoWayToInstall",
	)},
	{Name: "pods are kept from Secrets that are not theirs", Cases: suites.In(access, "TestSecretAccessPolicies", "TestEveryWayOfAVolumeIsTried")},
	{Name: "it says who has too much", Cases: slices.Concat(
		suites.In("cmd/argoseal", "TestAuditOfACluster", "TestAuditReadsTheAPIServersLog"), suites.In("pkg/sentinel/audit", "TestKinds"),
	)},
}

func main() { suites.Main(claims) }
