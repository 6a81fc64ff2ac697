package argo_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// work is a part of the step's own volume, as main mounts it.
func work(path string) corev1.VolumeMount {
	return corev1.VolumeMount{Name: "work", SubPath: "part", MountPath: path}
}

// onVolume gives a step whose input lies on a volume of its own, as Argo makes
// it: init and wait have main's mounts below /mainctrfs, and nothing is mounted
// from the volume of inputs.
func onVolume(t *testing.T, more ...object) *corev1.Pod {
	t.Helper()
	pod := withTemplate(t, "consume", func(o object) {
		o["container"].(object)["volumeMounts"] = list{object{"name": "work", "mountPath": "/shop", "subPath": "part"}}
		artifacts := o["inputs"].(object)["artifacts"].(list)
		artifacts[0].(object)["path"] = "/shop/in"
		for _, m := range more {
			artifacts = append(artifacts, m)
		}
		o["inputs"].(object)["artifacts"] = artifacts
		o["initContainers"] = list{object{"name": "prepare", "mirrorVolumeMounts": true}}
		o["sidecars"] = list{object{"name": "helper"}}
	})
	addEmptyDir(pod, "work")
	unmount(mainOf(pod), "/tmp/message")
	unmount(waitOf(pod), "/mainctrfs/tmp/message")
	mount(mainOf(pod), work("/shop"))
	mount(waitOf(pod), work("/mainctrfs/shop"))
	mount(initOf(pod), work("/mainctrfs/shop"))
	return pod
}

// another gives the pod another container: before main if it is an init one.
func another(p *corev1.Pod, init bool, mounts ...corev1.VolumeMount) {
	c := *mainOf(p).DeepCopy()
	c.VolumeMounts = slices.DeleteFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "work" })
	c.VolumeMounts = append(c.VolumeMounts, mounts...)
	if init {
		c.Name = "prepare"
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
	} else {
		c.Name = "helper"
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
}

func TestAnInputOnAVolumeLiesWhereMainReadsItAndInitWritesIt(t *testing.T) {
	cover := func(path string) corev1.VolumeMount { return corev1.VolumeMount{Name: "cover", MountPath: path} }
	tests := map[string]struct {
		change func(*corev1.Pod)
		want   string // of its problem; there is none, if empty
	}{
		"as Argo makes it":                 {change: func(*corev1.Pod) {}},
		"with a volume beside it":          {change: func(p *corev1.Pod) { mount(mainOf(p), cover("/works")) }},
		"with init's mount read-only":      {change: func(p *corev1.Pod) { mountAt(initOf(p), "/mainctrfs/shop").ReadOnly = true }},
		"with no mount in main":            {func(p *corev1.Pod) { unmount(mainOf(p), "/shop") }, "does not mount volume work"},
		"with another volume in its place": {func(p *corev1.Pod) { mountAt(mainOf(p), "/shop").Name = "cover" }, "has volume cover"},
		"with the volume elsewhere":        {func(p *corev1.Pod) { mountAt(mainOf(p), "/shop").MountPath = "/work2" }, "does not mount volume work"},
		"with the volume deeper":           {func(p *corev1.Pod) { mountAt(mainOf(p), "/shop").MountPath = "/shop/in" }, "has volume work"},
		"with a volume over it":            {func(p *corev1.Pod) { mount(mainOf(p), cover("/shop/in")) }, "has volume cover"},
		"with a volume in it":              {func(p *corev1.Pod) { mount(mainOf(p), cover("/shop/in/x")) }, "has volume cover"},
		"with a volume between":            {func(p *corev1.Pod) { mount(mainOf(p), cover("/shop/")) }, "has volume cover"},
		"with a volume above":              {func(p *corev1.Pod) { mount(mainOf(p), cover("/")) }, "has volume cover"},
		"with the volume of inputs over it": {func(p *corev1.Pod) {
			mount(mainOf(p), corev1.VolumeMount{Name: "input-artifacts", MountPath: "/shop/in", SubPath: "message"})
		}, "has volume input-artifacts"},
		"with a device over it": {func(p *corev1.Pod) {
			mainOf(p).VolumeDevices = []corev1.VolumeDevice{{Name: "d", DevicePath: "/shop/in"}}
		}, "has device d"},
		"with the termination message in it": {func(p *corev1.Pod) { mainOf(p).TerminationMessagePath = "/shop/in" }, "termination message"},
		"with another part in main":          {func(p *corev1.Pod) { mountAt(mainOf(p), "/shop").SubPath = "other" }, "container init has not what main has"},
		"with a part that each container names": {func(p *corev1.Pod) {
			for path, c := range map[string]*corev1.Container{"/shop": mainOf(p), "/mainctrfs/shop": initOf(p)} {
				m := mountAt(c, path)
				m.SubPath, m.SubPathExpr = "", "$(ARGO_CONTAINER_NAME)"
			}
		}, "subPathExpr"},
		"with no mount in init":          {func(p *corev1.Pod) { unmount(initOf(p), "/mainctrfs/shop") }, "container init has not what main has"},
		"with another volume in init":    {func(p *corev1.Pod) { mountAt(initOf(p), "/mainctrfs/shop").Name = "cover" }, "container init has not what main has"},
		"with all of the volume in init": {func(p *corev1.Pod) { mountAt(initOf(p), "/mainctrfs/shop").SubPath = "" }, "container init has not what main has"},
		"with another part in init":      {func(p *corev1.Pod) { mountAt(initOf(p), "/mainctrfs/shop").SubPath = "part/x" }, "container init has not what main has"},
		"with an expression in init":     {func(p *corev1.Pod) { mountAt(initOf(p), "/mainctrfs/shop").SubPathExpr = "part" }, "container init has not what main has"},
		"with a volume nearer in init":   {func(p *corev1.Pod) { mount(initOf(p), cover("/mainctrfs/shop/in")) }, "container init has not what main has"},
		"with a volume in it in init":    {func(p *corev1.Pod) { mount(initOf(p), cover("/mainctrfs/shop/in/x")) }, "container init has not what main has"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := onVolume(t)
			test.change(pod)
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			in := step.Inputs[0]
			if test.want != "" {
				wantRefusal(t, problemOf(in), reason.MountUnsupported, test.want)
				if in.Mount() != nil || in.URI() != "" {
					t.Errorf("it lies on %v at %s", in.Mount(), in.URI())
				}
				return
			}
			if diff := cmp.Diff(&argo.Mount{Volume: "work", Path: "/shop", SubPath: "part", Own: true}, in.Mount()); diff != "" || in.Problem() != nil {
				t.Errorf("its problem is %v; mount (-want +got):\n%s", in.Problem(), diff)
			}
			if err := argo.CheckStructure(pod, step, argotest.Identity()); err != nil {
				t.Errorf("CheckStructure: %v", err)
			}
		})
	}
}

// problemOf is the input's problem as an error.
func problemOf(in argo.Input) error {
	if in.Problem() == nil {
		return nil
	}
	return in.Problem()
}

// Argo's init puts them there one after the other; each is checked for itself.
func TestInputsOnAVolumeMayLieInEachOther(t *testing.T) {
	raw := func(path string) object { return object{"name": "raw", "path": path, "raw": object{"data": "x"}} }
	for name, other := range map[string]object{
		"one beside the other":        raw("/shop/in2"),
		"one in the other":            raw("/shop/in/x"),
		"one in the other, by detour": raw("/shop/in/../in/x"),
		"one around the other":        raw("/shop"),
		"one in the other, not given": {"name": "raw", "path": "/shop/in/x", "optional": true},
	} {
		t.Run(name, func(t *testing.T) {
			step, err := argo.Parse(onVolume(t, other))
			if err != nil {
				t.Fatal(err)
			}
			if in := step.Inputs[0]; in.Problem() != nil || in.Mount() == nil {
				t.Errorf("it lies on %+v: %v", in.Mount(), in.Problem())
			}
		})
	}
	t.Run("an input that is the volume", func(t *testing.T) {
		pod := onVolume(t)
		for path, c := range map[string]*corev1.Container{"/shop": mainOf(pod), "/mainctrfs/shop": initOf(pod)} {
			mountAt(c, path).MountPath += "/in"
		}
		v := templateOf(t, pod)
		v.Value = replaceOnce(t, v.Value, `"mountPath":"/shop"`, `"mountPath":"/shop/in"`)
		step, err := argo.Parse(pod)
		if err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, problemOf(step.Inputs[0]), reason.MountUnsupported, "is where volume work is mounted")
	})
}

func TestAVolumeIsTheStepsOwnIfNobodyElseHasIt(t *testing.T) {
	everywhere := func(p *corev1.Pod, change func(*corev1.VolumeMount)) {
		for path, c := range map[string]*corev1.Container{"/shop": mainOf(p), "/mainctrfs/shop": initOf(p)} {
			change(mountAt(c, path))
		}
		change(mountAt(waitOf(p), "/mainctrfs/shop"))
	}
	for name, test := range map[string]struct {
		change func(*corev1.Pod)
		own    bool
	}{
		"an empty volume":        {func(*corev1.Pod) {}, true},
		"an empty one in memory": {func(p *corev1.Pod) { volume(p, "work").EmptyDir.Medium = corev1.StorageMediumMemory }, true},
		"all of an empty volume": {func(p *corev1.Pod) { everywhere(p, func(m *corev1.VolumeMount) { m.SubPath = "" }) }, true},
		"a claim":                {func(p *corev1.Pod) { volume(p, "work").VolumeSource = claim }, false},
		"a volume made for it": {func(p *corev1.Pod) {
			volume(p, "work").VolumeSource = corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}
		}, false},
		"one that a sidecar has":    {func(p *corev1.Pod) { another(p, false, work("/shop")) }, false},
		"one a sidecar reads":       {func(p *corev1.Pod) { m := work("/x"); m.ReadOnly = true; another(p, false, m) }, false},
		"one that is read before":   {func(p *corev1.Pod) { m := work("/x"); m.ReadOnly = true; another(p, true, m) }, false},
		"one that main has twice":   {func(p *corev1.Pod) { mount(mainOf(p), work("/x")) }, false},
		"one of which wait has all": {func(p *corev1.Pod) { mountAt(waitOf(p), "/mainctrfs/shop").SubPath = "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := onVolume(t)
			test.change(pod)
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if m := step.Inputs[0].Mount(); m == nil || m.Own != test.own {
				t.Errorf("it lies on %+v", m)
			}
			if err := argo.CheckStructure(pod, step, argotest.Identity()); err != nil {
				t.Errorf("CheckStructure: %v", err)
			}
			want := []string{"input message lies on volume work, which other pods and containers may write"}
			if test.own {
				want = nil
			}
			if diff := cmp.Diff(want, argo.Warnings(pod, step)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

var claim = corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "shared"}}

func TestAnOutputInAnInputIsWhatMainAndWaitSeeThere(t *testing.T) {
	const good, bad = "out s3://s3.argo.svc:7070/artifacts/artifact-passing/artifact-passing-print-message-from-file-3955987017/out.tgz on input-artifacts", "out MountUnsupported"
	main := func(p *corev1.Pod) *corev1.VolumeMount { return mountAt(mainOf(p), "/tmp/message") }
	wait := func(p *corev1.Pod) *corev1.VolumeMount { return mountAt(waitOf(p), "/mainctrfs/tmp/message") }
	cover := func(path string) corev1.VolumeMount { return corev1.VolumeMount{Name: "cover", MountPath: path} }
	for name, test := range map[string]struct {
		path   string // of the output; that of the input, if empty
		change func(*corev1.Pod)
		want   string
	}{
		"as Argo makes it":                     {"", func(*corev1.Pod) {}, good},
		"in the input":                         {"/tmp/message/x", func(*corev1.Pod) {}, good},
		"around the input":                     {"/tmp", func(*corev1.Pod) {}, good},
		"with no mount in main":                {"", func(p *corev1.Pod) { unmount(mainOf(p), "/tmp/message") }, bad},
		"with no mount in wait":                {"", func(p *corev1.Pod) { unmount(waitOf(p), "/mainctrfs/tmp/message") }, bad},
		"around one that wait has not":         {"/tmp", func(p *corev1.Pod) { unmount(waitOf(p), "/mainctrfs/tmp/message") }, good},
		"with another volume in main":          {"", func(p *corev1.Pod) { main(p).Name = "cover" }, bad},
		"with another input in main":           {"", func(p *corev1.Pod) { main(p).SubPath = "other" }, bad},
		"with another volume in wait":          {"", func(p *corev1.Pod) { wait(p).Name = "cover" }, bad},
		"with another input in wait":           {"", func(p *corev1.Pod) { wait(p).SubPath = "other" }, bad},
		"with a volume in it, in wait":         {"", func(p *corev1.Pod) { mount(waitOf(p), cover("/mainctrfs/tmp/message/x")) }, bad},
		"with a volume nearer, in wait":        {"/tmp/message/x/y", func(p *corev1.Pod) { mount(waitOf(p), cover("/mainctrfs/tmp/message/x")) }, bad},
		"with a volume in it, in main":         {"", func(p *corev1.Pod) { mount(mainOf(p), cover("/tmp/message/x")) }, bad},
		"around the input, with another mount": {"/tmp", func(p *corev1.Pod) { mount(mainOf(p), cover("/tmp/x")) }, good},
	} {
		t.Run(name, func(t *testing.T) {
			at := test.path
			if at == "" {
				at = "/tmp/message"
			}
			pod := withTemplate(t, "consume", func(o object) {
				o["outputs"] = object{"artifacts": list{object{"name": "out", "path": at}}}
			})
			test.change(pod)
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.want}, outputs(step)); diff != "" {
				t.Fatalf("outputs (-want +got):\n%s", diff)
			}
			if test.want == good {
				if diff := cmp.Diff([]string{"output out has in it what came as an input, or what became of it"}, argo.Warnings(pod, step)); diff != "" {
					t.Errorf("warnings (-want +got):\n%s", diff)
				}
			}
		})
	}
}
