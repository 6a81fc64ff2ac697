package argo

import (
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Where init's mounts that ShutInit gives it lie.
const (
	pathShm = "/dev/shm"
	// initTmp is the part of Argo's volume for /tmp that init gets; wait has another.
	initTmp = ReservedPrefix + "init"
)

var (
	emptyShm = corev1.VolumeMount{Name: EmptyVolume, MountPath: pathShm, ReadOnly: true}
	ownTmp   = corev1.VolumeMount{Name: layout.VolumeTmp, MountPath: layout.PathTmp, SubPath: initTmp}
)

// ShutInit keeps what Argo's init downloads from what all containers of a pod share: a
// key with ".." in it, or an archive with links, writes wherever init may. Beside a
// read-only root, runtimes mount the pod's /etc/resolv.conf read-only, too; and over its
// /dev/shm lies a volume of ours with nothing in it. Argo's init writes to its mounts
// alone, but for a git key, for which it gets a /tmp where it has none. The containers
// of the pod must be its own, and our volume has to be one of its volumes.
func ShutInit(pod *corev1.Pod) {
	init := findContainer(pod.Spec.InitContainers, layout.ContainerInit)
	if init == nil {
		return
	}
	OpenInit(pod)
	for _, m := range []corev1.VolumeMount{emptyShm, ownTmp} {
		if !mountsAt(init, m.MountPath) { // the operator may have his own there
			init.VolumeMounts = append(init.VolumeMounts, m)
		}
	}
	sc := &corev1.SecurityContext{}
	if init.SecurityContext != nil {
		sc = init.SecurityContext.DeepCopy()
	}
	sc.ReadOnlyRootFilesystem = new(true)
	init.SecurityContext = sc
}

// OpenInit takes the mounts away that ShutInit gave. The root stays as it is.
func OpenInit(pod *corev1.Pod) {
	if init := findContainer(pod.Spec.InitContainers, layout.ContainerInit); init != nil {
		// The list may be another pod's, too.
		init.VolumeMounts = slices.DeleteFunc(slices.Clone(init.VolumeMounts), func(m corev1.VolumeMount) bool { return ShutsInit(init, m) })
	}
}

func mountsAt(c *corev1.Container, at string) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == at })
}

// ShutsInit says whether a container's mount is one that ShutInit gives.
func ShutsInit(c *corev1.Container, m corev1.VolumeMount) bool {
	return c.Name == layout.ContainerInit && (reflect.DeepEqual(m, emptyShm) || reflect.DeepEqual(m, ownTmp))
}

// CheckShut wants init as ShutInit leaves it. What else lies at a mount of its,
// CheckStructure judges.
func CheckShut(pod *corev1.Pod) error {
	init := findContainer(pod.Spec.InitContainers, layout.ContainerInit)
	switch {
	case init == nil:
		return reason.New(reason.UnknownPodLayout, "it has no container %q", layout.ContainerInit)
	case init.SecurityContext == nil || init.SecurityContext.ReadOnlyRootFilesystem == nil || !*init.SecurityContext.ReadOnlyRootFilesystem:
		return reason.New(reason.SidecarMissing, "readOnlyRootFilesystem of init: it may write to what all containers share")
	case !mountsAt(init, pathShm):
		return reason.New(reason.SidecarMissing, "mount of init at %s: it may write to what all containers share", pathShm)
	}
	return nil
}
