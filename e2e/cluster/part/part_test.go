package part

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
)

// Names are unique, so that `build NAME` and Path mean one thing.
func TestRecipeNames(t *testing.T) {
	names, programs := map[string]bool{}, map[string]bool{}
	for _, r := range Recipes() {
		if names[r.Name] {
			t.Errorf("two recipes are named %s", r.Name)
		}
		names[r.Name] = true
		if !strings.HasPrefix(r.Sum, "h1:") {
			t.Errorf("%s is not pinned", r.Name)
		}
		for _, target := range r.Targets {
			if programs[target.Name] {
				t.Errorf("two recipes build %s", target.Name)
			}
			programs[target.Name] = true
		}
	}
	if r, err := Recipe("kubectl"); err != nil || r.Name != "kubernetes" {
		t.Errorf("kubectl is built by %q, %v", r.Name, err)
	}
	if _, err := Recipe("nonesuch"); err == nil {
		t.Error("there is a recipe for nonesuch")
	}
}

// Every module that replaces a dropped one has both of its go.sum lines.
func TestKubernetesSums(t *testing.T) {
	for line := range strings.Lines(kubernetesSums) {
		fields := strings.Fields(line)
		if len(fields) != 3 || !strings.HasPrefix(fields[2], "h1:") || !strings.Contains(kubernetesStaging, fields[0]+"\n") {
			t.Errorf("not a line for a staging module: %q", line)
		}
	}
}

// Hosts wait for hosts that exist, and for none that waits for them: the
// order in Hosts is one in which they could be started.
func TestHostOrder(t *testing.T) {
	l := layout.Layout{Dir: "/x"}
	all := map[string]bool{}
	for _, h := range Hosts() {
		all[h.Name] = true
	}
	ready := map[string]bool{}
	for len(ready) < len(all) {
		before := len(ready)
		for _, h := range Hosts() {
			ok := true
			for _, name := range h.After {
				if !all[name] {
					t.Fatalf("%s waits for %s, which does not exist", h.Name, name)
				}
				ok = ok && ready[name]
			}
			if ok {
				ready[h.Name] = true
			}
		}
		if len(ready) == before {
			t.Fatal("hosts wait for each other")
		}
	}
	for _, h := range Hosts() {
		if cmd := h.Command(l); len(cmd) < 2 || !h.Recipe.Has(h.Name) {
			t.Errorf("%s: cannot be started: %v", h.Name, cmd)
		}
	}
}

// The registry knows its one user by the password that tests have.
func TestTheRegistryKnowsItsUser(t *testing.T) {
	user, hash, _ := strings.Cut(registryUsers, ":")
	if user != RegistryUser {
		t.Errorf("it knows %s", user)
	}
	if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(RegistryPassword)); err != nil {
		t.Error(err)
	}
}

func TestInNamespace(t *testing.T) {
	const manifest = `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: argo-binding
subjects:
  - kind: ServiceAccount
    name: argo
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: argo-binding
subjects:
- kind: ServiceAccount
  name: argo
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: argo
`
	const want = `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  namespace: argo
  name: argo-binding
subjects:
  - kind: ServiceAccount
    name: argo
    namespace: argo

---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: argo-binding
subjects:
- kind: ServiceAccount
  name: argo
  namespace: argo

---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: argo
`
	if got := inNamespace(manifest); got != want {
		t.Errorf("got\n%s", got)
	}
}
