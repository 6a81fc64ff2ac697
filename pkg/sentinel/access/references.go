package access

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Reference is one place in a pod's spec that takes a Secret.
type Reference struct {
	// Secret is its name, in the pod's namespace.
	Secret string
	// Path is where the name stands.
	Path string
	// Containers are those that get what is in it, by name.
	Containers []string
	// Kubelet says that the kubelet gets it, for the whole pod.
	Kubelet bool
	// Guess says that it may be the name of a Secret: what a driver takes
	// an attribute for, only the driver knows.
	Guess bool
}

// References are all places in the spec that take a Secret, in the order of the
// spec's fields. A claim is none: what lies behind it stands in the PersistentVolume.
func References(spec *corev1.PodSpec) []Reference {
	var all []Reference
	root := field.NewPath("spec")
	mounts := map[string][]string{}
	container := func(at *field.Path, c *corev1.Container) {
		add := func(at *field.Path, name string) {
			all = append(all, Reference{Secret: name, Path: at.Child("name").String(), Containers: []string{c.Name}})
		}
		for i, from := range c.EnvFrom {
			if from.SecretRef != nil {
				add(at.Child("envFrom").Index(i).Child("secretRef"), from.SecretRef.Name)
			}
		}
		for i, env := range c.Env {
			if env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil {
				add(at.Child("env").Index(i).Child("valueFrom", "secretKeyRef"), env.ValueFrom.SecretKeyRef.Name)
			}
		}
		names := []string{}
		for _, mount := range c.VolumeMounts {
			names = append(names, mount.Name)
		}
		for _, device := range c.VolumeDevices {
			names = append(names, device.Name)
		}
		for _, name := range names {
			if !slices.Contains(mounts[name], c.Name) {
				mounts[name] = append(mounts[name], c.Name)
			}
		}
	}
	for i := range spec.InitContainers {
		container(root.Child("initContainers").Index(i), &spec.InitContainers[i])
	}
	for i := range spec.Containers {
		container(root.Child("containers").Index(i), &spec.Containers[i])
	}
	for i := range spec.EphemeralContainers {
		c := corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon)
		container(root.Child("ephemeralContainers").Index(i), &c)
	}
	for i := range spec.Volumes {
		for _, r := range volume(root.Child("volumes").Index(i), &spec.Volumes[i].VolumeSource) {
			r.Containers = mounts[spec.Volumes[i].Name]
			all = append(all, r)
		}
	}
	for i, ref := range spec.ImagePullSecrets {
		all = append(all, Reference{Secret: ref.Name, Path: root.Child("imagePullSecrets").Index(i).Child("name").String(), Kubelet: true})
	}
	// An empty name is no Secret's: the API server admits it, the kubelet finds none.
	return slices.DeleteFunc(all, func(r Reference) bool { return r.Secret == "" })
}

// volume are the references of one volume. What else it may be, a volume is of one
// kind; none is left out here for being of another, too.
func volume(at *field.Path, v *corev1.VolumeSource) []Reference {
	var all []Reference
	add := func(at *field.Path, name string) { all = append(all, Reference{Secret: name, Path: at.String()}) }
	local := func(kind string, ref *corev1.LocalObjectReference) {
		if ref != nil {
			add(at.Child(kind, "secretRef", "name"), ref.Name)
		}
	}
	guesses := func(at *field.Path, values map[string]string) {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			all = append(all, Reference{Secret: values[key], Path: at.Key(key).String(), Guess: true})
		}
	}
	if v.Secret != nil {
		add(at.Child("secret", "secretName"), v.Secret.SecretName)
	}
	if v.ISCSI != nil {
		local("iscsi", v.ISCSI.SecretRef)
	}
	if v.RBD != nil {
		local("rbd", v.RBD.SecretRef)
	}
	if v.FlexVolume != nil {
		local("flexVolume", v.FlexVolume.SecretRef)
		guesses(at.Child("flexVolume", "options"), v.FlexVolume.Options)
	}
	if v.Cinder != nil {
		local("cinder", v.Cinder.SecretRef)
	}
	if v.CephFS != nil {
		local("cephfs", v.CephFS.SecretRef)
	}
	if v.AzureFile != nil {
		add(at.Child("azureFile", "secretName"), v.AzureFile.SecretName)
	}
	if v.ScaleIO != nil {
		local("scaleIO", v.ScaleIO.SecretRef)
	}
	if v.StorageOS != nil {
		local("storageos", v.StorageOS.SecretRef)
	}
	if v.Projected != nil {
		for i, source := range v.Projected.Sources {
			if source.Secret != nil {
				add(at.Child("projected", "sources").Index(i).Child("secret", "name"), source.Secret.Name)
			}
		}
	}
	if v.CSI != nil {
		if v.CSI.NodePublishSecretRef != nil {
			add(at.Child("csi", "nodePublishSecretRef", "name"), v.CSI.NodePublishSecretRef.Name)
		}
		guesses(at.Child("csi", "volumeAttributes"), v.CSI.VolumeAttributes)
	}
	return all
}
