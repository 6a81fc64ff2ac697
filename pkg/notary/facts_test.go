package notary

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/epoch/epochtest"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

func TestFactsOfAGoodPod(t *testing.T) {
	s := producer(t)
	facts, noted, err := s.rules.facts(s.witness(t))
	must(t, err)
	payload, err := provenance.Build(facts)
	must(t, err)
	st, err := provenance.Parse(payload)
	must(t, err)
	if got, want := st.InvocationID(), string(s.workflow.GetUID())+"/"+s.pod.Annotations[layout.AnnotationNodeID]+"/"+string(s.pod.UID); got != want {
		t.Errorf("invocation id is %q, want %q", got, want)
	}
	const uri = "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz"
	want := v1alpha1.OutputStatus{Name: helloOutput, Location: uri, SHA256: strings.Repeat("a", 64)}
	if len(noted) != 1 || !reflect.DeepEqual(noted[0], want) {
		t.Errorf("noted are %+v, want %+v", noted, want)
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
	if st.Builder.Level != provenance.LevelIsolated {
		t.Errorf("level is %q: every guard was there, and nothing reached in", st.Builder.Level)
	}
}

// The pod went through a real cluster as it is, our webhooks and our sidecar
// included; only its tag is issued anew, under a key that the test has. It is one
// that an upgrade finds: the webhook that admitted it did not hand wait the template.
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
	s.predate(t)
	facts, noted, err := s.rules.facts(s.witness(t))
	must(t, err)
	if _, err := provenance.Build(facts); err != nil {
		t.Error(err)
	}
	const digest = "46308d5483f41af1fddac1df97420e24df6f9b461faa35999cd4721700b6c0ce"
	if len(noted) != 1 || noted[0].Name != "message" || facts.Subjects[0].Size != 116 || noted[0].SHA256 != digest {
		t.Errorf("noted %+v, subjects %+v, want %s", noted, facts.Subjects, digest)
	}
}

// What a policy admitted from outside has no seal, and is said to have none.
func TestFactsNameTheInputsFromOutside(t *testing.T) {
	const uri = "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz"
	s := newScene(t, "consumer", []pin.Pin{{Input: "message", Location: uri, Archive: content.ArchiveDetect, Policy: "datasets"}})
	s.template(`"outputs":{}`, `"outputs":{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`)
	s.inject(t)
	facts, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	if want := (provenance.Input{Name: "message", URI: uri, Archive: content.ArchiveDetect, Policy: "datasets"}); len(facts.Inputs) != 1 || facts.Inputs[0] != want {
		t.Errorf("inputs are %+v", facts.Inputs)
	}
}

// What another workflow sealed is said to be vouched for by that seal.
func TestFactsNameTheSealsOfOtherWorkflows(t *testing.T) {
	const uri = "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz"
	d := artifact.Digest(strings.Repeat("a", 64))
	s := newScene(t, "consumer", []pin.Pin{{Input: "message", Location: uri, SHA256: d, Archive: content.ArchiveZip, Tree: d, Policy: "lib", Seal: "lib/x"}})
	s.template(`"outputs":{}`, `"outputs":{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`)
	s.inject(t)
	facts, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	if want := (provenance.Input{Name: "message", URI: uri, SHA256: d, Archive: content.ArchiveZip, Tree: d, Policy: "lib", Seal: "lib/x"}); len(facts.Inputs) != 1 || facts.Inputs[0] != want {
		t.Errorf("inputs are %+v", facts.Inputs)
	}
}

func TestFactsNameThePinnedInputs(t *testing.T) {
	const uri = "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz"
	approved := pin.Pin{Input: "message", Location: uri, SHA256: artifact.Digest(strings.Repeat("a", 64)), Archive: content.ArchiveTar, Tree: artifact.Digest(strings.Repeat("b", 64))}
	s := newScene(t, "consumer", []pin.Pin{approved})
	s.template(`"outputs":{}`, `"outputs":{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`)
	s.inject(t)
	facts, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	if len(facts.Inputs) != 1 || facts.Inputs[0].URI != uri || facts.Inputs[0].SHA256 != approved.SHA256 || facts.Inputs[0].Seal == "" {
		t.Errorf("inputs are %+v", facts.Inputs)
	}
}

// What was not there was not consumed.
func TestFactsDoNotNameInputsThatWereAbsent(t *testing.T) {
	approved := pin.Pin{
		Input: "message", Archive: content.ArchiveDetect, Absent: true,
		Location: "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz",
	}
	s := newScene(t, "consumer", nil)
	s.template(`"outputs":{}`, `"outputs":{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`)
	s.template(`"name":"message",`, `"name":"message","optional":true,`)
	s.tag.Pins = []pin.Pin{approved}
	s.inject(t)
	facts, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	if len(facts.Inputs) != 0 {
		t.Errorf("inputs are %+v", facts.Inputs)
	}
}

// In a mode that refuses nothing a step may run on other inputs than those of
// its tag. Nothing is then sealed that would name these.
func TestWhatRanOnOtherInputsIsNotSealed(t *testing.T) {
	approved := pin.Pin{
		Input: "message", SHA256: artifact.Digest(strings.Repeat("a", 64)), Archive: content.ArchiveTar, Tree: artifact.Digest(strings.Repeat("b", 64)),
		Location: "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz",
	}
	const nothing, unsealable = `{}`, `{"artifacts":[{"name":"copy","path":"/tmp/copy","archive":{"zip":{}},"http":{"url":"http://x/y"}}]}`
	for name, c := range map[string]struct {
		mode    v1alpha1.Mode
		outputs string
		verify  func(*corev1.ContainerStatus)
		want    reason.Code
	}{
		"what was reported of a step of which nothing can be sealed": {v1alpha1.ModeWarn, unsealable, func(s *corev1.ContainerStatus) {
			s.State.Terminated.Message = "InputExtra: x"
		}, reason.InputAltered},
		"what was pinned": {v1alpha1.ModeAudit, "", func(*corev1.ContainerStatus) {}, ""},
		"what was reported": {v1alpha1.ModeAudit, "", func(s *corev1.ContainerStatus) {
			s.State.Terminated.Message = "InputExtra: x"
		}, reason.InputAltered},
		"what was reported of a step without outputs": {v1alpha1.ModeWarn, nothing, func(s *corev1.ContainerStatus) {
			s.State.Terminated.Message = "InputExtra: x"
		}, reason.InputAltered},
		"what was pinned for a step without outputs": {v1alpha1.ModeWarn, nothing, func(*corev1.ContainerStatus) {}, reason.NothingToSeal},
		"a check that never ended": {v1alpha1.ModeEnforce, "", func(s *corev1.ContainerStatus) {
			s.State = corev1.ContainerState{}
		}, reason.StructureAltered},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "consumer", []pin.Pin{approved})
			s.tag.Mode = c.mode
			s.template(`"outputs":{}`, `"outputs":`+cmp.Or(c.outputs, `{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`))
			s.inject(t)
			c.verify(find(s.pod.Status.InitContainerStatuses, containerVerify))
			_, _, err := s.rules.facts(s.witness(t))
			if reason.Of(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if strings.HasPrefix(name, "what was reported") && !strings.Contains(err.Error(), "InputExtra: x") {
				t.Errorf("%v does not say what was found", err)
			}
		})
	}
	t.Run("an enforced check that only reports", func(t *testing.T) {
		s := newScene(t, "consumer", []pin.Pin{approved})
		s.tag.Mode = v1alpha1.ModeAudit
		s.template(`"outputs":{}`, `"outputs":{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`)
		s.inject(t)
		s.tag.Mode = v1alpha1.ModeEnforce
		s.retag(t)
		if _, _, err := s.rules.facts(s.witness(t)); reason.Of(err) != reason.StructureAltered {
			t.Errorf("got %v", err)
		}
	})
}

// An init container that fails ends the pod: the kubelet starts nothing after it.
// What is recorded is which it was, and of our check what it found.
func TestAStepThatNeverStartedIsSaidToHaveBeenStopped(t *testing.T) {
	approved := pin.Pin{
		Input: "message", SHA256: artifact.Digest(strings.Repeat("a", 64)), Archive: content.ArchiveTar, Tree: artifact.Digest(strings.Repeat("b", 64)),
		Location: "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz",
	}
	copied := `{"artifacts":[{"name":"copy","path":"/tmp/copy"}]}`
	for name, c := range map[string]struct {
		outputs, stopped string
		end              corev1.ContainerStateTerminated
		want             reason.Code
		says             string
	}{
		"by our check":                          {copied, containerVerify, corev1.ContainerStateTerminated{ExitCode: 10, Message: "InputAltered: artifact message: x"}, reason.InputAltered, "artifact message: x"},
		"by our check, which left no message":   {copied, containerVerify, corev1.ContainerStateTerminated{ExitCode: 1}, reason.InputAltered, "exit code 1"},
		"by our check, and had no outputs":      {`{}`, containerVerify, corev1.ContainerStateTerminated{ExitCode: 11, Message: "InputMissing: x"}, reason.InputAltered, "InputMissing: x"},
		"in our check, which was killed":        {copied, containerVerify, corev1.ContainerStateTerminated{ExitCode: 137, Message: "The container could not be located"}, reason.UploadFailed, "wait never started: argoseal-verify ended with exit code 137"},
		"by Argo's init":                        {copied, "init", corev1.ContainerStateTerminated{ExitCode: 64}, reason.UploadFailed, "wait never started: init ended with exit code 64"},
		"by Argo's init, and had no outputs":    {`{}`, "init", corev1.ContainerStateTerminated{ExitCode: 64}, reason.NothingToSeal, ""},
		"killed in our check without an output": {`{}`, containerVerify, corev1.ContainerStateTerminated{ExitCode: 143}, reason.NothingToSeal, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "consumer", []pin.Pin{approved})
			s.template(`"outputs":{}`, `"outputs":`+c.outputs)
			s.inject(t)
			s.stop(c.stopped, c.end)
			_, _, err := s.rules.facts(s.witness(t))
			if reason.Of(err) != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %s with %q", err, c.want, c.says)
			}
		})
	}
}

// stop has the kubelet start nothing after an init container that ended so.
func (s *scene) stop(container string, end corev1.ContainerStateTerminated) {
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}
	s.pod.Status.Phase = corev1.PodFailed
	reached := false
	for i := range s.pod.Status.InitContainerStatuses {
		status := &s.pod.Status.InitContainerStatuses[i]
		switch {
		case status.Name == container:
			reached = true
			status.State = corev1.ContainerState{Terminated: &end}
		case reached:
			status.State = waiting
		}
	}
	s.status("main").State, s.status("wait").State = waiting, waiting
}

// An input on a volume that others may write is said to have lain there.
func TestFactsNameTheVolumesOfInputs(t *testing.T) {
	const uri = "s3://s3.argo.svc:7070/artifacts/artifact-passing-wqtf9/artifact-passing-wqtf9-hello-world-to-file-1177364071/hello-art.tgz"
	d := artifact.Digest(strings.Repeat("a", 64))
	for volume, source := range map[string]corev1.VolumeSource{
		"":     {EmptyDir: &corev1.EmptyDirVolumeSource{}},
		"work": {PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "shared"}},
	} {
		s := newScene(t, "consumer", []pin.Pin{{Input: "message", Location: uri, SHA256: d, Archive: content.ArchiveTar, Tree: d}})
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
		facts, _, err := s.rules.facts(s.witness(t))
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
	facts, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	if facts.Outcome.Result != provenance.Failed || len(facts.Subjects) != 1 {
		t.Errorf("outcome %+v, subjects %+v", facts.Outcome, facts.Subjects)
	}
}

// What the sidecar says of an output that it cannot measure stands on the record,
// and if nothing else is sealed, in the refusal.
func TestWhatCannotBeMeasuredIsSaid(t *testing.T) {
	s := producer(t)
	s.template(`{"name":"hello-art"`, `{"name":"second","path":"/tmp/second"},{"name":"hello-art"`)
	s.inject(t)
	const note = `"x" has a setuid or setgid bit, which Argo never sets`
	unreadable := measurement.Entry{Output: helloOutput, Found: measurement.NewProblem(reason.OutputUnreadable, note)}
	s.measure(t, measurement.Measurement{unreadable, {Output: "second", Found: measurement.Bytes{Sum: content.Sum{
		Form: content.FormTar, Size: 1, SHA256: artifact.Digest(strings.Repeat("c", 64)), Tree: artifact.Digest(strings.Repeat("d", 64)),
	}}}})
	facts, noted, err := s.rules.facts(s.witness(t))
	must(t, err)
	for _, f := range noted {
		want := map[string]string{helloOutput: note}[f.Name]
		if f.Message != want || (f.Reason == string(reason.OutputUnreadable)) != (f.Name == helloOutput) {
			t.Errorf("fate %+v, want message %q", f, want)
		}
	}
	if len(facts.Subjects) != 1 {
		t.Errorf("subjects %+v", facts.Subjects)
	}
	s = producer(t)
	s.measure(t, measurement.Measurement{unreadable})
	_, noted, err = s.rules.facts(s.witness(t))
	if reason.Of(err) != reason.OutputUnreadable || !strings.Contains(err.Error(), note) || noted[0].Message != note {
		t.Errorf("got %v, noted %+v", err, noted)
	}
}

func TestAnAbsentOptionalOutputHasAReason(t *testing.T) {
	s := producer(t)
	s.template(`"outputs":{"artifacts":[`, `"outputs":{"artifacts":[{"name":"maybe","path":"/tmp/maybe","optional":true},`)
	s.inject(t)
	s.measure(t, measurement.Measurement{
		{Output: helloOutput, Found: measurement.Bytes{Sum: content.Sum{Form: content.FormTar, Size: 1, SHA256: artifact.Digest(strings.Repeat("a", 64)), Tree: artifact.Digest(strings.Repeat("b", 64))}}},
		{Output: "maybe", Found: measurement.Problem{Code: reason.OutputAbsent}},
	})
	facts, noted, err := s.rules.facts(s.witness(t))
	must(t, err)
	if len(facts.Subjects) != 1 || len(facts.Unsealed) != 1 || facts.Unsealed[0] != (provenance.Unsealed{Output: "maybe", Reason: reason.OutputAbsent}) {
		t.Errorf("subjects %+v, unsealed %+v", facts.Subjects, facts.Unsealed)
	}
	if len(noted) != 2 || noted[0].Reason != string(reason.OutputAbsent) || noted[1].SHA256 == "" {
		t.Errorf("noted are %+v", noted)
	}
}

func TestWhatIsStoredWithoutAnArchiveLiesWhereItsFormSays(t *testing.T) {
	file := content.Sum{Form: content.FormFile, Size: 1, SHA256: artifact.Digest(strings.Repeat("a", 64))}
	file.Tree = content.FileTree(file.SHA256)
	directory := content.Sum{Form: content.FormDirectory, Size: 1, SHA256: file.SHA256, Tree: file.SHA256}
	for title, c := range map[string]struct {
		key  string
		sum  content.Sum
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
			s.measure(t, measurement.Measurement{{Output: helloOutput, Found: measurement.Bytes{Sum: c.sum}}})
			facts, noted, err := s.rules.facts(s.witness(t))
			if c.want == "" {
				if reason.Of(err) != reason.LocationInvalid {
					t.Errorf("sealed as %+v, %v", facts.Subjects, err)
				}
				return
			}
			must(t, err)
			if uri := facts.Subjects[0].URI; !strings.HasSuffix(uri, c.want) || noted[0].Location != uri {
				t.Errorf("it lies at %s, by its fate at %s", uri, noted[0].Location)
			}
		})
	}
}

func TestTheFilesOfASmallDirectoryAreOnRecord(t *testing.T) {
	files := content.Files{{Path: "a", SHA256: artifact.Digest(strings.Repeat("a", 64))}}
	s := producer(t)
	s.template(`"path":"/tmp/hello_world.txt"`, `"path":"/tmp/hello_world.txt","archive":{"none":{}}`)
	s.inject(t)
	s.measure(t, measurement.Measurement{{Output: helloOutput, Found: measurement.Bytes{Sum: content.Sum{Form: content.FormDirectory, SHA256: files.Tree(), Tree: files.Tree()}, Files: files}}})
	facts, noted, err := s.rules.facts(s.witness(t))
	must(t, err)
	again := stated(&provenance.Statement{Facts: facts}, noted)
	if noted[0].Files != files.String() || again[0].Files != files.String() {
		t.Errorf("the files are %q, in the end %q", noted[0].Files, again[0].Files)
	}
}

// TestTheImagesInALayoutAreStatedAndFound: what the sidecar measured is in the statement,
// on the record, and on the ArtifactSeal with a label by which it is found.
func TestTheImagesInALayoutAreStatedAndFound(t *testing.T) {
	images := oci.Images{
		{Digest: artifact.Digest(strings.Repeat("c", 64)), Kind: oci.KindManifest, Platform: "linux/amd64"},
		{Digest: artifact.Digest(strings.Repeat("d", 64)), Kind: oci.KindIndex},
	}
	s := producer(t)
	sum := content.Sum{Form: content.FormTar, Size: 1, SHA256: artifact.Digest(strings.Repeat("a", 64)), Tree: artifact.Digest(strings.Repeat("b", 64))}
	s.measure(t, measurement.Measurement{{Output: helloOutput, Found: measurement.Bytes{Sum: sum, Images: images}}})
	facts, noted, err := s.rules.facts(s.witness(t))
	must(t, err)
	payload, err := provenance.Build(facts)
	must(t, err)
	st, err := provenance.Parse(payload)
	must(t, err)
	want := []v1alpha1.SealedImage{
		{SHA256: strings.Repeat("c", 64), MediaType: "application/vnd.oci.image.manifest.v1+json", Platform: "linux/amd64"},
		{SHA256: strings.Repeat("d", 64), MediaType: "application/vnd.oci.image.index.v1+json"},
	}
	if got := stated(st, noted)[0].Images; !slices.Equal(got, want) || !slices.Equal(noted[0].Images, want) {
		t.Errorf("on record are %+v, before %+v", got, noted[0].Images)
	}
	seals, err := sealsOf(&v1alpha1.Provenance{}, st)
	must(t, err)
	if !slices.Equal(seals[0].Spec.Images, want) {
		t.Errorf("the ArtifactSeal has %+v", seals[0].Spec.Images)
	}
	for _, i := range images {
		key := v1alpha1.LabelImagePrefix + artifact.DigestLabel(i.Digest)
		if problems := validation.IsQualifiedName(key); seals[0].Labels[key] != v1alpha1.ImageMeasured || len(problems) > 0 {
			t.Errorf("its labels are %v: %v", seals[0].Labels, problems)
		}
	}
}

// TestImagesCostNoOutputItsSeal: where there is no room for them, the outputs are sealed
// without.
func TestImagesCostNoOutputItsSeal(t *testing.T) {
	for outputs, want := range map[int]int{1: maxStatedImages, 1000: 24, provenance.MaxSubjects: 0, provenance.MaxSubjects + 1: 0} {
		if got := roomForImages(outputs); got != want {
			t.Errorf("beside %d outputs there is room for %d images, want %d", outputs, got, want)
		}
	}
	var images oci.Images
	for i := range oci.MaxImages {
		images = append(images, oci.Image{Digest: artifact.Digest(fmt.Sprintf("%064x", i+1)), Kind: oci.KindManifest})
	}
	s := producer(t)
	sum := content.Sum{Form: content.FormTar, Size: 1, SHA256: artifact.Digest(strings.Repeat("a", 64)), Tree: artifact.Digest(strings.Repeat("b", 64))}
	s.measure(t, measurement.Measurement{{Output: helloOutput, Found: measurement.Bytes{Sum: sum, Images: images}}})
	facts, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	stated := func(f provenance.Facts) *provenance.Statement {
		payload, err := built(f)
		must(t, err)
		st, err := provenance.Parse(payload)
		must(t, err)
		return st
	}
	if st := stated(facts); len(st.Measured) != oci.MaxImages {
		t.Errorf("with room, %d images are stated", len(st.Measured))
	}
	plain := facts
	plain.Measured = nil
	for {
		more := plain.Subjects[0]
		n := len(plain.Subjects)
		more.Output, more.URI = fmt.Sprintf("o%d", n), fmt.Sprintf("s3://minio:9000/artifacts/%d/%s", n, strings.Repeat("k", 900))
		next := plain
		next.Subjects = append(slices.Clone(plain.Subjects), more)
		if _, err := provenance.Build(next); err != nil {
			break
		}
		plain = next
	}
	facts.Subjects = plain.Subjects
	if _, err := provenance.Build(facts); err == nil {
		t.Fatal("there is room")
	}
	if st := stated(facts); len(st.Subjects) != len(plain.Subjects) || len(st.Measured) != 0 {
		t.Errorf("without room, %d of %d subjects and %d images are stated", len(st.Subjects), len(plain.Subjects), len(st.Measured))
	}
}

func TestAPartOfADirectoryNamesTheDirectorysSeal(t *testing.T) {
	s := newScene(t, "consumer", nil)
	step, err := argo.Parse(s.pod)
	must(t, err)
	in := step.PinnedInputs()[0]
	dir := in.Above()[0]
	digest := artifact.Digest(strings.Repeat("a", 64))
	approved := pin.Pin{Input: in.Name, Location: in.URI(), SHA256: digest, Archive: content.ArchiveNone, Tree: content.FileTree(digest), Within: dir.URI()}
	must(t, approved.Validate())
	inputs, err := inputsOf(step, []pin.Pin{approved})
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
	*in = in.OnMount(argo.Mount{Volume: "shared"})
	digest := artifact.Digest(strings.Repeat("a", 64))
	approved := pin.Pin{Input: in.Name, Location: in.Location().Prefix().URI()}
	must(t, approved.Collect([]content.File{{Path: "a", SHA256: digest}, {Path: "b/c/d", SHA256: digest}, {Path: "b/c/e", SHA256: digest}}, []string{"b/c"}))
	inputs, err := inputsOf(step, []pin.Pin{approved})
	must(t, err)
	at := in.Location().Prefix()
	at.Key += "b/c/"
	whole := content.Files{{Path: "d", SHA256: digest}, {Path: "e", SHA256: digest}}.Tree()
	want := provenance.Input{
		Name: in.Name + "/b/c", URI: at.URI(), SHA256: whole, Archive: content.ArchiveNone, Tree: whole,
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
	in := step.PinnedInputs()[0]
	digest := artifact.Digest(strings.Repeat("a", 64))
	files := content.Files{{Path: "a", SHA256: digest}, {Path: "b/c", SHA256: digest}}
	approved := pin.Pin{
		Input: in.Name, Location: in.Location().Prefix().URI(), SHA256: files.Tree(), Archive: content.ArchiveNone, Tree: files.Tree(), Files: files.String(),
	}
	must(t, approved.Validate())
	inputs, err := inputsOf(step, []pin.Pin{approved})
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

// The upgrade to the first release with a record costs no pod that runs its seal.
func TestAPodFromBeforeTheRecordIsSealed(t *testing.T) {
	s := producer(t)
	s.moment = epochtest.Found(testNamespaceUID, s.pod.CreationTimestamp.Add(time.Hour))
	if _, _, err := s.rules.facts(s.witness(t)); err != nil {
		t.Error(err)
	}
	must(t, unstructured.SetNestedMap(s.workflow.Object, map[string]any{}, "status", "storedTemplates"))
	if _, _, err := s.rules.facts(s.witness(t)); reason.Of(err) != reason.GuardsNotHeld {
		t.Errorf("with copies of templates: %v", err)
	}
}

// A workflow's first pods are made before Argo stores what it makes of its spec.
func TestWhatArgoMadeOfASpecIsStated(t *testing.T) {
	first := func() *scene {
		s := producer(t)
		delete(s.workflow.Object, "status")
		s.define(t)
		s.retag(t)
		return s
	}
	store := func(s *scene) {
		must(t, unstructured.SetNestedField(s.workflow.Object, "Running", "status", "phase"))
		must(t, unstructured.SetNestedField(s.workflow.Object, int64(600), "spec", "ttlStrategy", "secondsAfterCompletion"))
	}
	s := first()
	if _, _, err := s.rules.facts(s.witness(t)); reason.Of(err) != reason.DefinitionIncomplete {
		t.Fatalf("before Argo has stored it: %v", err)
	}
	store(s)
	early, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	s.define(t)
	s.retag(t)
	late, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	if early.Definition.Spec == late.Definition.Spec || early.Definition.Stored != late.Definition.Spec || late.Definition.Stored != "" {
		t.Errorf("first %+v, later %+v", early.Definition, late.Definition)
	}
	// What a patch added to the pod is in no spec that says nothing of a patch.
	s = first()
	for i := range s.pod.Spec.Containers {
		if c := &s.pod.Spec.Containers[i]; c.Name == layout.ContainerMain {
			c.Env = append(c.Env, corev1.EnvVar{Name: "MORE", Value: "x"})
		}
	}
	store(s)
	patched, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	if len(patched.Definition.Overrides) == 0 || patched.Definition.Stored != "" {
		t.Errorf("with a variable more it is %+v", patched.Definition)
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
		"a tag for another namespace":              {func(t *testing.T, s *scene) { s.tag.Namespace = "other"; s.retag(t) }, reason.TagInvalid},
		"a tag for another namespace of that name": {func(t *testing.T, s *scene) { s.tag.NamespaceUID = "another"; s.retag(t) }, reason.TagInvalid},
		"a pod from before the guards held": {func(_ *testing.T, s *scene) {
			s.moment = epochtest.Held(testNamespaceUID, s.pod.CreationTimestamp.Add(time.Second))
		}, reason.GuardsNotHeld},
		"copies of templates in a workflow from before the guards held": {func(t *testing.T, s *scene) {
			must(t, unstructured.SetNestedMap(s.workflow.Object, map[string]any{}, "status", "storedTemplates"))
			s.moment = epochtest.Held(testNamespaceUID, s.workflow.GetCreationTimestamp().Add(time.Second))
			s.pod.CreationTimestamp = metav1.NewTime(s.workflow.GetCreationTimestamp().Add(time.Second))
			s.tag.IssuedAt = s.pod.CreationTimestamp.Time
			s.retag(t)
		}, reason.GuardsNotHeld},
		"a workflow from before the namespace had its mode": {func(t *testing.T, s *scene) {
			s.moment = epochtest.Held(testNamespaceUID, s.workflow.GetCreationTimestamp().Add(4*time.Second))
			s.pod.CreationTimestamp = metav1.NewTime(s.workflow.GetCreationTimestamp().Add(4 * time.Second))
			s.tag.IssuedAt = s.pod.CreationTimestamp.Time
			s.retag(t)
		}, reason.GuardsNotHeld},
		"a tag for another pod": {func(t *testing.T, s *scene) { s.tag.Pod += "x"; s.retag(t) }, reason.TagInvalid},
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
		"a wait that was not handed the template that the tag says it was": {func(_ *testing.T, s *scene) {
			s.waitSpec().Env = slices.DeleteFunc(s.waitSpec().Env, func(v corev1.EnvVar) bool { return v.Name == "ARGO_TEMPLATE" })
		}, reason.StructureAltered},
		"a wait that was handed another template": {func(_ *testing.T, s *scene) {
			env := s.waitSpec().Env
			env[len(env)-1].Value += " "
		}, reason.StructureAltered},
		"a refusal that was passed over": {func(t *testing.T, s *scene) { s.tag.Verdict = reason.NoProvenance; s.retag(t) }, reason.AdmissionRefused},
		"a tag that knows no definition": {func(t *testing.T, s *scene) { s.tag.Definition = ""; s.retag(t) }, reason.DefinitionChanged},
		"a node id of another node":      {func(_ *testing.T, s *scene) { s.pod.Annotations[layout.AnnotationNodeID] += "0" }, reason.NodeMismatch},
		"an executor image that is not the one that was trusted": {func(t *testing.T, s *scene) {
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
		"an executor's variable that was not trusted": {func(_ *testing.T, s *scene) {
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
			s.tag.Pins = []pin.Pin{{Input: "x", Location: "s3://h/b/k", SHA256: artifact.Digest(strings.Repeat("a", 64)), Archive: content.ArchiveTar, Tree: artifact.Digest(strings.Repeat("b", 64))}}
			s.retag(t)
		}, reason.TagInvalid},
		"a kubelet that ran another image as the sidecar": {func(_ *testing.T, s *scene) {
			s.signerStatus().ImageID = strings.Replace(testSigner, "1111", "2222", 1)
		}, reason.StructureAltered},
		"a kubelet that ran another image as wait": {func(_ *testing.T, s *scene) {
			s.status(layout.ContainerWait).ImageID = strings.Replace(testExecutor, "8ee0", "0000", 1)
		}, reason.StructureAltered},
		"a kubelet that ran another image as init": {func(_ *testing.T, s *scene) {
			s.pod.Status.InitContainerStatuses[0].ImageID = strings.Replace(testExecutor, "8ee0", "0000", 1)
		}, reason.StructureAltered},
		"a sidecar that was restarted": {func(_ *testing.T, s *scene) { s.signerStatus().RestartCount = 1 }, reason.SidecarRestarted},
		"a sidecar that was killed":    {func(_ *testing.T, s *scene) { s.signerStatus().State.Terminated.ExitCode = 137 }, reason.MeasurementMissing},
		"a sidecar that never ended":   {func(_ *testing.T, s *scene) { s.signerStatus().State = corev1.ContainerState{} }, reason.MeasurementMissing},
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
			s.measure(t, measurement.Measurement{{Output: "other", Found: measurement.Problem{Code: reason.OutputAbsent}}})
		}, reason.MeasurementIncomplete},
		"a measurement with an undeclared output": {func(t *testing.T, s *scene) {
			s.measure(t, measurement.Measurement{{Output: helloOutput, Found: measurement.Problem{Code: reason.OutputAbsent}}, {Output: "other", Found: measurement.Problem{Code: reason.OutputAbsent}}})
		}, reason.MeasurementIncomplete},
		"an only output that is absent": {func(t *testing.T, s *scene) {
			s.measure(t, measurement.Measurement{{Output: helloOutput, Found: measurement.Problem{Code: reason.OutputAbsent}}})
		}, reason.OutputAbsent},
		"an only output that is unreadable": {func(t *testing.T, s *scene) {
			s.measure(t, measurement.Measurement{{Output: helloOutput, Found: measurement.Problem{Code: reason.OutputUnreadable}}})
		}, reason.OutputUnreadable},
		"a failed upload":         {func(_ *testing.T, s *scene) { s.status("wait").State.Terminated.ExitCode = 1 }, reason.UploadFailed},
		"a wait that never ended": {func(_ *testing.T, s *scene) { s.status("wait").State = corev1.ContainerState{} }, reason.UploadFailed},
		"a main that never ended": {func(_ *testing.T, s *scene) { s.status("main").State = corev1.ContainerState{} }, reason.StructureAltered},
		"a form that the output's strategy does not give": {func(t *testing.T, s *scene) {
			sum := content.Sum{Form: content.FormFile, SHA256: artifact.Digest(strings.Repeat("a", 64))}
			sum.Tree = content.FileTree(sum.SHA256)
			s.measure(t, measurement.Measurement{{Output: helloOutput, Found: measurement.Bytes{Sum: sum}}})
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
			_, _, err := s.rules.facts(s.witness(t))
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
			if _, _, err := s.rules.facts(s.witness(t)); err != nil {
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
	facts, noted, err := s.rules.facts(s.witness(t))
	must(t, err)
	if len(facts.Subjects) != 1 || facts.Subjects[0].Output != "third" || len(noted) != 3 {
		t.Fatalf("subjects %+v, noted %+v", facts.Subjects, noted)
	}
	for _, u := range facts.Unsealed {
		if u.Reason != reason.LocationInvalid {
			t.Errorf("%s is not sealed because of %s", u.Output, u.Reason)
		}
	}
}

// A runtime that reports no digest contradicts nothing: what the spec pins is what
// it runs. The reports are of the kinds in provenance/image_test.go.
func TestARuntimeThatReportsAnIdOfItsOwnCostsNoSeal(t *testing.T) {
	_, pinned, _ := strings.Cut(testSigner, "@sha256:")
	id := strings.Repeat("7", 64)
	for name, report := range map[string]string{
		"containerd": "sha256:" + id, "CRI-O": id, "cri-dockerd": "docker://sha256:" + id, "none": "localhost/argoseal-signer:1",
		"the digest": "docker-pullable://" + testSigner,
	} {
		t.Run(name, func(t *testing.T) {
			s := producer(t)
			s.signerStatus().ImageID = report
			s.status("main").ImageID = report
			s.status(layout.ContainerWait).ImageID = strings.Replace(report, testSigner, testExecutor, 1)
			facts, _, err := s.rules.facts(s.witness(t))
			must(t, err)
			for _, i := range facts.Images {
				if i.Container == containerSigner && (string(i.SHA256) != pinned || i.DigestOf != "") {
					t.Errorf("the image of the sidecar is stated as %+v, want %s", i, pinned)
				}
			}
			if _, err := provenance.Build(facts); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestImagesThatAreMountedAreStated(t *testing.T) {
	one, two := strings.Repeat("1", 64), strings.Repeat("2", 64)
	s := producer(t)
	for name, ref := range map[string]string{"pinned": "quay.io/x/y@sha256:" + one, "reported": "quay.io/x/y:2", "unknown": "quay.io/x/y:3"} {
		s.pod.Spec.Volumes = append(s.pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: ref}}})
	}
	s.status("main").VolumeMounts = []corev1.VolumeMountStatus{{
		Name: "reported", VolumeStatus: &corev1.VolumeStatus{Image: &corev1.ImageVolumeStatus{ImageRef: "quay.io/x/y@sha256:" + two}},
	}}
	facts, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	payload, err := provenance.Build(facts)
	must(t, err)
	st, err := provenance.Parse(payload)
	must(t, err)
	want := []provenance.Image{
		{Container: "pinned", Ref: "quay.io/x/y@sha256:" + one, Repository: "quay.io/x/y", SHA256: artifact.Digest(one)},
		{Container: "reported", Ref: "quay.io/x/y:2", Repository: "quay.io/x/y", SHA256: artifact.Digest(two)},
		{Container: "unknown", Ref: "quay.io/x/y:3", Repository: "quay.io/x/y"},
	}
	if !slices.Equal(st.Mounted, want) {
		t.Errorf("stated are %+v, want %+v", st.Mounted, want)
	}
}

// What the operator's own webhooks add is admitted if it is listed, and stated, without
// values.
func TestWhatWebhooksAddedIsStated(t *testing.T) {
	s := producer(t)
	for i := range s.pod.Spec.Containers {
		if c := &s.pod.Spec.Containers[i]; c.Name == "wait" {
			c.Env = append(c.Env, corev1.EnvVar{Name: "VAULT_ROLE", Value: "secret"})
		}
	}
	_, _, err := s.rules.facts(s.witness(t))
	if reason.Of(err) != reason.StructureAltered || !strings.Contains(err.Error(), "VAULT_ROLE") {
		t.Errorf("without a list it is %v", err)
	}
	s.rules.Identity.Additions, err = argo.ParseAdditions([]string{"variable:VAULT_ROLE=secret", "mount:vault:/vault"})
	must(t, err)
	facts, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	payload, err := provenance.Build(facts)
	must(t, err)
	st, err := provenance.Parse(payload)
	must(t, err)
	if want := []string{"variable:VAULT_ROLE"}; !slices.Equal(st.Additions, want) {
		t.Errorf("stated are %q, want %q", st.Additions, want)
	}
}

// A step whose pod does not run what its template gives is sealed, and what is
// another is an override.
func TestWhatThePodRunsBesideItsTemplateIsAnOverride(t *testing.T) {
	s := producer(t)
	for i := range s.pod.Spec.Containers {
		if c := &s.pod.Spec.Containers[i]; c.Name == "main" {
			c.Args = []string{"echo evil > /tmp/hello_world.txt"}
		}
	}
	facts, _, err := s.rules.facts(s.witness(t))
	must(t, err)
	if o := facts.Definition.Overrides; len(o) != 1 || o[0].Field != "pod.containers.main.args" {
		t.Errorf("overrides are %+v", o)
	}
	honest := producer(t)
	if facts, _, err := honest.rules.facts(honest.witness(t)); err != nil || len(facts.Definition.Overrides) > 0 {
		t.Errorf("an honest pod has the overrides %+v: %v", facts.Definition.Overrides, err)
	}
}

// What the operator says about the executor and the signer is in the tag, and the
// notary knows what was said before, so it holds for a pod that an upgrade finds
// running.
func TestAPodIsHeldToWhatWasTrustedWhenItWasAdmitted(t *testing.T) {
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
	if _, _, err := s.rules.facts(s.witness(t)); err != nil {
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
			if _, _, err := rules.facts(s.witness(t)); err == nil {
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
	if _, _, err := s.rules.facts(s.witness(t)); reason.Of(err) != reason.DefinitionIncomplete {
		t.Fatalf("before Argo has stored it: %v", err)
	}
	s.workflow.Object["status"] = status
	facts, _, err := s.rules.facts(s.witness(t))
	if err != nil {
		t.Fatal(err)
	}
	want := provenance.WorkflowTemplate{Name: "build", ClusterScope: true}
	if r := facts.Definition.References; len(r) != 1 || r[0].WorkflowTemplate != want || r[0].Template != "" || facts.Definition.Effective() != r[0].SHA256 {
		t.Errorf("references are %+v", r)
	}
	spec["templates"].([]any)[1].(map[string]any)["container"].(map[string]any)["image"] = "evil"
	if _, _, err := s.rules.facts(s.witness(t)); reason.Of(err) != reason.DefinitionChanged {
		t.Errorf("after Argo has stored another: %v", err)
	}
}

// The log is for everybody: what lets people read an input stays out of it.
func TestTheQueryOfAnInputIsNotStated(t *testing.T) {
	const url = "https://example.org/x?X-Amz-Signature=hunter2"
	step := &argo.Step{Inputs: []argo.Input{argo.Input{Name: "in"}.FetchedFrom(argo.SourceHTTP, url, content.ArchiveNone)}}
	inputs, err := inputsOf(step, []pin.Pin{{Input: "in", Location: url, Archive: content.ArchiveNone, Policy: "lists"}})
	if err != nil || len(inputs) != 1 || inputs[0].URI != "https://example.org/x" {
		t.Errorf("stated is %+v, %v", inputs, err)
	}
	if _, err := inputsOf(step, []pin.Pin{{Input: "other", Location: url}}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("what the template does not have: %v", err)
	}
}

// What is quoted of parameters is what the operator lists.
func TestParametersAreStatedAsTheOperatorWants(t *testing.T) {
	s := producer(t)
	s.workflow.Object["spec"].(map[string]any)["arguments"] = map[string]any{"parameters": []any{
		map[string]any{"name": "epochs", "value": "10"}, map[string]any{"name": "webhook", "value": "https://hooks.example.org/hunter2"},
	}}
	s.define(t)
	s.retag(t)
	stated := func() map[string]provenance.Parameter {
		facts, _, err := s.rules.facts(s.witness(t))
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]provenance.Parameter{}
		for _, p := range facts.Definition.Parameters {
			all[p.Name] = p
		}
		return all
	}
	if p := stated(); p["epochs"].HMAC == "" || p["webhook"].HMAC == "" || p["webhook"].Value != "" {
		t.Errorf("where nothing is listed: %+v", p)
	}
	s.rules.Redaction.Quoted = []string{"ep*"}
	p := stated()
	if p["epochs"].Value != "10" || p["webhook"].HMAC == "" || p["webhook"].Value != "" {
		t.Errorf("where one is listed: %+v", p)
	}
	if ok, err := p["webhook"].Confirms(s.rules.Redaction.Key, string(s.workflow.GetUID()), "https://hooks.example.org/hunter2"); !ok || err != nil {
		t.Errorf("it is not confirmed: %v", err)
	}
}

// Each case has one thing that may have reached into a step which is sealed all the
// same.
func TestTheLevelIsIsolatedOnlyIfNothingReachedIn(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, s *scene){
		"mode warn":                   func(t *testing.T, s *scene) { s.tag.Mode = v1alpha1.ModeWarn; s.retag(t) },
		"a tag of the release before": func(t *testing.T, s *scene) { s.predate(t) },
		"guards that are younger": func(_ *testing.T, s *scene) {
			s.moment = epochtest.Found(testNamespaceUID, s.pod.CreationTimestamp.Add(time.Hour))
		},
		"the host's network": func(_ *testing.T, s *scene) { s.pod.Spec.HostNetwork = true },
		"a claim": func(_ *testing.T, s *scene) {
			s.pod.Spec.Volumes = append(s.pod.Spec.Volumes, corev1.Volume{Name: "cache", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "x"}}})
		},
		"a claim of devices": func(_ *testing.T, s *scene) {
			s.pod.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: new("shared")}}
		},
		"what its template does not give": func(_ *testing.T, s *scene) {
			for i := range s.pod.Spec.Containers {
				if c := &s.pod.Spec.Containers[i]; c.Name == "main" {
					c.Args = append(c.Args, "x")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := producer(t)
			spoil(t, s)
			facts, _, err := s.rules.facts(s.witness(t))
			must(t, err)
			if facts.Builder.Level != provenance.LevelObserved {
				t.Errorf("level is %q", facts.Builder.Level)
			}
		})
	}
}
