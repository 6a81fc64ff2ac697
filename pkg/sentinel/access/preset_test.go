package access_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

// argoPreset is for the workflows that the recorded pods are of.
func argoPreset(namespace string) *v1alpha1.SecretAccess {
	return access.ArgoWorkflows(access.Argo{
		Namespace: namespace, Stores: []string{"artifact-store", "other-store"}, Accounts: []string{"default"},
		Others:              []string{"artifact-store", "argo-server-sso", "default.service-account-token"},
		ControllerNamespace: "argo", Controller: "argo",
	})
}

// notByThePreset are pods that Argo makes with what a step has: what it gives to main,
// the preset gives to nobody.
var notByThePreset = []string{"agent", "artifact-gc", "data"}

// TestThePresetAdmitsWhatArgoMakes: pods of a real Argo, and with one change each.
func TestThePresetAdmitsWhatArgoMakes(t *testing.T) {
	a := argoPreset("team")
	stores := 0
	for _, name := range argotest.All(t) {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, name)
			refused := access.Refused(a, &pod.Spec, now)
			if want := slices.Contains(notByThePreset, name); (len(refused) > 0) != want {
				t.Fatalf("refused: %v", refused)
			} else if want {
				return
			}
			i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
				return v.Secret != nil && strings.HasSuffix(v.Secret.SecretName, "-store")
			})
			if i < 0 {
				return
			}
			stores++
			volume := pod.Spec.Volumes[i].Name
			for c := range pod.Spec.Containers {
				if pod.Spec.Containers[c].Name == "wait" {
					continue
				}
				changed := pod.DeepCopy()
				changed.Spec.Containers[c].VolumeMounts = append(changed.Spec.Containers[c].VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: "/x"})
				if len(access.Refused(a, &changed.Spec, now)) == 0 {
					t.Errorf("%s has the store's credentials", changed.Spec.Containers[c].Name)
				}
			}
			pod.Spec.ServiceAccountName = "another"
			if len(access.Refused(a, &pod.Spec, now)) == 0 {
				t.Error("another ServiceAccount has the store's credentials")
			}
		})
	}
	if stores < 5 {
		t.Errorf("%d of the pods have a store", stores)
	}
	if len(a.Spec.Secrets) != 4 {
		t.Errorf("it guards %v", a.Spec.Secrets)
	}
}

// TestThePresetOfArgosealIsOfItsChart: it guards each Secret that the chart lets a
// program read, for that program, and no other.
func TestThePresetOfArgosealIsOfItsChart(t *testing.T) {
	grants := map[string]bool{}
	for _, s := range access.Argoseal("argoseal-system").Spec.Secrets {
		if len(s.Mount) > 0 {
			t.Errorf("%s may be mounted", s.Name)
		}
		for _, g := range s.Get {
			grants[s.Name+" "+g.Name] = true
		}
	}
	found := 0
	for _, program := range []string{"notary", "webhook", "rekor"} {
		raw, err := os.ReadFile(filepath.Join("../../../charts/argoseal/templates", program, "rbac.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, there := strings.Cut(string(raw), "resources: [secrets]\n    resourceNames: [")
		if !there {
			t.Fatalf("%s reads no Secret", program)
		}
		names, _, _ := strings.Cut(rest, "]")
		for name := range strings.SplitSeq(names, ", ") {
			found++
			if !grants[fmt.Sprintf("%s argoseal-%s", name, program)] {
				t.Errorf("argoseal-%s may not read %s", program, name)
			}
		}
	}
	if found != len(grants) {
		t.Errorf("%d grants, and the chart has %d", len(grants), found)
	}
}
