package charts_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// sentinelTemplate renders argoseal-sentinel's chart without a cluster.
func sentinelTemplate(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return helm(t, append([]string{"template", "argoseal-sentinel", "argoseal-sentinel", "--namespace", "argoseal-sentinel",
		"--kube-version", "1.36.0"}, args...)...)
}

const sentinelDefaults = "testdata/sentinel/default.values.yaml"

// of picks the objects of a kind from what was rendered.
func of[T any](t *testing.T, rendered, kind string) []T {
	t.Helper()
	var found []T
	for doc := range strings.SplitSeq(rendered, "\n---\n") {
		data, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		var head struct{ Kind string }
		if err := json.Unmarshal(data, &head); err != nil || head.Kind != kind {
			continue
		}
		var o T
		if err := yaml.UnmarshalStrict(data, &o); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		found = append(found, o)
	}
	return found
}

// TestSentinelGolden: what the values files under testdata/sentinel render to.
func TestSentinelGolden(t *testing.T) {
	golden(t, "testdata/sentinel", 2, sentinelTemplate)
}

func TestSentinelLint(t *testing.T) {
	if out, err := helm(t, "lint", "--strict", "argoseal-sentinel", "-f", sentinelDefaults); err != nil {
		t.Fatal(out, err)
	}
}

// TestSentinelRefused are values that must not render.
func TestSentinelRefused(t *testing.T) {
	for name, tc := range map[string]struct{ set, want string }{
		"an unknown value":                 {"servrs=1", "additional properties 'servrs' not allowed"},
		"no server":                        {"servers=[]", "servers is empty"},
		"a server without an agent":        {"servers[0].agent=", "/servers/0/agent"},
		"a server that is called in plain": {"servers[0].url=http://10.0.0.1:8080", "/servers/0/url"},
		"a server that is two arguments":   {"servers[0].name=a\\,b", "/servers/0/name"},
		"no etcd":                          {"controller.etcd.endpoints=[]", "controller.etcd.endpoints is empty"},
		"etcd in plain":                    {"controller.etcd.endpoints={http://10.0.0.1:2379}", "/controller/etcd/endpoints/0"},
		"the root of the host":             {"agent.directory=/", "/agent/directory"},
		"a file elsewhere":                 {"agent.file=../manifests/x.yaml", "/agent/file"},
		"a wait that is none":              {"controller.settle=-1m", "/controller/settle"},
	} {
		t.Run(name, func(t *testing.T) {
			set := "--set"
			if strings.HasSuffix(tc.set, "=[]") {
				set = "--set-json"
			}
			_, err := sentinelTemplate(t, "-f", sentinelDefaults, set, tc.set)
			if err == nil {
				t.Fatal("rendered")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("refused without %q: %v", tc.want, err)
			}
		})
	}
}

// TestTheAgentHasOneFolderOfItsHost, and neither rights in the cluster nor on the
// machine.
func TestTheAgentHasOneFolderOfItsHost(t *testing.T) {
	rendered, err := sentinelTemplate(t, "-f", sentinelDefaults, "--set", "access.enabled=true")
	if err != nil {
		t.Fatal(err)
	}
	sets := of[appsv1.DaemonSet](t, rendered, "DaemonSet")
	if len(sets) != 1 {
		t.Fatalf("%d DaemonSets", len(sets))
	}
	pod := sets[0].Spec.Template.Spec
	var paths []string
	for _, v := range pod.Volumes {
		if v.HostPath != nil {
			paths = append(paths, v.HostPath.Path)
		}
	}
	if !slices.Equal(paths, []string{"/etc/kubernetes/encryption"}) {
		t.Errorf("of the host it has %v", paths)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("it has a token")
	}
	if pod.HostPID || pod.HostIPC || len(pod.InitContainers) > 0 || len(pod.Containers) != 1 {
		t.Error("it has more of its host than the network")
	}
	if _, ok := pod.NodeSelector["node-role.kubernetes.io/control-plane"]; !ok {
		t.Error("it runs on other nodes than those of API servers")
	}
	hardened(t, pod)
	for _, d := range of[appsv1.Deployment](t, rendered, "Deployment") {
		pod := d.Spec.Template.Spec
		hardened(t, pod)
		if s := pod.SecurityContext; s.RunAsNonRoot == nil || !*s.RunAsNonRoot || pod.HostNetwork {
			t.Errorf("%s runs as root, or in its host's network", d.Name)
		}
		for _, v := range pod.Volumes {
			if v.HostPath != nil {
				t.Errorf("%s has %s of its host", d.Name, v.HostPath.Path)
			}
		}
	}
}

// TestAccessComesWhole: its resource, policies and controller are there together, or none
// of them is. Policies without the resource refuse whatever they match.
func TestAccessComesWhole(t *testing.T) {
	for enabled, want := range map[string][3]int{"false": {0, 0, 0}, "true": {1, 10, 1}} {
		rendered, err := sentinelTemplate(t, "-f", sentinelDefaults, "--set", "access.enabled="+enabled)
		if err != nil {
			t.Fatal(err)
		}
		// escrow's policy is encryption's
		got := [3]int{strings.Count(rendered, "\n  name: secretaccesses.argoseal.dev\n"), strings.Count(rendered, "\nkind: ValidatingAdmissionPolicy\n") - 1, strings.Count(rendered, "\n            - access\n")}
		if got != want {
			t.Errorf("access.enabled=%s renders %v, want %v", enabled, got, want)
		}
		if bound := strings.Count(rendered, "\nkind: ValidatingAdmissionPolicyBinding\n") - 1; bound != want[1] {
			t.Errorf("access.enabled=%s: %d policies are bound", enabled, bound)
		}
	}
	rendered, err := sentinelTemplate(t, "--set", "encryption.enabled=false,access.enabled=true")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(rendered, "secretencryptions.argoseal.dev") || strings.Contains(rendered, "kind: DaemonSet") {
		t.Error("access alone brings encryption along")
	}
}

func hardened(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || s.Privileged != nil && *s.Privileged || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.Capabilities == nil ||
			!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
			t.Errorf("%s is not hardened: %+v", c.Name, s)
		}
	}
}

// TestTheChartGivesWhatIsTested: the end-to-end test runs the controller with these
// rights, so that one too few would stop it.
func TestTheChartGivesWhatIsTested(t *testing.T) {
	tested, err := os.ReadFile("../e2e/sentinel/control/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := sentinelTemplate(t, "-f", sentinelDefaults)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(of[rbacv1.ClusterRole](t, string(tested), "ClusterRole")[0].Rules, of[rbacv1.ClusterRole](t, rendered, "ClusterRole")[0].Rules); d != "" {
		t.Errorf("ClusterRole (-tested +chart):\n%s", d)
	}
	if d := cmp.Diff(of[rbacv1.Role](t, string(tested), "Role")[0].Rules, of[rbacv1.Role](t, rendered, "Role")[0].Rules); d != "" {
		t.Errorf("Role (-tested +chart):\n%s", d)
	}
}
