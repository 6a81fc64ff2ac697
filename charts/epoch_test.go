package charts_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/epoch"
)

// TestPoliciesOfEpochs: every policy that an epoch rests on is in the chart, with
// a binding of the same name: one that is renamed would end all epochs for good.
// And it rests on every guard there is.
func TestPoliciesOfEpochs(t *testing.T) {
	rendered, err := os.ReadFile("testdata/default.golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, object := range strings.Split(string(rendered), "\n---\n") {
		kind, name := "", ""
		for line := range strings.Lines(object) {
			line = strings.TrimRight(line, "\n")
			if k, ok := strings.CutPrefix(line, "kind: "); ok {
				kind = k
			}
			if n, ok := strings.CutPrefix(line, "  name: "); ok && name == "" {
				name = n
			}
		}
		there[kind+" "+name] = true
	}
	for name := range there {
		policy, ok := strings.CutPrefix(name, "ValidatingAdmissionPolicy ")
		// argoseal-pins only warns, and of policies; argoseal-budget keeps evidence few.
		if ok && policy != "argoseal-pins" && policy != "argoseal-budget" && !slices.Contains(epoch.Policies(), policy) {
			t.Errorf("no epoch rests on %s, and no seal has to say so", policy)
		}
	}
	for _, name := range epoch.Policies() {
		for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} {
			if !there[kind+" "+name] {
				t.Errorf("the chart has no %s %s", kind, name)
			}
		}
	}
}
