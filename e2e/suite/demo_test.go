//go:build e2e

package suite

import (
	"context"
	"testing"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/e2e/scenario"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// play holds a scenario to what it expects.
func play(t *testing.T, sc scenario.Scenario) {
	t.Helper()
	happened, err := sc.Play(t.Context(), stage(t))
	if err != nil {
		t.Fatalf("expected: %s; happened: %v", sc.Expected, err)
	}
	t.Log(happened)
}

func TestAProducedArtifactIsSealedAndBothToolsVerifyIt(t *testing.T) {
	t.Parallel()
	play(t, scenario.Sealed(namespace(t, "sealed", v1alpha1.ModeEnforce)))
}

func TestAnObjectPutIntoTheBucketByHandIsRefusedAtTheGate(t *testing.T) {
	t.Parallel()
	play(t, scenario.Unsealed(namespace(t, "by-hand", v1alpha1.ModeEnforce)))
}

func TestAnArtifactOverwrittenBetweenTwoStepsNeverReachesMain(t *testing.T) {
	t.Parallel()
	play(t, scenario.Overwritten(namespace(t, "overwritten", v1alpha1.ModeEnforce)))
}

func TestPodsOfAnUnlabelledNamespaceAreThoseOfAClusterWithoutArgoseal(t *testing.T) {
	t.Parallel()
	if baseline == nil {
		unfit(t, "Argoseal was installed before the suite began, so there is nothing to compare with")
	}
	t.Cleanup(func() {
		if err := cluster(t).Discard(context.WithoutCancel(t.Context()), unlabelled); err != nil {
			t.Error(err)
		}
	})
	play(t, scenario.Unlabelled(unlabelled, baseline))
}

// TestWithoutTheDefenceWhatTheDemoRefusesSucceeds shows that the two tests
// above can fail.
func TestWithoutTheDefenceWhatTheDemoRefusesSucceeds(t *testing.T) {
	for name, try := range map[string]func(context.Context, *scenario.Stage, string) (*lab.Run, error){
		"by-hand":     scenario.ConsumeByHand,
		"overwritten": scenario.Overwrite,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run, err := try(t.Context(), stage(t), namespace(t, name, plain))
			if err != nil {
				t.Fatal(err)
			}
			if run.Phase != "Succeeded" {
				t.Fatalf("this attack is none: %s", run)
			}
		})
	}
}
