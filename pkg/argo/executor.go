package argo

import (
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// executor is one of Argo's own containers with the code its alteration has.
type executor struct {
	*corev1.Container
	code reason.Code
}

func (e executor) altered(format string, args ...any) *reason.Error {
	return reason.New(e.code, e.Name+" "+format, args...)
}

// checkExecutors holds init and wait to field-level allow-lists.
func (id Identity) checkExecutors(pod *corev1.Pod, s *Step) error {
	all := map[string]int{}
	for c := range containersOf(pod) {
		all[c.Name]++
	}
	init := findContainer(pod.Spec.InitContainers, layout.ContainerInit)
	wait := findContainer(pod.Spec.Containers, layout.ContainerWait)
	switch {
	case init == nil || all[layout.ContainerInit] != 1:
		return reason.New(reason.UnknownPodLayout, "it has not exactly one container %q", layout.ContainerInit)
	case all[layout.ContainerWait] > 1 || (wait == nil && (!s.Kind.executor() || all[layout.ContainerWait] > 0)):
		return reason.New(reason.UnknownPodLayout, "it has not exactly one container %q", layout.ContainerWait)
	}
	for _, c := range pod.Spec.InitContainers {
		if c.Name == layout.ContainerInit {
			break
		}
		for _, m := range c.VolumeMounts {
			if sharedVolume(m.Name) {
				return reason.New(reason.InitAltered, "init comes after container %s, which mounts %s", c.Name, m.Name)
			}
		}
	}
	if err := id.checkExecutor(executor{init, reason.InitAltered}, pod, s); err != nil || wait == nil {
		return err
	}
	return id.checkExecutor(executor{wait, reason.WaitAltered}, pod, s)
}

func (id Identity) checkExecutor(e executor, pod *corev1.Pod, s *Step) error {
	if err := checkFields(e); err != nil {
		return err
	}
	if err := checkCommand(e); err != nil {
		return err
	}
	if err := id.checkEnv(e, s); err != nil {
		return err
	}
	return id.checkMounts(e, pod, s)
}

// checkFields refuses every field of a container that Argo leaves empty. It clears
// the fields that are allowed or checked elsewhere, and wants the rest to be empty.
// So a field of a later Kubernetes is refused until we know it.
func checkFields(e executor) error {
	rest := *e.Container
	rest.Name, rest.Image, rest.ImagePullPolicy = "", "", ""
	rest.Command, rest.Args, rest.Env, rest.VolumeMounts = nil, nil, nil, nil
	if len(rest.Resources.Claims) == 0 { // the driver of a device can add mounts, variables and hooks
		rest.Resources = corev1.ResourceRequirements{}
	}
	rest.ResizePolicy, rest.SecurityContext = nil, nil
	if p := rest.TerminationMessagePath; p == "" || p == corev1.TerminationMessagePathDefault {
		rest.TerminationMessagePath = ""
	}
	if p := rest.TerminationMessagePolicy; p == corev1.TerminationMessageReadFile {
		rest.TerminationMessagePolicy = ""
	}
	left := reflect.ValueOf(rest)
	for i := range left.NumField() {
		f := left.Field(i)
		if f.IsZero() || (f.Kind() == reflect.Slice && f.Len() == 0) {
			continue
		}
		return e.altered("has %s", left.Type().Field(i).Name)
	}
	return nil
}

// checkCommand wants `argoexec init` or `argoexec wait` with log flags, in
// command or args as Argo's configuration puts them.
func checkCommand(e executor) error {
	c := e.Command
	if len(c) < 2 || c[0] != "argoexec" || c[1] != e.Name {
		return e.altered("does not run argoexec %s", e.Name)
	}
	for rest := slices.Concat(c[2:], e.Args); len(rest) > 0; {
		n := logFlag(rest)
		if n == 0 {
			return e.altered("has the argument %.80q", rest[0])
		}
		rest = rest[n:]
	}
	return nil
}

// fieldVariables are the variables whose value is one of the pod's own fields.
var fieldVariables = map[string]string{
	layout.EnvPodName: "metadata.name",
	layout.EnvPodUID:  "metadata.uid",
}

// checkEnv allows the variables Argo sets, once each, as literal values that
// the kubelet does not change, and those of its configuration.
func (id Identity) checkEnv(e executor, s *Step) error {
	seen := map[string]bool{}
	for _, v := range e.Env {
		if seen[v.Name] {
			return e.altered("has the variable %.80s twice", v.Name)
		}
		seen[v.Name] = true
		if field, found := fieldVariables[v.Name]; found {
			if !isField(v, field) {
				return e.altered("has a variable %s that is not the pod's %s", v.Name, field)
			}
			continue
		}
		if v.ValueFrom != nil {
			return e.altered("has a variable %.80s that is not a literal value", v.Name)
		}
		if isCloudVariable(v) || id.Additions.variable(v) {
			continue
		}
		if v.Name == layout.EnvTemplate && e.Name == layout.ContainerInit {
			continue // Parse read it.
		}
		if v.Name == layout.EnvTemplate {
			if err := checkCopy(e, v.Value, s); err != nil {
				return err
			}
			continue
		}
		if err := id.checkVariable(e, s, v.Name, v.Value); err != nil {
			return err
		}
	}
	for name := range fieldVariables {
		if !seen[name] {
			return e.altered("has no variable %s", name)
		}
	}
	return nil
}

// checkCopy wants every copy of the template outside of init to be the one that
// init has, byte for byte, both as written and as the kubelet expands it.
func checkCopy(e executor, value string, s *Step) error {
	if value != s.written {
		return e.altered("has another %s than init", layout.EnvTemplate)
	}
	_, reference := expand(value, func(name string) bool {
		return slices.ContainsFunc(e.Env, func(v corev1.EnvVar) bool { return v.Name == name })
	})
	if reference != "" {
		return reason.New(reason.TemplateInvalid, "%s has $(%.80s), which the kubelet would replace in %s", layout.EnvTemplate, reference, e.Name)
	}
	return nil
}

// checkVariable looks at one literal variable other than ARGO_TEMPLATE.
func (id Identity) checkVariable(e executor, s *Step, name, value string) error {
	fixed := map[string]string{
		layout.EnvContainerName: e.Name,
		layout.EnvNodeID:        s.NodeID,
		layout.EnvWorkflowName:  s.Workflow,
		layout.EnvWorkflowUID:   s.WorkflowUID,
		layout.EnvProgressFile:  layout.PathRun + "/progress",
	}
	want, isFixed := fixed[name]
	switch name {
	case layout.EnvInstanceID, layout.EnvIncludeScriptOutput, layout.EnvDeadline,
		layout.EnvProgressPatchTickDuration, layout.EnvProgressFileTickDuration,
		layout.EnvTerminationGracePeriodSeconds:
	case layout.EnvPlugins:
		if value != "" {
			return reason.New(reason.UnsupportedPod, "its artifacts go through the plugins %.200q", value)
		}
		return nil // Argo v4 says that there are none
	case "REMOVE_LOCAL_ART_PATH":
		return e.altered("has %s: what it stages would be gone before it is measured", name)
	default:
		if isFixed {
			break
		}
		if slices.Contains(id.ExecutorEnv, name+"="+value) {
			return nil
		}
		return e.altered("has the variable %.80q, which Argo does not set, or not so", name).Advise(adviseVariable)
	}
	for i := range value {
		if value[i] == '$' {
			return e.altered("has a '$' in variable %s, which the kubelet would expand", name)
		}
	}
	if isFixed && value != want {
		return e.altered("has a variable %s that is not the pod's", name)
	}
	return nil
}

// adviseVariable is what to do about a variable that is not known.
const adviseVariable = "If Argo's configuration gives it, list it in argo.executorEnv, or name Argo's namespace in argo.namespaces; if a webhook of yours adds it, list it in argo.executorAdditions; else find who adds it, such as a podSpecPatch, and take that back"

// isField says whether a variable is the given field of the pod.
func isField(v corev1.EnvVar, field string) bool {
	if v.Value != "" || v.ValueFrom == nil || v.ValueFrom.FieldRef == nil {
		return false
	}
	ref := *v.ValueFrom.FieldRef
	return ref.FieldPath == field && (ref.APIVersion == "v1" || ref.APIVersion == "") &&
		*v.ValueFrom == corev1.EnvVarSource{FieldRef: v.ValueFrom.FieldRef}
}
