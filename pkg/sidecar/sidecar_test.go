package sidecar_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

var (
	digest = artifact.Digest(strings.Repeat("ab", 32))
	config = sidecar.Config{Image: "registry.example/argoseal-signer@sha256:" + string(digest)}
)

func ptr[T any](v T) *T { return &v }

// pinsFor gives a pin for each input of the step that needs one.
func pinsFor(step *argo.Step) []pin.Pin {
	var pins []pin.Pin
	for _, in := range step.PinnedInputs() {
		pins = append(pins, pin.Pin{Input: in.Name, Location: in.Location().URI(), SHA256: digest, Archive: content.ArchiveTar, Tree: digest, Mode: in.Mode})
	}
	return pins
}

// both is the pod everything with one of its inputs in the store, so that it
// gets both of our containers, and raw ones beside it.
func both(t testing.TB) (*corev1.Pod, *argo.Step) {
	t.Helper()
	pod := argotest.Pod(t, "everything")
	for i := range pod.Spec.InitContainers[0].Env {
		if v := &pod.Spec.InitContainers[0].Env[i]; v.Name == "ARGO_TEMPLATE" {
			v.Value = strings.Replace(v.Value, `{"name":"inline","path":"/etc/inline.conf","raw":{"data":"a=b"}}`,
				`{"name":"inline","path":"/etc/inline.conf","mode":493,"s3":{"key":"in/$HOME/$(PATH)"}},`+
					`{"name":"note","path":"/etc/note","mode":420,"raw":{"data":"a=b"}},{"name":"plain-note","path":"/etc/plain","raw":{"data":"x"}}`, 1)
			v.Value = strings.Replace(v.Value, `,{"name":"on-volume","path":"/scratch/in","raw":{"data":"c=d"}}`, "", 1)
		}
	}
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	if len(step.PinnedInputs()) != 1 {
		t.Fatal("the pod has no input in the store")
	}
	return pod, step
}

func add(t testing.TB, pod *corev1.Pod, step *argo.Step, pins []pin.Pin) *corev1.Pod {
	t.Helper()
	return addAs(t, pod, step, pins, config)
}

func addAs(t testing.TB, pod *corev1.Pod, step *argo.Step, pins []pin.Pin, cfg sidecar.Config) *corev1.Pod {
	t.Helper()
	out, err := sidecar.Add(pod, step, pins, cfg)
	if err != nil {
		t.Fatalf("Add: %v", err)
	}
	out.Annotations[layout.AnnotationKillWait] = layout.KillWait
	return out
}

func container(pod *corev1.Pod, name string) *corev1.Container {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			return &pod.Spec.InitContainers[i]
		}
	}
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == name {
			return &pod.Spec.Containers[i]
		}
	}
	return nil
}

func names(list []corev1.Container) []string {
	var n []string
	for _, c := range list {
		n = append(n, c.Name)
	}
	return n
}

func TestAStepGetsWhatItNeeds(t *testing.T) {
	tests := map[string][]string{
		"produce":        {"init", "argoseal-signer"},
		"consume":        {"init", "argoseal-verify"},
		"everything":     {"init", "prepare", "plain", "argoseal-signer"},
		"restricted":     {"init", "argoseal-signer"},
		"script":         {"init", "argoseal-signer"},
		"retried":        {"init", "argoseal-signer"},
		"container-set":  {"init", "argoseal-signer"},
		"daemon":         {"init", "argoseal-verify"},
		"executor-user":  {"init", "argoseal-verify", "argoseal-signer"},
		"no-main":        {"init"},
		"on-mount":       {"init", "argoseal-verify", "argoseal-signer"},
		"own-archive":    {"init", "argoseal-verify", "argoseal-signer"},
		"same-path":      {"argoseal-prepare", "init", "argoseal-verify", "argoseal-signer"},
		"stores":         {"argoseal-prepare", "init", "argoseal-verify", "argoseal-signer"},
		"workspace":      {"init", "argoseal-verify", "argoseal-signer"},
		"executor-image": {"init"},
		"on-exit":        {"init"},
		"resource":       {"init"},
	}
	if len(tests) != len(argotest.Supported()) {
		t.Errorf("%d pods are tested, %d are supported", len(tests), len(argotest.Supported()))
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, name)
			before := pod.DeepCopy()
			out := add(t, pod, step, pinsFor(step))
			if diff := cmp.Diff(want, names(out.Spec.InitContainers)); diff != "" {
				t.Errorf("init containers (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, pod); diff != "" {
				t.Errorf("the pod it was given changed:\n%s", diff)
			}
			if err := sidecar.Check(out, step, pinsFor(step), config); err != nil {
				t.Errorf("Check: %v", err)
			}
			if err := argo.CheckStructure(out, step, argotest.Identity()); err != nil {
				t.Errorf("CheckStructure: %v", err)
			}
			if diff := cmp.Diff(out, add(t, out, step, pinsFor(step))); diff != "" {
				t.Errorf("twice is not once:\n%s", diff)
			}
		})
	}
}

func TestOurContainers(t *testing.T) {
	pod, step := both(t)
	out := add(t, pod, step, pinsFor(step))
	if diff := cmp.Diff([]string{"init", "argoseal-verify", "prepare", "plain", "argoseal-signer"}, names(out.Spec.InitContainers)); diff != "" {
		t.Fatalf("init containers (-want +got):\n%s", diff)
	}
	signer, verify := container(out, "argoseal-signer"), container(out, "argoseal-verify")
	if diff := cmp.Diff([]string{"sign", "--staged=/argoseal/staged", "--max-message=1536", "--grace=6667ms", "--run=/argoseal/run", "--output=tree=tar=/data/out", "--output=plain-file=none=inline.conf", "--output=zipped=zip", "--output=on-volume", "--output=keyed=tar=/data/out/inline.conf", "--output=absent=tar=/nowhere"}, signer.Args); diff != "" {
		t.Errorf("arguments of the signer (-want +got):\n%s", diff)
	}
	location := "s3://s3.argo.svc:7070/artifacts/in/$$HOME/$$%28PATH%29"
	if diff := cmp.Diff([]string{
		"verify", "--root=/argoseal/inputs", "--run=/argoseal/run", "--template=" + string(step.TemplateDigest),
		`--pin={"input":"inline","location":"` + location + `","sha256":"` + string(digest) + `","archive":"tar","tree":"` + string(digest) + `","mode":493}`,
		"--raw=note=" + sumOf("a=b") + "=0644", "--raw=plain-note=" + sumOf("x"),
	}, verify.Args); diff != "" {
		t.Errorf("arguments of verify (-want +got):\n%s", diff)
	}
	noToken := corev1.VolumeMount{Name: "argoseal-no-token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}
	if diff := cmp.Diff([]corev1.VolumeMount{noToken, {Name: "tmp-dir-argo", SubPath: "0", MountPath: "/argoseal/staged", ReadOnly: true}, {Name: "var-run-argo", MountPath: "/argoseal/run", ReadOnly: true}}, signer.VolumeMounts); diff != "" {
		t.Errorf("mounts of the signer (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]corev1.VolumeMount{
		noToken,
		{Name: "input-artifacts", MountPath: "/argoseal/inputs", ReadOnly: true},
		{Name: "var-run-argo", MountPath: "/argoseal/run", ReadOnly: true},
	}, verify.VolumeMounts); diff != "" {
		t.Errorf("mounts of verify (-want +got):\n%s", diff)
	}
	if signer.RestartPolicy == nil || *signer.RestartPolicy != corev1.ContainerRestartPolicyAlways || verify.RestartPolicy != nil {
		t.Error("the signer is no native sidecar, or verify is one")
	}
	for _, c := range []*corev1.Container{signer, verify} {
		if c.Image != config.Image || !slices.Equal(c.Command, []string{"/argoseal-signer"}) || len(c.Env)+len(c.EnvFrom) > 0 {
			t.Errorf("container %s runs %s %v with %v", c.Name, c.Image, c.Command, c.Env)
		}
	}
}

// Several downloads can together replace argoexec so that only its content tells.
func TestSeveralInputsHaveVerifyRunInTheExecutorsImage(t *testing.T) {
	pod, step := argotest.Parsed(t, "stores")
	pins := pinsFor(step)
	if len(pins) < 2 {
		t.Fatalf("it has %d pins", len(pins))
	}
	out := add(t, pod, step, pins)
	verify, prepare := container(out, "argoseal-verify"), container(out, "argoseal-prepare")
	noToken := corev1.VolumeMount{Name: "argoseal-no-token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}
	if diff := cmp.Diff([]corev1.VolumeMount{noToken, {Name: "argoseal-program", MountPath: "/argoseal/program"}}, prepare.VolumeMounts); diff != "" {
		t.Errorf("mounts of prepare (-want +got):\n%s", diff)
	}
	if m := verify.VolumeMounts; !cmp.Equal(m[len(m)-1], corev1.VolumeMount{Name: "argoseal-program", MountPath: "/argoseal/program", ReadOnly: true}) {
		t.Errorf("mounts of verify are %v", m)
	}
	if diff := cmp.Diff([]string{"prepare", "--to=/argoseal/program"}, prepare.Args); diff != "" {
		t.Errorf("arguments of prepare (-want +got):\n%s", diff)
	}
	if !slices.Contains(verify.Args, "--executor") {
		t.Errorf("arguments of verify are %q", verify.Args)
	}
	for c, runs := range map[*corev1.Container][2]string{
		prepare: {config.Image, "/argoseal-signer"},
		verify:  {container(pod, "init").Image, "/argoseal/program/argoseal-signer"},
	} {
		if c.Image != runs[0] || !slices.Equal(c.Command, runs[1:]) || len(c.Env)+len(c.EnvFrom) > 0 {
			t.Errorf("container %s runs %s %v with %v", c.Name, c.Image, c.Command, c.Env)
		}
	}
	want := corev1.SecurityContext{Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, AllowPrivilegeEscalation: ptr(false), ReadOnlyRootFilesystem: ptr(true)}
	if diff := cmp.Diff(&want, prepare.SecurityContext); diff != "" {
		t.Errorf("security context of prepare (-want +got):\n%s", diff)
	}
	one := add(t, out, step, pins[:1])
	if container(one, "argoseal-prepare") != nil || container(one, "argoseal-verify").Image != config.Image {
		t.Errorf("of one input: %v", names(one.Spec.InitContainers))
	}
}

// Argo's wait reads its environment first, and the file that the step can write
// only if there is nothing.
func TestWaitHasTheTemplateOfInit(t *testing.T) {
	for _, name := range argotest.Supported() {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, name)
			out := add(t, pod, step, pinsFor(step))
			wait, want := container(out, "wait"), variables(container(out, "init"))
			if wait == nil {
				t.Skip("it has no wait")
			}
			if got := variables(wait); len(want) != 1 || !slices.Equal(got, want) {
				t.Errorf("wait has the templates %q, init %q", got, want)
			}
		})
	}
}

// variables are the templates in a container's environment.
func variables(c *corev1.Container) []string {
	var values []string
	for _, v := range c.Env {
		if v.Name == "ARGO_TEMPLATE" {
			values = append(values, v.Value)
		}
	}
	return values
}

func TestTheMessageIsWhatTheKubeletKeeps(t *testing.T) {
	for containers, want := range map[int]string{1: "--max-message=3072", 9: "--max-message=1024"} {
		pod, step := argotest.Parsed(t, "produce") // init, wait, main and ours
		for range containers - 1 {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "x"})
		}
		if got := container(add(t, pod, step, nil), "argoseal-signer").Args; !slices.Contains(got, want) {
			t.Errorf("with %d containers of the step the arguments are %q, want %s", containers, got, want)
		}
	}
}

func TestSecurityContexts(t *testing.T) {
	restricted := corev1.SecurityContext{
		RunAsUser: ptr(int64(8)), RunAsNonRoot: ptr(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}, AllowPrivilegeEscalation: ptr(false),
	}
	tests := map[string]struct {
		argo           *corev1.SecurityContext
		signer, verify corev1.SecurityContext
	}{
		"of an executor without one": {nil,
			corev1.SecurityContext{Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			corev1.SecurityContext{}},
		"of a restricted executor": {&restricted, restricted, restricted},
		"of a privileged executor": {
			&corev1.SecurityContext{Privileged: ptr(true), RunAsUser: ptr(int64(0)), Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN", "DAC_OVERRIDE"}}},
			corev1.SecurityContext{RunAsUser: ptr(int64(0)), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			corev1.SecurityContext{RunAsUser: ptr(int64(0)), Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"DAC_OVERRIDE"}}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod, step := both(t)
			container(pod, "init").SecurityContext, container(pod, "wait").SecurityContext = test.argo, test.argo.DeepCopy()
			out := add(t, pod, step, pinsFor(step))
			for name, want := range map[string]corev1.SecurityContext{"argoseal-signer": test.signer, "argoseal-verify": test.verify} {
				want.AllowPrivilegeEscalation, want.ReadOnlyRootFilesystem = ptr(false), ptr(true)
				if diff := cmp.Diff(&want, container(out, name).SecurityContext); diff != "" {
					t.Errorf("security context of %s (-want +got):\n%s", name, diff)
				}
			}
			if diff := cmp.Diff(test.argo, container(out, "wait").SecurityContext); diff != "" {
				t.Errorf("security context of wait changed:\n%s", diff)
			}
		})
	}
}

// Ours run as whom Argo's own run as, by their own context or the pod's, whoever
// main is: the kubelet gives the pod's to both alike.
func TestOursRunAsArgosOwn(t *testing.T) {
	user := func(id int64) *corev1.SecurityContext { return &corev1.SecurityContext{RunAsUser: ptr(id)} }
	tests := map[string]struct {
		pod              *corev1.PodSecurityContext
		init, wait, main *corev1.SecurityContext
		verify, signer   *int64 // of their own
		image            *int64 // what the operator says that Argo's image names
		refused          string
	}{
		"as nobody in particular":       {},
		"as the pod's":                  {pod: &corev1.PodSecurityContext{RunAsUser: ptr(int64(1000710000)), FSGroup: ptr(int64(1000710000)), RunAsNonRoot: ptr(true)}},
		"as the executor's":             {init: user(8737), wait: user(8737), verify: ptr(int64(8737)), signer: ptr(int64(8737))},
		"as the executor's, not main's": {init: user(8737), wait: user(8737), main: user(2000), verify: ptr(int64(8737)), signer: ptr(int64(8737))},
		"as the executor's, not the pod's": {pod: &corev1.PodSecurityContext{RunAsUser: ptr(int64(1000)), RunAsNonRoot: ptr(true)},
			init: user(8737), wait: user(8737), verify: ptr(int64(8737)), signer: ptr(int64(8737))},
		"as the pod's, not main's": {pod: &corev1.PodSecurityContext{RunAsUser: ptr(int64(1000))}, main: user(2000)},
		"each as its own":          {init: user(1), wait: user(2), verify: ptr(int64(1)), signer: ptr(int64(2))},
		"as whom the image says":   {image: ptr(int64(8737)), verify: ptr(int64(8737)), signer: ptr(int64(8737))},
		"as whom the image says, where root is forbidden": {pod: &corev1.PodSecurityContext{RunAsNonRoot: ptr(true)},
			image: ptr(int64(8737)), verify: ptr(int64(8737)), signer: ptr(int64(8737))},
		"as the pod's, not the image's":                             {pod: &corev1.PodSecurityContext{RunAsUser: ptr(int64(1000))}, image: ptr(int64(8737))},
		"as the executor's, not the image's":                        {init: user(1), wait: user(2), image: ptr(int64(8737)), verify: ptr(int64(1)), signer: ptr(int64(2))},
		"as root by the pod, not by the image":                      {pod: &corev1.PodSecurityContext{RunAsUser: ptr(int64(0))}, image: ptr(int64(8737))},
		"as whom a non-root image says, unknown":                    {pod: &corev1.PodSecurityContext{RunAsNonRoot: ptr(true)}, refused: "init has runAsNonRoot and no runAsUser"},
		"as whom a non-root image says, unknown, by their own word": {init: user(1), wait: &corev1.SecurityContext{RunAsNonRoot: ptr(true)}, refused: "wait has runAsNonRoot and no runAsUser"},
		"as whom a non-root image says, root allowed": {pod: &corev1.PodSecurityContext{RunAsNonRoot: ptr(true)},
			init: &corev1.SecurityContext{RunAsNonRoot: ptr(false)}, wait: &corev1.SecurityContext{RunAsNonRoot: ptr(false)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod, step := both(t)
			pod.Spec.SecurityContext = test.pod
			container(pod, "init").SecurityContext = test.init
			container(pod, "wait").SecurityContext = test.wait
			container(pod, "main").SecurityContext = test.main
			config := config
			if test.image != nil {
				config.ExecutorUsers = map[string]int64{container(pod, "wait").Image: *test.image, "another": 1}
			}
			if test.refused != "" {
				_, err := sidecar.Add(pod, step, pinsFor(step), config)
				wantRefusal(t, err, reason.ExecutorUserUnknown, test.refused)
				return
			}
			out := addAs(t, pod, step, pinsFor(step), config)
			for name, want := range map[string]*int64{"argoseal-verify": test.verify, "argoseal-signer": test.signer} {
				if diff := cmp.Diff(want, container(out, name).SecurityContext.RunAsUser); diff != "" {
					t.Errorf("user of %s (-want +got):\n%s", name, diff)
				}
			}
			if diff := cmp.Diff(test.pod, out.Spec.SecurityContext); diff != "" {
				t.Errorf("security context of the pod (-want +got):\n%s", diff)
			}
			if err := sidecar.Check(out, step, pinsFor(step), config); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

// A cluster may give users to containers when ours are there: each of Argo's
// own and ours beside it the same one.
func TestUsersThatTheClusterGivesToAllAreAdmitted(t *testing.T) {
	pod, step := both(t)
	out := add(t, pod, step, pinsFor(step))
	for _, list := range [][]corev1.Container{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range list {
			if list[i].SecurityContext == nil {
				list[i].SecurityContext = &corev1.SecurityContext{}
			}
			list[i].SecurityContext.RunAsUser = ptr(int64(1000710000))
		}
	}
	if err := sidecar.Check(out, step, pinsFor(step), config); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestTheQualityOfServiceStays(t *testing.T) {
	some := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi")}
	equal := corev1.ResourceRequirements{Requests: some, Limits: some}
	tests := map[string]struct {
		change func(*corev1.Pod)
		want   corev1.PodQOSClass
		none   bool
	}{
		"best effort":               {func(*corev1.Pod) {}, corev1.PodQOSBestEffort, true},
		"burstable":                 {func(p *corev1.Pod) { p.Spec.Containers[1].Resources.Requests = some }, corev1.PodQOSBurstable, false},
		"burstable by other limits": {func(p *corev1.Pod) { p.Spec.Containers[1].Resources = equal }, corev1.PodQOSBurstable, false},
		"decided by the pod":        {func(p *corev1.Pod) { p.Spec.Resources = &equal }, corev1.PodQOSGuaranteed, true},
		"guaranteed":                {func(p *corev1.Pod) { all(p, equal) }, corev1.PodQOSGuaranteed, false},
		"guaranteed by limits":      {func(p *corev1.Pod) { all(p, corev1.ResourceRequirements{Limits: some}) }, corev1.PodQOSGuaranteed, false},
		"with what is none for a class ": {func(p *corev1.Pod) {
			all(p, corev1.ResourceRequirements{Limits: corev1.ResourceList{"x/gpu": resource.MustParse("1")}})
		}, corev1.PodQOSBestEffort, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, "produce")
			test.change(pod)
			if got := class(filled(pod)); got != test.want {
				t.Fatalf("without ours the class is %s", got)
			}
			out := add(t, pod, step, nil)
			if got := class(filled(out)); got != test.want {
				t.Errorf("the class is %s, want %s", got, test.want)
			}
			r := container(out, "argoseal-signer").Resources
			if none := len(r.Requests)+len(r.Limits) == 0; none != test.none {
				t.Errorf("resources are %v, want none: %v", r, test.none)
			}
		})
	}
}

// class is a pod's quality of service (k8s.io/component-helpers, qos).
func class(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Spec.Resources != nil {
		return corev1.PodQOSGuaranteed // of one that says so for the whole of it; see the test
	}
	some, all := false, true
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := c.Resources.Requests[name], c.Resources.Limits[name]
			some = some || !request.IsZero() || !limit.IsZero()
			all = all && !limit.IsZero() && request.Cmp(limit) == 0
		}
	}
	switch {
	case !some:
		return corev1.PodQOSBestEffort
	case all:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// filled is the pod as the API server completes it: a limit is a request, too.
func filled(pod *corev1.Pod) *corev1.Pod {
	out := pod.DeepCopy()
	for _, list := range [][]corev1.Container{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range list {
			r := &list[i].Resources
			for name, limit := range r.Limits {
				if _, found := r.Requests[name]; !found {
					if r.Requests == nil {
						r.Requests = corev1.ResourceList{}
					}
					r.Requests[name] = limit
				}
			}
		}
	}
	return out
}

// A quota over limits wants every container to have some, and a LimitRange wants them
// between its bounds and not too far from the requests: what takes wait takes ours.
func TestOursGetsWhatWaitHas(t *testing.T) {
	list := func(cpu, memory string) corev1.ResourceList {
		l := corev1.ResourceList{}
		if cpu != "" {
			l[corev1.ResourceCPU] = resource.MustParse(cpu)
		}
		if memory != "" {
			l[corev1.ResourceMemory] = resource.MustParse(memory)
		}
		return l
	}
	for name, c := range map[string]struct{ requests, limits, wantRequests, wantLimits corev1.ResourceList }{
		"within our shares":        {list("50m", "64Mi"), list("500m", "128Mi"), list("50m", "64Mi"), list("500m", "128Mi")},
		"more than we need":        {list("1", "512Mi"), list("4", "1Gi"), list("500m", "256Mi"), list("500m", "256Mi")},
		"limits alone":             {nil, list("250m", "128Mi"), list("250m", "128Mi"), list("250m", "128Mi")},
		"too little, and as much":  {list("10m", "16Mi"), list("10m", "16Mi"), list("100m", "64Mi"), list("100m", "64Mi")},
		"too little, and far away": {list("10m", "16Mi"), list("50m", "32Mi"), list("20m", "32Mi"), list("100m", "64Mi")},
		"no limits":                {list("200m", "128Mi"), nil, list("200m", "128Mi"), list("", "128Mi")},
		"a processor alone":        {list("200m", ""), list("400m", ""), list("200m", "32Mi"), list("400m", "64Mi")},
		"memory alone":             {list("", "64Mi"), list("", "64Mi"), list("10m", "64Mi"), list("", "64Mi")},
	} {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, "produce")
			container(pod, "wait").Resources = corev1.ResourceRequirements{Requests: c.requests, Limits: c.limits}
			r := container(add(t, pod, step, nil), "argoseal-signer").Resources
			if !equality.Semantic.DeepEqual(r, corev1.ResourceRequirements{Requests: c.wantRequests, Limits: c.wantLimits}) {
				t.Errorf("resources are %v, want requests %v and limits %v", r, c.wantRequests, c.wantLimits)
			}
		})
	}
	pod, step := argotest.Parsed(t, "produce")
	storage := corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("1Gi"), corev1.ResourceCPU: resource.MustParse("100m"), "x/gpu": resource.MustParse("1")}
	container(pod, "wait").Resources = corev1.ResourceRequirements{Requests: storage, Limits: storage}
	r := container(add(t, pod, step, nil), "argoseal-signer").Resources
	if q := r.Limits[corev1.ResourceEphemeralStorage]; q.String() != "1Gi" {
		t.Errorf("a quota of storage does not take it: %v", r)
	}
	if _, found := r.Limits["x/gpu"]; found {
		t.Error("it takes a GPU")
	}
}

func all(p *corev1.Pod, r corev1.ResourceRequirements) {
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			list[i].Resources = r
		}
	}
}

// The kubelet gives two seconds, also where the pod says less.
func TestTheSignerTakesTwoThirdsOfTheTimeToEndIn(t *testing.T) {
	for seconds, want := range map[int64]string{0: "--grace=1334ms", 1: "--grace=1334ms", 2: "--grace=1334ms", 3: "--grace=2001ms", 30: "", 31: "--grace=20667ms", 600: "--grace=400001ms", math.MaxInt64: "--grace=21024000001ms"} {
		pod, step := argotest.Parsed(t, "produce")
		pod.Spec.TerminationGracePeriodSeconds = &seconds
		args := container(add(t, pod, step, nil), "argoseal-signer").Args
		i := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--grace=") })
		if got := append(args, "")[max(i, 0)]; i >= 0 && got != want || i < 0 && want != "" {
			t.Errorf("of %d seconds: %q, want %q", seconds, args, want)
		}
	}
}

// Pods that the release before has made run yet when the notary is this one.
func TestThePodsOfTheReleaseBeforeAreKnown(t *testing.T) {
	pod, step := argotest.Parsed(t, "produce")
	long := int64(600)
	pod.Spec.TerminationGracePeriodSeconds = &long
	made := add(t, pod, step, nil)
	signer := container(made, "argoseal-signer")
	signer.Args = slices.DeleteFunc(signer.Args, func(arg string) bool { return strings.HasPrefix(arg, "--grace=") })
	before := config
	before.Before = true
	for _, p := range []*corev1.Pod{made, add(t, pod, step, nil)} {
		if err := sidecar.Check(p, step, nil, before); err != nil {
			t.Error(err)
		}
	}
	wantRefusal(t, sidecar.Check(made, step, nil, config), reason.SidecarAltered, "container argoseal-signer has another Args")
	open, with := both(t)
	open = add(t, open, with, pinsFor(with))
	init := container(open, "init")
	unmount(init, "/dev/shm")
	unmount(init, "/tmp")
	init.SecurityContext = nil
	if err := sidecar.Check(open, with, pinsFor(with), before); err != nil {
		t.Error(err)
	}
	wantRefusal(t, sidecar.Check(open, with, pinsFor(with), config), reason.SidecarMissing, "readOnlyRootFilesystem of init")
	pod, several := argotest.Parsed(t, "stores")
	together := asBefore(t, add(t, pod, several, pinsFor(several)))
	if err := sidecar.Check(together, several, pinsFor(several), before); err != nil {
		t.Error(err)
	}
	wantRefusal(t, sidecar.Check(together, several, pinsFor(several), config), reason.SidecarMissing, "container argoseal-prepare")
	if err := sidecar.Check(add(t, together, several, pinsFor(several)), several, pinsFor(several), config); err != nil {
		t.Errorf("a webhook of the release before was asked first, and then one of this: %v", err)
	}
	// One that came between has the signer take its part of a longer time, and compares nothing.
	pod, several = argotest.Parsed(t, "stores")
	pod.Spec.TerminationGracePeriodSeconds = &long
	between := asBefore(t, add(t, pod, several, pinsFor(several)))
	if !slices.Contains(container(between, "argoseal-signer").Args, "--grace=400001ms") {
		t.Errorf("its signer has %q", container(between, "argoseal-signer").Args)
	}
	if err := sidecar.Check(between, several, pinsFor(several), before); err != nil {
		t.Error(err)
	}
	wantRefusal(t, sidecar.Check(between, several, pinsFor(several), config), reason.SidecarMissing, "container argoseal-prepare")
	container(between, "init").SecurityContext = nil // none of them made such a one
	wantRefusal(t, sidecar.Check(between, several, pinsFor(several), before), reason.SidecarMissing, "container argoseal-prepare")
	// One that came later compares, and has no PATH of init's.
	pod, several = argotest.Parsed(t, "stores")
	container(pod, "init").Env = append(container(pod, "init").Env, corev1.EnvVar{Name: "PATH", Value: "/opt/bin"})
	lost := add(t, pod, several, pinsFor(several))
	if len(container(lost, "argoseal-verify").Env) != 1 {
		t.Fatalf("verify has %+v", container(lost, "argoseal-verify").Env)
	}
	container(lost, "argoseal-verify").Env = nil
	if err := sidecar.Check(lost, several, pinsFor(several), before); err != nil {
		t.Error(err)
	}
	wantRefusal(t, sidecar.Check(lost, several, pinsFor(several), config), reason.SidecarAltered, "container argoseal-verify has another Env")
	container(lost, "argoseal-verify").Env = []corev1.EnvVar{{Name: "PATH", Value: "/tmp"}} // none of them made such a one
	wantRefusal(t, sidecar.Check(lost, several, pinsFor(several), before), reason.SidecarAltered, "container argoseal-verify has another Env")
	signer.Args = append(signer.Args, "--grace=1ms")
	wantRefusal(t, sidecar.Check(made, step, nil, before), reason.SidecarAltered, "container argoseal-signer has another Args")
}

// asBefore makes of a pod with several pins what the release before made of it.
func asBefore(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	remove(pod, "argoseal-prepare")
	pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == "argoseal-program" })
	verify, signer := container(pod, "argoseal-verify"), container(pod, "argoseal-signer")
	verify.Image, verify.Command = config.Image, []string{"/argoseal-signer"}
	verify.Args = slices.DeleteFunc(verify.Args, func(arg string) bool { return arg == "--executor" })
	unmount(verify, "/argoseal/program")
	for i, arg := range signer.Args {
		if strings.HasPrefix(arg, "--max-message=") {
			signer.Args[i] = fmt.Sprintf("--max-message=%d", measurement.MessageLimit(len(pod.Spec.InitContainers)+len(pod.Spec.Containers)))
		}
	}
	return pod
}

// What Argo's init downloads can be written wherever it may write.
func TestInitIsKeptFromWhatAllContainersShare(t *testing.T) {
	shm := corev1.VolumeMount{Name: "argoseal-no-token", MountPath: "/dev/shm", ReadOnly: true}
	tmp := corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/tmp", SubPath: "argoseal-init"}
	operators := corev1.VolumeMount{Name: "scratch", MountPath: "/tmp"}
	for title, c := range map[string]struct {
		has  []corev1.VolumeMount
		want []corev1.VolumeMount
	}{
		"a pod of Argo's":                 {nil, []corev1.VolumeMount{shm, tmp}},
		"one whose operator gives a /tmp": {[]corev1.VolumeMount{operators}, []corev1.VolumeMount{operators, shm}},
	} {
		t.Run(title, func(t *testing.T) {
			pod, step := both(t)
			before := container(pod, "init")
			before.SecurityContext = &corev1.SecurityContext{RunAsUser: ptr(int64(8737))}
			had := len(before.VolumeMounts)
			before.VolumeMounts = append(before.VolumeMounts, c.has...)
			made := add(t, pod, step, pinsFor(step))
			init := container(made, "init")
			if diff := cmp.Diff(c.want, init.VolumeMounts[had:]); diff != "" {
				t.Errorf("mounts of init (-want +got):\n%s", diff)
			}
			if want := (&corev1.SecurityContext{RunAsUser: ptr(int64(8737)), ReadOnlyRootFilesystem: ptr(true)}); !cmp.Equal(want, init.SecurityContext) {
				t.Errorf("init runs with %v", init.SecurityContext)
			}
			if before.SecurityContext.ReadOnlyRootFilesystem != nil || len(before.VolumeMounts) != had+len(c.has) {
				t.Error("the pod that was given is another now")
			}
			if again := add(t, made, step, pinsFor(step)); !cmp.Equal(made, again) {
				t.Errorf("adding twice gives another pod (-once +twice):\n%s", cmp.Diff(made, again))
			}
			without := add(t, made, step, nil)
			if m := container(without, "init").VolumeMounts[had:]; len(m) != len(c.has) {
				t.Errorf("init keeps %v, and nothing is pinned", m)
			}
			if err := sidecar.Check(made, step, pinsFor(step), config); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatIsAddedAnewFollowsThePod(t *testing.T) {
	pod, step := both(t)
	// The first time the evidence was not there yet.
	first := add(t, pod, step, nil)
	first.Spec.InitContainers = append(first.Spec.InitContainers, corev1.Container{Name: "mesh"})
	second := add(t, first, step, pinsFor(step))
	want := []string{"init", "argoseal-verify", "prepare", "plain", "mesh", "argoseal-signer"}
	if diff := cmp.Diff(want, names(second.Spec.InitContainers)); diff != "" {
		t.Errorf("init containers (-want +got):\n%s", diff)
	}
	if err := sidecar.Check(second, step, pinsFor(step), config); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestNamesOfOursAreRefused(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.Pod)
		detail string
	}{
		"of the signer": {func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "argoseal-signer", Command: []string{"sh"}, Args: []string{"sign"}})
		}, "container argoseal-signer"},
		"of verify doing something else": {func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "argoseal-verify", Command: []string{"/argoseal-signer"}, Args: []string{"sign"}})
		}, "container argoseal-verify"},
		"of the signer among the regular containers": {func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "argoseal-signer", Command: []string{"/argoseal-signer"}, Args: []string{"sign"}})
		}, "container argoseal-signer"},
		"of nothing yet": {func(p *corev1.Pod) { p.Spec.Containers[1].Name = "argoseal-x" }, "container argoseal-x"},
		"of a debug container": {func(p *corev1.Pod) {
			p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "argoseal-y"}}}
		}, "ephemeral container argoseal-y"},
		"of a volume": {func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "argoseal-no-token", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}}})
		}, "volume argoseal-no-token"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, "produce")
			test.change(pod)
			_, err := sidecar.Add(pod, step, nil, config)
			wantRefusal(t, err, reason.NameTaken, test.detail)
		})
	}
}

func TestWhatCannotBeAdded(t *testing.T) {
	pod, step := argotest.Parsed(t, "consume")
	good := pinsFor(step)
	change := func(f func(*pin.Pin)) []pin.Pin {
		pins := slices.Clone(good)
		f(&pins[0])
		return pins
	}
	tests := map[string]struct {
		step   *argo.Step
		pins   []pin.Pin
		image  string
		detail string
	}{
		"an image by tag":            {step, good, "x:v1", "by digest"},
		"an image by short digest":   {step, good, "x@sha256:ab", "by digest"},
		"an image by another digest": {step, good, "x@sha512:" + strings.Repeat("a", 128), "by digest"},
		"an image of no name":        {step, good, "x y@sha256:" + string(digest), "by digest"},
		"a pin for no input":         {step, change(func(p *pin.Pin) { p.Input = "x" }), config.Image, "no input"},
		"two pins for one input":     {step, append(slices.Clone(good), good...), config.Image, "second for one"},
		"a pin for another location": {step, change(func(p *pin.Pin) { p.Location = "s3://x/y/z" }), config.Image, "location"},
		"a pin for a problem's location": {func() *argo.Step {
			s := *step
			s.Inputs = slices.Clone(s.Inputs)
			s.Inputs[0] = s.Inputs[0].Refused(reason.New(reason.ArchiveUnsupported, ""))
			return &s
		}(), good, config.Image, "location"},
		"containers for no step": {nil, nil, config.Image, "no step"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for what, err := range map[string]error{
				"Add": func() error {
					_, err := sidecar.Add(pod, test.step, test.pins, sidecar.Config{Image: test.image})
					return err
				}(),
				"Check": sidecar.Check(pod, test.step, test.pins, sidecar.Config{Image: test.image}),
			} {
				if err == nil || !strings.Contains(err.Error(), test.detail) {
					t.Errorf("%s gives %v, want the words %q", what, err, test.detail)
				}
			}
		})
	}
}

func wantRefusal(t *testing.T, err error, code reason.Code, detail string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it is admitted, want %s: %s", code, detail)
	}
	if reason.Of(err) != code || !strings.Contains(err.Error(), detail) {
		t.Errorf("it is refused with %q, want code %s and the words %q", err, code, detail)
	}
}

// What wait takes from a volume as it is, the signer reads from the same part of it.
func TestTheSignerReadsWhatWaitTakesFromVolumes(t *testing.T) {
	pod := argotest.Pod(t, "everything")
	for i := range pod.Spec.InitContainers[0].Env {
		if v := &pod.Spec.InitContainers[0].Env[i]; v.Name == "ARGO_TEMPLATE" {
			v.Value = strings.Replace(v.Value, `{"name":"on-volume","path":"/scratch/vol"`, `{"name":"on-volume","path":"/scratch/vol","archive":{"none":{}}`, 1)
		}
	}
	wait := container(pod, layout.ContainerWait)
	wait.SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"DAC_OVERRIDE"}}}
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	signer := container(add(t, pod, step, nil), argo.SignerContainer)
	if !slices.Contains(signer.Args, "--output=on-volume=volume=/argoseal/volumes/0/vol") {
		t.Errorf("its arguments are %q", signer.Args)
	}
	want := corev1.VolumeMount{Name: "scratch", MountPath: "/argoseal/volumes/0", ReadOnly: true}
	if diff := cmp.Diff(want, signer.VolumeMounts[len(signer.VolumeMounts)-1]); diff != "" {
		t.Errorf("its mount (-want +got):\n%s", diff)
	}
	if c := signer.SecurityContext.Capabilities; c == nil || !slices.Equal(c.Add, []corev1.Capability{"DAC_OVERRIDE"}) || c.Drop != nil {
		t.Errorf("its capabilities are %+v, not those of wait", c)
	}

	pod, step = argotest.Parsed(t, "same-path")
	signer = container(add(t, pod, step, pinsFor(step)), argo.SignerContainer)
	if !slices.Contains(signer.Args, "--output=bare=volume=/argoseal/volumes/0/bare") {
		t.Errorf("its arguments are %q", signer.Args)
	}
	want.Name, want.SubPath = "input-artifacts", "samedir"
	if diff := cmp.Diff(want, signer.VolumeMounts[len(signer.VolumeMounts)-1]); diff != "" {
		t.Errorf("its mount (-want +got):\n%s", diff)
	}
}
