package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	readme = "README.md"
	tour   = "docs/tour.md"
)

// mostWords is what somebody reads before deciding whether to go on.
const mostWords = 700

func TestREADMEIsShort(t *testing.T) {
	if n := len(strings.Fields(page(t, readme))); n > mostWords {
		t.Errorf("README.md has %d words, at most %d are read", n, mostWords)
	}
}

// ranBy says what runs a command that the first pages show: the file that does, and
// the text by which it does it. What no test runs as it stands is said so.
var ranBy = map[string]struct{ file, text string }{
	// CI runs this, and nothing else.
	"make test": {".ci/run", "exec make test"},
	// No test runs the target; the suite plays the scenes that it shows.
	"make demo": {"e2e/suite/demo_test.go", "scenario.Sealed("},
	// Those of the README run in its order, on the development cluster.
	"make images-push": {"e2e/suite/readme_test.go", "func TestConformanceCommandsOfTheREADME("},
	"helm upgrade":     {"e2e/suite/readme_test.go", `"helm upgrade"`},
	"kubectl label":    {"e2e/suite/readme_test.go", `"kubectl label"`},
	// The README's; the tour's reads the same events.
	"kubectl get":                    {"e2e/suite/readme_test.go", `"kubectl get"`},
	"argoseal verify":                {"e2e/scenario/sealed.go", `"verify", file, "--bundle"`},
	"cosign verify-blob-attestation": {"e2e/scenario/sealed.go", `"verify-blob-attestation", "--bundle"`},
	// The suite reads the same line from the Workflow's status.
	"argo get": {"e2e/scenario/refused.go", "reason.InputAltered"},
}

// TestTheCommandsOfTheFirstPagesAreReal: each is run by something, its targets,
// flags, files, resources and labels exist.
func TestTheCommandsOfTheFirstPagesAreReal(t *testing.T) {
	seen := map[string]bool{}
	for _, path := range []string{readme, tour, "charts/argoseal/README.md"} {
		for _, command := range commands(page(t, path)) {
			words := strings.Fields(command)
			if len(words) < 2 {
				t.Fatalf("%s: what is %q?", path, command)
			}
			name := words[0] + " " + words[1]
			by, ok := ranBy[name]
			if !ok {
				t.Errorf("%s: nothing is said to run %q", path, name)
				continue
			}
			seen[name] = true
			if !strings.Contains(page(t, by.file), by.text) {
				t.Errorf("%s: %s does not run %q any more", path, by.file, name)
			}
			for _, word := range words[2:] {
				exists(t, path, words[0], word)
			}
		}
	}
	for name := range ranBy {
		if !seen[name] {
			t.Errorf("no page has the command %q", name)
		}
	}
}

// commands are those that a page's blocks show.
func commands(text string) []string {
	var out []string
	for _, block := range fenced.FindAllString(text, -1) {
		console := strings.HasPrefix(block, "```console")
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(line, "  #")
			line = strings.TrimSpace(line)
			command, prompted := strings.CutPrefix(line, "$ ")
			bare := !console && slices.Contains([]string{"make", "helm", "kubectl"}, strings.SplitN(line, " ", 2)[0])
			if prompted || bare {
				out = append(out, command)
			}
		}
	}
	return out
}

// exists holds a word of a command to what there is.
func exists(t *testing.T, path, program, word string) {
	t.Helper()
	flag, isFlag := strings.CutPrefix(word, "--")
	key, value, assigns := strings.Cut(word, "=")
	switch {
	case program == "make" && assigns:
		if !variable(key).MatchString(page(t, "Makefile")) {
			t.Errorf("%s: the Makefile has no variable %s", path, key)
		}
	case program == "argoseal" && isFlag:
		if !strings.Contains(section(t, page(t, "docs/reference.md"), "Commands"), " --"+flag+" ") {
			t.Errorf("%s: argoseal has no flag --%s", path, flag)
		}
	case program == "cosign" && isFlag:
		if !strings.Contains(page(t, "e2e/scenario/sealed.go"), `"--`+flag+`"`) {
			t.Errorf("%s: no test gives cosign the flag --%s", path, flag)
		}
	case strings.HasPrefix(key, v1alpha1.Group+"/"):
		if key != v1alpha1.LabelMode || !slices.Contains([]v1alpha1.Mode{v1alpha1.ModeEnforce, v1alpha1.ModeWarn, v1alpha1.ModeAudit}, v1alpha1.Mode(value)) {
			t.Errorf("%s: %s is no label of ours", path, word)
		}
	case strings.HasPrefix(word, "bin/"):
		if word != "bin/images/values.yaml" || !strings.Contains(page(t, "e2e/images/describe.go"), `"values.yaml"`) {
			t.Errorf("%s: nothing writes %s", path, word)
		}
	case strings.HasPrefix(word, "charts/"):
		if _, err := os.Stat(filepath.Join(root, word, "Chart.yaml")); err != nil {
			t.Errorf("%s: %s is no chart", path, word)
		}
	case program == "kubectl" && strings.Contains(word, ","):
		for _, plural := range strings.Split(word, ",") {
			if strings.Contains(plural, "=") {
				continue // a field selector
			}
			page(t, "charts/argoseal/files/crds/"+v1alpha1.Group+"_"+plural+".yaml")
		}
	}
}

func variable(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `\s*\??=`)
}

var makeTarget = regexp.MustCompile("(?:`|\\$ |^)make ([a-z][a-z0-9-]*)")

// TestTheTargetsThatPagesNameExist: every `make …`, on every page.
func TestTheTargetsThatPagesNameExist(t *testing.T) {
	makefile := page(t, "Makefile")
	for _, path := range pages(t) {
		for _, m := range makeTarget.FindAllStringSubmatch(page(t, path), -1) {
			if !regexp.MustCompile(`(?m)^([a-z -]+ )?` + regexp.QuoteMeta(m[1]) + `( [a-z -]+)?:`).MatchString(makefile) {
				t.Errorf("%s names `make %s`, which there is not", path, m[1])
			}
		}
	}
}

// TestTheRefusalThatTheFirstPagesShowIsOurs: its code and what it says to do are
// those of the code.
func TestTheRefusalThatTheFirstPagesShowIsOurs(t *testing.T) {
	for _, shown := range []struct {
		path string
		code reason.Code
	}{{readme, reason.NoProvenance}, {tour, reason.NoProvenance}, {tour, reason.InputAltered}} {
		line := regexp.MustCompile(`(?m)` + string(shown.code) + `: artifact .*$`).FindString(page(t, shown.path))
		if !strings.HasSuffix(line, ". "+shown.code.Remedy()) {
			t.Errorf("%s does not show how %s is refused: %q", shown.path, shown.code, line)
		}
	}
}
