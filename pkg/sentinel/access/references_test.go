package access_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

// place is a field of a pod's spec that names a Secret, or may.
type place struct {
	path string
	set  func(reflect.Value)
}

// places walks the types: what a later release of Kubernetes adds is among them. A
// field is one of them by its name or by its type.
func places(t reflect.Type, path string, set func(reflect.Value, func(reflect.Value)), under bool, out *[]place) {
	switch t.Kind() {
	case reflect.Pointer:
		places(t.Elem(), path, func(v reflect.Value, leaf func(reflect.Value)) {
			set(v, func(v reflect.Value) {
				if v.IsNil() {
					v.Set(reflect.New(t.Elem()))
				}
				leaf(v.Elem())
			})
		}, under, out)
	case reflect.Slice:
		places(t.Elem(), path+"[0]", func(v reflect.Value, leaf func(reflect.Value)) {
			set(v, func(v reflect.Value) {
				if v.Len() == 0 {
					v.Set(reflect.MakeSlice(t, 1, 1))
				}
				leaf(v.Index(0))
			})
		}, under, out)
	case reflect.Map:
		if t.Elem().Kind() == reflect.String && (strings.HasSuffix(path, "volumeAttributes") || strings.HasSuffix(path, "options") && strings.Contains(path, "flexVolume")) {
			*out = append(*out, place{path + "[key]", func(root reflect.Value) {
				set(root, func(v reflect.Value) { v.Set(reflect.ValueOf(map[string]string{"key": secret})) })
			}})
		}
	case reflect.String:
		if under && (strings.HasSuffix(path, "ame") || strings.HasSuffix(path, "Name")) {
			*out = append(*out, place{path, func(root reflect.Value) {
				set(root, func(v reflect.Value) { v.SetString(secret) })
			}})
		}
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			at := path + "." + name
			if name == "" {
				at = path // inline
			}
			places(f.Type, at, func(v reflect.Value, leaf func(reflect.Value)) {
				set(v, func(v reflect.Value) { leaf(v.Field(i)) })
			}, under || strings.Contains(f.Name, "Secret") || strings.Contains(f.Type.String(), "Secret"), out)
		}
	}
}

const secret = "guarded"

// allPlaces are those of corev1.PodSpec.
func allPlaces() []place {
	var all []place
	places(reflect.TypeFor[corev1.PodSpec](), "spec", func(v reflect.Value, leaf func(reflect.Value)) { leaf(v) }, false, &all)
	return all
}

// podWith is a pod's spec whose one reference stands at the place.
func podWith(p place) *corev1.PodSpec {
	spec := &corev1.PodSpec{}
	p.set(reflect.ValueOf(spec).Elem())
	return spec
}

// TestReferencesFindsEveryPlace: whichever one field names a Secret, it is found,
// and where it stands.
func TestReferencesFindsEveryPlace(t *testing.T) {
	all := allPlaces()
	if len(all) < 20 {
		t.Fatalf("a pod's spec has %d places for Secrets, which is too few to be true", len(all))
	}
	for _, p := range all {
		t.Run(p.path, func(t *testing.T) {
			got := access.References(podWith(p))
			if len(got) != 1 || got[0].Secret != secret || got[0].Path != p.path {
				t.Errorf("found %+v", got)
			}
		})
	}
}

// The ways of a PersistentVolume to a Secret that the policy for volumes knows.
var volumes = map[string]string{
	"csi.controllerPublishSecretRef": csi("controllerPublish"),
	"csi.nodeStageSecretRef":         csi("nodeStage"),
	"csi.nodePublishSecretRef":       csi("nodePublish"),
	"csi.controllerExpandSecretRef":  csi("controllerExpand"),
	"csi.nodeExpandSecretRef":        csi("nodeExpand"),
	"iscsi.secretRef":                `iscsi: {targetPortal: 127.0.0.1, iqn: "iqn.2015-02.example.com:t", lun: 0, secretRef: {name: guarded, namespace: team}}`,
	"rbd.secretRef":                  `rbd: {monitors: [m], image: i, secretRef: {name: guarded, namespace: team}}`,
	"flexVolume.secretRef":           `flexVolume: {driver: example.com/d, secretRef: {name: guarded, namespace: team}}`,
	"cinder.secretRef":               `cinder: {volumeID: v, secretRef: {name: guarded, namespace: team}}`,
	"cephfs.secretRef":               `cephfs: {monitors: [m], secretRef: {name: guarded, namespace: team}}`,
	"scaleIO.secretRef":              `scaleIO: {gateway: g, system: s, volumeName: v, secretRef: {name: guarded, namespace: team}}`,
	"storageos.secretRef":            `storageos: {volumeName: v, volumeNamespace: "n", secretRef: {name: guarded, namespace: team}}`,
	"azureFile.secretName":           `azureFile: {shareName: s, secretName: guarded, secretNamespace: team}`,
}

func csi(field string) string {
	return `csi: {driver: example.com, volumeHandle: h, ` + field + `SecretRef: {name: guarded, namespace: team}}`
}

// TestEveryWayOfAVolumeIsTried: a later release of Kubernetes may add one, which the
// policy does not know then.
func TestEveryWayOfAVolumeIsTried(t *testing.T) {
	var all []place
	places(reflect.TypeFor[corev1.PersistentVolumeSource](), "", func(v reflect.Value, leaf func(reflect.Value)) { leaf(v) }, false, &all)
	seen := map[string]bool{}
	for _, p := range all {
		name := strings.TrimSuffix(strings.TrimPrefix(p.path, "."), ".name")
		if strings.Contains(name, "volumeAttributes") || strings.Contains(name, "options") {
			continue // the driver's, not the kubelet's, and written by who makes volumes
		}
		seen[name] = true
		if volumes[name] == "" {
			t.Errorf("%s is not tried", name)
		}
	}
	if len(seen) != len(volumes) {
		t.Errorf("a volume has %d ways, %d are tried", len(seen), len(volumes))
	}
}

func TestWhoGetsAVolumeIsWhoMountsIt(t *testing.T) {
	volume := func(name string, source corev1.VolumeSource) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: source}
	}
	mount := func(names ...string) (all []corev1.VolumeMount) {
		for _, n := range names {
			all = append(all, corev1.VolumeMount{Name: n})
		}
		return all
	}
	spec := &corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "init", VolumeMounts: mount("store", "store")}},
		Containers: []corev1.Container{
			{Name: "main", VolumeMounts: mount("both"), EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{}}}},
			{Name: "wait", VolumeMounts: mount("store", "both")},
		},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "debug", VolumeDevices: []corev1.VolumeDevice{{Name: "both"}},
		}}},
		Volumes: []corev1.Volume{
			volume("store", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s3"}}),
			volume("both", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}},
				{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "tls"}}},
			}}}),
			volume("nobody", corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{VolumeAttributes: map[string]string{"b": "2", "a": "1"}}}),
		},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}, {Name: ""}},
	}
	var got []string
	for _, r := range access.References(spec) {
		got = append(got, fmt.Sprintf("%s %s %v kubelet=%v guess=%v", r.Path, r.Secret, r.Containers, r.Kubelet, r.Guess))
	}
	want := []string{
		"spec.volumes[0].secret.secretName s3 [init wait] kubelet=false guess=false",
		"spec.volumes[1].projected.sources[1].secret.name tls [main wait debug] kubelet=false guess=false",
		"spec.volumes[2].csi.volumeAttributes[a] 1 [] kubelet=false guess=true",
		"spec.volumes[2].csi.volumeAttributes[b] 2 [] kubelet=false guess=true",
		"spec.imagePullSecrets[0].name pull [] kubelet=true guess=false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
