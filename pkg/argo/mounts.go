package argo

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// checkMounts allows the mounts Argo gives to init and wait, known volumes at
// known paths, and those that the operator says are added.
func (id Identity) checkMounts(e executor, pod *corev1.Pod, s *Step) error {
	seen := map[string]int{}
	for _, m := range e.VolumeMounts {
		if m.MountPath != path.Clean(m.MountPath) {
			return e.altered("has a mount at %.200q, which is not a clean path", m.MountPath)
		}
		seen[m.MountPath]++
		if seen[m.MountPath] > 1 {
			return e.altered("has two mounts at %.200q", m.MountPath)
		}
		if !id.Additions.mount(m) && !e.mayMount(m, findVolume(pod.Spec.Volumes, m.Name), s) {
			return e.altered("has a mount of %s at %.200q, where Argo has none", m.Name, m.MountPath)
		}
	}
	want := []string{layout.PathRun}
	switch {
	case e.Name == layout.ContainerWait:
		want = append(want, layout.PathTmp)
	case len(s.Inputs) > 0:
		want = append(want, layout.PathInputs)
	}
	for _, p := range want {
		if seen[p] != 1 {
			return e.altered("has no mount at %s", p)
		}
	}
	return nil
}

// mayMount says whether Argo gives the mount to this container.
func (e executor) mayMount(m corev1.VolumeMount, v *corev1.Volume, s *Step) bool {
	whole := m.SubPath == "" && m.SubPathExpr == "" && m.MountPropagation == nil && m.RecursiveReadOnly == nil
	switch {
	case v == nil:
		return false
	case isCloudMount(m, v), ShutsInit(e.Container, m):
		return true
	case m.MountPath == layout.PathRun:
		return m.Name == layout.VolumeRun && whole && !m.ReadOnly
	case m.MountPath == layout.PathTmp:
		return e.Name == layout.ContainerWait && m.Name == layout.VolumeTmp && m.SubPath != "" && m.SubPathExpr == "" && !m.ReadOnly
	case m.MountPath == layout.PathInputs:
		return e.Name == layout.ContainerInit && m.Name == layout.VolumeInputs && whole && !m.ReadOnly
	case m.MountPath == layout.PathStaging:
		return e.Name == layout.ContainerInit && m.Name == layout.VolumeStaging && whole
	case path.Dir(m.MountPath) == layout.PathSecrets:
		return v.Secret != nil && whole && m.ReadOnly && path.Base(m.MountPath) == m.Name && v.Secret.SecretName == m.Name
	case m.MountPath == layout.PathToken:
		return (v.Projected != nil || v.Secret != nil) && whole && m.ReadOnly
	case strings.HasPrefix(m.MountPath, layout.PathMainFiles+"/"):
		return e.mayMirror(m, s)
	}
	return false
}

// mayMirror says whether a mount below /mainctrfs can be one that Argo copied
// from main: any volume of the step's, and in wait what main has of the inputs
// and of the script.
func (e executor) mayMirror(m corev1.VolumeMount, s *Step) bool {
	at := strings.TrimPrefix(m.MountPath, layout.PathMainFiles)
	switch m.Name {
	case layout.VolumeRun, layout.VolumeTmp:
		return false
	case layout.VolumeInputs:
		return e.Name == layout.ContainerWait && s.placesInput(at, m)
	case layout.VolumeStaging:
		return e.Name == layout.ContainerWait && at == layout.PathStaging && m.SubPath == "" && m.SubPathExpr == ""
	}
	return true
}

// placesInput says whether a mount puts an input artifact where the template
// wants it.
func (s *Step) placesInput(at string, m corev1.VolumeMount) bool {
	return m.SubPathExpr == "" && slices.ContainsFunc(s.Inputs, func(i Input) bool {
		return i.Path == at && i.Name == m.SubPath
	})
}

// checkTmp keeps everyone from the staging area: what wait mounts at /tmp. Argo
// itself gives another part of the volume to a container that runs the
// executor image.
func checkTmp(pod *corev1.Pod, s *Step) error {
	var staging string
	if wait := findContainer(pod.Spec.Containers, layout.ContainerWait); wait != nil {
		for _, m := range wait.VolumeMounts {
			if m.Name == layout.VolumeTmp {
				staging = m.SubPath
			}
		}
		if path.Clean(staging) != staging || strings.ContainsAny(staging, "/$") || staging == ".." || staging == "." || staging == initTmp {
			return reason.New(reason.WaitAltered, "wait has a mount of %s at subPath %.80q, which is not one name of its own", layout.VolumeTmp, staging)
		}
	}
	return others(pod, layout.VolumeTmp, func(c *corev1.Container, m corev1.VolumeMount) bool {
		sub := path.Clean(m.SubPath)
		return m.SubPath != "" && m.SubPathExpr == "" && !strings.Contains(m.SubPath, "..") && !path.IsAbs(sub) &&
			sub != "." && !within(sub, initTmp) && (s.Kind.executor() && staging == "" || !within(sub, staging))
	})
}

// checkInputs keeps everybody from the inputs but the step's own code: main, and
// the template's init containers and sidecars. These may change the inputs, before
// main or beside it, as main may: their template is in the seal. Nobody may have
// the inputs before they are checked, and containers that others have added never
// may.
func checkInputs(pod *corev1.Pod, s *Step) error {
	o := ownership{step: s}
	checked := false // init is done, and the check comes directly after it
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.Name == layout.ContainerInit || c.Name == SignerContainer || c.Name == VerifyContainer {
			checked = checked || c.Name == layout.ContainerInit
			continue
		}
		for _, m := range c.VolumeMounts {
			what := s.watched(m, true)
			switch {
			case what == "":
			case !checked:
				return reason.New(reason.ForeignMount, "init container %s mounts volume %s at %.200q and comes before init: it could change the %s while they are checked", c.Name, m.Name, m.MountPath, what).Advise("Find who puts it there, a podSpecPatch or another webhook: let it come after init, or leave this mount out")
			default:
				if err := o.gives(c, m, true); err != nil {
					return err
				}
			}
		}
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if c.Name == layout.ContainerWait {
			continue
		}
		for _, m := range c.VolumeMounts {
			if s.watched(m, false) == "" {
				continue
			}
			if err := o.gives(c, m, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// watched says which of the step's inputs a mount leads to, of a container that is
// neither Argo's nor ours; empty for none. Inputs on other volumes than Argo's are
// watched only before main, and only if they are to be checked: who runs beside
// main is stated anyway.
func (s *Step) watched(m corev1.VolumeMount, init bool) string {
	switch {
	case m.Name == layout.VolumeInputs:
		return "inputs"
	case !init || m.ReadOnly || len(s.PinnedInputs()) == 0:
		return ""
	case m.Name == layout.VolumeStaging:
		return "script and the inputs"
	case slices.ContainsFunc(s.Inputs, func(in Input) bool { return in.Mount() != nil && in.Mount().Volume == m.Name }):
		return "inputs on volume " + m.Name
	}
	return ""
}

// others refuses a mount of the volume in any container but init, wait and
// ours unless it may have it.
func others(pod *corev1.Pod, volume string, may func(*corev1.Container, corev1.VolumeMount) bool) error {
	for i, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for j := range list {
			c := &list[j]
			ours := i == 0 && (c.Name == SignerContainer || c.Name == VerifyContainer)
			if ours || c.Name == layout.ContainerInit || c.Name == layout.ContainerWait {
				continue
			}
			for _, m := range c.VolumeMounts {
				if m.Name == volume && !may(c, m) {
					return reason.New(reason.ForeignMount, "container %s mounts %s at %.200q", c.Name, volume, m.MountPath)
				}
			}
		}
	}
	return nil
}

// Staging gives wait's own mount of the volume in which it stages what it
// uploads. Call it on a pod that CheckStructure agreed to.
func Staging(pod *corev1.Pod) (corev1.VolumeMount, error) {
	if wait := findContainer(pod.Spec.Containers, layout.ContainerWait); wait != nil {
		for _, m := range wait.VolumeMounts {
			if m.Name == layout.VolumeTmp && m.MountPath == layout.PathTmp && m.SubPath != "" {
				return m, nil
			}
		}
	}
	return corev1.VolumeMount{}, reason.New(reason.WaitAltered, "wait does not mount %s at %s", layout.VolumeTmp, layout.PathTmp)
}
