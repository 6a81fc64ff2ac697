package provenance

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
)

const page = "../../docs/buildtypes/argo-step-v2.md"

func TestThePagesOfTheBuildTypeShowTheirStatements(t *testing.T) {
	for page, golden := range map[string]string{
		page:                                    golden,
		"../../docs/buildtypes/argo-step-v1.md": "testdata/v1/everything-set.json",
	} {
		t.Run(golden, func(t *testing.T) { showsStatement(t, page, golden) })
	}
}

func showsStatement(t *testing.T, page, golden string) {
	t.Helper()
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```json\n")
	example, _, closed := strings.Cut(rest, "\n```")
	if !ok || !closed {
		t.Fatalf("%s has no example", page)
	}
	shown, err := jsoncanonicalizer.Transform([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(shown) != string(want) {
		t.Errorf("the example is not %s:\n%s", golden, shown)
	}
	if _, err := Parse(shown); err != nil {
		t.Errorf("the example is refused: %v", err)
	}
}

func TestThePageOfTheBuildTypeNamesEveryParameter(t *testing.T) {
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(doc), "## Example")
	for _, wire := range []any{wireExternal{}, wireInternal{}, wireAnnotations{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(wire)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "`annotations."+name+"`") {
				t.Errorf("%s does not name %s", page, name)
			}
		}
	}
	for _, constant := range []string{BuildType, PredicateType, PayloadType, builderPrefix} {
		if !strings.Contains(text, constant) {
			t.Errorf("%s does not name %s", page, constant)
		}
	}
}

// Whoever reads our statements with the in-toto and SLSA schema alone has to
// find what that schema says: this reads the golden file as they would.
func TestTheGoldenStatementIsSLSA(t *testing.T) {
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		PredicateType string
		Predicate     struct {
			BuildDefinition map[string]json.RawMessage
			RunDetails      map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"buildType", "externalParameters", "internalParameters", "resolvedDependencies"} {
		if len(s.Predicate.BuildDefinition[field]) == 0 {
			t.Errorf("buildDefinition has no %s", field)
		}
	}
	for _, field := range []string{"builder", "metadata"} {
		if len(s.Predicate.RunDetails[field]) == 0 {
			t.Errorf("runDetails has no %s", field)
		}
	}
}

// People take the digests that a policy wants from seals.
func TestTheDocumentedScriptNamesTheReferencesOfASeal(t *testing.T) {
	policies, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile("(?s)```bash\n(# usage: kubectl get provenance.*?)```").FindSubmatch(policies)
	if script == nil {
		t.Fatal("docs/policy.md has no script")
	}
	payload, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "sh", "-c", string(script[1]))
	run.Stdin = strings.NewReader(`{"dsseEnvelope":{"payload":"` + base64.StdEncoding.EncodeToString(payload) + `"}}`)
	out, err := run.CombinedOutput()
	want := strings.Repeat("d", 64) + "  reference/ClusterWorkflowTemplate/lib/train\n" + strings.Repeat("c", 64) + "  reference/WorkflowTemplate/training\n"
	if err != nil || string(out) != want {
		t.Errorf("%v, it says\n%s", err, out)
	}
}

// TestThePageOfWorkflowsShowsItsStatements: the examples are what the code makes, and
// every field of ours has its row.
func TestThePageOfWorkflowsShowsItsStatements(t *testing.T) {
	doc, err := os.ReadFile("../../docs/buildtypes/argo-workflow-v1.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, golden := range []string{"testdata/workflow.json", "testdata/summary.json"} {
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(doc), "```json\n"+string(want)+"```") {
			t.Errorf("the page does not show %s", golden)
		}
	}
	text, _, _ := strings.Cut(string(doc), "## Example")
	for _, wire := range []any{wireWorkflowExternal{}, wireWorkflowInternal{}, WorkflowStep{}} {
		for i := range reflect.TypeOf(wire).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(wire).Field(i).Tag.Get("json"), ",")
			if !strings.Contains(text, name) {
				t.Errorf("the page does not explain %s", name)
			}
		}
	}
}

// TestThePageOfSecondRunsShowsItsStatement: the example is what the code makes, and every
// field has its row.
func TestThePageOfSecondRunsShowsItsStatement(t *testing.T) {
	doc, err := os.ReadFile("../../docs/buildtypes/reproduction-v1.md")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := BuildReproduction(reproductionExample())
	if err != nil {
		t.Fatal(err)
	}
	text, example, _ := strings.Cut(string(doc), "## Example")
	_, example, _ = strings.Cut(example, "```json\n")
	example, _, _ = strings.Cut(example, "\n```")
	shown, err := jsoncanonicalizer.Transform([]byte(example))
	if err != nil || string(shown) != string(payload) {
		t.Errorf("the page does not show (%v)\n%s", err, payload)
	}
	for _, wire := range []any{wireReproduced{}, wireSealedRun{}, wireReproducedOutput{}, ReproducedContent{}} {
		for i := range reflect.TypeOf(wire).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(wire).Field(i).Tag.Get("json"), ",")
			if !strings.Contains(text, "`"+name) {
				t.Errorf("the page does not explain %s", name)
			}
		}
	}
}
