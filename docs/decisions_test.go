package docs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// record is a decision: its heading, since when it holds, and where its code is.
	record = regexp.MustCompile(`(?m)^## (.+)\n\n(20\d\d-\d\d-\d\d)\b.*? · code: \[`)
	title  = regexp.MustCompile(`(?m)^# (.+)$`)
	second = regexp.MustCompile(`(?m)^## `)
	// listed is a row of the index.
	listed = regexp.MustCompile(`(?m)^\| \[(.+)\]\((.+)\.md#(.+)\) \| (20\d\d-\d\d-\d\d) \| (.+) \|$`)
)

// TestEveryDecisionIsDatedAndListed compares the index of decisions with its pages.
func TestEveryDecisionIsDatedAndListed(t *testing.T) {
	var want, got []string
	for _, path := range files(t, ".md", root+"/docs/decisions") {
		name := strings.TrimSuffix(strings.TrimPrefix(path, "docs/decisions/"), ".md")
		if name == "README" {
			continue
		}
		text := page(t, path)
		records := record.FindAllStringSubmatch(text, -1)
		if n := len(second.FindAllString(text, -1)); n != len(records) {
			t.Errorf("%s has %d decisions, and %d with a date and a link to the code", path, n, len(records))
		}
		for _, m := range records {
			want = append(want, fmt.Sprintf("%s in %s since %s about %s", m[1], name, m[2], title.FindStringSubmatch(text)[1]))
		}
	}
	for _, m := range listed.FindAllStringSubmatch(page(t, "docs/decisions/README.md"), -1) {
		got = append(got, fmt.Sprintf("%s in %s since %s about %s", m[1], m[2], m[4], m[5]))
	}
	slices.Sort(want)
	slices.Sort(got)
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("the index lacks: %s", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("the index has, and no page: %s", g)
		}
	}
}

// mostBytes are five lines of a page.
const mostBytes = 550

// TestParagraphsAreShort: what is longer is a list or a table.
func TestParagraphsAreShort(t *testing.T) {
	for _, path := range slices.Concat([]string{readme, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}, files(t, ".md", root+"/docs", root+"/charts")) {
		for line := range strings.Lines(fenced.ReplaceAllString(page(t, path), "")) {
			if len(line) > mostBytes && !strings.HasPrefix(line, "|") {
				t.Errorf("%s: a paragraph has %d bytes, at most %d are read: %.60s…", path, len(line), mostBytes, line)
			}
		}
	}
}
