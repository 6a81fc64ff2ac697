package access

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// Refusal is a reference that has no grant.
type Refusal struct {
	Reference
	// Access is the SecretAccess that guards it.
	Access string
	// ServiceAccount that would need the grant.
	ServiceAccount string
}

func (r Refusal) String() string {
	by := strings.Join(r.Containers, ", ")
	if r.Kubelet || by == "" {
		by = "the pod"
	}
	return fmt.Sprintf("Secret %s (%s, for %s) is guarded by SecretAccess %s, which does not let ServiceAccount %s have it", r.Secret, r.Path, by, r.Access, r.ServiceAccount)
}

// Refused are the references of a pod's spec to Secrets that the SecretAccess guards
// and has no grant for now.
func Refused(a *v1alpha1.SecretAccess, spec *corev1.PodSpec, now time.Time) []Refusal {
	account := ServiceAccount(spec)
	var all []Refusal
	for _, ref := range References(spec) {
		i := slices.IndexFunc(a.Spec.Secrets, func(s v1alpha1.GuardedSecret) bool { return s.Name == ref.Secret })
		if i < 0 {
			continue
		}
		if !slices.ContainsFunc(a.Spec.Secrets[i].Mount, func(g v1alpha1.MountGrant) bool {
			return g.ServiceAccount == account && Live(g.Until, now) && covers(g, ref, spec)
		}) {
			all = append(all, Refusal{Reference: ref, Access: a.Name, ServiceAccount: account})
		}
	}
	return all
}

// covers says whether those that get the Secret are those that may.
func covers(g v1alpha1.MountGrant, ref Reference, spec *corev1.PodSpec) bool {
	if len(g.Containers) == 0 {
		return true
	}
	// Containers that see each other's processes have what any of them has.
	if ref.Kubelet || spec.HostPID || spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace {
		return false
	}
	return !slices.ContainsFunc(ref.Containers, func(c string) bool {
		return !slices.Contains(g.Containers, c) || len(g.Images) > 0 && !slices.Contains(g.Images, image(spec, c))
	})
}

// image is what a container runs; none if it is not there.
func image(spec *corev1.PodSpec, name string) string {
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		if c.Name == name {
			return c.Image
		}
	}
	for _, c := range spec.EphemeralContainers {
		if c.Name == name {
			return c.Image
		}
	}
	return ""
}

// ServiceAccount is the one that a pod runs as.
func ServiceAccount(spec *corev1.PodSpec) string {
	switch {
	case spec.ServiceAccountName != "":
		return spec.ServiceAccountName
	case spec.DeprecatedServiceAccount != "":
		return spec.DeprecatedServiceAccount
	}
	return "default"
}

// Live says whether a grant counts now. It ends with the moment that it names.
func Live(until *metav1.Time, now time.Time) bool {
	return until == nil || now.Before(until.Time)
}
