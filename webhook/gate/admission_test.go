package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/tag/tagtest"
)

func container(pod *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// retag changes the pod's tag, under our key.
func retag(t *testing.T, a *Admission, change func(*tag.Tag)) {
	t.Helper()
	tg, err := a.Trust.Keys.Open(a.Pod.Annotations[v1alpha1.AnnotationTag])
	check(t, err)
	change(&tg)
	value, err := a.Trust.Keys.Issue(tg)
	check(t, err)
	a.Pod.Annotations[v1alpha1.AnnotationTag] = value
}

func otherKeys(t *testing.T) tag.Keys {
	t.Helper()
	id, key, err := tag.NewKey()
	check(t, err)
	keys, err := tag.ParseKeys(tag.WithKey(nil, id, key))
	check(t, err)
	return keys
}

func TestCreate(t *testing.T) {
	tests := map[string]struct {
		change func(*testing.T, *world, *Admission)
		want   reason.Code
		always bool
	}{
		"an honest consumer is admitted": {func(*testing.T, *world, *Admission) {}, "", false},

		// Genuine.
		"another creator": {func(t *testing.T, _ *world, a *Admission) {
			a.Creator = "eve"
			retag(t, a, func(g *tag.Tag) { g.Creator = "eve" })
		}, reason.ReplicasDisagree, false},
		"another creator whom no replica knows": {func(_ *testing.T, _ *world, a *Admission) {
			a.Creator = "eve"
			delete(a.Pod.Annotations, v1alpha1.AnnotationTag)
		}, reason.CreatorNotArgo, false},
		"no live workflow":                       {func(_ *testing.T, w *world, _ *Admission) { w.workflow = nil }, reason.OwnerMismatch, false},
		"another live workflow of the same name": {func(_ *testing.T, w *world, _ *Admission) { w.workflow.UID = "other" }, reason.OwnerMismatch, false},
		"a workflow that cannot be looked up": {func(_ *testing.T, w *world, _ *Admission) {
			w.definitions.workflow = func(context.Context, string, string) (*definition.Workflow, error) { return nil, errDown }
		}, reason.LookupFailed, false},
		"a workflow that changed between the webhooks": {func(t *testing.T, _ *world, a *Admission) {
			retag(t, a, func(g *tag.Tag) { g.Definition = "another" })
		}, reason.LookupFailed, false},
		"another executor image": {func(_ *testing.T, _ *world, a *Admission) { container(a.Pod, "wait").Image = "evil" }, reason.ExecutorImageNotAllowed, false},
		"another node":           {func(_ *testing.T, _ *world, a *Admission) { a.Pod.Annotations["workflows.argoproj.io/node-name"] = "x" }, reason.NodeMismatch, false},
		"another workflow label": {func(_ *testing.T, _ *world, a *Admission) { a.Pod.Labels[layout.LabelWorkflow] = "x" }, reason.OwnerMismatch, false},
		"another's pod that Argo cannot adopt": {func(_ *testing.T, _ *world, a *Admission) {
			a.Creator = "system:serviceaccount:kube-system:job-controller"
			a.Pod = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: a.Pod.Namespace, Name: "job-1", Labels: map[string]string{layout.LabelWorkflow: a.Pod.Labels[layout.LabelWorkflow]}}}
		}, "", false},
		"another's pod that Argo would adopt": {func(_ *testing.T, _ *world, a *Admission) {
			a.Creator = "system:serviceaccount:kube-system:job-controller"
			a.Pod = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: a.Pod.Namespace, Name: "job-1", Labels: a.Pod.Labels}}
		}, reason.CreatorNotArgo, false},
		"Argo's pod that Argo would not see": {func(_ *testing.T, _ *world, a *Admission) {
			a.Pod.Labels["workflows.argoproj.io/completed"] = "true"
		}, reason.MetadataReserved, false},
		"Argo's pod that only lacks a label": {func(_ *testing.T, _ *world, a *Admission) {
			delete(a.Pod.Labels, "workflows.argoproj.io/completed")
		}, reason.MetadataReserved, false},
		"a template that the kubelet would change": {func(_ *testing.T, _ *world, a *Admission) { referring(a.Pod) }, reason.TemplateInvalid, false},
		"the same, and not injected": {func(_ *testing.T, w *world, a *Admission) {
			a.Pod = w.consume.DeepCopy()
			referring(a.Pod)
		}, reason.SidecarMissing, false},
		"the same, not injected because of its executor": {func(_ *testing.T, w *world, a *Admission) {
			a.Pod = w.consume.DeepCopy()
			referring(a.Pod)
			container(a.Pod, "wait").Image = "evil"
		}, reason.ExecutorImageNotAllowed, false},
		"no template": {func(_ *testing.T, _ *world, a *Admission) { container(a.Pod, "init").Env = nil }, reason.TemplateInvalid, false},

		// Final state of what we add.
		"not injected at all": {func(_ *testing.T, w *world, a *Admission) { a.Pod = w.consume.DeepCopy() }, reason.SidecarMissing, false},
		"our container is gone": {func(_ *testing.T, _ *world, a *Admission) {
			a.Pod.Spec.InitContainers = slices.DeleteFunc(a.Pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == argo.VerifyContainer })
		}, reason.SidecarMissing, false},
		"a tag of the release before": {func(t *testing.T, w *world, a *Admission) {
			a.Pod.Annotations[v1alpha1.AnnotationTag] = tagtest.Predate(t, a.Pod.Annotations[v1alpha1.AnnotationTag], w.keyData)
		}, reason.ReplicasDisagree, true},
		"another release's signer": {func(t *testing.T, _ *world, a *Admission) {
			other := strings.Replace(signer.Image, "aaaa", "bbbb", 1)
			container(a.Pod, argo.VerifyContainer).Image = other
			retag(t, a, func(g *tag.Tag) { g.Signer = other })
		}, reason.ReplicasDisagree, false},
		"an executor that has other variables by now": {func(t *testing.T, _ *world, a *Admission) {
			retag(t, a, func(g *tag.Tag) { g.Executor.Env = []string{"HTTPS_PROXY=http://earlier:1"} })
		}, reason.ReplicasDisagree, false},
		"an executor image that is not known yet, or not any more": {func(_ *testing.T, w *world, _ *Admission) {
			w.gate.Identity.ExecutorImages = []string{"later"}
		}, reason.ReplicasDisagree, false},
		"a controller that is not known yet, or not any more": {func(_ *testing.T, w *world, _ *Admission) {
			w.gate.Identity.Controllers = []string{"later"}
		}, reason.ReplicasDisagree, false},
		"an executor that has another user by now": {func(_ *testing.T, w *world, _ *Admission) {
			w.gate.Identity.ExecutorUsers = map[string]int64{argotest.Executor: 8737}
		}, reason.ReplicasDisagree, false},
		"a signer that is not the tag's": {func(_ *testing.T, _ *world, a *Admission) {
			container(a.Pod, argo.VerifyContainer).Image = strings.Replace(signer.Image, "aaaa", "bbbb", 1)
		}, reason.SidecarAltered, false},
		"our container's image is another": {func(_ *testing.T, _ *world, a *Admission) { container(a.Pod, argo.VerifyContainer).Image = "evil" }, reason.SidecarAltered, false},
		"our container's command is another": {func(_ *testing.T, _ *world, a *Admission) {
			container(a.Pod, argo.VerifyContainer).Command = []string{"true"}
		}, reason.SidecarAltered, false},
		"our container's pin is another": {func(_ *testing.T, _ *world, a *Admission) {
			c := container(a.Pod, argo.VerifyContainer)
			for i := range c.Args {
				c.Args[i] = strings.ReplaceAll(c.Args[i], string(tree), strings.Repeat("f", 64))
			}
		}, reason.SidecarAltered, false},

		// Tag: what is forged is refused in every mode.
		"no tag": {func(_ *testing.T, _ *world, a *Admission) { delete(a.Pod.Annotations, v1alpha1.AnnotationTag) }, reason.TagInvalid, false},
		"a tag of somebody's own": {func(t *testing.T, _ *world, a *Admission) {
			trust := a.Trust
			a.Trust.Keys = otherKeys(t)
			tg, err := trust.Keys.Open(a.Pod.Annotations[v1alpha1.AnnotationTag])
			check(t, err)
			a.Pod.Annotations[v1alpha1.AnnotationTag], err = a.Trust.Keys.Issue(tg)
			check(t, err)
			a.Trust = trust
		}, reason.TagInvalid, true},
		"an empty tag":            {func(_ *testing.T, _ *world, a *Admission) { a.Pod.Annotations[v1alpha1.AnnotationTag] = "" }, reason.TagInvalid, true},
		"another namespace's tag": {func(t *testing.T, _ *world, a *Admission) { retag(t, a, func(g *tag.Tag) { g.Namespace = "x" }) }, reason.TagInvalid, true},
		"another pod's tag":       {func(t *testing.T, _ *world, a *Admission) { retag(t, a, func(g *tag.Tag) { g.Pod = "x" }) }, reason.TagInvalid, true},
		"another workflow's tag":  {func(t *testing.T, _ *world, a *Admission) { retag(t, a, func(g *tag.Tag) { g.WorkflowUID = "x" }) }, reason.TagInvalid, true},
		"another creator's tag":   {func(t *testing.T, _ *world, a *Admission) { retag(t, a, func(g *tag.Tag) { g.Creator = "x" }) }, reason.TagInvalid, true},
		"an old tag": {func(t *testing.T, _ *world, a *Admission) {
			retag(t, a, func(g *tag.Tag) { g.IssuedAt = now.Add(-31 * time.Second) })
		}, reason.TagInvalid, true},
		"a tag of the future": {func(t *testing.T, _ *world, a *Admission) {
			retag(t, a, func(g *tag.Tag) { g.IssuedAt = now.Add(31 * time.Second) })
		}, reason.TagInvalid, true},
		"a tag half a minute old": {func(t *testing.T, _ *world, a *Admission) {
			retag(t, a, func(g *tag.Tag) { g.IssuedAt = now.Add(-30 * time.Second) })
		}, "", false},
		"a tag of another mode": {func(t *testing.T, _ *world, a *Admission) {
			retag(t, a, func(g *tag.Tag) { g.Mode = v1alpha1.ModeWarn })
		}, reason.LookupFailed, false},
		"no keys": {func(_ *testing.T, _ *world, a *Admission) { a.Trust.Keys = tag.Keys{} }, reason.TagInvalid, true},

		// Structure.
		"shared processes": {func(_ *testing.T, _ *world, a *Admission) {
			yes := true
			a.Pod.Spec.ShareProcessNamespace = &yes
		}, reason.SharedProcesses, false},
		"another command of wait": {func(_ *testing.T, _ *world, a *Admission) { container(a.Pod, "wait").Command = []string{"true"} }, reason.WaitAltered, false},
		"another command of init": {func(_ *testing.T, _ *world, a *Admission) { container(a.Pod, "init").Command = []string{"true"} }, reason.InitAltered, false},

		// Inputs.
		"evidence that is gone":    {func(_ *testing.T, w *world, _ *Admission) { clear(w.evidence.seals); w.evidence.pods = nil }, reason.NoProvenance, false},
		"evidence that is not yet": {func(_ *testing.T, w *world, _ *Admission) { clear(w.evidence.provenances) }, reason.ProvenancePending, false},
		"evidence that came later": {func(t *testing.T, w *world, a *Admission) {
			*a = w.injected(t, w.consume, w.step, nil)
		}, reason.PinsMissing, false},
		"a pin the evidence does not give": {func(t *testing.T, w *world, a *Admission) {
			*a = w.injected(t, w.consume, w.step, []pin.Pin{{Input: "message", Location: w.location.URI(), SHA256: stored, Archive: content.ArchiveTar, Tree: artifact.Digest(strings.Repeat("f", 64))}})
		}, reason.PinMismatch, false},
		"a pin of another mode": {func(t *testing.T, w *world, a *Admission) {
			mode := int32(0o777)
			*a = w.injected(t, w.consume, w.step, []pin.Pin{{Input: "message", Location: w.location.URI(), SHA256: stored, Archive: content.ArchiveTar, Tree: tree, Mode: &mode}})
		}, reason.PinMismatch, false},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.admission(t)
			c.change(t, w, &a)
			d := w.gate.Create(t.Context(), a)
			if d.Allowed != (c.want == "") || d.Allowed != (d.Refusal == nil) {
				t.Fatalf("decision is %+v (%v), want %q", d, d.Refusal, c.want)
			}
			if !d.Allowed && (d.Refusal.Code != c.want || d.Always != c.always) {
				t.Errorf("refused with %v, always %t; want %s, %t", d.Refusal, d.Always, c.want, c.always)
			}
			if d.Allowed && d.Workflow == nil && a.Creator == argotest.Controller {
				t.Error("admitted without a workflow")
			}
		})
	}
}

func TestPinsOfTheTag(t *testing.T) {
	step := &argo.Step{}
	approved := pin.Pin{Input: "a", Location: "s3://s/b/k", SHA256: stored, Archive: content.ArchiveTar, Tree: tree}
	other := approved
	other.Input = "b"
	tests := map[string]struct {
		want, have []pin.Pin
		code       reason.Code
	}{
		"none of none":     {nil, nil, ""},
		"the same":         {[]pin.Pin{approved}, []pin.Pin{approved}, ""},
		"in another order": {[]pin.Pin{approved, other}, []pin.Pin{other, approved}, ""},
		"one missing":      {[]pin.Pin{approved, other}, []pin.Pin{approved}, reason.PinsMissing},
		"one too many":     {[]pin.Pin{approved}, []pin.Pin{approved, other}, reason.PinMismatch},
		"one twice":        {[]pin.Pin{approved, other}, []pin.Pin{approved, approved}, reason.PinMismatch},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			var code reason.Code
			if refusal := samePins(step, c.want, c.have); refusal != nil {
				code = refusal.Code
			}
			if code != c.code {
				t.Errorf("code %q, want %q", code, c.code)
			}
		})
	}
}

// TestPodsOfArgosOwn: what runs no step needs neither sidecar nor seals.
func TestPodsOfArgosOwn(t *testing.T) {
	for _, golden := range []string{"artifact-gc", "agent"} {
		for name, c := range map[string]struct {
			change  func(*corev1.Pod)
			creator string
			want    reason.Code
		}{
			"are admitted":                   {func(*corev1.Pod) {}, argotest.Controller, ""},
			"made by a user are refused":     {func(*corev1.Pod) {}, "alice", reason.CreatorNotArgo},
			"that do something else are not": {func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{"init"} }, argotest.Controller, reason.AuxiliaryAltered},
			"with a name of ours are not":    {func(p *corev1.Pod) { p.Spec.Containers[0].Name = "argoseal-x" }, argotest.Controller, reason.NameTaken},
			"with a tag are not":             {func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.AnnotationTag: "x"} }, argotest.Controller, reason.TagInvalid},
		} {
			t.Run(golden+" "+name, func(t *testing.T) {
				w := newWorld(t)
				pod := argotest.Pod(t, golden)
				c.change(pod)
				d := w.gate.Create(t.Context(), Admission{Pod: pod, NamespaceUID: namespaceUID, Creator: c.creator, Mode: v1alpha1.ModeEnforce, Trust: w.trust})
				if d.Allowed != (c.want == "") || !d.Allowed && d.Refusal.Code != c.want {
					t.Errorf("decision is %+v (%v)", d, d.Refusal)
				}
				// Whoever cannot delete a workflow has to be told why, on the Workflow.
				if told := d.Workflow != nil; told != (!d.Allowed && c.creator == argotest.Controller && c.want != reason.TagInvalid) {
					t.Errorf("its Workflow is %v", d.Workflow)
				}
			})
		}
	}
}

// addsMesh is what the injector of a mesh puts into every pod: a container that redirects
// traffic, and its proxy, which may be a native sidecar.
func addsMesh(name string, native bool) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		token := corev1.Volume{Name: name + "-token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}
		scratch := corev1.Volume{Name: name + "-envoy", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}}
		about := corev1.Volume{Name: name + "-podinfo", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{}}}
		p.Spec.Volumes = append(p.Spec.Volumes, token, scratch, about)
		redirect := corev1.Container{Name: name + "-init", Image: name, Args: []string{"iptables", "-p", "15001"}, SecurityContext: &corev1.SecurityContext{
			RunAsUser: new(int64(0)), Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN", "NET_RAW"}},
		}}
		proxy := corev1.Container{
			Name: name + "-proxy", Image: name, Env: []corev1.EnvVar{{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}},
			Lifecycle: &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"wait"}}}}, ReadinessProbe: &corev1.Probe{},
			VolumeMounts: []corev1.VolumeMount{{Name: token.Name, MountPath: "/var/run/secrets/tokens"}, {Name: scratch.Name, MountPath: "/etc/envoy"}, {Name: about.Name, MountPath: "/etc/podinfo"}},
		}
		if native {
			proxy.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
			p.Spec.InitContainers = append([]corev1.Container{redirect, proxy}, p.Spec.InitContainers...)
			return
		}
		p.Spec.InitContainers = append([]corev1.Container{redirect}, p.Spec.InitContainers...)
		p.Spec.Containers = append([]corev1.Container{proxy}, p.Spec.Containers...)
	}
}

// everyContainer changes all of a pod's containers, as webhooks do.
func everyContainer(change func(*corev1.Container)) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
			for i := range list {
				change(&list[i])
			}
		}
	}
}

// What meshes, clouds, proxies, quotas and honest patches do to the pods by which Argo
// deletes artifacts and makes requests is no reason to refuse them: a workflow whose
// artifacts nobody may delete can never be deleted. What is refused says so on the
// Workflow, and what to change.
func TestWhatOthersAddToPodsOfArgosOwn(t *testing.T) {
	for _, golden := range []string{"artifact-gc", "agent"} {
		for name, c := range map[string]struct {
			change func(*corev1.Pod)
			says   string // empty: it is admitted
		}{
			"a mesh":                    {addsMesh("linkerd", false), ""},
			"a mesh of native sidecars": {addsMesh("istio", true), ""},
			"a native sidecar by a patch": {func(p *corev1.Pod) {
				p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "proxy", Image: "busybox", RestartPolicy: new(corev1.ContainerRestartPolicyAlways), Command: []string{"sh"}})
			}, ""},
			"a proxy": {everyContainer(func(c *corev1.Container) {
				c.Env = append(c.Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://proxy:3128"}, corev1.EnvVar{Name: "no_proxy", Value: ".svc"})
			}), ""},
			"an identity of a cloud": {everyContainer(func(c *corev1.Container) {
				c.Env = append(c.Env, corev1.EnvVar{Name: "AWS_REGION", Value: "eu-west-1"})
			}), ""},
			"other resources, by a patch or a LimitRange": {everyContainer(func(c *corev1.Container) {
				c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
			}), ""},
			"nodes to go to": {func(p *corev1.Pod) {
				p.Spec.NodeSelector = map[string]string{"kubernetes.io/arch": "arm64"}
				p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
				p.Spec.PriorityClassName = "low"
			}, ""},
			"labels and annotations": {func(p *corev1.Pod) {
				p.Labels["team"] = "x"
				p.Annotations = map[string]string{"sidecar.istio.io/inject": "false"}
			}, ""},
			"a variable of a webhook's": {everyContainer(func(c *corev1.Container) {
				c.Env = append(c.Env, corev1.EnvVar{Name: "VAULT_ADDR", Value: "https://vault"})
			}), "list it in argo.executorAdditions"},
			"a mount of a patch's": {func(p *corev1.Pod) {
				p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "data"})
				main := &p.Spec.Containers[len(p.Spec.Containers)-1]
				main.VolumeMounts = append(main.VolumeMounts, corev1.VolumeMount{Name: "data", MountPath: "/data"})
			}, "take it out of the podSpecPatch of the workflow or of its artifactGC"},
			"the host's files": {func(p *corev1.Pod) {
				p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
			}, "Use another volume than the host's"},
		} {
			t.Run(golden+" "+name, func(t *testing.T) {
				w := newWorld(t)
				pod := argotest.Pod(t, golden)
				c.change(pod)
				d := w.gate.Create(t.Context(), Admission{Pod: pod, NamespaceUID: namespaceUID, Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce, Trust: w.trust})
				if d.Allowed != (c.says == "") {
					t.Fatalf("decision is %+v (%v)", d, d.Refusal)
				}
				if !d.Allowed && (!strings.Contains(d.Refusal.Error(), c.says) || d.Workflow == nil) {
					t.Errorf("it says %v, of Workflow %v", d.Refusal, d.Workflow)
				}
			})
		}
	}
}

func TestPodsOfOthers(t *testing.T) {
	plain := func() *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "argo", Name: "web"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web"}}},
		}
	}
	tests := map[string]struct {
		change func(*corev1.Pod)
		want   reason.Code
		always bool
	}{
		"are admitted":                    {func(*corev1.Pod) {}, "", false},
		"with an Argo label are admitted": {func(p *corev1.Pod) { p.Labels = map[string]string{layout.LabelWorkflow: "x"} }, "", false},
		"that Argo would adopt are refused": {func(p *corev1.Pod) {
			p.Labels = map[string]string{layout.LabelWorkflow: "x", "workflows.argoproj.io/completed": "false"}
		}, reason.CreatorNotArgo, false},
		"with a container name of ours are refused": {func(p *corev1.Pod) { p.Spec.Containers[0].Name = "argoseal-x" }, reason.NameTaken, false},
		"with an init container name of ours are refused": {func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: argo.SignerContainer}}
		}, reason.NameTaken, false},
		"with a volume name of ours are refused": {func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "argoseal-no-token"}} }, reason.NameTaken, false},
		"with a tag are refused in every mode":   {func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.AnnotationTag: "x"} }, reason.TagInvalid, true},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gate.Quick, w.gate.Live = nil, nil // nothing is looked up
			w.gate.Definitions = nil
			pod := plain()
			c.change(pod)
			d := w.gate.Create(t.Context(), Admission{Pod: pod, NamespaceUID: namespaceUID, Creator: "alice", Mode: v1alpha1.ModeEnforce, Trust: w.trust})
			if d.Allowed != (c.want == "") || d.Always != c.always {
				t.Fatalf("decision is %+v (%v)", d, d.Refusal)
			}
			if !d.Allowed && d.Refusal.Code != c.want {
				t.Errorf("refused with %v, want %s", d.Refusal, c.want)
			}
		})
	}
	t.Run("with a valid tag for their name are refused", func(t *testing.T) {
		w := newWorld(t)
		pod := plain()
		value, err := w.trust.Keys.Issue(tag.Tag{IssuedAt: now, Namespace: "argo", NamespaceUID: namespaceUID, Pod: "web", WorkflowUID: "u", Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce,
			Executor: tag.Executor{Image: argotest.Executor}, Signer: signer.Image})
		check(t, err)
		pod.Annotations = map[string]string{v1alpha1.AnnotationTag: value}
		d := w.gate.Create(t.Context(), Admission{Pod: pod, NamespaceUID: namespaceUID, Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce, Trust: w.trust})
		if d.Allowed || !d.Always || d.Refusal.Code != reason.TagInvalid {
			t.Errorf("decision is %+v (%v)", d, d.Refusal)
		}
	})
}

func TestEverySupportedPodOfArgoIsAdmitted(t *testing.T) {
	content := v1alpha1.Content{AnyContent: true, Tolerate: []v1alpha1.Doubt{v1alpha1.DoubtNamespaceNames, v1alpha1.DoubtPlainHTTP}}
	for _, name := range argotest.Supported() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{
				clusterPolicy("arguments", allowS3("s3://s3.argo.svc:7070/artifacts/team/**", content)),
				clusterPolicy("elsewhere", allowS3("s3://other.example:9000/data/**", content)),
			}
			pod, step := argotest.Parsed(t, name)
			w.workflow = argotest.Owner(t, pod)
			v := w.gate.Evaluate(t.Context(), step, w.workflow, v1alpha1.ModeEnforce, w.trust)
			if !v.Allowed {
				t.Fatal(v.Refusal)
			}
			if d := w.gate.Create(t.Context(), w.injected(t, pod, step, v.Pins)); !d.Allowed {
				t.Error(d.Refusal)
			}
		})
	}
}

func TestAStepWithoutArtifactsNeedsATagToo(t *testing.T) {
	w := newWorld(t)
	pod, _ := argotest.Parsed(t, "on-exit")
	w.workflow = argotest.Owner(t, pod)
	d := w.gate.Create(t.Context(), Admission{Pod: pod, NamespaceUID: namespaceUID, Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce, Trust: w.trust})
	if d.Allowed || d.Refusal.Code != reason.SidecarMissing {
		t.Errorf("decision is %+v (%v)", d, d.Refusal)
	}
}

func TestOutputsThatWillNotBeSealedAreNamed(t *testing.T) {
	w := newWorld(t)
	pod, step := argotest.Parsed(t, "everything")
	w.workflow = argotest.Owner(t, pod)
	d := w.gate.Create(t.Context(), w.injected(t, pod, step, nil))
	if !d.Allowed || len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "sealed as observed: output on-volume lies on volume scratch") {
		t.Errorf("decision is %+v", d)
	}
	elsewhere := ""
	for i := range maxWarnings + 1 {
		elsewhere += fmt.Sprintf(`{"name":"o%d","path":"/o%d","oss":{"key":"x"}},`, i, i)
	}
	for i := range pod.Spec.InitContainers[0].Env {
		if e := &pod.Spec.InitContainers[0].Env[i]; e.Name == "ARGO_TEMPLATE" {
			e.Value = strings.Replace(e.Value, `"outputs":{"artifacts":[`, `"outputs":{"artifacts":[`+elsewhere, 1)
		}
	}
	step, err := argo.Parse(pod)
	check(t, err)
	d = w.gate.Create(t.Context(), w.injected(t, pod, step, nil))
	if !d.Allowed || len(d.Warnings) != maxWarnings || !strings.Contains(d.Warnings[0], "will not be sealed: StoreUnsupported: artifact o0") {
		t.Errorf("decision is %+v", d)
	}
}

// What the release before admitted is waited for and kept until it is sealed.
func TestAStoredPodKeepsTheTagOfTheReleaseBefore(t *testing.T) {
	w := newWorld(t)
	w.produce.Annotations[v1alpha1.AnnotationTag] = tagtest.Predate(t, w.produce.Annotations[v1alpha1.AnnotationTag], w.keyData)
	clear(w.evidence.provenances)
	clear(w.evidence.seals)
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.ProvenancePending {
		t.Errorf("its consumer: %+v", v)
	}
	if d := w.gate.Delete(t.Context(), w.produce, w.trust); d.Allowed || d.Refusal.Code != reason.ProvenancePending {
		t.Errorf("its deletion: %+v", d)
	}
}

// referring has the template name a variable that the kubelet knows.
func referring(pod *corev1.Pod) {
	for i, v := range container(pod, "init").Env {
		if v.Name == "ARGO_TEMPLATE" {
			container(pod, "init").Env[i].Value = strings.Replace(v.Value, `"image":"`, `"image":"$(ARGO_DEADLINE)`, 1)
		}
	}
}
