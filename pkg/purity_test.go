// Package pkg_test holds what concerns all packages.
package pkg_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/argoseal/argoseal/"

// pure are the packages that decide: what they say depends on their arguments
// alone. The linter has them, too: TestTheLinterKnowsWhatIsPure.
var pure = []string{
	"pkg/argo", "pkg/argo/controller", "pkg/argo/definition", "pkg/argo/graph", "pkg/argo/layout", "pkg/argo/nodes", "pkg/artifact", "pkg/attestation", "pkg/content", "pkg/image", "pkg/image/oci", "pkg/jsonsize", "pkg/measurement", "pkg/monitor", "pkg/pin", "pkg/policy", "pkg/provenance",
	"pkg/reason", "pkg/reproduce", "pkg/retention", "pkg/sbom", "pkg/scrub", "pkg/sentinel/access", "pkg/sentinel/audit", "pkg/sentinel/encryption", "pkg/sidecar", "pkg/tag", "pkg/text", "pkg/trace", "pkg/verify", "webhook/inject",
}

// bare are those that run, or are linked, inside of workflow pods.
var bare = []string{"cmd/argoseal-signer", "pkg/argo/layout", "pkg/artifact", "pkg/content", "pkg/image/oci", "pkg/measurement", "pkg/pin", "pkg/reason", "pkg/text"}

// network are the ways to one. Other people's packages may import them (API
// types do), ours that are pure may not.
var network = []string{"net", "net/http", "net/rpc", "crypto/tls", "os/exec", "google.golang.org/grpc"}

// imports maps every dependency of a package of ours, itself included, to what
// it imports.
func imports(t *testing.T, name string) map[string][]string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./"+name)
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", name, err)
	}
	deps := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		deps[words[0]] = words[1:]
	}
	if len(deps) == 0 {
		t.Fatalf("go list knows no dependency of %s", name)
	}
	return deps
}

func TestPurePackagesReachNothing(t *testing.T) {
	for _, name := range pure {
		t.Run(filepath.Base(name), func(t *testing.T) {
			for dep, direct := range imports(t, name) {
				if under(dep, "k8s.io/client-go") || under(dep, "sigs.k8s.io/controller-runtime") {
					t.Errorf("it depends on the Kubernetes client %s", dep)
				}
				if !strings.HasPrefix(dep, module) {
					continue
				}
				for _, n := range network {
					if slices.Contains(direct, n) {
						t.Errorf("%s imports %s", dep, n)
					}
				}
			}
		})
	}
}

func TestWhatRunsInPodsIsSmall(t *testing.T) {
	for _, name := range bare {
		t.Run(filepath.Base(name), func(t *testing.T) {
			for dep := range imports(t, name) {
				if under(dep, "k8s.io") || under(dep, "sigs.k8s.io") || slices.Contains(network, dep) {
					t.Errorf("it depends on %s", dep)
				}
			}
		})
	}
}

// linted is a package that depguard's rule "pure" of the linters is about.
var linted = regexp.MustCompile(`(?m)^            - "\*\*/(.+)/\*\.go"$`)

func TestTheLinterKnowsWhatIsPure(t *testing.T) {
	raw, err := os.ReadFile("../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, rule, _ := strings.Cut(string(raw), "\n        pure:\n")
	rule, _, _ = strings.Cut(rule, "\n          deny:\n")
	var got []string
	for _, m := range linted.FindAllStringSubmatch(rule, -1) {
		got = append(got, m[1])
	}
	if len(got) == 0 {
		t.Fatal("there is no list of pure packages in .golangci.yml")
	}
	for _, name := range pure {
		if !slices.Contains(got, name) {
			t.Errorf(".golangci.yml lacks %s", name)
		}
	}
	for _, name := range got {
		if !slices.Contains(pure, name) {
			t.Errorf(".golangci.yml has %s, which is not listed here", name)
		}
	}
}

// under says whether a package is the given one or below it.
func under(dep, path string) bool { return dep == path || strings.HasPrefix(dep, path+"/") }
