package argo

import (
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// place is a path in main at which Kubernetes puts something over the image's
// files.
type place struct {
	path  string
	what  string
	mount *corev1.VolumeMount // nil for what is no mount of a volume
}

// mountedAt gives the path at which something ends up: the kubelet makes a
// relative path absolute, the runtime cleans it.
func mountedAt(p string) string { return path.Clean("/" + p) }

// places lists what lies over main's image, from whomever: the template, a
// patch or another webhook.
func places(main *corev1.Container) []place {
	if main == nil {
		return nil
	}
	var list []place
	for i := range main.VolumeMounts {
		m := &main.VolumeMounts[i]
		list = append(list, place{mountedAt(m.MountPath), "volume " + m.Name, m})
	}
	for _, d := range main.VolumeDevices {
		list = append(list, place{mountedAt(d.DevicePath), "device " + d.Name, nil})
	}
	if p := main.TerminationMessagePath; p != "" {
		list = append(list, place{mountedAt(p), "the file of the termination message", nil})
	}
	return list
}

// has says whether the place is where Argo mounts the input.
func (p place) has(in Input) bool {
	return p.mount != nil && p.path == in.Path && p.mount.Name == volumeInputs &&
		p.mount.SubPath == in.Name && p.mount.SubPathExpr == ""
}

// tmp says whether the place is the part of its volume that Argo mounts at
// /tmp in a main that runs the executor image.
func (p place) tmp() bool {
	return p.mount != nil && p.mount.Name == volumeTmp && p.path == pathTmp
}

// puts says whether the place is where the template mounts that volume. Outputs
// below it are known to lie on it.
func (t *template) puts(p place) bool {
	return p.mount != nil && slices.ContainsFunc(t.volumeMounts(), func(m volumeMount) bool {
		return m.Name == p.mount.Name && mountedAt(m.MountPath) == p.path
	})
}

// checkPlaces gives a Problem to each input that main may not read, and to each
// output that it may not have written, where the template says: what is mounted
// at, above or below the path hides a part of the artifact or is a part of
// somebody else's. Only the pod tells: a patch may mount what the template does
// not, and replace what Argo mounts. Outputs may lie on the template's own
// volumes, which they say.
func (s *Step) checkPlaces(main *corev1.Container) {
	list := places(main)
	for i := range s.Inputs {
		in := &s.Inputs[i]
		if !in.Pinned() || in.Problem != nil {
			continue
		}
		if problem := placedInput(list, *in); problem != nil {
			in.Location, in.Remote, in.Archive, in.Problem = artifact.Location{}, "", "", problem.For(in.Name)
		}
	}
	for i := range s.Outputs {
		out := &s.Outputs[i]
		if out.Problem != nil {
			continue
		}
		for _, p := range list {
			known := within(out.Path, p.path) && (p.tmp() || s.template.puts(p))
			if overlap(p.path, out.Path) && !known {
				out.refuse(p.hides(out.Path))
				break
			}
		}
	}
}

// placedInput wants an input to be mounted once at its path and nothing else
// to be there.
func placedInput(list []place, in Input) *reason.Error {
	found := false
	for _, p := range list {
		switch {
		case !overlap(p.path, in.Path), p.tmp() && p.path != in.Path && within(in.Path, p.path):
		case p.has(in) && !found:
			found = true
		default:
			return p.hides(in.Path)
		}
	}
	if !found {
		return reason.New(reason.MountUnsupported, "container %s does not mount it at its path %.200q", containerMain, in.Path)
	}
	return nil
}

func (p place) hides(artifact string) *reason.Error {
	return reason.New(reason.MountUnsupported, "container %s has %s at %.200q, which overlaps the path %.200q", containerMain, p.what, p.path, artifact)
}

// overlap says whether one of two clean paths is the other or lies below it.
func overlap(a, b string) bool { return within(a, b) || within(b, a) }
