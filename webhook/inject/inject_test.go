package inject_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/webhook/inject"
)

var update = flag.Bool("update", false, "write the golden files anew")

const tag = "v1.0123456789abcdef.e30.AAAA"

var (
	digest = artifact.Digest(strings.Repeat("ab", 32))
	config = sidecar.Config{Image: "registry.example/argoseal-signer@sha256:" + string(digest)}
)

func pinsFor(step *argo.Step) []pin.Pin {
	var pins []pin.Pin
	for _, in := range step.PinnedInputs() {
		if in.Problem() == nil {
			pins = append(pins, pin.Pin{Input: in.Name, Location: in.Location().URI(), SHA256: digest, Archive: content.ArchiveTar, Tree: digest})
		}
	}
	return pins
}

func injected(t testing.TB, pod *corev1.Pod, step *argo.Step) *corev1.Pod {
	t.Helper()
	out, err := inject.Pod(pod, step, tag, pinsFor(step), config)
	if err != nil {
		t.Fatalf("Pod: %v", err)
	}
	return out
}

// The golden files are what becomes of the pods in argotest, which a real Argo
// made. They are written by `go test ./webhook/inject -update`.
func TestPodsOfArgoBecomeTheGoldenOnes(t *testing.T) {
	for _, name := range argotest.Supported() {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, name)
			golden(t, name+".out.json", injected(t, pod, step))
		})
	}
	for _, name := range []string{"container-set", "produce"} {
		t.Run(name+" with its logs", func(t *testing.T) {
			pod, step := argotest.Logged(t, name)
			golden(t, name+".logs.json", injected(t, pod, step.WithLogs()))
		})
	}
	files, err := filepath.Glob("testdata/*.out.json")
	if err != nil || len(files) != len(argotest.Supported()) {
		t.Errorf("there are %d golden files for %d pods, %v", len(files), len(argotest.Supported()), err)
	}
}

// golden compares a pod with a file, or writes it.
func golden(t *testing.T, name string, pod *corev1.Pod) {
	t.Helper()
	got, err := json.MarshalIndent(pod, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
}

func TestTwiceIsOnceAndIsAdmitted(t *testing.T) {
	for _, name := range argotest.Supported() {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, name)
			before := pod.DeepCopy()
			once := injected(t, pod, step)
			if diff := cmp.Diff(before, pod); diff != "" {
				t.Errorf("the pod it was given changed:\n%s", diff)
			}
			again, err := argo.Parse(once)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(once, injected(t, once, again)); diff != "" {
				t.Errorf("twice is not once:\n%s", diff)
			}
			if err := argo.CheckStructure(once, again, argotest.Identity()); err != nil {
				t.Errorf("CheckStructure: %v", err)
			}
			if err := sidecar.Check(once, again, pinsFor(step), config); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

func TestAForgedTagIsReplaced(t *testing.T) {
	pod, step := argotest.Parsed(t, "produce")
	pod.Annotations[v1alpha1.AnnotationTag] = "forged"
	if got := injected(t, pod, step).Annotations[v1alpha1.AnnotationTag]; got != tag {
		t.Errorf("the tag is %q", got)
	}
}

func TestAPodWithoutAnnotationsGetsOurs(t *testing.T) {
	pod, step := argotest.Parsed(t, "on-exit")
	pod.Annotations = nil
	want := map[string]string{v1alpha1.AnnotationTag: tag, layout.AnnotationKillWait: layout.KillWait}
	if diff := cmp.Diff(want, injected(t, pod, step).Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestWhatIsRefused(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.Pod)
		code   reason.Code
	}{
		"a kill command of somebody's": {func(p *corev1.Pod) { p.Annotations[layout.AnnotationKillWait] = `["/bin/true"]` }, reason.WaitAltered},
		"a container with our name":    {func(p *corev1.Pod) { p.Spec.Containers[1].Name = "argoseal-signer" }, reason.NameTaken},
		"a wait that stages nowhere":   {func(p *corev1.Pod) { p.Spec.Containers[0].VolumeMounts = nil }, reason.WaitAltered},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, "produce")
			test.change(pod)
			if _, err := inject.Pod(pod, step, tag, nil, config); reason.Of(err) != test.code {
				t.Errorf("it gives %v, want %s", err, test.code)
			}
		})
	}
}

func FuzzInject(f *testing.F) {
	for _, name := range argotest.Supported() {
		data, err := json.Marshal(argotest.Pod(f, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pod := &corev1.Pod{}
		if json.Unmarshal(data, pod) != nil {
			return
		}
		step, err := argo.Parse(pod)
		if err != nil {
			return
		}
		pins := pinsFor(step)
		once, err := inject.Pod(pod, step, tag, pins, config)
		if err != nil {
			return
		}
		again, err := argo.Parse(once)
		if err != nil {
			t.Fatalf("the injected pod is not read: %v", err)
		}
		twice, err := inject.Pod(once, again, tag, pins, config)
		if err != nil {
			t.Fatalf("the injected pod is not injected: %v", err)
		}
		if diff := cmp.Diff(once, twice); diff != "" {
			t.Fatalf("twice is not once:\n%s", diff)
		}
		if err := sidecar.Check(once, again, pins, config); err != nil {
			t.Fatalf("Check: %v", err)
		}
		if argo.CheckStructure(pod, step, argotest.Identity()) == nil {
			if err := argo.CheckStructure(once, again, argotest.Identity()); err != nil {
				t.Fatalf("CheckStructure of the injected pod: %v", err)
			}
		}
	})
}
