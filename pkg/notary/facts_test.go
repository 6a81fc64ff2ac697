package notary

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

func TestFactsOfAGoodPod(t *testing.T) {
	s := producer(t)
	facts, fates, err := s.rules.Facts(s.witness(t))
	must(t, err)
	payload, err := provenance.Build(facts)
	must(t, err)
	st, err := provenance.Parse(payload)
	must(t, err)
	if got, want := st.InvocationID(), string(s.workflow.GetUID())+"/"+s.pod.Annotations[annotationNodeID]+"/"+string(s.pod.UID); got != want {
		t.Errorf("invocation id is %q, want %q", got, want)
	}
	const uri = "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz"
	want := v1alpha1.OutputStatus{Name: helloOutput, Location: uri, SHA256: strings.Repeat("a", 64)}
	if len(fates) != 1 || fates[0] != want {
		t.Errorf("fates are %+v, want %+v", fates, want)
	}
	if len(st.Subjects) != 1 || st.Subjects[0].URI != uri || st.Subjects[0].Size != 151 || st.Outcome.Result != provenance.Succeeded {
		t.Errorf("subjects are %+v, outcome %+v", st.Subjects, st.Outcome)
	}
	if want := time.Date(2026, 11, 21, 22, 47, 52, 0, time.UTC); !st.FinishedAt.Equal(want) {
		t.Errorf("finished at %s, want %s: the end of the last container", st.FinishedAt, want)
	}
	if len(st.Images) != 4 {
		t.Errorf("images are %+v, want those of init, argoseal-signer, wait and main", st.Images)
	}
	if st.Builder.Level != provenance.LevelObserved {
		t.Errorf("level is %q: not all guards are there yet", st.Builder.Level)
	}
}

// The pod went through a real cluster as it is, our webhooks and our sidecar
// included; only its tag is issued anew, under a key that the test has.
func TestFactsOfAPodThatWentThroughACluster(t *testing.T) {
	s := producer(t)
	s.pod, s.workflow = &corev1.Pod{}, &unstructured.Unstructured{}
	load(t, "injected", s.pod)
	load(t, "injected-workflow", &s.workflow.Object)
	s.tag.Signer = "localhost/argoseal/argoseal-signer@sha256:3b5edb9c13405a53fcd0d3b4cd0dae0c8002d92964d5789293abe257e9f09b20"
	s.rules.SignerImages = []string{s.tag.Signer}
	s.tag.Namespace, s.tag.Pod, s.tag.WorkflowUID, s.tag.IssuedAt = s.pod.Namespace, s.pod.Name, string(s.workflow.GetUID()), s.pod.CreationTimestamp.UTC()
	s.define(t)
	s.retag(t)
	facts, fates, err := s.rules.Facts(s.witness(t))
	must(t, err)
	if _, err := provenance.Build(facts); err != nil {
		t.Error(err)
	}
	const digest = "46308d5483f41af1fddac1df97420e24df6f9b461faa35999cd4721700b6c0ce"
	if len(fates) != 1 || fates[0].Name != "message" || facts.Subjects[0].Size != 116 || fates[0].SHA256 != digest {
		t.Errorf("fates %+v, subjects %+v, want %s", fates, facts.Subjects, digest)
	}
}

// What a policy admitted from outside has no seal, and is said to have none.
func TestFactsNameTheInputsFromOutside(t *testing.T) {
	const uri = "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz"
	s := newScene(t, "consumer", []artifact.Pin{{Input: "message", Location: uri, Archive: artifact.ArchiveDetect, Policy: "datasets"}})
	s.template(`"outputs":{}`, `"outputs":{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`)
	s.inject(t)
	facts, _, err := s.rules.Facts(s.witness(t))
	must(t, err)
	if want := (provenance.Input{Name: "message", URI: uri, Archive: artifact.ArchiveDetect, Policy: "datasets"}); len(facts.Inputs) != 1 || facts.Inputs[0] != want {
		t.Errorf("inputs are %+v", facts.Inputs)
	}
}

// What another workflow sealed is said to be vouched for by that seal.
func TestFactsNameTheSealsOfOtherWorkflows(t *testing.T) {
	const uri = "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz"
	d := artifact.Digest(strings.Repeat("a", 64))
	s := newScene(t, "consumer", []artifact.Pin{{Input: "message", Location: uri, SHA256: d, Archive: artifact.ArchiveZip, Tree: d, Policy: "lib", Seal: "lib/x"}})
	s.template(`"outputs":{}`, `"outputs":{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`)
	s.inject(t)
	facts, _, err := s.rules.Facts(s.witness(t))
	must(t, err)
	if want := (provenance.Input{Name: "message", URI: uri, SHA256: d, Archive: artifact.ArchiveZip, Tree: d, Policy: "lib", Seal: "lib/x"}); len(facts.Inputs) != 1 || facts.Inputs[0] != want {
		t.Errorf("inputs are %+v", facts.Inputs)
	}
}

func TestFactsNameThePinnedInputs(t *testing.T) {
	const uri = "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz"
	pin := artifact.Pin{Input: "message", Location: uri, SHA256: artifact.Digest(strings.Repeat("a", 64)), Archive: artifact.ArchiveTar, Tree: artifact.Digest(strings.Repeat("b", 64))}
	s := newScene(t, "consumer", []artifact.Pin{pin})
	s.template(`"outputs":{}`, `"outputs":{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`)
	s.inject(t)
	facts, _, err := s.rules.Facts(s.witness(t))
	must(t, err)
	if len(facts.Inputs) != 1 || facts.Inputs[0].URI != uri || facts.Inputs[0].SHA256 != pin.SHA256 || facts.Inputs[0].Seal == "" {
		t.Errorf("inputs are %+v", facts.Inputs)
	}
}

// What was not there was not consumed.
func TestFactsDoNotNameInputsThatWereAbsent(t *testing.T) {
	pin := artifact.Pin{
		Input: "message", Archive: artifact.ArchiveDetect, Absent: true,
		Location: "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz",
	}
	s := newScene(t, "consumer", nil)
	s.template(`"outputs":{}`, `"outputs":{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`)
	s.template(`"name":"message",`, `"name":"message","optional":true,`)
	s.tag.Pins = []artifact.Pin{pin}
	s.inject(t)
	facts, _, err := s.rules.Facts(s.witness(t))
	must(t, err)
	if len(facts.Inputs) != 0 {
		t.Errorf("inputs are %+v", facts.Inputs)
	}
}

// In a mode that refuses nothing a step may run on other inputs than those of
// its tag. Nothing is then sealed that would name these.
func TestWhatRanOnOtherInputsIsNotSealed(t *testing.T) {
	pin := artifact.Pin{
		Input: "message", SHA256: artifact.Digest(strings.Repeat("a", 64)), Archive: artifact.ArchiveTar, Tree: artifact.Digest(strings.Repeat("b", 64)),
		Location: "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz",
	}
	const nothing = `{}`
	for name, c := range map[string]struct {
		mode    v1alpha1.Mode
		outputs string
		verify  func(*corev1.ContainerStatus)
		want    reason.Code
	}{
		"what was pinned": {v1alpha1.ModeAudit, "", func(*corev1.ContainerStatus) {}, ""},
		"what was reported": {v1alpha1.ModeAudit, "", func(s *corev1.ContainerStatus) {
			s.State.Terminated.Message = "InputExtra: x"
		}, reason.InputAltered},
		"what was reported of a step without outputs": {v1alpha1.ModeWarn, nothing, func(s *corev1.ContainerStatus) {
			s.State.Terminated.Message = "InputExtra: x"
		}, reason.InputAltered},
		"what was pinned for a step without outputs": {v1alpha1.ModeWarn, nothing, func(*corev1.ContainerStatus) {}, reason.NothingToSeal},
		"a check that failed": {v1alpha1.ModeEnforce, "", func(s *corev1.ContainerStatus) {
			s.State.Terminated.ExitCode = 10
		}, reason.InputAltered},
		"a check that never ended": {v1alpha1.ModeEnforce, "", func(s *corev1.ContainerStatus) {
			s.State = corev1.ContainerState{}
		}, reason.StructureAltered},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "consumer", []artifact.Pin{pin})
			s.tag.Mode = c.mode
			s.template(`"outputs":{}`, `"outputs":`+cmp.Or(c.outputs, `{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`))
			s.inject(t)
			c.verify(find(s.pod.Status.InitContainerStatuses, containerVerify))
			_, _, err := s.rules.Facts(s.witness(t))
			if reason.Of(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if strings.HasPrefix(name, "what was reported") && !strings.Contains(err.Error(), "InputExtra: x") {
				t.Errorf("%v does not say what was found", err)
			}
		})
	}
	t.Run("an enforced check that only reports", func(t *testing.T) {
		s := newScene(t, "consumer", []artifact.Pin{pin})
		s.tag.Mode = v1alpha1.ModeAudit
		s.template(`"outputs":{}`, `"outputs":{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`)
		s.inject(t)
		s.tag.Mode = v1alpha1.ModeEnforce
		s.retag(t)
		if _, _, err := s.rules.Facts(s.witness(t)); reason.Of(err) != reason.StructureAltered {
			t.Errorf("got %v", err)
		}
	})
}

// An input on a volume that others may write is said to have lain there.
func TestFactsNameTheVolumesOfInputs(t *testing.T) {
	const uri = "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz"
	d := artifact.Digest(strings.Repeat("a", 64))
	for volume, source := range map[string]corev1.VolumeSource{
		"":     {EmptyDir: &corev1.EmptyDirVolumeSource{}},
		"work": {PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "shared"}},
	} {
		s := newScene(t, "consumer", []artifact.Pin{{Input: "message", Location: uri, SHA256: d, Archive: artifact.ArchiveTar, Tree: d}})
		s.template(`"outputs":{}`, `"outputs":{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`)
		s.template(`"path":"/tmp/message"`, `"path":"/shop/message"`)
		s.template(`"container":{`, `"container":{"volumeMounts":[{"name":"work","mountPath":"/shop"}],`)
		s.pod.Spec.Volumes = append(s.pod.Spec.Volumes, corev1.Volume{Name: "work", VolumeSource: source})
		for _, list := range [][]corev1.Container{s.pod.Spec.InitContainers, s.pod.Spec.Containers} {
			for i := range list {
				c := &list[i]
				c.VolumeMounts = slices.DeleteFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return strings.HasSuffix(m.MountPath, "/tmp/message") })
				if at, found := map[string]string{"init": "/mainctrfs/shop", "wait": "/mainctrfs/shop", "main": "/shop"}[c.Name]; found {
					c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "work", MountPath: at})
				}
			}
		}
		s.inject(t)
		facts, _, err := s.rules.Facts(s.witness(t))
		must(t, err)
		if len(facts.Inputs) != 1 || facts.Inputs[0].Volume != volume {
			t.Errorf("inputs are %+v, want volume %q", facts.Inputs, volume)
		}
	}
}

// A container set has as many mains as it has containers.
func TestTheOutcomeIsThatOfAllMains(t *testing.T) {
	for name, c := range map[string]struct {
		mains []string
		fail  string
		want  provenance.Result
	}{
		"of main":                      {[]string{"main"}, "", provenance.Succeeded},
		"of a main that failed":        {[]string{"main"}, "main", provenance.Failed},
		"of a set":                     {[]string{"main", "wait"}, "", provenance.Succeeded},
		"of a set whose main failed":   {[]string{"other", "main"}, "main", provenance.Failed},
		"of a set of which one failed": {[]string{"main", "other"}, "other", provenance.Failed},
		"of main beside a sidecar":     {[]string{"main"}, "other", provenance.Succeeded},
		"of one that is not known":     {[]string{"main", "gone"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := producer(t)
			other := s.status("main").DeepCopy()
			other.Name = "other"
			s.pod.Status.ContainerStatuses = append(s.pod.Status.ContainerStatuses, *other)
			if c.fail != "" {
				s.status(c.fail).State.Terminated.ExitCode = 3
			}
			outcome, err := outcomeOf(s.pod, c.mains)
			if outcome.Result != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v, want %q", outcome.Result, err, c.want)
			}
		})
	}
}

func TestAFailedStepsOutputsAreFactsOfAFailedStep(t *testing.T) {
	s := producer(t)
	s.status("main").State.Terminated.ExitCode = 3
	s.pod.Status.Phase = corev1.PodFailed
	facts, _, err := s.rules.Facts(s.witness(t))
	must(t, err)
	if facts.Outcome.Result != provenance.Failed || len(facts.Subjects) != 1 {
		t.Errorf("outcome %+v, subjects %+v", facts.Outcome, facts.Subjects)
	}
}

func TestAnAbsentOptionalOutputHasAReason(t *testing.T) {
	s := producer(t)
	s.template(`"outputs":{"artifacts":[`, `"outputs":{"artifacts":[{"name":"maybe","path":"/tmp/maybe","optional":true},`)
	s.inject(t)
	s.measure(t, artifact.Measurement{
		{Output: helloOutput, Sum: artifact.Sum{Form: artifact.FormTar, Size: 1, SHA256: artifact.Digest(strings.Repeat("a", 64)), Tree: artifact.Digest(strings.Repeat("b", 64))}},
		{Output: "maybe", Problem: reason.OutputAbsent},
	})
	facts, fates, err := s.rules.Facts(s.witness(t))
	must(t, err)
	if len(facts.Subjects) != 1 || len(facts.Unsealed) != 1 || facts.Unsealed[0] != (provenance.Unsealed{Output: "maybe", Reason: reason.OutputAbsent}) {
		t.Errorf("subjects %+v, unsealed %+v", facts.Subjects, facts.Unsealed)
	}
	if len(fates) != 2 || fates[0].Reason != string(reason.OutputAbsent) || fates[1].SHA256 == "" {
		t.Errorf("fates are %+v", fates)
	}
}

func TestWhatIsStoredWithoutAnArchiveLiesWhereItsFormSays(t *testing.T) {
	file := artifact.Sum{Form: artifact.FormFile, Size: 1, SHA256: artifact.Digest(strings.Repeat("a", 64))}
	file.Tree = artifact.FileTree(file.SHA256)
	directory := artifact.Sum{Form: artifact.FormDirectory, Size: 1, SHA256: file.SHA256, Tree: file.SHA256}
	for title, c := range map[string]struct {
		key  string
		sum  artifact.Sum
		want string // the end of the subject's name
	}{
		"a file":                                 {"x/y", file, "/x/y"},
		"a directory":                            {"x/y", directory, "/x/y/"},
		"a directory, by a key of one":           {"x/y/", directory, "/x/y/"},
		"a file, by the key of a directory":      {"x/y/", file, ""},
		"a directory, by a key that has no room": {strings.Repeat("k", 1024), directory, ""},
	} {
		t.Run(title, func(t *testing.T) {
			s := producer(t)
			s.template(`"path":"/tmp/hello_world.txt"`, `"path":"/tmp/hello_world.txt","archive":{"none":{}},"s3":{"key":"`+c.key+`"}`)
			s.inject(t)
			s.measure(t, artifact.Measurement{{Output: helloOutput, Sum: c.sum}})
			facts, fates, err := s.rules.Facts(s.witness(t))
			if c.want == "" {
				if reason.Of(err) != reason.LocationInvalid {
					t.Errorf("sealed as %+v, %v", facts.Subjects, err)
				}
				return
			}
			must(t, err)
			if uri := facts.Subjects[0].URI; !strings.HasSuffix(uri, c.want) || fates[0].Location != uri {
				t.Errorf("it lies at %s, by its fate at %s", uri, fates[0].Location)
			}
		})
	}
}

func TestTheFilesOfASmallDirectoryAreOnRecord(t *testing.T) {
	files := artifact.Files{{Path: "a", SHA256: artifact.Digest(strings.Repeat("a", 64))}}
	s := producer(t)
	s.template(`"path":"/tmp/hello_world.txt"`, `"path":"/tmp/hello_world.txt","archive":{"none":{}}`)
	s.inject(t)
	s.measure(t, artifact.Measurement{{Output: helloOutput, Sum: artifact.Sum{Form: artifact.FormDirectory, SHA256: files.Tree(), Tree: files.Tree()}, Files: files}})
	facts, fates, err := s.rules.Facts(s.witness(t))
	must(t, err)
	again := fatesIn(&provenance.Statement{Facts: facts}, fates)
	if fates[0].Files != files.String() || again[0].Files != files.String() {
		t.Errorf("the files are %q, in the end %q", fates[0].Files, again[0].Files)
	}
}

func TestAPartOfADirectoryNamesTheDirectorysSeal(t *testing.T) {
	s := newScene(t, "consumer", nil)
	step, err := argo.Parse(s.pod)
	must(t, err)
	in := step.StoreInputs()[0]
	dir := in.Above()[0]
	digest := artifact.Digest(strings.Repeat("a", 64))
	pin := artifact.Pin{Input: in.Name, Location: in.URI(), SHA256: digest, Archive: artifact.ArchiveNone, Tree: artifact.FileTree(digest), Within: dir.URI()}
	must(t, pin.Validate())
	inputs, err := inputsOf(step, []artifact.Pin{pin})
	must(t, err)
	if inputs[0].Seal != artifact.SealName(dir, step.WorkflowUID) {
		t.Errorf("the seal is %s", inputs[0].Seal)
	}
}

func TestADirectoryOfACollectionIsStatedWhole(t *testing.T) {
	s := newScene(t, "consumer", nil)
	step, err := argo.Parse(s.pod)
	must(t, err)
	in := &step.Inputs[slices.IndexFunc(step.Inputs, argo.Input.Pinned)]
	in.Mount = &argo.Mount{Volume: "shared"}
	digest := artifact.Digest(strings.Repeat("a", 64))
	pin := artifact.Pin{Input: in.Name, Location: in.Location.Prefix().URI()}
	must(t, pin.Collect([]artifact.File{{Path: "a", SHA256: digest}, {Path: "b/c/d", SHA256: digest}, {Path: "b/c/e", SHA256: digest}}, []string{"b/c"}))
	inputs, err := inputsOf(step, []artifact.Pin{pin})
	must(t, err)
	at := in.Location.Prefix()
	at.Key += "b/c/"
	whole := artifact.Files{{Path: "d", SHA256: digest}, {Path: "e", SHA256: digest}}.Tree()
	want := provenance.Input{
		Name: in.Name + "/b/c", URI: at.URI(), SHA256: whole, Archive: artifact.ArchiveNone, Tree: whole,
		Seal: artifact.SealName(at, step.WorkflowUID), Volume: "shared",
	}
	if len(inputs) != 2 || inputs[1] != want || inputs[0].Volume != "shared" {
		t.Errorf("inputs are %+v, want %+v", inputs, want)
	}
}

func TestEachFileOfACollectionNamesItsSeal(t *testing.T) {
	s := newScene(t, "consumer", nil)
	step, err := argo.Parse(s.pod)
	must(t, err)
	in := step.StoreInputs()[0]
	digest := artifact.Digest(strings.Repeat("a", 64))
	files := artifact.Files{{Path: "a", SHA256: digest}, {Path: "b/c", SHA256: digest}}
	pin := artifact.Pin{
		Input: in.Name, Location: in.Location.Prefix().URI(), SHA256: files.Tree(), Archive: artifact.ArchiveNone, Tree: files.Tree(), Files: files.String(),
	}
	must(t, pin.Validate())
	inputs, err := inputsOf(step, []artifact.Pin{pin})
	must(t, err)
	if len(inputs) != 2 || inputs[1].Name != in.Name+"/b/c" || inputs[1].URI != in.URI()+"/b/c" || inputs[1].SHA256 != digest {
		t.Fatalf("inputs are %+v", inputs)
	}
	at, err := artifact.ParseLocation(inputs[1].URI)
	must(t, err)
	if inputs[1].Seal != artifact.SealName(at, step.WorkflowUID) {
		t.Errorf("the seal is %s", inputs[1].Seal)
	}
}

// Each case breaks one thing about a pod that is otherwise sealed.
func TestFactsRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, s *scene)
		want  reason.Code
	}{
		"a tag that is gone": {func(_ *testing.T, s *scene) { delete(s.pod.Annotations, v1alpha1.AnnotationTag) }, reason.TagInvalid},
		"a tag under somebody else's key": {func(t *testing.T, s *scene) {
			s.keys = newScene(t, "producer", nil).keys
			s.retag(t)
		}, reason.TagInvalid},
		"a tag for another namespace": {func(t *testing.T, s *scene) { s.tag.Namespace = "other"; s.retag(t) }, reason.TagInvalid},
		"a tag for another pod":       {func(t *testing.T, s *scene) { s.tag.Pod += "x"; s.retag(t) }, reason.TagInvalid},
		"a tag for another workflow": {func(t *testing.T, s *scene) {
			s.tag.WorkflowUID = "11111111-2222-3333-4444-555555555555"
			s.retag(t)
		}, reason.TagInvalid},
		"a tag from long before the pod":   {func(t *testing.T, s *scene) { s.tag.IssuedAt = s.tag.IssuedAt.Add(-31 * time.Second); s.retag(t) }, reason.TagExpired},
		"a tag from long after the pod":    {func(t *testing.T, s *scene) { s.tag.IssuedAt = s.tag.IssuedAt.Add(31 * time.Second); s.retag(t) }, reason.TagExpired},
		"a workflow that is not the owner": {func(_ *testing.T, s *scene) { s.workflow.SetUID("11111111-2222-3333-4444-555555555555") }, reason.OwnerMismatch},
		"a workflow whose arguments changed meanwhile": {func(t *testing.T, s *scene) {
			must(t, unstructured.SetNestedSlice(s.workflow.Object, []any{map[string]any{"name": "source", "value": "reviewed"}}, "spec", "arguments", "parameters"))
		}, reason.DefinitionChanged},
		"a workflow whose entrypoint changed meanwhile": {func(t *testing.T, s *scene) {
			must(t, unstructured.SetNestedField(s.workflow.Object, "x", "spec", "entrypoint"))
		}, reason.DefinitionChanged},
		"a tag that knows no definition": {func(t *testing.T, s *scene) { s.tag.Definition = ""; s.retag(t) }, reason.DefinitionChanged},
		"a node id of another node":      {func(_ *testing.T, s *scene) { s.pod.Annotations[annotationNodeID] += "0" }, reason.NodeMismatch},
		"an executor image that is not the one that was believed": {func(t *testing.T, s *scene) {
			s.tag.Executor.Image = "quay.io/argoproj/argoexec:latest"
			s.rules.Identity.ExecutorImages = append(s.rules.Identity.ExecutorImages, s.tag.Executor.Image)
			s.retag(t)
		}, reason.ExecutorImageNotAllowed},
		"a creator that nobody knows": {func(t *testing.T, s *scene) { s.tag.Creator = "system:serviceaccount:demo:default"; s.retag(t) }, reason.ReplicasDisagree},
		"an executor image that nobody knows": {func(_ *testing.T, s *scene) {
			s.rules.Identity.ExecutorImages = []string{"quay.io/argoproj/argoexec:latest"}
		}, reason.ReplicasDisagree},
		"an executor's variable that nobody knows": {func(t *testing.T, s *scene) { s.tag.Executor.Env = []string{"HTTPS_PROXY=http://proxy:1"}; s.retag(t) }, reason.ReplicasDisagree},
		"a signer that nobody knows":               {func(t *testing.T, s *scene) { s.rules.SignerImages = []string{"another"} }, reason.ReplicasDisagree},
		"an executor's variable that was not believed": {func(_ *testing.T, s *scene) {
			wait := &s.pod.Spec.Containers[0]
			wait.Env = append(wait.Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://proxy:1"})
		}, reason.StructureAltered},
		"a sidecar that runs as somebody else": {func(_ *testing.T, s *scene) {
			s.signerSpec().SecurityContext.RunAsUser = new(int64)
		}, reason.StructureAltered},
		"a wait with another command":           {func(_ *testing.T, s *scene) { s.pod.Spec.Containers[0].Command[0] = "/tmp/argoexec" }, reason.StructureAltered},
		"a main that is not under the emissary": {func(_ *testing.T, s *scene) { s.pod.Spec.Containers[1].Command = []string{"sh", "-c"} }, reason.StructureAltered},
		"a foreign mount of the staging area": {func(_ *testing.T, s *scene) {
			s.pod.Spec.Containers[1].VolumeMounts = append(s.pod.Spec.Containers[1].VolumeMounts, corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/x"})
		}, reason.StructureAltered},
		"a shared process namespace": {func(_ *testing.T, s *scene) {
			s.pod.Spec.ShareProcessNamespace = new(bool)
			*s.pod.Spec.ShareProcessNamespace = true
		}, reason.StructureAltered},
		"a sidecar from another image": {func(_ *testing.T, s *scene) {
			s.signerSpec().Image = strings.Replace(testSigner, "1111", "2222", 1)
		}, reason.StructureAltered},
		"a sidecar that the tag does not know": {func(t *testing.T, s *scene) {
			s.tag.Signer = strings.Replace(testSigner, "1111", "2222", 1)
			s.rules.SignerImages = append(s.rules.SignerImages, s.tag.Signer)
			s.retag(t)
		}, reason.StructureAltered},
		"a sidecar with other arguments": {func(_ *testing.T, s *scene) { s.signerSpec().Args[1] = "--staged=/tmp" }, reason.StructureAltered},
		"a sidecar that is gone":         {func(_ *testing.T, s *scene) { s.pod.Spec.InitContainers = s.pod.Spec.InitContainers[:1] }, reason.StructureAltered},
		"pins that the pod does not check": {func(t *testing.T, s *scene) {
			s.tag.Pins = []artifact.Pin{{Input: "x", Location: "s3://h/b/k", SHA256: artifact.Digest(strings.Repeat("a", 64)), Archive: artifact.ArchiveTar, Tree: artifact.Digest(strings.Repeat("b", 64))}}
			s.retag(t)
		}, reason.TagInvalid},
		"a kubelet that ran another image as the sidecar": {func(_ *testing.T, s *scene) {
			s.signerStatus().ImageID = strings.Replace(testSigner, "1111", "2222", 1)
		}, reason.StructureAltered},
		"a kubelet that gives no digest for the sidecar": {func(_ *testing.T, s *scene) { s.signerStatus().ImageID = "sha256:" + strings.Repeat("1", 64) }, reason.StructureAltered},
		"a sidecar that was restarted":                   {func(_ *testing.T, s *scene) { s.signerStatus().RestartCount = 1 }, reason.SidecarRestarted},
		"a sidecar that was killed":                      {func(_ *testing.T, s *scene) { s.signerStatus().State.Terminated.ExitCode = 137 }, reason.MeasurementMissing},
		"a sidecar that never ended":                     {func(_ *testing.T, s *scene) { s.signerStatus().State = corev1.ContainerState{} }, reason.MeasurementMissing},
		"two statuses of the sidecar": {func(_ *testing.T, s *scene) {
			s.pod.Status.InitContainerStatuses = append(s.pod.Status.InitContainerStatuses, *s.signerStatus())
		}, reason.MeasurementMissing},
		"a status of the sidecar among the wrong containers": {func(_ *testing.T, s *scene) {
			s.pod.Status.ContainerStatuses = append(s.pod.Status.ContainerStatuses, *s.signerStatus())
			s.pod.Status.InitContainerStatuses = s.pod.Status.InitContainerStatuses[:1]
		}, reason.MeasurementMissing},
		"a sidecar that said nothing": {func(_ *testing.T, s *scene) { s.signerStatus().State.Terminated.Message = "" }, reason.MeasurementMissing},
		"a measurement that was cut": {func(_ *testing.T, s *scene) {
			end := s.signerStatus().State.Terminated
			end.Message = end.Message[:len(end.Message)-1]
		}, reason.MeasurementIncomplete},
		"a measurement without a declared output": {func(t *testing.T, s *scene) {
			s.measure(t, artifact.Measurement{{Output: "other", Problem: reason.OutputAbsent}})
		}, reason.MeasurementIncomplete},
		"a measurement with an undeclared output": {func(t *testing.T, s *scene) {
			s.measure(t, artifact.Measurement{{Output: helloOutput, Problem: reason.OutputAbsent}, {Output: "other", Problem: reason.OutputAbsent}})
		}, reason.MeasurementIncomplete},
		"an only output that is absent": {func(t *testing.T, s *scene) {
			s.measure(t, artifact.Measurement{{Output: helloOutput, Problem: reason.OutputAbsent}})
		}, reason.OutputAbsent},
		"an only output that is unreadable": {func(t *testing.T, s *scene) {
			s.measure(t, artifact.Measurement{{Output: helloOutput, Problem: reason.OutputUnreadable}})
		}, reason.OutputUnreadable},
		"a failed upload":         {func(_ *testing.T, s *scene) { s.status("wait").State.Terminated.ExitCode = 1 }, reason.UploadFailed},
		"a wait that never ended": {func(_ *testing.T, s *scene) { s.status("wait").State = corev1.ContainerState{} }, reason.UploadFailed},
		"a main that never ended": {func(_ *testing.T, s *scene) { s.status("main").State = corev1.ContainerState{} }, reason.StructureAltered},
		"a form that the output's strategy does not give": {func(t *testing.T, s *scene) {
			sum := artifact.Sum{Form: artifact.FormFile, SHA256: artifact.Digest(strings.Repeat("a", 64))}
			sum.Tree = artifact.FileTree(sum.SHA256)
			s.measure(t, artifact.Measurement{{Output: helloOutput, Sum: sum}})
		}, reason.MeasurementIncomplete},
		"a kubelet without times": {func(_ *testing.T, s *scene) {
			for _, list := range [][]corev1.ContainerStatus{s.pod.Status.InitContainerStatuses, s.pod.Status.ContainerStatuses} {
				for i := range list {
					list[i].State.Terminated.StartedAt = metav1.Time{}
				}
			}
		}, reason.StructureAltered},
		"a template without outputs": {func(_ *testing.T, s *scene) {
			s.template(`{"artifacts":[{"name":"hello-art","path":"/tmp/hello_world.txt"}]}`, `{}`)
		}, reason.NothingToSeal},
		"an output of an archive we cannot measure": {func(_ *testing.T, s *scene) {
			s.template(`"path":"/tmp/hello_world.txt"}`, `"path":"/tmp/hello_world.txt","archive":{}}`)
			s.pod.Spec.InitContainers = s.pod.Spec.InitContainers[:1]
			s.dropVolume("argoseal-no-token")
			s.inject(t)
		}, reason.ArchiveUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			s := producer(t)
			c.spoil(t, s)
			_, _, err := s.rules.Facts(s.witness(t))
			if err == nil {
				t.Fatal("it was accepted")
			}
			if reason.Of(err) != c.want {
				t.Errorf("refused with %v, want %s", err, c.want)
			}
		})
	}
}

func TestTagsWithinThirtySecondsCount(t *testing.T) {
	for name, shift := range map[string]time.Duration{"before": -30 * time.Second, "at once": 0, "after": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			s := producer(t)
			s.tag.IssuedAt = s.tag.IssuedAt.Add(shift)
			s.retag(t)
			if _, _, err := s.rules.Facts(s.witness(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOutputsAtTheSameLocationAreNotSealed(t *testing.T) {
	s := producer(t)
	const key = `"s3":{"key":"one.tgz"}`
	s.template(`{"name":"hello-art","path":"/tmp/hello_world.txt"}`,
		`{"name":"hello-art","path":"/tmp/a",`+key+`},{"name":"again","path":"/tmp/b",`+key+`},{"name":"third","path":"/tmp/c"}`)
	s.inject(t)
	facts, fates, err := s.rules.Facts(s.witness(t))
	must(t, err)
	if len(facts.Subjects) != 1 || facts.Subjects[0].Output != "third" || len(fates) != 3 {
		t.Fatalf("subjects %+v, fates %+v", facts.Subjects, fates)
	}
	for _, u := range facts.Unsealed {
		if u.Reason != reason.LocationInvalid {
			t.Errorf("%s is not sealed because of %s", u.Output, u.Reason)
		}
	}
}

// What the operator says about the executor and the signer is in the tag, and the
// notary knows what was said before, so it holds for a pod that an upgrade finds
// running.
func TestAPodIsHeldToWhatWasBelievedWhenItWasAdmitted(t *testing.T) {
	s := producer(t)
	user := int64(8737)
	s.tag.Executor.Env, s.tag.Executor.User = []string{"HTTPS_PROXY=http://proxy:1"}, &user
	s.rules.Identity.ExecutorEnv = []string{"HTTPS_PROXY=http://proxy:2", "HTTPS_PROXY=http://proxy:1"}
	s.rules.Identity.ExecutorImages = append([]string{"later"}, s.rules.Identity.ExecutorImages...)
	s.rules.SignerImages = append([]string{"later"}, s.rules.SignerImages...)
	wait := &s.pod.Spec.Containers[0]
	wait.Env = append(wait.Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://proxy:1"})
	s.signerSpec().SecurityContext.RunAsUser = &user
	s.retag(t)
	if _, _, err := s.rules.Facts(s.witness(t)); err != nil {
		t.Error(err)
	}
}

func TestTheZeroRulesAcceptNothing(t *testing.T) {
	s := producer(t)
	for name, rules := range map[string]Rules{
		"none at all":      {},
		"no tag keys":      {Tags: tag.Keys{}, Identity: s.rules.Identity, SignerImages: s.rules.SignerImages, Cluster: "c", Version: "v"},
		"no identity":      {Tags: s.keys, SignerImages: s.rules.SignerImages, Cluster: "c", Version: "v"},
		"no signer images": {Tags: s.keys, Identity: s.rules.Identity, Cluster: "c", Version: "v"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := rules.Facts(s.witness(t)); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func (s *scene) signerSpec() *corev1.Container {
	for i, c := range s.pod.Spec.InitContainers {
		if c.Name == containerSigner {
			return &s.pod.Spec.InitContainers[i]
		}
	}
	panic("no sidecar")
}

func (s *scene) dropVolume(name string) {
	var kept []corev1.Volume
	for _, v := range s.pod.Spec.Volumes {
		if v.Name != name {
			kept = append(kept, v)
		}
	}
	s.pod.Spec.Volumes = kept
}

// What a workflow refers to by name is stated by what Argo made of it.
func TestAReferencedTemplateIsStatedByDigest(t *testing.T) {
	s := producer(t)
	spec := s.workflow.Object["spec"].(map[string]any)
	ref := map[string]any{"name": "build", "clusterScope": true}
	s.workflow.Object["spec"] = map[string]any{"workflowTemplateRef": ref}
	spec["workflowTemplateRef"] = ref
	status := map[string]any{"storedWorkflowTemplateSpec": spec}
	s.workflow.Object["status"] = nil
	s.define(t)
	s.retag(t)
	if _, _, err := s.rules.Facts(s.witness(t)); reason.Of(err) != reason.DefinitionIncomplete {
		t.Fatalf("before Argo has stored it: %v", err)
	}
	s.workflow.Object["status"] = status
	facts, _, err := s.rules.Facts(s.witness(t))
	if err != nil {
		t.Fatal(err)
	}
	want := provenance.WorkflowTemplate{Name: "build", ClusterScope: true}
	if r := facts.Definition.References; len(r) != 1 || r[0].WorkflowTemplate != want || r[0].Template != "" || facts.Definition.Effective() != r[0].SHA256 {
		t.Errorf("references are %+v", r)
	}
	spec["templates"].([]any)[1].(map[string]any)["container"].(map[string]any)["image"] = "evil"
	if _, _, err := s.rules.Facts(s.witness(t)); reason.Of(err) != reason.DefinitionChanged {
		t.Errorf("after Argo has stored another: %v", err)
	}
}
