package charts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUpgradesThatReuseValues: `helm upgrade --reuse-values` has the defaults of the
// release before, and none of values that have come since. What renders is what would
// with the old defaults in a file.
func TestUpgradesThatReuseValues(t *testing.T) {
	releases, err := filepath.Glob("testdata/releases/*.yaml")
	if err != nil || len(releases) < 3 {
		t.Fatalf("releases %v: %v", releases, err)
	}
	for _, release := range releases {
		name := strings.TrimSuffix(filepath.Base(release), ".yaml")
		t.Run(name, func(t *testing.T) {
			chart, args := name[:strings.LastIndex(name, "-")], "testdata/default.values.yaml"
			if chart == "argoseal-sentinel" {
				args = sentinelDefaults
			}
			old := filepath.Join(t.TempDir(), chart)
			if err := os.CopyFS(old, os.DirFS(chart)); err != nil {
				t.Fatal(err)
			}
			values, err := os.ReadFile(release)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(old, "values.yaml"), values, 0o644); err != nil {
				t.Fatal(err)
			}
			render := func(from string, more ...string) string {
				out, err := helm(t, append([]string{"template", chart, from, "--namespace", "argoseal-system", "--kube-version", "1.36.0"}, more...)...)
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			got, want := render(old, "-f", args), render(chart, "-f", release, "-f", args)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("with the values reused (-want +got):\n%s", d)
			}
		})
	}
}

// TestEveryTemplateKnowsTheDefaults: else one value that has come since the last release
// makes its upgrade fail, or leaves a flag empty.
func TestEveryTemplateKnowsTheDefaults(t *testing.T) {
	for chart, name := range map[string]string{"argoseal": "argoseal", "argoseal-sentinel": "sentinel"} {
		values, err := os.ReadFile(chart + "/values.yaml")
		if err != nil {
			t.Fatal(err)
		}
		copied := chart + "/files/defaults.yaml"
		if *update {
			if err := os.WriteFile(copied, values, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if known, err := os.ReadFile(copied); err != nil || string(known) != string(values) {
			t.Errorf("%s is not values.yaml (go test ./charts -update): %v", copied, err)
		}
		n := 0
		err = filepath.WalkDir(chart+"/templates", func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "_") {
				return err
			}
			n++
			text, err := os.ReadFile(path)
			if !strings.HasPrefix(string(text), `{{- include "`+name+`.defaults" . -}}`+"\n") {
				t.Errorf("%s does not begin with %s.defaults", path, name)
			}
			return err
		})
		if err != nil || n < 3 {
			t.Errorf("%d templates: %v", n, err)
		}
	}
}
