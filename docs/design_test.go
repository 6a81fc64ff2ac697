package docs

import (
	"regexp"
	"strings"
	"testing"
)

var admissionPolicy = regexp.MustCompile(`(?m)^kind: ValidatingAdmissionPolicy\nmetadata:\n  name: (\S+)$`)

// TestGuardsAreThoseOfTheChart: the design lists each admission policy that the
// chart installs, and no other.
func TestGuardsAreThoseOfTheChart(t *testing.T) {
	_, table, _ := strings.Cut(page(t, "docs/design.md"), "\n**Guards** ")
	listed := map[string]bool{}
	for _, row := range rows(t, table, 3) {
		for _, name := range quoted(row[0]) {
			listed[name] = true
		}
	}
	for _, path := range files(t, ".yaml", root+"/charts/argoseal/templates/guards") {
		for _, m := range admissionPolicy.FindAllStringSubmatch(page(t, path), -1) {
			if !listed[m[1]] {
				t.Errorf("%s has the policy %s, and the design does not", path, m[1])
			}
			delete(listed, m[1])
		}
	}
	for name := range listed {
		t.Errorf("the design lists %s, which the chart has not", name)
	}
}
