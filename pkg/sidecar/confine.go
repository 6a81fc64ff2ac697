package sidecar

import (
	"cmp"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Our containers may no more than Argo's own, and Argo's init writes only where verify looks.

// looked says whether verify looks at what init can write through its mount.
func looked(m corev1.VolumeMount, step *argo.Step) bool {
	return slices.ContainsFunc(step.Inputs, func(in argo.Input) bool {
		return in.Mount() != nil && m.Name == in.Mount().Volume && m.SubPath == in.Mount().SubPath && m.MountPath == layout.PathMainFiles+in.Mount().Path
	})
}

// confined are the mounts of Argo's init, read-only where verify does not look. A
// mount is removed if another one lies in it: to mount that, the runtime would have
// to make a folder in the volume, which it cannot in a read-only one. Init needs
// none of these.
func confined(mounts []corev1.VolumeMount, step *argo.Step) []corev1.VolumeMount {
	var left []corev1.VolumeMount
	for _, m := range mounts {
		if mainFiles(m) && !looked(m, step) {
			around := path.Clean(m.MountPath) + "/"
			if slices.ContainsFunc(mounts, func(other corev1.VolumeMount) bool {
				return strings.HasPrefix(path.Clean(other.MountPath), around)
			}) {
				continue
			}
			m.ReadOnly = true
		}
		left = append(left, m)
	}
	return left
}

// contextOf gives our container the security context of Argo's, confined. The pod's
// own context applies to both. If only Argo's image names the user, the operator
// has to say which: else, where root is forbidden, the kubelet would never start
// ours.
func contextOf(pod *corev1.Pod, list []corev1.Container, name string, cfg Config) (*corev1.SecurityContext, error) {
	sc, image := &corev1.SecurityContext{}, ""
	if i := slices.IndexFunc(list, hasName(name)); i >= 0 {
		image = list[i].Image
		if list[i].SecurityContext != nil {
			sc = list[i].SecurityContext.DeepCopy()
		}
	}
	user, nonRoot := sc.RunAsUser, sc.RunAsNonRoot
	if all := pod.Spec.SecurityContext; all != nil {
		user, nonRoot = cmp.Or(user, all.RunAsUser), cmp.Or(nonRoot, all.RunAsNonRoot)
	}
	if user == nil {
		if own, known := cfg.ExecutorUsers[image]; known {
			sc.RunAsUser = &own
		} else if nonRoot != nil && *nonRoot {
			return nil, reason.New(reason.ExecutorUserUnknown, "%s has runAsNonRoot and no runAsUser", name)
		}
	}
	return confine(sc), nil
}

// confine keeps the user of Argo's own container and gives up what we do not
// need, so that Pod Security accepts ours wherever it accepts Argo's.
func confine(sc *corev1.SecurityContext) *corev1.SecurityContext {
	no, yes := false, true
	sc.Privileged, sc.ProcMount = nil, nil
	sc.AllowPrivilegeEscalation = &no
	sc.ReadOnlyRootFilesystem = &yes
	if c := sc.Capabilities; c != nil {
		// The API server refuses it beside allowPrivilegeEscalation false.
		c.Add = slices.DeleteFunc(c.Add, func(name corev1.Capability) bool {
			return name == "SYS_ADMIN" || name == "CAP_SYS_ADMIN"
		})
		if len(c.Add) == 0 {
			c.Add = nil
		}
	}
	return sc
}
