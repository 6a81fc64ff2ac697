package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
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

// Of a workflow's first steps Argo had not stored the spec. They agree with later ones on what it
// stored, whichever of them is looked at first.
func TestStepsAgreeOnWhatArgoStored(t *testing.T) {
	for name, c := range map[string]struct {
		// spec and stored of three steps.
		spec, stored [3]artifact.Digest
		want         artifact.Digest
	}{
		"all as it was submitted":               {[3]artifact.Digest{digest("4"), digest("4"), digest("4")}, [3]artifact.Digest{}, digest("4")},
		"the first as it was stored later":      {[3]artifact.Digest{digest("4"), digest("e"), digest("e")}, [3]artifact.Digest{digest("e")}, digest("e")},
		"the last one alone":                    {[3]artifact.Digest{digest("e"), digest("e"), digest("4")}, [3]artifact.Digest{2: digest("e")}, digest("e")},
		"all of them are the first":             {[3]artifact.Digest{digest("4"), digest("4"), digest("4")}, [3]artifact.Digest{digest("e"), digest("e"), digest("e")}, digest("e")},
		"not one of which nobody knows it":      {[3]artifact.Digest{digest("4"), digest("4"), digest("e")}, [3]artifact.Digest{digest("e")}, ""},
		"not as they were submitted alone":      {[3]artifact.Digest{digest("4"), digest("4"), digest("4")}, [3]artifact.Digest{digest("e")}, ""},
		"not if it was stored in two ways":      {[3]artifact.Digest{digest("4"), digest("4"), digest("4")}, [3]artifact.Digest{digest("e"), digest("f"), digest("e")}, ""},
		"not if the defaults changed meanwhile": {[3]artifact.Digest{digest("4"), digest("e"), digest("f")}, [3]artifact.Digest{digest("e")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			steps := stepsOfExample(t)
			for i := range steps {
				steps[i].Definition.Spec, steps[i].Definition.Stored = c.spec[i], c.stored[i]
			}
			f, err := OfWorkflow(steps, "v")
			if (err == nil) != (c.want != "") || f.Spec != c.want {
				t.Fatalf("it is %q, %v, want %q", f.Spec, err, c.want)
			}
			if err != nil {
				return
			}
			payload, err := BuildWorkflow(f)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseWorkflow(payload); err != nil || again.Spec != c.want {
				t.Errorf("read again it is %q, %v", again.Spec, err)
			}
		})
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

// Of steps that stored at one place, what the last one stored lies there: by the API server's
// clock, where nodes' clocks say otherwise, and whether or not it succeeded.
func TestWhatWasStoredOverDoesNotLeave(t *testing.T) {
	minute := func(n int) time.Time { return time.Date(2026, 6, 1, 12, n, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		second  func(*StepStatement)
		outcome Result
		want    artifact.Digest
	}{
		"its node's clock is later":          {func(s *StepStatement) { s.FinishedAt = minute(9) }, Succeeded, digest("b")},
		"its node's clock is earlier":        {func(s *StepStatement) { s.FinishedAt = minute(1) }, Succeeded, digest("b")},
		"it failed":                          {func(s *StepStatement) { s.FinishedAt = minute(9) }, Failed, ""},
		"it failed, its clock is earlier":    {func(s *StepStatement) { s.FinishedAt = minute(1) }, Failed, ""},
		"it ran beside the first, and later": {func(s *StepStatement) { s.Created, s.FinishedAt = minute(0), minute(9) }, Succeeded, digest("b")},
		"it ran beside the first, no later":  {func(s *StepStatement) { s.Created, s.FinishedAt = minute(0), minute(1) }, Succeeded, digest("a")},
		"nobody knows but its node":          {func(s *StepStatement) { s.Created, s.FinishedAt = time.Time{}, minute(1) }, Succeeded, digest("a")},
	} {
		t.Run(name, func(t *testing.T) {
			model := stepsOfExample(t)[0]
			step := func(pod string, d artifact.Digest) StepStatement {
				s := *model.Statement
				s.Step.Pod.UID, s.Inputs, s.Subjects = pod, nil, slices.Clone(model.Subjects)
				s.Subjects[0].SHA256 = d
				return StepStatement{Statement: &s, SHA256: d}
			}
			first, second := step("first", digest("a")), step("second", digest("b"))
			first.Created, first.FinishedAt, first.Recorded = minute(0), minute(2), minute(3)
			second.Created, second.Recorded, second.Outcome.Result = minute(4), minute(6), c.outcome
			second.Subjects = second.Subjects[:1]
			c.second(&second)
			for _, steps := range [][]StepStatement{{first, second}, {second, first}} {
				f, err := OfWorkflow(steps, "v")
				if err != nil {
					t.Fatal(err)
				}
				got := map[string]artifact.Digest{}
				for _, s := range f.Subjects {
					got[s.URI] = s.SHA256
				}
				if lies := got[second.Subjects[0].URI]; lies != c.want {
					t.Errorf("%q leaves, want %q", lies, c.want)
				}
				if got[first.Subjects[1].URI] != first.Subjects[1].SHA256 {
					t.Error("what nobody stored over does not leave")
				}
			}
		})
	}
}

// TestManySteps: a workflow of any size has a statement of bounded size.
func TestManySteps(t *testing.T) {
	steps := stepsOfExample(t)
	for i := range 5000 {
		s := *steps[2].Statement
		s.Step.Pod.UID = strings.Repeat("a", 30) + string(rune('a'+i%26)) + strings.Repeat("b", i/26%30)
		steps = append(steps, StepStatement{Statement: &s, SHA256: digest("1")})
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
		steps = append(steps, StepStatement{Statement: &s, SHA256: digest("1")})
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

// stepsWithImages are those of the example, in which train takes an image layout that fetch
// made, with an index and its image in it, and makes one of its own, which nobody takes.
func stepsWithImages(t *testing.T) []StepStatement {
	t.Helper()
	steps := stepsOfExample(t)
	image := func(n int, kind oci.Kind, platform string) oci.Image {
		return oci.Image{Digest: artifact.Digest(fmt.Sprintf("%064x", n)), Kind: kind, Platform: platform}
	}
	steps[1].Measured = []Measured{{"index", image(1, oci.KindIndex, "")}, {"index", image(2, oci.KindManifest, "linux/arm64")}, {"data", image(3, oci.KindDockerManifest, "")}}
	steps[2].Measured = []Measured{{"half", image(4, oci.KindManifest, "")}} // it failed
	return steps
}

// TestImagesLeaveAWorkflow: those in what leaves it are subjects, of the statement and of
// the summary, and so are those in a layout that a step took, which may have pushed them.
func TestImagesLeaveAWorkflow(t *testing.T) {
	f, err := OfWorkflow(stepsWithImages(t), "v0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for _, s := range f.Subjects {
		subjects = append(subjects, fmt.Sprintf("%s of %s: %d", s.Output, s.Pod, len(s.Images)))
	}
	if d := cmp.Diff([]string{"data of fetch: 1", "index of fetch: 2", "model of train: 0", "report of train: 0"}, subjects); d != "" {
		t.Errorf("what leaves (-want +got):\n%s", d)
	}
	payload, err := BuildWorkflow(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, made := range [][]byte{payload, summaryOf(t, f, payload, true)} {
		if _, err := Check(made); err != nil {
			t.Error(err)
		}
		for _, want := range []string{
			fmt.Sprintf(`{"annotations":{"mediaType":"application/vnd.oci.image.manifest.v1+json","output":"index","platform":"linux/arm64","pod":"fetch"},"digest":{"sha256":"%064x"},"name":"s3://minio:9000/artifacts/hello/index.json#sha256:%064x"}`, 2, 2),
			fmt.Sprintf(`"mediaType":"application/vnd.docker.distribution.manifest.v2+json","output":"data","pod":"fetch"},"digest":{"sha256":"%064x"}`, 3),
		} {
			if !strings.Contains(string(made), want) {
				t.Errorf("there is no %s in %s", want, made)
			}
		}
		for name, change := range map[string][2]string{
			"an image of another output": {`"output":"index","platform"`, `"output":"other","platform"`},
			"an image of another pod":    {`"pod":"fetch"},"digest":{"sha256":"0000`, `"pod":"train"},"digest":{"sha256":"0000`},
			"an image of no kind":        {`image.manifest.v1`, `image.manifest.v3`},
			"an image at no location":    {`index.json#`, `other.json#`},
			"another digest than named":  {fmt.Sprintf(`"sha256":"%064x"`, 2), fmt.Sprintf(`"sha256":"%064x"`, 5)},
			"another platform":           {`linux/arm64`, `linux/../..`},
		} {
			changed := strings.Replace(string(made), change[0], change[1], 1)
			if changed == string(made) {
				t.Errorf("%s: %q is not in it", name, change[0])
			}
			if _, err := Check([]byte(changed)); err == nil {
				t.Errorf("%s is accepted", name)
			}
		}
	}
	again, err := ParseWorkflow(payload)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, again); d != "" {
		t.Errorf("read again (-want +got):\n%s", d)
	}
	if at := func(n int) artifact.Digest { return artifact.Digest(fmt.Sprintf("%064x", n)) }; !HasImage(again.Subjects, at(2)) || HasImage(again.Subjects, at(4)) || HasImage(again.Subjects, "") {
		t.Error("it has other images")
	}
	// What a step takes that makes images itself is a base of these, and may be anybody's.
	based := stepsWithImages(t)
	based[0].Measured = []Measured{{"report", oci.Image{Digest: artifact.Digest(fmt.Sprintf("%064x", 5)), Kind: oci.KindManifest}}}
	if f, err := OfWorkflow(based, "v0.1.0"); err != nil || HasImage(f.Subjects, artifact.Digest(fmt.Sprintf("%064x", 2))) || !HasImage(f.Subjects, based[0].Measured[0].Digest) {
		t.Errorf("a base leaves the workflow, or what was made of it does not: %+v, %v", f.Subjects, err)
	}
	// Without a word of images it is the statement of the example.
	bare, err := OfWorkflow(WithoutImages(stepsWithImages(t)), "v0.1.0")
	if err != nil || len(bare.Subjects) != 3 || len(bare.Subjects[2].Images) != 0 {
		t.Errorf("without images: %+v, %v", bare.Subjects, err)
	}
}

// TestImagesOfAWorkflowAreBounded: outputs go first, and no output has a part of its images
// stated.
func TestImagesOfAWorkflowAreBounded(t *testing.T) {
	for outputs, images := range map[int]int{1: 32, 4: 128, 5: 128, 1000: 0, MaxSubjects: 0} {
		steps := stepsOfExample(t)[:1]
		s := *steps[0].Statement
		s.Subjects, s.Measured, s.Inputs = nil, nil, nil
		for n := range outputs {
			sub := steps[0].Subjects[0]
			sub.URI, sub.Output = fmt.Sprintf("s3://minio:9000/artifacts/o%d", n), fmt.Sprintf("o%d", n)
			s.Subjects = append(s.Subjects, sub)
			for i := range oci.MaxImages {
				s.Measured = append(s.Measured, Measured{sub.Output, oci.Image{Digest: artifact.Digest(fmt.Sprintf("%064x", i+1)), Kind: oci.KindManifest}})
			}
		}
		f, err := OfWorkflow([]StepStatement{{Statement: &s, SHA256: digest("1")}}, "v")
		if err != nil {
			t.Fatal(err)
		}
		stated := 0
		for _, s := range f.Subjects {
			if stated += len(s.Images); len(s.Images)%oci.MaxImages != 0 {
				t.Errorf("of %d outputs, one has %d images", outputs, len(s.Images))
			}
		}
		if _, err := BuildWorkflow(f); err != nil || len(f.Subjects) != outputs || stated != images {
			t.Errorf("of %d outputs %d are stated, and %d images, want %d: %v", outputs, len(f.Subjects), stated, images, err)
		}
	}
	// Layouts that were taken have no part in what the others need.
	steps := stepsWithImages(t)
	left := *steps[0].Statement
	left.Subjects = nil
	for n := range MaxSubjects {
		sub := steps[0].Subjects[0]
		sub.URI, sub.Output = fmt.Sprintf("s3://minio:9000/artifacts/o%d", n), fmt.Sprintf("o%d", n)
		left.Subjects = append(left.Subjects, sub)
	}
	steps[0].Statement = &left
	steps[1].Subjects = steps[1].Subjects[1:] // the layout alone
	if f, err := OfWorkflow(steps, "v"); err != nil || len(f.Subjects) != MaxSubjects {
		t.Errorf("%d leave: %v", len(f.Subjects), err)
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
