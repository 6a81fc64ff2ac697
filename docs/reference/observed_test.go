package main

import (
	"bytes"
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// referencePage is what is committed.
func referencePage(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../reference.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestTheReferenceHasWhatMonitoringMeets(t *testing.T) {
	var want bytes.Buffer
	if err := observed(&want, root); err != nil {
		t.Fatal(err)
	}
	page := referencePage(t)
	for row := range strings.Lines(want.String()) {
		if !strings.Contains(page, row) {
			t.Errorf("docs/reference.md lacks this, which `make generate` writes: %s", row)
		}
	}
}

// TestNothingThatIsMadeIsMissed looks another way than the generator does: for anything
// that is spelled as a metric of ours, and for conditions and events as they are written.
func TestNothingThatIsMadeIsMissed(t *testing.T) {
	page := referencePage(t)
	s, err := readSources(root)
	if err != nil {
		t.Fatal(err)
	}
	metric := regexp.MustCompile(`^argoseal_[a-z0-9_]+$`)
	seen := map[string]int{}
	for path, file := range s.files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if name := literal(n); metric.MatchString(name) {
					seen["metric"]++
					if !strings.Contains(page, "\n| `"+name+"` | ") {
						t.Errorf("%s: the reference has no metric %s", path, name)
					}
				}
			case *ast.CompositeLit:
				if nameOf(n.Type) != "metav1.Condition" {
					return true
				}
				for _, e := range n.Elts {
					kv, ok := e.(*ast.KeyValueExpr)
					if !ok || nameOf(kv.Key) != "Type" {
						continue
					}
					seen["condition"]++
					name := nameOf(kv.Value)
					if !strings.HasPrefix(name, "v1alpha1.Condition") && name != "kind" { // kind: one of those that are given to it
						t.Errorf("%s: the condition's type is no constant of the API: %s", path, name)
					}
				}
				if text := field(n, "Reason"); text != "" {
					t.Errorf("%s: the reason %q has no constant that says what it means", path, text)
				}
			case *ast.CallExpr:
				name := nameOf(n.Fun)
				if !strings.Contains(name, "Events.Event") {
					return true
				}
				seen["event"]++
				why := n.Args[2] // of client-go's tools/record
				if strings.HasSuffix(name, "f") {
					why = n.Args[3] // of client-go's tools/events
				}
				if text := literal(why); text != "" {
					t.Errorf("%s: the event's reason %q has no constant that says what it means", path, text)
				}
				if code, ok := strings.CutPrefix(argument(why), "reason."); ok && !strings.Contains(page, "| `"+code+"` |") {
					t.Errorf("%s: the reference has no event with reason %s", path, code)
				}
			}
			return true
		})
	}
	if seen["metric"] < 15 || seen["condition"] < 6 || seen["event"] < 8 {
		t.Errorf("it looks in the wrong places: %v", seen)
	}
}

// argument is what is converted, as in string(reason.ArgoChanged).
func argument(e ast.Expr) string {
	if call, ok := e.(*ast.CallExpr); ok && len(call.Args) == 1 {
		return nameOf(call.Args[0])
	}
	return ""
}
