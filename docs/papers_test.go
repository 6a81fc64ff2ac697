package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var notYet = regexp.MustCompile(`(?i)\*\*not yet\*\*`)

// TestEveryClaimIsShown: each claim of a paper's stands beside a test that shows what
// ours does, or is said not to be done. That these tests exist is held elsewhere.
func TestEveryClaimIsShown(t *testing.T) {
	claims := 0
	for line := range strings.Lines(page(t, "docs/papers.md")) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|-") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 {
			t.Fatalf("a row has %d cells: claim, published code, ours, test: %s", len(cells), line)
		}
		if strings.TrimSpace(cells[1]) == "the published code" {
			continue
		}
		claims++
		if !testName.MatchString(cells[3]) && !notYet.MatchString(cells[2]) {
			t.Errorf("no test shows this, and it is not said to be undone: %s", line)
		}
	}
	if claims < 20 {
		t.Errorf("%d claims were found", claims)
	}
}

// TestMakePaperRunsTheCases: it runs each case of the table that is a test of the suite on
// a cluster, and no other.
func TestMakePaperRunsTheCases(t *testing.T) {
	_, cases, found := strings.Cut(page(t, "docs/papers.md"), "| case | the published code |")
	cases, _, _ = strings.Cut(cases, "\n## ")
	files, err := filepath.Glob(filepath.Join(root, "e2e/suite/*_test.go"))
	if err != nil || !found || len(files) == 0 {
		t.Fatal(err, found, files)
	}
	var suite strings.Builder
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		suite.Write(raw)
	}
	var want []string
	for _, m := range testName.FindAllStringSubmatch(cases, -1) {
		if strings.Contains(suite.String(), "\nfunc "+m[1]+"(") {
			want = append(want, m[1])
		}
	}
	var runs []string
	for _, m := range regexp.MustCompile(`(?m)^paper: \w+ := (?:\^Test\()?([A-Z][A-Za-z|]+)\)?$`).FindAllStringSubmatch(page(t, "Makefile"), -1) {
		for name := range strings.SplitSeq(m[1], "|") {
			runs = append(runs, "Test"+name)
		}
	}
	slices.Sort(want)
	slices.Sort(runs)
	if want = slices.Compact(want); !slices.Equal(want, runs) || len(want) < 10 {
		t.Errorf("make paper runs\n%s\nand the table has\n%s", strings.Join(runs, "\n"), strings.Join(want, "\n"))
	}
}
