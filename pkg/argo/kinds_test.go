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

func TestAContainerSetHasTheContainersOfItsTemplate(t *testing.T) {
	without := func(name string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Containers = slices.DeleteFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == name })
		}
	}
	runBreaking(t, map[string]breaking{
		"one is missing":      {pod: "container-set", change: without("a"), code: reason.UnknownPodLayout, detail: `it has no container "a"`},
		"main is missing":     {pod: "container-set", change: without("main"), code: reason.UnknownPodLayout, detail: `it has no container "main"`},
		"one has no emissary": {pod: "container-set", change: func(p *corev1.Pod) { container(p.Spec.Containers, "a").Command = []string{"true"} }, code: reason.EmissaryAltered, detail: "container a does not run"},
		"one has the staging area": {pod: "container-set", change: func(p *corev1.Pod) {
			mount(container(p.Spec.Containers, "a"), corev1.VolumeMount{Name: "tmp-dir-argo", MountPath: "/x", SubPath: "0"})
		}, code: reason.ForeignMount, detail: "container a mounts tmp-dir-argo"},
	})
	t.Run("main is for artifacts", func(t *testing.T) {
		for name, test := range map[string]struct {
			outputs list
			mains   []string
		}{
			"there are some": {list{object{"name": "x", "path": "/x"}}, []string{"a", "main"}},
			"there are none": {nil, []string{"a"}},
		} {
			pod := withTemplate(t, "container-set", func(o object) {
				set := o["containerSet"].(object)
				set["containers"] = set["containers"].(list)[:1]
				o["outputs"] = object{"artifacts": test.outputs}
			})
			without("main")(pod)
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.mains, step.Mains()); diff != "" {
				t.Errorf("%s: containers (-want +got):\n%s", name, diff)
			}
			if err := argo.CheckStructure(pod, step, argotest.Identity()); (err == nil) != (test.outputs == nil) {
				t.Errorf("%s: CheckStructure: %v", name, err)
			}
		}
	})
}

// workspace gives a container set an input and an output on a volume that all
// of its containers mount, as Argo makes it.
func workspace(t *testing.T) *corev1.Pod {
	t.Helper()
	pod := withTemplate(t, "container-set", func(o object) {
		o["containerSet"].(object)["volumeMounts"] = list{object{"name": "work", "mountPath": "/shop"}}
		o["inputs"] = object{"artifacts": list{object{"name": "in", "path": "/shop/in", "s3": object{"key": "in"}}}}
		o["outputs"] = object{"artifacts": list{object{"name": "out", "path": "/shop/out"}, object{"name": "log", "path": "/log"}}}
		o["sidecars"] = list{object{"name": "helper"}}
	})
	for _, name := range []string{"work", "input-artifacts"} {
		addEmptyDir(pod, name)
	}
	mount(initOf(pod), corev1.VolumeMount{Name: "input-artifacts", MountPath: "/argo/inputs/artifacts"})
	mount(initOf(pod), work("/mainctrfs/shop"))
	mount(waitOf(pod), work("/mainctrfs/shop"))
	mount(container(pod.Spec.Containers, "a"), work("/shop"))
	mount(mainOf(pod), work("/shop"))
	return pod
}

func TestAContainerSetSharesItsVolumes(t *testing.T) {
	const in = "in store s3://s3.argo.svc:7070/artifacts/in"
	const place = "s3://s3.argo.svc:7070/artifacts/container-set/container-set/"
	for name, test := range map[string]struct {
		change  func(*corev1.Pod)
		input   string
		own     bool
		outputs []string
	}{
		"as Argo makes it": {func(*corev1.Pod) {}, in, true, []string{"out " + place + "out.tgz on work", "log " + place + "log.tgz"}},
		"and a sidecar's": {func(p *corev1.Pod) { another(p, false, work("/shop")) }, in, false,
			[]string{"out " + place + "out.tgz on work", "log " + place + "log.tgz"}},
		"and one has another part": {func(p *corev1.Pod) { mountAt(container(p.Spec.Containers, "a"), "/shop").SubPath = "" }, in, false,
			[]string{"out " + place + "out.tgz on work", "log " + place + "log.tgz"}},
		"and main has a mount of its own": {func(p *corev1.Pod) { mount(mainOf(p), corev1.VolumeMount{Name: "work", MountPath: "/log"}) }, in, false,
			[]string{"out " + place + "out.tgz on work", "log " + place + "log.tgz on work"}},
		"and main has not": {func(p *corev1.Pod) { unmount(mainOf(p), "/shop") }, "in store MountUnsupported", false,
			[]string{"out MountUnsupported", "log " + place + "log.tgz"}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := workspace(t)
			test.change(pod)
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.input}, inputs(step)); diff != "" {
				t.Errorf("inputs (-want +got):\n%s", diff)
			}
			if m := step.Inputs[0].Mount(); m != nil && m.Own != test.own {
				t.Errorf("its input lies on %+v", m)
			}
			if diff := cmp.Diff(test.outputs, outputs(step)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
			if err := argo.CheckStructure(pod, step, argotest.Identity()); err != nil {
				t.Errorf("CheckStructure: %v", err)
			}
		})
	}
}

func TestTheOutputsOfADaemonAreNotSealed(t *testing.T) {
	for daemon, want := range map[bool]string{
		true:  "hello-art DaemonUnsupported",
		false: "hello-art s3://s3.argo.svc:7070/artifacts/artifact-passing/artifact-passing-hello-world-to-file-2947538355/hello-art.tgz",
	} {
		pod := withTemplate(t, "produce", func(o object) { o["daemon"] = daemon })
		step, err := argo.Parse(pod)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{want}, outputs(step)); diff != "" {
			t.Errorf("daemon %v: outputs (-want +got):\n%s", daemon, diff)
		}
		if err := argo.CheckStructure(pod, step, argotest.Identity()); err != nil {
			t.Errorf("CheckStructure: %v", err)
		}
	}
}
