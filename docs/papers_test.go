package docs

import (
	"regexp"
	"strings"
	"testing"
)

var notYet = regexp.MustCompile(`(?i)\*\*not yet\*\*`)

// TestEveryClaimIsShown: each claim of a paper's stands beside a test that shows what
// ours does, or is said not to be done. That these tests exist, and that the suites of
// e2e/suites run them, is held elsewhere.
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
