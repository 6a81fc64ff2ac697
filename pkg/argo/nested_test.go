package argo_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
)

// volumesAt gives the step main's mounts of volumes, as Argo makes them: the template has
// them, and init and wait below /mainctrfs.
func volumesAt(t *testing.T, change func(object), mounts ...corev1.VolumeMount) *corev1.Pod {
	t.Helper()
	pod := withTemplate(t, "consume", func(o object) {
		var given list
		for _, m := range mounts {
			given = append(given, object{"name": m.Name, "mountPath": m.MountPath})
		}
		o["container"].(object)["volumeMounts"] = given
		change(o)
	})
	for _, m := range mounts {
		addEmptyDir(pod, m.Name)
		mount(mainOf(pod), m)
		m.MountPath = "/mainctrfs" + m.MountPath
		mount(initOf(pod), m)
		mount(waitOf(pod), m)
	}
	return pod
}

// The emissary packs the whole of it as main sees it, volumes included.
func TestAnOutputMayHaveVolumesInIt(t *testing.T) {
	const place = "out s3://s3.argo.svc:7070/artifacts/artifact-passing/artifact-passing-print-message-from-file-3955987017/out"
	const good, covered, bad = place + ".tgz on cache", place + ".tgz on cover", "out MountUnsupported"
	cover := func(path string) corev1.VolumeMount { return corev1.VolumeMount{Name: "cover", MountPath: path} }
	cache, outer := corev1.VolumeMount{Name: "cache", MountPath: "/src/cache"}, corev1.VolumeMount{Name: "outer", MountPath: "/src"}
	inIt, onIt := []corev1.VolumeMount{cache}, []corev1.VolumeMount{outer, cache}
	for name, test := range map[string]struct {
		mounts  []corev1.VolumeMount
		archive object
		change  func(*corev1.Pod)
		want    string
	}{
		"as Argo makes it":                    {inIt, nil, func(*corev1.Pod) {}, good},
		"without an archive":                  {inIt, object{"none": object{}}, func(*corev1.Pod) {}, strings.TrimSuffix(place, "out") + "src as none on cache"},
		"as zip":                              {inIt, object{"zip": object{}}, func(*corev1.Pod) {}, place + ".zip as zip on cache"},
		"with another volume in its place":    {inIt, nil, func(p *corev1.Pod) { mountAt(mainOf(p), "/src/cache").Name = "cover" }, covered},
		"with the volume elsewhere in it":     {inIt, nil, func(p *corev1.Pod) { mountAt(mainOf(p), "/src/cache").MountPath = "/src/other" }, good},
		"with a volume of somebody else's":    {inIt, nil, func(p *corev1.Pod) { mount(mainOf(p), cover("/src/cover")) }, covered},
		"with a volume over it":               {inIt, nil, func(p *corev1.Pod) { mount(mainOf(p), cover("/src")) }, covered},
		"with one in the one that is in it":   {inIt, nil, func(p *corev1.Pod) { mount(mainOf(p), cover("/src/cache/x")) }, covered},
		"with the volume of inputs over it":   {inIt, nil, func(p *corev1.Pod) { mount(mainOf(p), corev1.VolumeMount{Name: "input-artifacts", MountPath: "/src"}) }, bad},
		"with Argo's own volume in it":        {inIt, nil, func(p *corev1.Pod) { mount(mainOf(p), corev1.VolumeMount{Name: "var-run-argo", MountPath: "/src/run"}) }, bad},
		"on a volume, with another over it":   {onIt, nil, func(p *corev1.Pod) { mount(mainOf(p), cover("/src/x")) }, bad},
		"on a volume":                         {onIt, nil, func(*corev1.Pod) {}, place + ".tgz on outer"},
		"on a volume, as zip":                 {onIt, object{"zip": object{}}, func(*corev1.Pod) {}, place + ".zip as zip on outer"},
		"on a volume, without an archive":     {onIt, object{"none": object{}}, func(*corev1.Pod) {}, bad},
		"on a volume, not in wait":            {onIt, nil, func(p *corev1.Pod) { unmount(waitOf(p), "/mainctrfs/src/cache") }, bad},
		"on a volume, with another in wait":   {onIt, nil, func(p *corev1.Pod) { mountAt(waitOf(p), "/mainctrfs/src/cache").Name = "cover" }, bad},
		"on a volume, with a part of in wait": {onIt, nil, func(p *corev1.Pod) { mountAt(waitOf(p), "/mainctrfs/src/cache").SubPath = "part" }, bad},
		"on a volume, with one more in wait":  {onIt, nil, func(p *corev1.Pod) { mount(waitOf(p), cover("/mainctrfs/src/cache/x")) }, bad},
		"on a volume that wait has not":       {onIt, nil, func(p *corev1.Pod) { unmount(waitOf(p), "/mainctrfs/src") }, bad},
	} {
		t.Run(name, func(t *testing.T) {
			pod := volumesAt(t, func(o object) {
				out := object{"name": "out", "path": "/src"}
				if test.archive != nil {
					out["archive"] = test.archive
				}
				o["outputs"] = object{"artifacts": list{out}}
			}, test.mounts...)
			addEmptyDir(pod, "cover")
			test.change(pod)
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.want}, outputs(step)); diff != "" {
				t.Fatalf("outputs (-want +got):\n%s", diff)
			}
			if test.want != good {
				return
			}
			if diff := cmp.Diff([]string{"output out has in it, or lies on, volume cache, which other pods and containers may write"}, argo.Warnings(pod, step)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if err := argo.CheckStructure(pod, step, argotest.Identity()); err != nil {
				t.Errorf("CheckStructure: %v", err)
			}
		})
	}
}

// The deepest mount is what main, init and wait have at a path.
func TestAnInputMayLieOnAVolumeInAVolume(t *testing.T) {
	outer, inner := corev1.VolumeMount{Name: "outer", MountPath: "/shop"}, corev1.VolumeMount{Name: "inner", MountPath: "/shop/in"}
	for name, test := range map[string]struct {
		mounts []corev1.VolumeMount
		change func(*corev1.Pod)
		good   bool
	}{
		"the outer one first":               {[]corev1.VolumeMount{outer, inner}, func(*corev1.Pod) {}, true},
		"the inner one first":               {[]corev1.VolumeMount{inner, outer}, func(*corev1.Pod) {}, true},
		"the inner one not in main":         {[]corev1.VolumeMount{outer, inner}, func(p *corev1.Pod) { unmount(mainOf(p), "/shop/in") }, false},
		"the inner one not in init":         {[]corev1.VolumeMount{outer, inner}, func(p *corev1.Pod) { unmount(initOf(p), "/mainctrfs/shop/in") }, false},
		"another in the inner one's place":  {[]corev1.VolumeMount{outer, inner}, func(p *corev1.Pod) { mountAt(mainOf(p), "/shop/in").Name = "outer" }, false},
		"another in the place of the outer": {[]corev1.VolumeMount{outer, inner}, func(p *corev1.Pod) { mountAt(mainOf(p), "/shop").Name = "inner" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := volumesAt(t, func(o object) {
				o["inputs"].(object)["artifacts"].(list)[0].(object)["path"] = "/shop/in/message"
			}, test.mounts...)
			unmount(mainOf(pod), "/tmp/message")
			unmount(waitOf(pod), "/mainctrfs/tmp/message")
			test.change(pod)
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			in := step.Inputs[0]
			if err := argo.CheckStructure(pod, step, argotest.Identity()); err != nil {
				t.Errorf("CheckStructure: %v", err)
			}
			if test.good != (in.Problem() == nil) {
				t.Fatalf("its problem is %v", in.Problem())
			}
			if diff := cmp.Diff(&argo.Mount{Volume: "inner", Path: "/shop/in", Own: true}, in.Mount()); test.good && diff != "" {
				t.Errorf("mount (-want +got):\n%s", diff)
			}
		})
	}
}

// In one that has another in it the runtime leaves a folder, which is no input's.
func TestAVolumeWithAnotherInItIsNotTheStepsOwn(t *testing.T) {
	pod := volumesAt(t, func(o object) {
		o["inputs"].(object)["artifacts"].(list)[0].(object)["path"] = "/shop/message"
	}, corev1.VolumeMount{Name: "outer", MountPath: "/shop"}, corev1.VolumeMount{Name: "inner", MountPath: "/shop/cache"})
	unmount(mainOf(pod), "/tmp/message")
	unmount(waitOf(pod), "/mainctrfs/tmp/message")
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&argo.Mount{Volume: "outer", Path: "/shop"}, step.Inputs[0].Mount()); diff != "" {
		t.Errorf("%v, mount (-want +got):\n%s", step.Inputs[0].Problem(), diff)
	}
}

// The runtime mounts the volume first and the input in it. Who has the volume, too, could
// take away the folder at which it is mounted.
func TestAnInputMayLieInAVolumeThatNobodyElseHas(t *testing.T) {
	tmp := corev1.VolumeMount{Name: "added", MountPath: "/tmp"}
	for name, test := range map[string]struct {
		change func(*corev1.Pod)
		good   bool
	}{
		"added by somebody":               {func(p *corev1.Pod) { mount(mainOf(p), tmp) }, true},
		"that a sidecar has, too":         {func(p *corev1.Pod) { mount(mainOf(p), tmp); another(p, false, tmp) }, false},
		"that is a claim":                 {func(p *corev1.Pod) { mount(mainOf(p), tmp); volume(p, "added").VolumeSource = claim }, false},
		"of which main has a part":        {func(p *corev1.Pod) { m := tmp; m.SubPath = "x"; mount(mainOf(p), m) }, true},
		"that main has twice":             {func(p *corev1.Pod) { m := tmp; m.MountPath = "/x"; mount(mainOf(p), tmp); mount(mainOf(p), m) }, false},
		"and over the input":              {func(p *corev1.Pod) { m := tmp; m.MountPath = "/tmp/message"; mount(mainOf(p), m) }, false},
		"and in the input":                {func(p *corev1.Pod) { m := tmp; m.MountPath = "/tmp/message/x"; mount(mainOf(p), m) }, false},
		"that is Argo's volume of inputs": {func(p *corev1.Pod) { m := tmp; m.Name = "input-artifacts"; mount(mainOf(p), m) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "consume")
			addEmptyDir(pod, "added")
			test.change(pod)
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if in := step.Inputs[0]; test.good != (in.Problem() == nil) {
				t.Errorf("its problem is %v", in.Problem())
			}
		})
	}
}
