package docs

import (
	"slices"
	"strings"
	"testing"
)

// TestGlossary: terms are in order, each once, each in a line that says what it is.
func TestGlossary(t *testing.T) {
	var terms []string
	for _, row := range rows(t, page(t, "docs/glossary.md"), 3) {
		terms = append(terms, strings.ToLower(row[0]))
		if row[1] == "" || strings.Contains(row[0], "`") {
			t.Errorf("%q is not explained", row[0])
		}
	}
	if !slices.IsSorted(terms) {
		sorted := slices.Clone(terms)
		slices.Sort(sorted)
		for i := range terms {
			if terms[i] != sorted[i] {
				t.Errorf("%q is not in its place: %q is next", terms[i], sorted[i])
				break
			}
		}
	}
}
