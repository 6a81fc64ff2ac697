package provenance

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/reason"
)

var update = flag.Bool("update", false, "write the golden files anew")

const golden = "testdata/statement.json"

func digest(c string) artifact.Digest { return artifact.Digest(strings.Repeat(c, 64)) }

// shown is the step that the golden statement and the documentation show: everything a
// statement can say, once.
func shown() Facts {
	f := example()
	f.Definition.Stored, f.Definition.Unstated = digest("3"), []string{"region", "owner"}
	f.Measured = []Measured{{"model", oci.Image{Digest: digest("f"), Kind: oci.KindManifest, Platform: "linux/amd64"}}}
	return f
}

// example is that step without images in its outputs.
func example() Facts {
	return Facts{
		Subjects: []Subject{
			{URI: "s3://minio:9000/artifacts/hello-abcde/hello-abcde-train-123/report.csv", Sum: content.Sum{Form: content.FormFile, Size: 512, SHA256: digest("2"), Tree: content.FileTree(digest("2"))}, Output: "report"},
			{URI: "s3://minio:9000/artifacts/hello-abcde/hello-abcde-train-123/model.tgz", Sum: content.Sum{Form: content.FormTar, Size: 1048576, SHA256: digest("0"), Tree: digest("1")}, Output: "model", Volume: "models"},
		},
		Unsealed: []Unsealed{{Output: "log", Reason: reason.OutputAbsent}},
		Builder:  Builder{Cluster: "prod-eu-1", Level: LevelObserved},
		Definition: Definition{
			WorkflowTemplate: &WorkflowTemplate{Name: "training"},
			Spec:             digest("4"),
			TemplateBody:     digest("5"),
			Entrypoint:       "pipeline",
			Template:         "train",
			Parameters: []Parameter{
				parameterOf("epochs", "10"),
				parameterOf("registry-password", "hunter2"),
			},
			Overrides: []Override{{Field: "podSpecPatch", SHA256: digest("6")}},
			References: []Reference{
				{WorkflowTemplate: WorkflowTemplate{Name: "lib", ClusterScope: true}, Template: "train", SHA256: digest("d")},
				{WorkflowTemplate: WorkflowTemplate{Name: "training"}, SHA256: digest("c")},
			},
			Complete: true,
		},
		Step: Step{
			Namespace:      "ml",
			ServiceAccount: "trainer",
			Workflow:       Ref{Name: "hello-abcde", UID: "0c1f0d4a-32f3-4f6e-9a44-3f1f6a2d6c11"},
			Pod:            Ref{Name: "hello-abcde-train-123", UID: "5b0b9d5e-8f0b-4c3e-9f7b-0d1c2b3a4f50"},
			NodeID:         "hello-abcde-123",
			NodeName:       "hello-abcde[1].train(0:10)",
		},
		Mode:    v1alpha1.ModeEnforce,
		PodSpec: digest("7"),
		Outcome: Outcome{Result: Succeeded, Exits: []Exit{{Container: "wait"}, {Container: "main"}}},
		Versions: Versions{
			Argoseal:     "v0.1.0",
			ArgoExecutor: "quay.io/argoproj/argoexec:v3.7.18",
			Kubelet:      "v1.34.2",
		},
		Images: []Image{
			{Container: "wait", Ref: "quay.io/argoproj/argoexec:v3.7.18", Repository: "quay.io/argoproj/argoexec", SHA256: digest("8")},
			{Container: "main", Ref: "python:3.13", Repository: "docker.io/library/python", SHA256: digest("9")},
		},
		Mounted: []Image{{Container: "vocabulary", Ref: "quay.io/example/vocabulary:3", Repository: "quay.io/example/vocabulary", SHA256: digest("e"), DigestOf: DigestOfID}},
		Inputs: []Input{{
			Name: "data", URI: "s3://minio:9000/artifacts/hello-abcde/hello-abcde-fetch-77/data.tgz",
			SHA256: digest("a"), Archive: content.ArchiveTar, Tree: digest("b"), Seal: "ouvolhwrqk2e5zxv4yqxqk7iwzh2f5xk7vdz3jv5n3zq5x7q2b2a",
		}},
		StartedAt:  time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC),
		FinishedAt: time.Date(2026, 11, 21, 10, 4, 30, 0, time.UTC),
	}
}

func build(t *testing.T, f Facts) []byte {
	t.Helper()
	payload, err := Build(f)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func TestBuildMakesTheGoldenStatement(t *testing.T) {
	payload := build(t, shown())
	if *update {
		if err := os.WriteFile(golden, payload, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(payload)); diff != "" {
		t.Errorf("statement differs from %s (-want +got):\n%s", golden, diff)
	}
}

func TestParseGivesBackWhatBuildTook(t *testing.T) {
	minimal := example()
	minimal.Unsealed, minimal.Inputs = nil, nil
	minimal.Definition.WorkflowTemplate, minimal.Definition.Parameters, minimal.Definition.Overrides = nil, nil, nil
	minimal.Definition.References = nil
	escaped := example()
	escaped.Subjects[0].URI = artifact.Location{Store: "minio:9000", Bucket: "b", Key: "ä b/<x>&?#%2F", Kind: artifact.KindObject}.URI()
	escaped.Definition.Parameters = []Parameter{parameterOf("tricky \" name", "line\nbreak \u2028 <&> \x00 \U0001F600")}
	escaped.Step.NodeName = "wf(0:{\"a\":\n1})"
	scoped := example()
	scoped.Definition.WorkflowTemplate.ClusterScope = true
	scoped.Definition.References = []Reference{{WorkflowTemplate: *scoped.Definition.WorkflowTemplate, SHA256: digest("c")}}
	scoped.Verdict = reason.NoProvenance
	scoped.Builder.Level = LevelIsolated
	referred := example()
	referred.Definition.Entrypoint = ""
	taken := example()
	taken.Definition.WorkflowTemplate = nil
	taken.Definition.References = []Reference{
		{WorkflowTemplate: WorkflowTemplate{Name: "lib"}, Template: "a", SHA256: digest("c")},
		{WorkflowTemplate: WorkflowTemplate{Name: "lib"}, Template: "b%&\"", SHA256: digest("c")},
		{WorkflowTemplate: WorkflowTemplate{Name: "lib", ClusterScope: true}, Template: "a", SHA256: digest("d")},
	}
	crowded := example()
	crowded.Subjects = subjects(MaxSubjects)
	twice := shown()
	twice.Measured = []Measured{
		{"model", oci.Image{Digest: digest("f"), Kind: oci.KindDockerList}}, {"model", oci.Image{Digest: digest("e"), Kind: oci.KindIndex}},
		{"report", oci.Image{Digest: digest("f"), Kind: oci.KindDockerManifest}},
	}
	failed := example()
	failed.Outcome = Outcome{Result: Failed, Exits: []Exit{{Container: "main", Code: 137}}}
	failed.Subjects[0].Size = maxSize
	outside := example()
	outside.Inputs = []Input{
		{Name: "any", URI: "s3://minio:9000/datasets/any.tgz", Archive: content.ArchiveDetect, Policy: "datasets"},
		{Name: "file", URI: "s3://minio:9000/datasets/file", SHA256: digest("a"), Archive: content.ArchiveNone, Tree: content.FileTree(digest("a")), Policy: "datasets"},
		{Name: "file-by-chance", URI: "s3://minio:9000/datasets/file", SHA256: digest("a"), Archive: content.ArchiveDetect, Tree: content.FileTree(digest("a")), Policy: "datasets"},
		{Name: "sealed", URI: "s3://minio:9000/lib/x", SHA256: digest("a"), Archive: content.ArchiveZip, Tree: digest("b"), Seal: "lib/x", Policy: "lib"},
		{Name: "tree", URI: "s3://minio:9000/datasets/tree.tgz", Archive: content.ArchiveTar, Tree: digest("b"), Policy: "datasets", Volume: "scratch"},
		{Name: "url", URI: "https://example.org/x", Archive: content.ArchiveZip, Policy: "datasets"},
		{Name: "v-branch", URI: "git+https://example.org/app@refs/heads/main", Archive: content.ArchiveNone, Policy: "datasets"},
		{Name: "v-commit", URI: "git+ssh://git@example.org/app@" + strings.Repeat("a1", 20), Archive: content.ArchiveNone, Policy: "datasets"},
	}
	elsewhere := example()
	elsewhere.StartedAt = elsewhere.StartedAt.In(time.FixedZone("there", 3600))

	for name, facts := range map[string]Facts{
		"everything set":            shown(),
		"only what has to be set":   minimal,
		"names that need escaping":  escaped,
		"cluster scope and verdict": scoped,
		"the template's entrypoint": referred,
		"templates from elsewhere":  taken,
		"as many subjects as fit":   crowded,
		"one image in two outputs":  twice,
		"a failed step":             failed,
		"inputs from outside":       outside,
		"times of another zone":     elsewhere,
	} {
		t.Run(name, func(t *testing.T) {
			statement, err := Parse(build(t, facts))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(facts.sorted(), statement.Facts); diff != "" {
				t.Errorf("facts differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBuildDoesNotDependOnTheOrderOfLists(t *testing.T) {
	shuffled := example()
	shuffled.Subjects[0], shuffled.Subjects[1] = shuffled.Subjects[1], shuffled.Subjects[0]
	shuffled.Images[0], shuffled.Images[1] = shuffled.Images[1], shuffled.Images[0]
	if !bytes.Equal(build(t, example()), build(t, shuffled)) {
		t.Error("another order of the lists made another statement")
	}
	if first := shuffled.Subjects[0].Output; first != "model" {
		t.Errorf("Build changed the caller's list: %s comes first", first)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Facts){
		"no subjects":                        func(f *Facts) { f.Subjects = nil },
		"more subjects than verifiers take":  func(f *Facts) { f.Subjects = subjects(MaxSubjects + 1) },
		"more unsealed outputs than fit":     func(f *Facts) { f.Unsealed = repeat(maxList+1, unsealed) },
		"more parameters than fit":           func(f *Facts) { f.Definition.Parameters = repeat(maxList+1, parameter) },
		"more inputs than fit":               func(f *Facts) { f.Inputs = repeat(maxList+1, input) },
		"more images than verifiers take":    func(f *Facts) { f.Subjects = subjects(MaxSubjects); f.Subjects[0].Output = "model" },
		"an image in no output":              func(f *Facts) { f.Measured[0].Output = "nothing" },
		"an image in an output without seal": func(f *Facts) { f.Measured[0].Output = "log" },
		"an image twice":                     func(f *Facts) { f.Measured = append(f.Measured, f.Measured[0]) },
		"an image without a digest":          func(f *Facts) { f.Measured[0].Digest = "" },
		"an image of no kind":                func(f *Facts) { f.Measured[0].Kind = "" },
		"an image for no platform":           func(f *Facts) { f.Measured[0].Platform = "linux amd64" },
		"an index for one platform":          func(f *Facts) { f.Measured[0].Kind = oci.KindIndex },
		"a location twice":                   func(f *Facts) { f.Subjects[0].URI = f.Subjects[1].URI },
		"an output twice":                    func(f *Facts) { f.Subjects[0].Output = f.Subjects[1].Output },
		"an output both sealed and not":      func(f *Facts) { f.Unsealed[0].Output = "model" },
		"a location that is none":            func(f *Facts) { f.Subjects[0].URI = "https://example.com/x" },
		"a location without a key":           func(f *Facts) { f.Subjects[0].URI = "s3://minio/b/" },
		"a location with dots":               func(f *Facts) { f.Subjects[0].URI = "s3://minio/b/a/../b" },
		"another spelling of a location":     func(f *Facts) { f.Subjects[0].URI = "s3://minio/b/%61" },
		"an escaped slash":                   func(f *Facts) { f.Subjects[0].URI = "s3://minio/b/a%2Fb" },
		"a subject without a digest":         func(f *Facts) { f.Subjects[0].SHA256 = "" },
		"a digest in upper case":             func(f *Facts) { f.Subjects[0].SHA256 = digest("A") },
		"a short digest":                     func(f *Facts) { f.Subjects[0].SHA256 = "00" },
		"a volume of two lines":              func(f *Facts) { f.Subjects[0].Volume = "a\nb" },
		"a subject without a form":           func(f *Facts) { f.Subjects[0].Form = "" },
		"an input without a strategy":        func(f *Facts) { f.Inputs[0].Archive = "" },
		"an input that was to be detected":   func(f *Facts) { f.Inputs[0].Archive = content.ArchiveDetect },
		"a file with a plain tree":           func(f *Facts) { f.Subjects[0].Plain = digest("3") },
		"a plain tree twice":                 func(f *Facts) { f.Subjects[1].Plain = f.Subjects[1].Tree },
		"a plain tree of no digest":          func(f *Facts) { f.Subjects[1].Plain = "x" },
		"a subject without a tree":           func(f *Facts) { f.Subjects[0].Tree = "" },
		"a negative size":                    func(f *Facts) { f.Subjects[0].Size = -1 },
		"a size JSON cannot hold":            func(f *Facts) { f.Subjects[0].Size = maxSize + 1 },
		"an unsealed output without reason":  func(f *Facts) { f.Unsealed[0].Reason = "" },
		"no cluster":                         func(f *Facts) { f.Builder.Cluster = "" },
		"a cluster with a slash":             func(f *Facts) { f.Builder.Cluster = "a/isolated" },
		"no level":                           func(f *Facts) { f.Builder.Level = "" },
		"an unknown level":                   func(f *Facts) { f.Builder.Level = "hermetic" },
		"no workflow spec":                   func(f *Facts) { f.Definition.Spec = "" },
		"a stored spec of no digest":         func(f *Facts) { f.Definition.Stored = "x" },
		"a stored spec that is the same":     func(f *Facts) { f.Definition.Stored = f.Definition.Spec },
		"no template body":                   func(f *Facts) { f.Definition.TemplateBody = "" },
		"neither entrypoint nor reference":   func(f *Facts) { f.Definition.WorkflowTemplate, f.Definition.Entrypoint = nil, "" },
		"no template":                        func(f *Facts) { f.Definition.Template = "" },
		"a template reference without name":  func(f *Facts) { f.Definition.WorkflowTemplate.Name = "" },
		"a parameter twice":                  func(f *Facts) { f.Definition.Parameters[0].Name = f.Definition.Parameters[1].Name },
		"an unstated parameter twice":        func(f *Facts) { f.Definition.Unstated = []string{"a", "a"} },
		"a parameter that is stated and not": func(f *Facts) { f.Definition.Unstated = []string{f.Definition.Parameters[0].Name} },
		"an unstated parameter of two lines": func(f *Facts) { f.Definition.Unstated = []string{"a\nb"} },
		"more unstated parameters than fit":  func(f *Facts) { f.Definition.Unstated = repeat(maxList+1, func(name string) string { return name }) },
		"a secret as a parameter":            func(f *Facts) { f.Definition.Parameters[0].Value = "https://me:hunter2@example.org" },
		"a parameter with value and digest":  func(f *Facts) { f.Definition.Parameters[0].SHA256 = digest("0") },
		"a parameter with two digests":       func(f *Facts) { f.Definition.Parameters[1].SHA256 = digest("0") },
		"a parameter with half an HMAC":      func(f *Facts) { f.Definition.Parameters[1].HMAC = "0" },
		"a parameter with half a digest":     func(f *Facts) { f.Definition.Parameters[1].HMAC, f.Definition.Parameters[1].SHA256 = "", "0" },
		"a reference without a digest":       func(f *Facts) { f.Definition.References[0].SHA256 = "" },
		"a reference in upper case":          func(f *Facts) { f.Definition.References[0].SHA256 = digest("D") },
		"a reference without a name":         func(f *Facts) { f.Definition.References[0].Name = "" },
		"a reference with a slash":           func(f *Facts) { f.Definition.References[0].Name = "lib/train" },
		"a template with a slash":            func(f *Facts) { f.Definition.References[0].Template = "inline/train" },
		"a reference twice":                  func(f *Facts) { f.Definition.References[1] = f.Definition.References[0] },
		"a spec that nobody refers to":       func(f *Facts) { f.Definition.References[1].Name = "other" },
		"a spec of the other scope":          func(f *Facts) { f.Definition.References[1].ClusterScope = true },
		"too many references":                func(f *Facts) { f.Definition.References = make([]Reference, maxList+1) },
		"an override without a digest":       func(f *Facts) { f.Definition.Overrides[0].SHA256 = "" },
		"no namespace":                       func(f *Facts) { f.Step.Namespace = "" },
		"no service account":                 func(f *Facts) { f.Step.ServiceAccount = "" },
		"no workflow uid":                    func(f *Facts) { f.Step.Workflow.UID = "" },
		"a pod uid with a slash":             func(f *Facts) { f.Step.Pod.UID = "a/b" },
		"no pod name":                        func(f *Facts) { f.Step.Pod.Name = "" },
		"a node id with a slash":             func(f *Facts) { f.Step.NodeID = "a/b" },
		"no node name":                       func(f *Facts) { f.Step.NodeName = "" },
		"a node name without end":            func(f *Facts) { f.Step.NodeName = strings.Repeat("x", maxNodeName+1) },
		"a node name that is not UTF-8":      func(f *Facts) { f.Step.NodeName = "\xff" },
		"no mode":                            func(f *Facts) { f.Mode = "" },
		"an unknown mode":                    func(f *Facts) { f.Mode = "off" },
		"a verdict that is no code":          func(f *Facts) { f.Verdict = "all fine" },
		"no pod spec":                        func(f *Facts) { f.PodSpec = "" },
		"no version":                         func(f *Facts) { f.Versions.Kubelet = "" },
		"no result":                          func(f *Facts) { f.Outcome.Result = "" },
		"no exit codes":                      func(f *Facts) { f.Outcome.Exits = nil },
		"a container that exits twice":       func(f *Facts) { f.Outcome.Exits[0].Container = "main" },
		"success although main failed":       func(f *Facts) { f.Outcome.Exits[1].Code = 1 },
		"no images":                          func(f *Facts) { f.Images = nil },
		"an image with a digest of nothing":  func(f *Facts) { f.Images[0].SHA256, f.Images[0].DigestOf = "", DigestOfID },
		"an image with a digest of its own":  func(f *Facts) { f.Images[0].DigestOf = "layer" },
		"a volume that has two images":       func(f *Facts) { f.Mounted = append(f.Mounted, f.Mounted[0]) },
		"an image without a repository":      func(f *Facts) { f.Images[0].Repository = "" },
		"an input twice":                     func(f *Facts) { f.Inputs = append(f.Inputs, f.Inputs[0]) },
		"an input without a pinned digest":   func(f *Facts) { f.Inputs[0].SHA256 = "" },
		"an input without a tree":            func(f *Facts) { f.Inputs[0].Tree = "" },
		"an input without a seal":            func(f *Facts) { f.Inputs[0].Seal = "" },
		"a seal without digests":             func(f *Facts) { f.Inputs[0].SHA256, f.Inputs[0].Tree, f.Inputs[0].Policy = "", "", "p" },
		"stored bytes without their tree":    func(f *Facts) { f.Inputs[0].Seal, f.Inputs[0].Tree, f.Inputs[0].Policy = "", "", "p" },
		"a tree digest that is none": func(f *Facts) {
			f.Inputs[0] = Input{Name: "x", URI: f.Inputs[0].URI, Archive: content.ArchiveTar, Tree: "x", Policy: "p"}
		},
		"an input for no reason":  func(f *Facts) { f.Inputs[0].Seal, f.Inputs[0].SHA256, f.Inputs[0].Tree = "", "", "" },
		"a seal of what has none": func(f *Facts) { f.Inputs[0].URI = "https://example.org/x" },
		"a commit with stored bytes": func(f *Facts) {
			f.Inputs[0] = Input{Name: "x", URI: "git+https://example.org/app@" + strings.Repeat("a1", 20), SHA256: digest("a"), Archive: content.ArchiveNone, Tree: content.FileTree(digest("a")), Policy: "p"}
		},
		"a URL by a detour": func(f *Facts) {
			f.Inputs[0] = Input{Name: "x", URI: "https://example.org/a/../x", Archive: content.ArchiveDetect, Policy: "p"}
		},
		"a tag": func(f *Facts) {
			f.Inputs[0] = Input{Name: "x", URI: "git+https://example.org/app@v1", Archive: content.ArchiveNone, Policy: "p"}
		},
		"a seal of what was detected":              func(f *Facts) { f.Inputs[0].Policy, f.Inputs[0].Archive = "p", content.ArchiveDetect },
		"an input from outside without a strategy": func(f *Facts) { f.Inputs[0] = Input{Name: "x", URI: f.Inputs[0].URI, Policy: "p"} },
		"a stored file that is unpacked": func(f *Facts) {
			f.Inputs[0] = Input{Name: "x", URI: f.Inputs[0].URI, SHA256: digest("a"), Archive: content.ArchiveTar, Tree: content.FileTree(digest("a")), Policy: "p"}
		},
		"a commit that is unpacked": func(f *Facts) {
			f.Inputs[0] = Input{Name: "x", URI: "git+https://example.org/app@" + strings.Repeat("a1", 20), Archive: content.ArchiveTar, Policy: "p"}
		},
		"an input's volume of two lines":     func(f *Facts) { f.Inputs[0].Volume = "a\nb" },
		"a policy of two lines":              func(f *Facts) { f.Inputs[0].Policy = "a\nb" },
		"an input from nowhere":              func(f *Facts) { f.Inputs[0].URI = "" },
		"no start":                           func(f *Facts) { f.StartedAt = time.Time{} },
		"fractions of a second":              func(f *Facts) { f.StartedAt = f.StartedAt.Add(time.Millisecond) },
		"an end before the start":            func(f *Facts) { f.FinishedAt = f.StartedAt.Add(-time.Second) },
		"more than fits":                     func(f *Facts) { f.Definition.Parameters = large() },
		"a control character in an argument": func(f *Facts) { f.Definition.Parameters[0].Name = "a\x00" },
	} {
		t.Run(name, func(t *testing.T) {
			facts := shown()
			spoil(&facts)
			if _, err := Build(facts); err == nil {
				t.Error("built")
			}
		})
	}
}

// The following make items that are fine one by one.

func repeat[T any](n int, item func(name string) T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = item(fmt.Sprintf("n%04d", i))
	}
	return list
}

func subjects(n int) []Subject {
	return repeat(n, func(name string) Subject {
		return Subject{URI: "s3://minio:9000/b/" + name, Sum: content.Sum{Form: content.FormTar, SHA256: digest("0"), Tree: digest("1")}, Output: name}
	})
}

func unsealed(name string) Unsealed { return Unsealed{Output: name, Reason: reason.OutputAbsent} }

func parameter(name string) Parameter { return Parameter{Name: name} }

// redaction is what the example's notary does: it quotes all but passwords.
var redaction = Redaction{Quoted: []string{"epochs", "tricky*", "p*"}, Key: []byte("0123456789abcdef0123456789abcdef")}

// parameterOf is a parameter of the example's workflow.
func parameterOf(name, value string) Parameter {
	p, err := redaction.Parameter("0c1f0d4a-32f3-4f6e-9a44-3f1f6a2d6c11", name, value)
	if err != nil {
		panic(err)
	}
	return p
}

func input(name string) Input {
	return Input{Name: name, URI: "s3://minio:9000/b/" + name, SHA256: digest("0"), Archive: content.ArchiveTar, Tree: digest("1"), Seal: "s"}
}

// large makes parameters that are fine one by one and too much together.
func large() []Parameter {
	var list []Parameter
	for i := range 600 {
		list = append(list, parameterOf("p"+strings.Repeat("x", i), strings.Repeat("v", maxValue)))
	}
	return list
}

func TestZeroFactsAreRefused(t *testing.T) {
	if _, err := Build(Facts{}); err == nil {
		t.Error("built a statement from nothing")
	}
}

func TestSubjectIsFoundByItsExactName(t *testing.T) {
	statement, err := Parse(build(t, shown()))
	if err != nil {
		t.Fatal(err)
	}
	model := example().Subjects[1]
	report := example().Subjects[0]
	if got, ok := statement.Subject(model.URI); !ok || got != model {
		t.Errorf("Subject(%s) = %v, %v", model.URI, got, ok)
	}
	if _, ok := statement.Subject(model.URI + "x"); ok {
		t.Error("found a subject that is not there")
	}
	for name, c := range map[string]struct {
		uri    string
		digest artifact.Digest
		want   reason.Code
	}{
		"name and digest of one subject":  {model.URI, model.SHA256, ""},
		"name right, digest wrong":        {model.URI, digest("f"), reason.DigestMismatch},
		"name and digest crosswise":       {model.URI, report.SHA256, reason.DigestMismatch},
		"digest right, name wrong":        {model.URI + "x", model.SHA256, reason.SubjectMismatch},
		"digest right, no name asked for": {"", model.SHA256, ""},
		"digest wrong, no name asked for": {"", digest("3"), reason.DigestMismatch},
		"an image's, which is no file's":  {"", digest("f"), reason.DigestMismatch},
		"no digest":                       {model.URI, "", reason.DigestMismatch},
		"the tree's digest":               {model.URI, model.Tree, reason.DigestMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			subject, err := statement.Match(c.uri, c.digest)
			if got := reason.Of(err); got != c.want {
				t.Fatalf("Match gives %v, want code %q", err, c.want)
			}
			if err == nil && subject != model {
				t.Errorf("Match gives %v", subject)
			}
		})
	}
}

func TestBuilderIDsAreReadBack(t *testing.T) {
	b := Builder{Cluster: "9d3c1f3e-1111-4222-8333-444455556666", Level: LevelObserved}
	got, err := ParseBuilderID(b.ID())
	if err != nil || got != b {
		t.Errorf("ParseBuilderID(%s) = %v, %v", b.ID(), got, err)
	}
	for _, id := range []string{
		"", "https://argoseal.dev/builders/v1/", "https://argoseal.dev/builders/v1/c", "https://argoseal.dev/builders/v1/c/",
		"https://argoseal.dev/builders/v1//observed", "https://argoseal.dev/builders/v1/c/observed/", "https://argoseal.dev/builders/v1/c/d/observed",
		"https://argoseal.dev/builders/v2/c/observed", "https://argoseal.dev.evil/builders/v1/c/observed", "c/observed",
	} {
		if b, err := ParseBuilderID(id); err == nil {
			t.Errorf("ParseBuilderID(%q) = %v", id, b)
		}
	}
}

// The example is one that version 1 could state, too.
func TestAnArchiveMayHaveATreeWithoutExecBits(t *testing.T) {
	f := example()
	f.Subjects[1].Plain = digest("3")
	statement, err := Parse(build(t, f))
	if err != nil {
		t.Fatal(err)
	}
	if subject, found := statement.Subject(f.Subjects[1].URI); !found || subject != f.Subjects[1] {
		t.Errorf("got %+v", subject)
	}
	if _, err := buildAs(f, 1); err == nil {
		t.Error("version 1 states it")
	}
}
