package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/argoseal/argoseal/e2e/suites"
)

const root = "../../.."

func TestTheCasesExist(t *testing.T) {
	if missing, err := suites.Missing(root, abilities); err != nil || len(missing) > 0 {
		t.Fatalf("there is no %v: %v", missing, err)
	}
}

// TestTheListIsThatOfThePage: docs/papers.md has these abilities. Of its cases the list has
// those that need the development cluster, and no other.
func TestTheListIsThatOfThePage(t *testing.T) {
	rows, err := suites.Rows(root, "ARGO-SLSA (arXiv:2503.20079)")
	if err != nil {
		t.Fatal(err)
	}
	listed, told := map[string]bool{}, map[string]bool{}
	names := []string{}
	for _, a := range abilities {
		for _, c := range a.Cases {
			listed[c.Test] = true
		}
	}
	for _, row := range rows {
		at := slices.IndexFunc(abilities, func(a suites.Ability) bool { return a.Name == row.Name })
		if row.Table == "ability" {
			names = append(names, row.Name)
		}
		for _, test := range row.Tests {
			elsewhere, err := suites.Missing(root, []suites.Ability{{Cases: suites.In(suite, test)}})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case row.Table == "ability":
				told[test] = true
				if at < 0 || !slices.ContainsFunc(abilities[at].Cases, func(c suites.Case) bool { return c.Test == test }) {
					t.Errorf("the page has %s for %q, the list has not", test, row.Name)
				}
			case row.Table == "case" && len(elsewhere) == 0:
				told[test] = true
			}
		}
	}
	if !maps.Equal(listed, told) || len(told) < 15 {
		t.Errorf("the list has %v\nthe page has %v", slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(told)))
	}
	if len(names) != 5 || !slices.EqualFunc(abilities, names, func(a suites.Ability, name string) bool { return a.Name == name }) {
		t.Errorf("the page has the abilities %q", names)
	}
}
