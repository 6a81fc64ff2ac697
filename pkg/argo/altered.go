package argo

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// PodOverride begins the names of overrides that are the pod's and not the
// Workflow's.
const PodOverride = "pod."

// maxAltered bounds what is named of one pod; what has more is named as a whole.
const maxAltered = 64

// Altered lists what the step's own containers have in the stored pod that their
// template does not give them. It compares image, command, arguments, environment,
// mounts, hooks, rights, resources, and what names of hosts mean in the pod. A
// webhook can add any of these. So can a parameter in a podSpecPatch, by closing
// its quotes. A patch that the definition gives in full counts as the template's;
// one with parameters does not.
//
// It does not compare what Argo, the API server and the webhooks of clouds add, nor
// what the image itself runs where the template gives no command. It says nothing
// of resource and data templates: they run Argo's executor, and CheckStructure
// holds them to it.
func Altered(pod *corev1.Pod, step *Step, w *definition.Workflow) ([]definition.Override, error) {
	if step.Kind.executor() {
		return nil, nil
	}
	g, err := decodeGiven(step.made)
	if err != nil {
		return nil, err
	}
	stored, unresolved := w.Graph()
	if unresolved == nil {
		_, unresolved = stored.Path(step.NodeName)
	}
	spec, whole := gives(stored, g, step, unresolved)
	a := alteration{pod: &pod.Spec, given: &spec, whole: whole}
	a.containers("containers", pod.Spec.Containers, spec.Containers)
	a.containers("initContainers", pod.Spec.InitContainers, spec.InitContainers)
	a.volumes(stored)
	if !a.rights() {
		a.add("securityContext", pod.Spec.SecurityContext)
	}
	a.names()
	// Only the pod says which template it is, and such a patch can change that,
	// too.
	if unresolved != nil && (stored == nil || stored.Open()) {
		a.add("template", step.made)
	}
	if a.err == nil && len(a.found) > maxAltered {
		a.found = nil
		a.add("spec", pod.Spec)
	}
	slices.SortFunc(a.found, func(a, b definition.Override) int { return cmp.Compare(a.Field, b.Field) })
	return a.found, a.err
}

// gives is what the template gives the pod, together with the patches that the
// definition gives in full. whole says that there are no other patches. err says
// why the definition does not tell which template the node runs.
func gives(stored *graph.Graph, g given, step *Step, err error) (spec corev1.PodSpec, whole bool) {
	spec, whole = g.pod(), true
	if stored == nil {
		return spec, false
	}
	if raw, err := json.Marshal(stored.Names()); err == nil {
		_ = json.Unmarshal(raw, &spec) // what cannot be read gives nothing
	}
	spec.HostAliases = append(spec.HostAliases, g.HostAliases...) // addSchedulingConstraints
	var template []string
	if err == nil {
		template, err = stored.Patches(step.NodeName)
	}
	apply := func(patch string, literal bool) {
		if patch == "" {
			return
		}
		if !literal { // nor is it read: what Argo made of it may be another text
			whole = false
			return
		}
		after, err := patched(spec, patch)
		if err != nil {
			whole = false
			return
		}
		spec = after
	}
	apply(stored.Patch(), fixed(stored.Patch()))
	apply(g.PodSpecPatch, err == nil && !slices.ContainsFunc(template, func(text string) bool { return !fixed(text) }))
	if spec.SecurityContext == nil {
		if raw, err := json.Marshal(stored.SecurityContext()); err == nil {
			_ = json.Unmarshal(raw, &spec.SecurityContext) // what cannot be read gives nothing
		}
	}
	return spec, whole
}

// alteration collects what differs.
type alteration struct {
	pod, given *corev1.PodSpec
	whole      bool
	found      []definition.Override
	err        error
}

func (a *alteration) add(field string, value any) {
	var plain any
	raw, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(raw, &plain)
	}
	var o definition.Override
	if err == nil {
		o, err = definition.NewOverride(PodOverride+field, plain)
	}
	if err != nil {
		a.err = err
		return
	}
	a.found = append(a.found, o)
}

// containers compares one list: every container that is neither Argo's nor ours.
func (a *alteration) containers(list string, have, want []corev1.Container) {
	others := func(c corev1.Container) bool {
		return c.Name != layout.ContainerInit && c.Name != layout.ContainerWait && !strings.HasPrefix(c.Name, ReservedPrefix)
	}
	for i := range have {
		if !others(have[i]) {
			continue
		}
		at := list + "." + have[i].Name
		w := findContainer(want, have[i].Name)
		if w == nil {
			a.add(at, have[i])
			continue
		}
		a.container(at, &have[i], w, list == "containers")
	}
	for i := range want {
		if others(want[i]) && findContainer(have, want[i].Name) == nil {
			a.add(list+"."+want[i].Name, nil)
		}
	}
}

func (a *alteration) container(at string, have, want *corev1.Container, wrapped bool) {
	command := have.Command
	if wrapped {
		command = afterWrapper(have.Command)
	}
	// Argo looks up what the image runs where neither template nor patch says so.
	looked := wrapped && len(want.Command) == 0 && a.whole
	for _, f := range []struct {
		name string
		same bool
		have any
	}{
		{"image", have.Image == want.Image, have.Image},
		{"command", looked || slices.Equal(command, want.Command), command},
		{"args", slices.Equal(have.Args, want.Args) || looked && want.Args == nil, have.Args},
		{"workingDir", have.WorkingDir == want.WorkingDir, have.WorkingDir},
		{"env", equality.Semantic.DeepEqual(variablesOf(have), variablesOf(want)), have.Env},
		{"envFrom", equality.Semantic.DeepEqual(have.EnvFrom, want.EnvFrom), have.EnvFrom},
		{"volumeMounts", equality.Semantic.DeepEqual(a.mountsOf(have), a.mountsOf(want)), have.VolumeMounts},
		{"volumeDevices", equality.Semantic.DeepEqual(have.VolumeDevices, want.VolumeDevices), have.VolumeDevices},
		{"hooks", slices.EqualFunc(hooksOf(have), hooksOf(want), slices.Equal), hooksOf(have)},
		{"restartPolicy", equality.Semantic.DeepEqual(have.RestartPolicy, want.RestartPolicy), have.RestartPolicy},
		{"resources", asked(have.Resources.Limits, want.Resources.Limits) && asked(have.Resources.Requests, want.Resources.Requests), have.Resources},
		{"securityContext", confined(have.SecurityContext, want.SecurityContext), have.SecurityContext},
	} {
		if !f.same {
			a.add(at+"."+f.name, f.have)
		}
	}
}

// names compares what names of hosts mean in the pod: whoever sets that decides
// from where a step installs its packages.
func (a *alteration) names() {
	policy := func(p corev1.DNSPolicy) corev1.DNSPolicy { return cmp.Or(p, corev1.DNSClusterFirst) }
	for _, f := range []struct {
		name string
		same bool
		have any
	}{
		{"hostAliases", equality.Semantic.DeepEqual(a.pod.HostAliases, a.given.HostAliases), a.pod.HostAliases},
		{"hostnameOverride", equality.Semantic.DeepEqual(a.pod.HostnameOverride, a.given.HostnameOverride), a.pod.HostnameOverride},
		{"dnsPolicy", policy(a.pod.DNSPolicy) == policy(a.given.DNSPolicy), a.pod.DNSPolicy},
		{"dnsConfig", equality.Semantic.DeepEqual(a.pod.DNSConfig, a.given.DNSConfig), a.pod.DNSConfig},
	} {
		if !f.same {
			a.add(f.name, f.have)
		}
	}
}
