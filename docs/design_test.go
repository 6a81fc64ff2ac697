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

var (
	// layer is a package in the table of pkg/layers_test.go.
	layer = regexp.MustCompile(`(?m)^\t"((?:pkg|webhook)/[^"]+)": `)
	// entry is what the layout has under pkg: a name at the beginning of a line, or one
	// below another's anywhere.
	entry = regexp.MustCompile(`(?m)^  ([a-z]+(?:/[a-z0-9]+)*)\b|\b([a-z]+(?:/[a-z0-9]+)+)\b`)
)

// TestTheLayoutHasEveryPackage: section 5 of the design names each package that
// pkg/layers_test.go lists, and none that is not there.
func TestTheLayoutHasEveryPackage(t *testing.T) {
	layout := fenced.FindString(section(t, page(t, "docs/design.md"), "5. Layout"))
	_, layout, _ = strings.Cut(layout, "\npkg/\n")
	below, webhook, found := strings.Cut(layout, "\nwebhook/ ")
	if !found {
		t.Fatal("the layout has no pkg/ with webhook/ after it")
	}
	named := map[string]bool{}
	for _, m := range entry.FindAllStringSubmatch(below, -1) {
		named["pkg/"+m[1]+m[2]] = true
	}
	there := map[string]bool{"pkg/sentinel": true} // a folder, no package
	for _, m := range layer.FindAllStringSubmatch(page(t, "pkg/layers_test.go"), -1) {
		there[m[1]] = true
		if name, found := strings.CutPrefix(m[1], "webhook/"); found {
			named[m[1]] = regexp.MustCompile(`(?m)\b` + name + ` \(`).MatchString(webhook)
		}
		if !named[m[1]] {
			t.Errorf("the layout lacks %s", m[1])
		}
	}
	if len(there) < 40 {
		t.Fatalf("pkg/layers_test.go lists %d packages only", len(there))
	}
	for name := range named {
		if !there[name] {
			t.Errorf("the layout has %s, which is no package", name)
		}
	}
}
