package main

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

func TestEveryDirectDependencyHasAReason(t *testing.T) {
	raw, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.ParseLax("go.mod", raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		direct[r.Mod.Path] = true
		if !strings.Contains(string(page), "`"+r.Mod.Path+"`") {
			t.Errorf("docs/dependencies.md does not say why %s is there", r.Mod.Path)
		}
	}
	if len(direct) == 0 {
		t.Fatal("go.mod has no direct dependency")
	}
	for line := range strings.Lines(string(page)) {
		cell, _, isRow := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		if !isRow || !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, name := range strings.Split(cell, ", ") {
			if name = strings.Trim(name, "`"); !direct[name] {
				t.Errorf("docs/dependencies.md lists %s, which go.mod does not require directly", name)
			}
		}
	}
}
