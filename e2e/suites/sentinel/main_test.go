package main

import (
	"slices"
	"testing"

	"github.com/argoseal/argoseal/e2e/suites"
)

const root = "../../.."

func TestTheCasesExist(t *testing.T) {
	if missing, err := suites.Missing(root, claims); err != nil || len(missing) > 0 {
		t.Fatalf("there is no %v: %v", missing, err)
	}
}

// TestTheListIsThatOfThePage: docs/papers.md has these claims, and these tests for them.
func TestTheListIsThatOfThePage(t *testing.T) {
	rows, err := suites.Rows(root, "K8s Pro Sentinel (arXiv:2411.16639)")
	if err != nil || len(rows) != len(claims) || len(rows) < 10 {
		t.Fatalf("%d claims, the page has %d: %v", len(claims), len(rows), err)
	}
	for i, row := range rows {
		var listed []string
		for _, c := range claims[i].Cases {
			listed = append(listed, c.Test)
		}
		slices.Sort(listed)
		slices.Sort(row.Tests)
		if row.Name != claims[i].Name || !slices.Equal(listed, row.Tests) {
			t.Errorf("the list has %q: %v\nthe page has %q: %v", claims[i].Name, listed, row.Name, row.Tests)
		}
	}
}
