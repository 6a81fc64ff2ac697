package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// stepsOfExample are three steps of one workflow: fetch makes a directory from what came
// from outside, train takes a part of it and the model of another workflow and makes two
// things, and a failed one made something, too.
func stepsOfExample(t *testing.T) []StepStatement {
	t.Helper()
	base := example()
	base.Inputs, base.Unsealed = nil, nil
	step := func(pod string, minute int, subjects []Subject, inputs ...Input) StepStatement {
		f := base
		f.Step.Pod = Ref{Name: pod, UID: pod}
		f.Step.NodeName, f.Definition.Template = "hello-abcde."+pod, pod
		f.Subjects, f.Inputs = subjects, inputs
		f.StartedAt, f.FinishedAt = base.StartedAt.Add(time.Duration(minute)*time.Minute), base.StartedAt.Add(time.Duration(minute+1)*time.Minute)
		payload, err := Build(f)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(payload)
		if err != nil {
			t.Fatal(err)
		}
		return StepStatement{Statement: s, SHA256: artifact.DigestOfText(string(payload))}
	}
	data, err := artifact.NewPrefix("minio:9000", "artifacts", "hello/data/")
	if err != nil {
		t.Fatal(err)
	}
	dir := Subject{URI: data.URI(), Sum: content.Sum{Form: content.FormDirectory, Size: 9, SHA256: digest("2"), Tree: digest("2")}, Output: "data"}
	file := func(key, output, d string) Subject {
		return Subject{URI: "s3://minio:9000/artifacts/hello/" + key, Sum: content.Sum{Form: content.FormFile, Size: 9, SHA256: digest(d), Tree: content.FileTree(digest(d))}, Output: output}
	}
	fetch := step("fetch", 0, []Subject{dir, file("index.json", "index", "3")},
		Input{Name: "raw", URI: "https://example.com/raw.csv", Archive: content.ArchiveDetect, Policy: "downloads"})
	train := step("train", 2, []Subject{file("model", "model", "4"), file("report", "report", "5")},
		Input{Name: "part", URI: data.URI() + "one.csv", SHA256: digest("6"), Tree: content.FileTree(digest("6")), Archive: content.ArchiveNone, Seal: artifact.SealName(data, base.Step.Workflow.UID)},
		Input{Name: "index", URI: "s3://minio:9000/artifacts/hello/index.json", SHA256: digest("3"), Tree: content.FileTree(digest("3")), Archive: content.ArchiveNone, Seal: "x"},
		Input{Name: "base", URI: "s3://minio:9000/artifacts/other/model", SHA256: digest("7"), Tree: content.FileTree(digest("7")), Archive: content.ArchiveNone, Seal: "libs/y", Policy: "libs"})
	failed := step("failed", 1, []Subject{file("half", "half", "8")})
	failed.Outcome.Result = Failed
	return []StepStatement{train, fetch, failed}
}

func TestOfWorkflow(t *testing.T) {
	steps := stepsOfExample(t)
	f, err := OfWorkflow(steps, "v0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	var subjects, inputs []string
	for _, s := range f.Subjects {
		subjects = append(subjects, s.Output+" of "+s.Pod)
	}
	for _, i := range f.Inputs {
		inputs = append(inputs, i.URI)
	}
	// A directory of which a part was taken still leaves as a whole.
	if d := cmp.Diff([]string{"data of fetch", "model of train", "report of train"}, subjects); d != "" {
		t.Errorf("what leaves (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"https://example.com/raw.csv", "s3://minio:9000/artifacts/other/model"}, inputs); d != "" {
		t.Errorf("what came in (-want +got):\n%s", d)
	}
	if f.StepCount != 3 || len(f.Steps) != 3 || f.Builder.Level != LevelObserved || !f.FinishedAt.Equal(steps[0].FinishedAt) || !f.StartedAt.Equal(steps[1].StartedAt) {
		t.Errorf("%+v", f)
	}
	payload, err := BuildWorkflow(f)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseWorkflow(payload)
	_, checked := Check(payload)
	if err := errors.Join(err, checked); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, again); d != "" {
		t.Errorf("read again (-want +got):\n%s", d)
	}
	for name, made := range map[string][]byte{"workflow.json": payload, "summary.json": summaryOf(t, f, payload, true)} {
		path := "testdata/" + name
		var indented bytes.Buffer
		if err := json.Indent(&indented, made, "", "  "); err != nil {
			t.Fatal(err)
		}
		indented.WriteByte('\n')
		if *update {
			if err := os.WriteFile(path, indented.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), indented.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", path, d)
		}
	}
}

func summaryOf(t *testing.T, f WorkflowFacts, payload []byte, passed bool) []byte {
	t.Helper()
	facts := SummaryFacts{
		Subjects: f.Subjects, Builder: f.Builder, Namespace: f.Namespace, Workflow: f.Workflow,
		Statement: artifact.DigestOfText(string(payload)), Verified: f.FinishedAt.Add(time.Minute), Passed: passed,
	}
	raw, err := BuildSummary(facts)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSummary(raw)
	_, checked := Check(raw)
	if err := errors.Join(err, checked); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(facts, again); d != "" {
		t.Errorf("read again (-want +got):\n%s", d)
	}
	return raw
}

// TestSummary: nothing is said to have passed that did not, and no level goes with it.
func TestSummary(t *testing.T) {
	f, err := OfWorkflow(stepsOfExample(t), "v0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	isolated := f
	isolated.Builder.Level = LevelIsolated
	for want, got := range map[string][]byte{
		`"verificationResult":"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_2"]`: summaryOf(t, f, nil, true),
		`"verificationResult":"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_3"]`: summaryOf(t, isolated, nil, true),
		`"verificationResult":"FAILED","verifiedLevels":["FAILED"]`:             summaryOf(t, isolated, nil, false),
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	payload := string(summaryOf(t, f, nil, true))
	for name, change := range map[string][2]string{
		"another result":      {`"PASSED"`, `"FAILED"`},
		"another level":       {`SLSA_BUILD_LEVEL_2`, `SLSA_BUILD_LEVEL_4`},
		"another policy":      {`sealed-in-enforce/v1`, `none/v1`},
		"another workflow":    {`workflows/hello-abcde`, `workflows/a/b`},
		"another cluster":     {`k8s://prod-eu-1/apis/argoproj`, `k8s://other/apis/argoproj`},
		"an unknown field":    {`"slsaVersion"`, `"x":1,"slsaVersion"`},
		"of another version":  {`"slsaVersion":"1.0"`, `"slsaVersion":"1.1"`},
		"another record":      {`workflowprovenances/`, `workflowrecords/`},
		"another type":        {SummaryType, SummaryType + "1"},
		"white space":         {`{"_type"`, `{ "_type"`},
		"a broken digest":     {`"sha256":"2222`, `"sha256":"222Z`},
		"a subject of no pod": {`"pod":"fetch"`, `"pod":""`},
	} {
		changed := strings.Replace(payload, change[0], change[1], 1)
		if changed == payload {
			t.Errorf("%s: %q is not in it", name, change[0])
		}
		if _, err := Check([]byte(changed)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestOfWorkflowRefuses(t *testing.T) {
	for name, change := range map[string]func([]StepStatement) []StepStatement{
		"no step":               func([]StepStatement) []StepStatement { return nil },
		"of another workflow":   func(s []StepStatement) []StepStatement { s[1].Step.Workflow.UID = "other"; return s },
		"of another namespace":  func(s []StepStatement) []StepStatement { s[1].Step.Namespace = "other"; return s },
		"of another cluster":    func(s []StepStatement) []StepStatement { s[1].Builder.Cluster = "other"; return s },
		"of another definition": func(s []StepStatement) []StepStatement { s[1].Definition.Spec = digest("f"); return s },
		"nothing that left":     func(s []StepStatement) []StepStatement { return s[2:] },
	} {
		if f, err := OfWorkflow(change(stepsOfExample(t)), "v"); err == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if _, err := OfWorkflow(stepsOfExample(t)[2:], "v"); !errors.Is(err, ErrNothingLeaves) {
		t.Errorf("of a step that failed: %v", err)
	}
}

// TestLowest: the whole is no better than its worst step, and says only what all say.
func TestLowest(t *testing.T) {
	steps := stepsOfExample(t)
	for i := range steps {
		steps[i].Builder.Level = LevelIsolated
	}
	if f, err := OfWorkflow(steps, "v"); err != nil || f.Builder.Level != LevelIsolated || f.Mode != "enforce" || len(f.Parameters) != 2 {
		t.Fatalf("%+v, %v", f, err)
	}
	steps[1].Builder.Level, steps[2].Mode = LevelObserved, "audit"
	steps[1].Definition.Parameters = steps[1].Definition.Parameters[:1]
	f, err := OfWorkflow(steps, "v")
	if err != nil || f.Builder.Level != LevelObserved || f.Mode != "audit" || len(f.Parameters) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestManySteps: a workflow of any size has a statement of bounded size.
func TestManySteps(t *testing.T) {
	steps := stepsOfExample(t)
	for i := range 5000 {
		s := *steps[2].Statement
		s.Step.Pod.UID = strings.Repeat("a", 30) + string(rune('a'+i%26)) + strings.Repeat("b", i/26%30)
		steps = append(steps, StepStatement{&s, digest("1")})
	}
	f, err := OfWorkflow(steps, "v")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := BuildWorkflow(f)
	if err != nil || len(payload) > 16<<10 || f.StepCount != 5003 || f.Steps != nil {
		t.Errorf("%d bytes for %d steps: %v", len(payload), f.StepCount, err)
	}
	if _, err := ParseWorkflow(payload); err != nil {
		t.Error(err)
	}
}

// TestManyPartsTakeLittleTime: of a workflow in which many steps take parts of directories
// that many steps made, inputs are not compared with outputs one by one.
func TestManyPartsTakeLittleTime(t *testing.T) {
	const many, each = 500, 100
	data, err := artifact.NewPrefix("minio:9000", "artifacts", "hello/data/")
	if err != nil {
		t.Fatal(err)
	}
	all := stepsOfExample(t)
	last := all[1] // it made the directory of which parts are taken
	seal := artifact.SealName(data, last.Step.Workflow.UID)
	var steps []StepStatement
	for n := range many {
		s := *all[0].Statement
		s.Step.Pod.UID = fmt.Sprintf("pod-%d", n)
		s.Subjects, s.Inputs = nil, nil
		for k := range each {
			key := fmt.Sprintf("hello/%d/%d", n, k)
			at, err := artifact.NewPrefix("minio:9000", "artifacts", key+"/")
			if err != nil {
				t.Fatal(err)
			}
			s.Subjects = append(s.Subjects, Subject{URI: at.URI(), Sum: content.Sum{Form: content.FormDirectory, Size: 9, SHA256: digest("2"), Tree: digest("2")}, Output: key})
			s.Inputs = append(s.Inputs, Input{Name: key, URI: data.URI() + key, SHA256: digest("6"), Tree: content.FileTree(digest("6")), Archive: content.ArchiveNone, Seal: seal})
		}
		steps = append(steps, StepStatement{&s, digest("1")})
	}
	steps = append(steps, last)
	type result struct {
		facts WorkflowFacts
		err   error
	}
	done := make(chan result, 1)
	go func() {
		f, err := OfWorkflow(steps, "v")
		done <- result{f, err}
	}()
	select {
	case r := <-done:
		// What came in is what the maker of the directory took, and none of its parts.
		if r.err != nil || len(r.facts.Inputs) != 1 || r.facts.StepCount != many+1 {
			t.Errorf("%d inputs of %d steps: %v", len(r.facts.Inputs), r.facts.StepCount, r.err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it takes too long")
	}
}

func TestParseWorkflowRefuses(t *testing.T) {
	f, err := OfWorkflow(stepsOfExample(t), "v0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := BuildWorkflow(f)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"white space":         {`{"_type"`, `{ "_type"`},
		"another type":        {`in-toto.io/Statement/v1`, `in-toto.io/Statement/v0`},
		"another build type":  {`argo-workflow/v1`, `argo-workflow/v2`},
		"an unknown field":    {`"stepCount":3`, `"stepCount":3,"x":1`},
		"fewer steps":         {`"stepCount":3`, `"stepCount":4`},
		"another statement":   {string(f.Steps[0].Statement), string(digest("f"))},
		"another invocation":  {`"invocationId":"0c1f`, `"invocationId":"1c1f`},
		"a mode that is none": {`"mode":"enforce"`, `"mode":"none"`},
	} {
		changed := strings.Replace(string(payload), change[0], change[1], 1)
		if changed == string(payload) {
			t.Errorf("%s: %q is not in it", name, change[0])
		}
		if _, err := ParseWorkflow([]byte(changed)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := Parse(payload); err == nil {
		t.Error("it is taken for a statement about a step")
	}
}

func FuzzParseWorkflow(f *testing.F) {
	raw, err := os.ReadFile("testdata/workflow.json")
	if err != nil {
		f.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		f.Fatal(err)
	}
	f.Add(compact.Bytes())
	f.Fuzz(func(t *testing.T, payload []byte) {
		facts, err := ParseWorkflow(payload)
		if err != nil {
			return
		}
		if again, err := BuildWorkflow(facts); err != nil || !bytes.Equal(again, payload) {
			t.Errorf("accepted, and built again it is another: %v", err)
		}
	})
}
