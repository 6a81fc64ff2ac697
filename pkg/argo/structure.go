package argo

import (
	"iter"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// CheckStructure says whether the pod has the structure that Argo gives to a pod of
// this step: init, wait and the emissary as Argo makes them, and nobody else at the
// volumes that they share with ours. Our own containers are the matter of package
// sidecar. Both webhooks call it on the pod that they see, and the notary on the
// stored one. So it accepts what the API server and honest webhooks add.
func CheckStructure(pod *corev1.Pod, s *Step, id Identity) error {
	if s == nil || s.template == nil {
		return reason.New(reason.UnknownPodLayout, "its template was not read")
	}
	for _, check := range []func(*corev1.Pod, *Step) error{
		checkPod, checkVolumes, id.checkExecutors, checkEmissary, checkTmp, checkInputs, checkKillCommand,
	} {
		if err := check(pod, s); err != nil {
			return err
		}
	}
	return s.checkImages(id)
}

// checkPod looks at what concerns all containers.
func checkPod(pod *corev1.Pod, _ *Step) error {
	if err := checkReach(pod); err != nil {
		return err
	}
	spec := pod.Spec
	switch {
	case spec.RestartPolicy != corev1.RestartPolicyNever:
		return reason.New(reason.UnknownPodLayout, "restartPolicy is %q, not Never", spec.RestartPolicy)
	case spec.OS != nil && spec.OS.Name != corev1.Linux:
		return reason.New(reason.UnsupportedPod, "its os is %q, not linux", spec.OS.Name)
	}
	return nil
}

// checkReach keeps any pod of Argo's from processes and files beyond its own
// containers. It refuses every file of the host: where kubelet and runtime keep the
// volumes of pods differs from node to node, and links lead there from anywhere.
func checkReach(pod *corev1.Pod) error {
	spec := pod.Spec
	switch {
	case spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace:
		return reason.New(reason.SharedProcesses, "shareProcessNamespace is set")
	case spec.HostPID:
		return reason.New(reason.SharedProcesses, "hostPID is set")
	case len(spec.EphemeralContainers) > 0:
		return reason.New(reason.DebugContainer, "ephemeral container %s", spec.EphemeralContainers[0].Name)
	}
	for _, v := range spec.Volumes {
		if v.HostPath != nil {
			return reason.New(reason.ForeignMount, "volume %s is the host's %.200q: a step that has the host's files owns the node", v.Name, v.HostPath.Path).Advise("Use another volume than the host's, or run it in a namespace without the label; a volume that another webhook adds, it has to leave out here")
		}
	}
	return nil
}

// checkVolumes looks at the volumes that Argo's containers share.
func checkVolumes(pod *corev1.Pod, s *Step) error {
	count := map[string]int{}
	for _, v := range pod.Spec.Volumes {
		count[v.Name]++
		if sharedVolume(v.Name) && !plain(v) {
			return reason.New(reason.ForeignMount, "volume %s is not a plain emptyDir", v.Name)
		}
	}
	want := []string{layout.VolumeRun, layout.VolumeTmp}
	if len(s.Inputs) > 0 {
		want = append(want, layout.VolumeInputs)
	}
	if s.Kind == KindScript {
		want = append(want, layout.VolumeStaging)
	}
	for _, name := range want {
		if count[name] == 0 {
			return reason.New(reason.UnknownPodLayout, "it has no volume %s", name)
		}
	}
	for name, n := range count {
		if n > 1 && sharedVolume(name) {
			return reason.New(reason.ForeignMount, "it has %d volumes %s", n, name)
		}
	}
	return nil
}

// sharedVolume says whether the name is that of a volume Argo's containers
// share with a step.
func sharedVolume(name string) bool {
	return name == layout.VolumeRun || name == layout.VolumeTmp || name == layout.VolumeInputs || name == layout.VolumeStaging
}

// plain says whether a volume is an emptyDir as Argo makes it.
func plain(v corev1.Volume) bool {
	if v.EmptyDir == nil || *v.EmptyDir != (corev1.EmptyDirVolumeSource{}) {
		return false
	}
	source := v.VolumeSource
	source.EmptyDir = nil
	return source == (corev1.VolumeSource{})
}

// checkKillCommand refuses a kill command for wait that is not ours.
func checkKillCommand(pod *corev1.Pod, _ *Step) error {
	if v, found := pod.Annotations[layout.AnnotationKillWait]; found && v != layout.KillWait {
		return reason.New(reason.WaitAltered, "annotation %s is not %s", layout.AnnotationKillWait, layout.KillWait)
	}
	return nil
}

// checkEmissary looks at the regular containers: wait aside, all of them run
// under the emissary in Argo's own volume.
func checkEmissary(pod *corev1.Pod, s *Step) error {
	for _, name := range s.Mains() {
		if findContainer(pod.Spec.Containers, name) == nil {
			return reason.New(reason.UnknownPodLayout, "it has no container %.80q", name)
		}
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if c.Name == layout.ContainerWait {
			continue
		}
		if problem := wrapped(c); problem != "" {
			return reason.New(reason.EmissaryAltered, "container %s %s", c.Name, problem)
		}
		for _, e := range c.Env {
			if e.Name == layout.EnvArgsFile {
				return reason.New(reason.TemplateOffloaded, "the arguments of container %s lie in a ConfigMap", c.Name)
			}
		}
	}
	if !s.Kind.executor() {
		return nil
	}
	main := findContainer(pod.Spec.Containers, layout.ContainerMain)
	if own := afterWrapper(main.Command); len(own) < 2 || own[0] != "argoexec" || own[1] != string(s.Kind) {
		return reason.New(reason.EmissaryAltered, "container %s does not run argoexec %s", main.Name, s.Kind)
	}
	return nil
}

// wrapped says what keeps a container from being one under the emissary.
func wrapped(c *corev1.Container) string {
	if len(c.Command) < 2 || c.Command[0] != layout.PathExecutor || c.Command[1] != "emissary" {
		return "does not run " + layout.PathExecutor + " emissary"
	}
	if len(afterWrapper(c.Command)) == 0 {
		return "has other flags for the emissary than Argo gives, or no command behind it"
	}
	n := 0
	for _, m := range c.VolumeMounts {
		if mountedAt(m.MountPath) != layout.PathRun {
			continue
		}
		n++
		if m.Name != layout.VolumeRun || m.SubPath != "" || m.SubPathExpr != "" {
			return "has another volume than " + layout.VolumeRun + " at " + layout.PathRun
		}
	}
	if n != 1 {
		return "does not mount " + layout.VolumeRun + " once at " + layout.PathRun
	}
	return ""
}

// afterWrapper gives the command that the emissary runs; none if the wrapper
// has flags that Argo does not give.
func afterWrapper(command []string) []string {
	rest := command[min(2, len(command)):]
	for len(rest) > 0 && rest[0] != "--" {
		n := logFlag(rest)
		if n == 0 {
			return nil
		}
		rest = rest[n:]
	}
	if len(rest) == 0 {
		return nil
	}
	return rest[1:]
}

// logFlag says how many words at the start are one of the log flags that Argo
// gives to argoexec; 0 if they are none.
func logFlag(words []string) int {
	flag, value, joined := strings.Cut(words[0], "=")
	n := 1
	if !joined {
		if len(words) < 2 {
			return 0
		}
		value, n = words[1], 2
	}
	switch flag {
	case "--loglevel", "--log-format", "--gloglevel":
	default:
		return 0
	}
	if value == "" || len(value) > 16 || strings.Trim(value, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return 0
	}
	return n
}

// containersOf are a pod's containers in the order of Kubernetes, but for ephemeral ones.
// They are the pod's own: an element has half a KiB.
func containersOf(pod *corev1.Pod) iter.Seq[*corev1.Container] {
	return func(yield func(*corev1.Container) bool) {
		for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}
	}
}

func findContainer(list []corev1.Container, name string) *corev1.Container {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

func findVolume(list []corev1.Volume, name string) *corev1.Volume {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}
