package argo

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// asked says whether a container has the resources that its template gives. More is
// fine: limit ranges and webhooks fill in what the template leaves open.
func asked(have, want corev1.ResourceList) bool {
	for name, w := range want {
		if h, found := have[name]; !found || h.Cmp(w) != 0 {
			return false
		}
	}
	return true
}

// confined says whether a container has the rights that its template gives, and
// none that go further. Platforms fill in what the template leaves open, such as a
// user of their own.
func confined(have, want *corev1.SecurityContext) bool {
	var h, w corev1.SecurityContext
	if have != nil {
		h = *have
	}
	if want != nil {
		w = *want
	}
	return capable(h.Capabilities, w.Capabilities) &&
		filled(h.Privileged, w.Privileged, !isTrue(h.Privileged)) &&
		filled(h.AllowPrivilegeEscalation, w.AllowPrivilegeEscalation, !isTrue(h.AllowPrivilegeEscalation)) &&
		filled(h.RunAsUser, w.RunAsUser, !isRoot(h.RunAsUser)) &&
		filled(h.RunAsGroup, w.RunAsGroup, true) &&
		filled(h.RunAsNonRoot, w.RunAsNonRoot, true) &&
		filled(h.ReadOnlyRootFilesystem, w.ReadOnlyRootFilesystem, true) &&
		filled(h.SELinuxOptions, w.SELinuxOptions, true) &&
		filled(h.SeccompProfile, w.SeccompProfile, !unconfined(h.SeccompProfile)) &&
		filled(h.AppArmorProfile, w.AppArmorProfile, h.AppArmorProfile == nil || h.AppArmorProfile.Type != corev1.AppArmorProfileTypeUnconfined) &&
		filled(h.ProcMount, w.ProcMount, h.ProcMount == nil || *h.ProcMount == corev1.DefaultProcMount)
}

// rights is confined for the whole pod.
func (a *alteration) rights() bool {
	var h, w corev1.PodSecurityContext
	if a.pod.SecurityContext != nil {
		h = *a.pod.SecurityContext
	}
	if a.given.SecurityContext != nil {
		w = *a.given.SecurityContext
	}
	return filled(h.RunAsUser, w.RunAsUser, !isRoot(h.RunAsUser)) &&
		filled(h.RunAsGroup, w.RunAsGroup, true) &&
		filled(h.RunAsNonRoot, w.RunAsNonRoot, true) &&
		filled(h.SELinuxOptions, w.SELinuxOptions, true) &&
		filled(h.SeccompProfile, w.SeccompProfile, !unconfined(h.SeccompProfile)) &&
		filled(h.FSGroup, w.FSGroup, true) &&
		equality.Semantic.DeepEqual(h.Sysctls, w.Sysctls)
}

// filled wants the given value or, if none is given, one that is fine.
func filled[T any](have, want *T, fine bool) bool {
	if want == nil {
		return fine
	}
	return have != nil && equality.Semantic.DeepEqual(have, want)
}

func isTrue(p *bool) bool  { return p != nil && *p }
func isRoot(p *int64) bool { return p != nil && *p == 0 }

func unconfined(p *corev1.SeccompProfile) bool {
	return p != nil && p.Type == corev1.SeccompProfileTypeUnconfined
}

// capable wants no capability beyond those that are given, and all dropped that are
// to be dropped.
func capable(have, want *corev1.Capabilities) bool {
	var h, w corev1.Capabilities
	if have != nil {
		h = *have
	}
	if want != nil {
		w = *want
	}
	within := func(some, all []corev1.Capability) bool {
		return !slices.ContainsFunc(some, func(c corev1.Capability) bool { return !slices.Contains(all, c) })
	}
	return within(h.Add, w.Add) && within(w.Add, h.Add) && within(w.Drop, h.Drop)
}

// volumeOf reads a volume of the definition, and says whether that is all it
// says: nothing of it comes from parameters.
func volumeOf(v any) (volume corev1.Volume, literal bool) {
	raw, err := json.Marshal(v)
	if err != nil || json.Unmarshal(raw, &volume) != nil {
		fields, _ := v.(map[string]any)
		name, _ := fields["name"].(string)
		return corev1.Volume{Name: name}, false
	}
	return volume, fixed(string(raw))
}

// claimName is the name of a claim that Argo makes for the workflow, and of the
// volume.
func claimName(v any) string {
	claim, _ := v.(map[string]any)
	metadata, _ := claim["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	return name
}

// sameVolume compares two volumes as the API server spells them.
func sameVolume(a, b *corev1.Volume) bool {
	return equality.Semantic.DeepEqual(spelled(a), spelled(b))
}

// spelled is a volume without what the API server fills in.
func spelled(v *corev1.Volume) corev1.VolumeSource {
	s := *v.VolumeSource.DeepCopy()
	usual := func(mode **int32) {
		if *mode != nil && **mode == 0o644 {
			*mode = nil
		}
	}
	switch {
	case s.Secret != nil:
		usual(&s.Secret.DefaultMode)
	case s.ConfigMap != nil:
		usual(&s.ConfigMap.DefaultMode)
	case s.DownwardAPI != nil:
		usual(&s.DownwardAPI.DefaultMode)
		for i := range s.DownwardAPI.Items {
			if f := s.DownwardAPI.Items[i].FieldRef; f != nil && f.APIVersion == "v1" {
				f.APIVersion = ""
			}
		}
	case s.Projected != nil:
		usual(&s.Projected.DefaultMode)
		for i := range s.Projected.Sources {
			if t := s.Projected.Sources[i].ServiceAccountToken; t != nil && t.ExpirationSeconds != nil && *t.ExpirationSeconds == 3600 {
				t.ExpirationSeconds = nil
			}
		}
	case s.Ephemeral != nil && s.Ephemeral.VolumeClaimTemplate != nil:
		if m := s.Ephemeral.VolumeClaimTemplate.Spec.VolumeMode; m != nil && *m == corev1.PersistentVolumeFilesystem {
			s.Ephemeral.VolumeClaimTemplate.Spec.VolumeMode = nil
		}
	case s.Image != nil:
		s.Image.PullPolicy = ""
	}
	return s
}

// sameKind says whether two volumes come from the same kind of source.
func sameKind(a, b *corev1.Volume) bool {
	kinds := func(v *corev1.Volume) []string {
		var fields map[string]json.RawMessage
		raw, err := json.Marshal(v.VolumeSource)
		if err != nil || json.Unmarshal(raw, &fields) != nil {
			return nil
		}
		var names []string
		for name := range fields {
			names = append(names, name)
		}
		return names
	}
	have, want := kinds(a), kinds(b)
	return len(have) == 1 && slices.Equal(have, want)
}
