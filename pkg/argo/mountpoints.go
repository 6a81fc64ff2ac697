package argo

import (
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
)

// mountPoint is a path in main at which Kubernetes puts something over the image's
// files.
type mountPoint struct {
	path  string
	what  string
	mount *corev1.VolumeMount // nil for what is no mount of a volume
}

// mountedAt gives the path at which something ends up: the kubelet makes a
// relative path absolute, the runtime cleans it.
func mountedAt(p string) string { return path.Clean("/" + p) }

// mountPoints lists what lies over main's image, from whomever: the template, a
// patch or another webhook.
func mountPoints(main *corev1.Container) []mountPoint {
	if main == nil {
		return nil
	}
	var list []mountPoint
	for i := range main.VolumeMounts {
		m := &main.VolumeMounts[i]
		list = append(list, mountPoint{mountedAt(m.MountPath), "volume " + m.Name, m})
	}
	for _, d := range main.VolumeDevices {
		list = append(list, mountPoint{mountedAt(d.DevicePath), "device " + d.Name, nil})
	}
	if p := main.TerminationMessagePath; p != "" {
		list = append(list, mountPoint{mountedAt(p), "the file of the termination message", nil})
	}
	return list
}

// has says whether it is the mount at which Argo puts the input.
func (p mountPoint) has(in Input) bool {
	return p.mount != nil && p.path == in.Path && p.mount.Name == layout.VolumeInputs &&
		p.mount.SubPath == in.Name && p.mount.SubPathExpr == ""
}

// tmp says whether it is the part of its volume that Argo mounts at
// /tmp in a main that runs the executor image.
func (p mountPoint) tmp() bool {
	return p.mount != nil && p.mount.Name == layout.VolumeTmp && p.path == layout.PathTmp
}

// puts says whether the mount point is one of the template's own mounts. Then it is
// known that outputs below it lie on that volume.
func (t *template) puts(p mountPoint) bool {
	return p.mount != nil && slices.ContainsFunc(t.volumeMounts(), func(m volumeMount) bool {
		return m.Name == p.mount.Name && mountedAt(m.MountPath) == p.path
	})
}

// putsBelow is puts for a mount that lies plainly below a path.
func (t *template) putsBelow(p mountPoint, path string) bool {
	return p.mount != nil && slices.ContainsFunc(t.volumeMounts(), func(m volumeMount) bool {
		return m.Name == p.mount.Name && m.MountPath == p.path && m.below(path)
	})
}

// checkArtifactPaths refuses each artifact that main may not read, or may not have
// written, at the path that the template gives. Whatever is mounted at, above or
// below the path hides a part of the artifact, or is a part of somebody else's.
// Only the pod tells: a patch may mount more than the template does, and replace
// what Argo mounts. Artifacts may lie on the template's own volumes, which they
// name.
func (s *Step) checkArtifactPaths(pod *corev1.Pod) {
	list := mountPoints(findContainer(pod.Spec.Containers, layout.ContainerMain))
	for i := range s.Inputs {
		in := &s.Inputs[i]
		if in.problem != nil || !in.Pinned() && in.Source != SourceRaw {
			continue
		}
		mount, problem := s.findInput(pod, list, *in)
		switch {
		case problem == nil:
			in.supply.mount = mount
		case in.Pinned():
			*in = in.Refused(problem)
		}
	}
	for i, out := range s.Outputs {
		if out.problem != nil {
			continue
		}
		mount, added, problem := s.checkOutputPath(pod, list, out)
		if problem != nil {
			s.Outputs[i] = out.Refused(problem)
			continue
		}
		d := &s.Outputs[i].destination
		if d.mount = mount; added != "" && d.volume != layout.VolumeInputs {
			d.volume = added
		}
	}
}

// checkOutputPath wants only main's own files, volumes and the step's inputs to be
// at an output's path. There are two cases. If Argo stores what wait sees, the
// template has to name the mount, and wait has to see what main sees; place says
// where that is if it is measured there. Else the emissary packs what main sees,
// and added names a volume that somebody else put there.
func (s *Step) checkOutputPath(pod *corev1.Pod, main []mountPoint, out Output) (place *Mount, added string, problem *reason.Error) {
	var m *corev1.VolumeMount
	var below []mountPoint
	fromWait := s.fromWait(out)
	for _, p := range main {
		above := within(out.Path, p.path)
		switch {
		case !overlap(p.path, out.Path), above && p.tmp():
		case !above && s.template.putsBelow(p, out.Path):
			below = append(below, p)
		case !s.isInput(p) && (!above || !s.template.puts(p)):
			if fromWait || p.mount == nil || sharedVolume(p.mount.Name) {
				return nil, "", p.hides(out.Path)
			}
			added = p.mount.Name
		case above && (m == nil || len(p.path) > len(mountedAt(m.MountPath))):
			m = p.mount
		}
	}
	switch {
	case !fromWait:
		return nil, added, nil
	case m == nil || !mirrors(findContainer(pod.Spec.Containers, layout.ContainerWait), out.Path, m, below):
		return nil, "", reason.New(reason.MountUnsupported, "container %s has not what %s has at %.200q", layout.ContainerWait, layout.ContainerMain, out.Path)
	case out.Place() != measurement.PlaceVolume:
		return nil, "", nil
	case len(below) > 0: // we read one volume
		return nil, "", below[0].hides(out.Path)
	case m.SubPathExpr != "":
		return nil, "", reason.New(reason.MountUnsupported, "path %.200q lies on volume %s, whose subPathExpr may be another folder in each container", out.Path, m.Name)
	}
	return &Mount{Volume: m.Name, Path: mountedAt(m.MountPath), SubPath: m.SubPath}, "", nil
}

// fromWait says whether Argo stores what wait sees of main's mounts; if not, it
// stores what the emissary packed in main.
func (s *Step) fromWait(out Output) bool {
	if volume, _ := s.template.volumeAt(out.Path); volume != "" {
		return true
	}
	return slices.ContainsFunc(s.Inputs, func(in Input) bool {
		return in.Source != SourceAbsent && within(out.Path, in.Path)
	})
}

// isInput says whether the mount point is where Argo mounts one of the step's inputs.
func (s *Step) isInput(p mountPoint) bool {
	return slices.ContainsFunc(s.Inputs, func(in Input) bool { return in.Source != SourceAbsent && p.has(in) })
}

// findInput says on which mount of the step's own main finds an input, or why main
// may not find it; nil for Argo's volume of inputs.
func (s *Step) findInput(pod *corev1.Pod, main []mountPoint, in Input) (*Mount, *reason.Error) {
	volume, problem := s.template.volumeAt(in.Path)
	switch {
	case problem != nil:
		return nil, problem
	case volume == "":
		return nil, s.checkInputMount(pod, main, in)
	}
	return s.onVolume(pod, main, in.Path, volume)
}

// onVolume wants the template's mount of the volume, and nothing else, to be
// where main reads the path, and init to write to the same place.
func (s *Step) onVolume(pod *corev1.Pod, main []mountPoint, at, volume string) (*Mount, *reason.Error) {
	var m *corev1.VolumeMount
	for _, p := range main {
		switch {
		case !overlap(p.path, at), p.tmp() && p.path != at && within(at, p.path):
		case p.path != at && within(at, p.path) && s.isInput(p): // an input around the volume
		case within(at, p.path) && s.template.puts(p):
			if m == nil || len(p.path) > len(mountedAt(m.MountPath)) {
				m = p.mount // the deepest one hides what is around it
			}
		default:
			return nil, p.hides(at)
		}
	}
	switch {
	case m == nil || m.Name != volume:
		return nil, reason.New(reason.MountUnsupported, "container %s does not mount volume %s, on which its path %.200q lies", layout.ContainerMain, volume, at)
	case mountedAt(m.MountPath) == at:
		return nil, reason.New(reason.MountUnsupported, "path %.200q is where volume %s is mounted, and Argo cannot put it there", at, volume)
	case m.SubPathExpr != "":
		return nil, reason.New(reason.MountUnsupported, "path %.200q lies on volume %s, whose subPathExpr may be another folder in each container", at, volume)
	case !mirrors(findContainer(pod.Spec.InitContainers, layout.ContainerInit), at, m, nil):
		return nil, reason.New(reason.MountUnsupported, "container %s has not what %s has at %.200q", layout.ContainerInit, layout.ContainerMain, at)
	}
	return &Mount{Volume: volume, Path: mountedAt(m.MountPath), SubPath: m.SubPath, Own: s.owns(pod, m)}, nil
}

// mirrors says whether one of Argo's containers sees what main sees at a path:
// below /mainctrfs, the same part of the same volume, and in it the same other
// mounts.
func mirrors(c *corev1.Container, at string, m *corev1.VolumeMount, below []mountPoint) bool {
	var found *corev1.VolumeMount
	inside := 0
	for _, p := range mountPoints(c) {
		switch {
		case !overlap(p.path, layout.PathMainFiles+at):
		case p.mount == nil:
			return false
		case !within(layout.PathMainFiles+at, p.path):
			if !slices.ContainsFunc(below, func(b mountPoint) bool { return isMirror(p.mount, b.mount) }) {
				return false
			}
			inside++
		case found == nil || len(p.path) > len(mountedAt(found.MountPath)):
			found = p.mount
		}
	}
	return found != nil && isMirror(found, m) && inside == len(below)
}

// isMirror says whether a mount is what Argo makes of one of main's for its own containers.
func isMirror(m, of *corev1.VolumeMount) bool {
	return mountedAt(m.MountPath) == path.Join(layout.PathMainFiles, of.MountPath) &&
		m.Name == of.Name && m.SubPath == of.SubPath && m.SubPathExpr == of.SubPathExpr
}

// owns says whether the mount's volume begins empty and only Argo's and the step's
// main containers have it, each the same part and nothing else of it. No other
// volume may lie in it, because the runtime leaves a folder where that is mounted.
func (s *Step) owns(pod *corev1.Pod, m *corev1.VolumeMount) bool {
	v := findVolume(pod.Spec.Volumes, m.Name)
	if v == nil || v.EmptyDir == nil {
		return false
	}
	if slices.ContainsFunc(s.template.volumeMounts(), func(other volumeMount) bool { return other.below(mountedAt(m.MountPath)) }) {
		return false
	}
	for c := range containersOf(pod) {
		if c.Name == SignerContainer || c.Name == VerifyContainer {
			continue
		}
		mounts := 0
		for _, other := range c.VolumeMounts {
			if other.Name != m.Name {
				continue
			}
			mounts++
			if other.SubPath != m.SubPath || other.SubPathExpr != "" {
				return false
			}
		}
		if mounts > 1 || mounts == 1 && c.Name != layout.ContainerInit && c.Name != layout.ContainerWait && !slices.Contains(s.Mains(), c.Name) {
			return false
		}
	}
	return true
}

// checkInputMount wants an input to be mounted once at its path, and nothing else
// to be there. Three things are fine: other inputs around or in it, which are
// checked for themselves; the template's own volumes in it; and volumes around it
// that nobody else has. Whoever has such a volume could take away the folder at
// which the input is mounted.
func (s *Step) checkInputMount(pod *corev1.Pod, list []mountPoint, in Input) *reason.Error {
	found := false
	for _, p := range list {
		switch {
		case !overlap(p.path, in.Path), p.tmp() && p.path != in.Path && within(in.Path, p.path):
		case p.has(in) && !found:
			found = true
		case p.path != in.Path && (s.isInput(p) || within(p.path, in.Path) && s.template.putsBelow(p, in.Path)):
		case p.path != in.Path && within(in.Path, p.path) && p.mount != nil && !sharedVolume(p.mount.Name) && s.owns(pod, p.mount):
		default:
			return p.hides(in.Path)
		}
	}
	if !found {
		return reason.New(reason.MountUnsupported, "container %s does not mount it at its path %.200q", layout.ContainerMain, in.Path)
	}
	return nil
}

func (p mountPoint) hides(artifact string) *reason.Error {
	return reason.New(reason.MountUnsupported, "container %s has %s at %.200q, which overlaps the path %.200q", layout.ContainerMain, p.what, p.path, artifact)
}

// overlap says whether one of two clean paths is the other or lies below it.
func overlap(a, b string) bool { return within(a, b) || within(b, a) }
