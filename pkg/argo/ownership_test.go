package argo_test

import (
	"encoding/json"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/reason"
)

// The parts of Argo's volumes that a step's containers may have.
var (
	inputMount   = corev1.VolumeMount{Name: "input-artifacts", MountPath: "/tmp/message", SubPath: "message"}
	allInputs    = corev1.VolumeMount{Name: "input-artifacts", MountPath: "/artifacts"}
	stagingMount = corev1.VolumeMount{Name: "argo-staging", MountPath: "/argo/staging"}
)

// before is an init container as Argo makes it, with these mounts.
func before(pod *corev1.Pod, name string, mounts ...corev1.VolumeMount) corev1.Container {
	c := *mainOf(pod).DeepCopy()
	c.Name, c.Command, c.Args = name, []string{"prepare"}, nil
	c.VolumeMounts = append([]corev1.VolumeMount{{Name: "var-run-argo", MountPath: "/var/run/argo"}}, mounts...)
	return c
}

// structured checks the structure of a pod whose Workflow has these fields beside the
// templates.
func structured(t *testing.T, pod *corev1.Pod, spec func(object)) error {
	t.Helper()
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	return argo.CheckStructure(pod, step.DefinedBy(workflowOf(t, pod, spec)), argotest.Identity())
}

// workflowOf is the Workflow of a pod, of which its template is the only one.
func workflowOf(t *testing.T, pod *corev1.Pod, change func(object)) *definition.Workflow {
	t.Helper()
	u := argotest.Object(t)
	var template object
	if err := json.Unmarshal([]byte(templateOf(t, pod).Value), &template); err != nil {
		t.Fatal(err)
	}
	spec := object{"entrypoint": template["name"], "templates": list{template}}
	change(spec)
	u.Object["spec"] = spec
	u.SetName(pod.Annotations["workflows.argoproj.io/node-name"])
	wf, err := definition.Parse(&unstructured.Unstructured{Object: u.Object})
	if err != nil {
		t.Fatal(err)
	}
	return wf
}

func unchanged(object) {}

// alone makes the pod's node the workflow's only one.
func alone(pod *corev1.Pod) *corev1.Pod {
	pod.Annotations["workflows.argoproj.io/node-name"] = "artifact-passing"
	return pod
}

// The template of a step is in its seal: what its own containers do with the inputs is
// its own doing, before main and beside it.
func TestAStepsOwnContainersMayHaveItsInputs(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	const patch = "initContainers: [{name: prepare, volumeMounts: [{name: input-artifacts, mountPath: /artifacts}]}]"
	for name, c := range map[string]struct {
		template func(object)
		spec     func(object)
		change   func(*corev1.Pod)
	}{
		"an init container that mirrors": {template: func(o object) {
			o["initContainers"] = list{object{"name": "prepare", "mirrorVolumeMounts": true}}
		}, change: func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, before(p, "prepare", inputMount))
		}},
		"one that runs on": {template: func(o object) {
			o["initContainers"] = list{object{"name": "prepare", "mirrorVolumeMounts": true, "restartPolicy": "Always"}}
		}, change: func(p *corev1.Pod) {
			c := before(p, "prepare", inputMount)
			c.RestartPolicy = &always
			p.Spec.InitContainers = append(p.Spec.InitContainers, c)
		}},
		"one that mirrors a script, too": {template: func(o object) {
			o["initContainers"] = list{object{"name": "prepare", "mirrorVolumeMounts": true}}
		}, change: func(p *corev1.Pod) {
			addEmptyDir(p, "argo-staging")
			p.Spec.InitContainers = append(p.Spec.InitContainers, before(p, "prepare", inputMount, stagingMount))
		}},
		"a sidecar that mirrors": {template: func(o object) {
			o["sidecars"] = list{object{"name": "helper", "mirrorVolumeMounts": true}}
		}, change: func(p *corev1.Pod) {
			c := *mainOf(p).DeepCopy()
			c.Name = "helper"
			p.Spec.Containers = append(p.Spec.Containers, c)
		}},
		"one to which a patch of the template gives them": {template: func(o object) {
			o["initContainers"] = list{object{"name": "prepare"}}
			o["podSpecPatch"] = patch
		}, change: func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, before(p, "prepare", allInputs))
		}},
		"one to which a patch of the workflow gives them": {template: func(o object) {
			o["initContainers"] = list{object{"name": "prepare"}}
		}, spec: func(o object) { o["podSpecPatch"] = patch }, change: func(p *corev1.Pod) {
			m := allInputs
			m.ReadOnly = true // less than it is given
			p.Spec.InitContainers = append(p.Spec.InitContainers, before(p, "prepare", m))
		}},
		"one that a patch of the template adds": {template: func(o object) { o["podSpecPatch"] = patch }, change: func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, before(p, "prepare", allInputs))
		}},
		"main, elsewhere too": {template: func(o object) {
			o["podSpecPatch"] = "containers: [{name: main, volumeMounts: [{name: input-artifacts, mountPath: /artifacts}]}]"
		}, change: func(p *corev1.Pod) { mount(mainOf(p), allInputs) }},
	} {
		t.Run(name, func(t *testing.T) {
			pod := alone(withTemplate(t, "consume", c.template))
			c.change(pod)
			if c.spec == nil {
				c.spec = unchanged
			}
			if err := structured(t, pod, c.spec); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatOthersAddHasNoInputs(t *testing.T) {
	mirroring := func(o object) { o["initContainers"] = list{object{"name": "prepare", "mirrorVolumeMounts": true}} }
	add := func(mounts ...corev1.VolumeMount) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, before(p, "prepare", mounts...))
		}
	}
	const unsaid = "neither its template nor a podSpecPatch without parameters says so"
	for name, c := range map[string]struct {
		template func(object)
		spec     func(object)
		change   func(*corev1.Pod)
		detail   string
	}{
		"an init container of a webhook's": {unchanged, unchanged, add(inputMount), "container prepare mounts input-artifacts at \"/tmp/message\", and " + unsaid},
		"one that only reads": {unchanged, unchanged, func(p *corev1.Pod) {
			m := inputMount
			m.ReadOnly = true
			add(m)(p)
		}, unsaid},
		"a mount more than the template gives":     {mirroring, unchanged, add(inputMount, allInputs), "at \"/artifacts\""},
		"another input in the place of one":        {mirroring, unchanged, add(corev1.VolumeMount{Name: "input-artifacts", MountPath: "/tmp/message", SubPath: "other"}), unsaid},
		"a script that the template has not given": {unchanged, unchanged, func(p *corev1.Pod) { addEmptyDir(p, "argo-staging"); add(stagingMount)(p) }, "mounts argo-staging"},
		"a sidecar of the template's, before main": {func(o object) {
			o["sidecars"] = list{object{"name": "prepare", "mirrorVolumeMounts": true}}
		}, unchanged, add(inputMount), unsaid},
		"a patch with a parameter in it": {
			func(o object) {
				o["podSpecPatch"] = "initContainers: [{name: prepare, volumeMounts: [{name: input-artifacts, mountPath: /artifacts}]}]"
			},
			// What the pod has is what Argo made of this.
			func(o object) { o["templates"].(list)[0].(object)["podSpecPatch"] = "{{inputs.parameters.patch}}" },
			add(allInputs), unsaid,
		},
		"a workflow's patch with a parameter in it": {unchanged, func(o object) {
			o["podSpecPatch"] = "initContainers: [{name: prepare, image: '{{workflow.parameters.image}}', volumeMounts: [{name: input-artifacts, mountPath: /artifacts}]}]"
		}, add(allInputs), unsaid},
		"a sidecar of a webhook's, under the emissary": {unchanged, unchanged, func(p *corev1.Pod) {
			c := *mainOf(p).DeepCopy()
			c.Name = "helper"
			p.Spec.Containers = append(p.Spec.Containers, c)
		}, unsaid},
	} {
		t.Run(name, func(t *testing.T) {
			pod := alone(withTemplate(t, "consume", c.template))
			c.change(pod)
			wantRefusal(t, structured(t, pod, c.spec), reason.ForeignMount, c.detail)
		})
	}
	t.Run("a patch that nobody says is the definition's", func(t *testing.T) {
		pod := alone(withTemplate(t, "consume", func(o object) {
			o["podSpecPatch"] = "initContainers: [{name: prepare, volumeMounts: [{name: input-artifacts, mountPath: /artifacts}]}]"
		}))
		add(allInputs)(pod)
		step, err := argo.Parse(pod)
		if err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, argo.CheckStructure(pod, step, argotest.Identity()), reason.ForeignMount, unsaid)
	})
	t.Run("one before the check", func(t *testing.T) {
		pod := alone(withTemplate(t, "consume", mirroring))
		add(inputMount)(pod)
		slices.Reverse(pod.Spec.InitContainers)
		wantRefusal(t, structured(t, pod, unchanged), reason.InitAltered, "init comes after container prepare, which mounts")
	})
	t.Run("a patch in a template that Argo has not stored yet", func(t *testing.T) {
		pod := alone(withTemplate(t, "consume", unchanged))
		add(allInputs)(pod)
		wantRefusal(t, structured(t, pod, func(o object) {
			delete(o, "templates")
			o["entrypoint"] = "main"
			o["workflowTemplateRef"] = object{"name": "library"}
		}), reason.DefinitionIncomplete, "whether its template says so")
	})
}

func TestAVolumeWithInputsIsWrittenByTheStepsOwnContainersAlone(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		detail string // admitted, if empty
	}{
		"as the template gives it": {func(p *corev1.Pod) { another(p, true, work("/shop")) }, ""},
		"another part of it": {func(p *corev1.Pod) {
			another(p, true, corev1.VolumeMount{Name: "work", MountPath: "/x", SubPath: "other"})
		}, `container prepare mounts work at "/x"`},
		"all of a claim": {func(p *corev1.Pod) {
			volume(p, "work").VolumeSource = claim
			another(p, true, corev1.VolumeMount{Name: "work", MountPath: "/x"})
		}, `container prepare mounts work at "/x"`},
		"somebody else's container": {func(p *corev1.Pod) {
			another(p, true, work("/shop"))
			p.Spec.InitContainers[1].Name = "mesh"
		}, `container mesh mounts work at "/shop"`},
		"somebody else's that only reads": {func(p *corev1.Pod) {
			m := work("/shop")
			m.ReadOnly = true
			another(p, true, m)
			p.Spec.InitContainers[1].Name = "mesh"
		}, ""},
		"before the check": {func(p *corev1.Pod) {
			another(p, true, work("/shop"))
			slices.Reverse(p.Spec.InitContainers)
			unmount(&p.Spec.InitContainers[0], "/var/run/argo")
		}, "comes before init: it could change the inputs on volume work while they are checked"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := onVolume(t)
			c.change(pod)
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			err = argo.CheckStructure(pod, step, argotest.Identity())
			if c.detail == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantRefusal(t, err, reason.ForeignMount, c.detail)
		})
	}
}
