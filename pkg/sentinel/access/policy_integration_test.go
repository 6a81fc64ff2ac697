//go:build integration

package access_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
	"github.com/argoseal/argoseal/pkg/sentinel/migration"
)

const (
	chart = "../../../charts/argoseal-sentinel/files/"
	team  = "team"
)

// server is an API server with the policies of the chart.
type server struct {
	t      *testing.T
	config *rest.Config
	admin  client.Client
	// log is the API server's audit log, of namespace audited.
	log string
}

// Who tries something. All of them may do everything in the namespaces of the test
// that a developer does, and may escalate and bind; lead may use the SecretAccess, too.
const (
	dev     = "dev"
	lead    = "lead"
	janitor = "janitor" // may write SecretAccesses, and read no Secret
	kubelet = "system:node:n1"
	jobs    = "system:serviceaccount:kube-system:job-controller"
	argo    = "system:serviceaccount:argo:argo" // makes pods for others
	keeper  = "keeper"                          // writes Secrets and reads them, as cert-manager and GitOps do
	helm    = "helm"                            // has escalate on SecretAccesses, and reads no Secret
	// operator is who keeps the Roles.
	operator = "system:serviceaccount:argoseal-sentinel:access"
)

const setup = `
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: v1
kind: Namespace
metadata: {name: free}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: api, namespace: team}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: team}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: free}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: deputy, namespace: team}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: deputy, namespace: free}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: maker, namespace: team}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: argo, namespace: team}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: developer}
rules:
  - {apiGroups: ["", apps, batch], resources: [pods, pods/ephemeralcontainers, pods/exec, pods/attach, podtemplates, replicationcontrollers, deployments, replicasets, statefulsets, daemonsets, controllerrevisions, jobs, cronjobs, persistentvolumes, serviceaccounts/token], verbs: [get, create, update, patch]}
  - {apiGroups: [""], resources: [secrets], verbs: [create, update, patch, delete, deletecollection]}
  - {apiGroups: [rbac.authorization.k8s.io], resources: [roles, rolebindings, clusterroles, clusterrolebindings], verbs: [get, create, update, patch, delete, deletecollection, escalate, bind]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: developer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: developer}
subjects:
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: dev}
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: lead}
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:node:n1"}
  - {kind: ServiceAccount, name: job-controller, namespace: kube-system}
  - {kind: ServiceAccount, name: generic-garbage-collector, namespace: kube-system}
  - {kind: ServiceAccount, name: persistent-volume-binder, namespace: kube-system}
  - {kind: ServiceAccount, name: argo, namespace: argo}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: argoseal-sentinel-access}
subjects: [{kind: ServiceAccount, namespace: argoseal-sentinel, name: access}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: keeper}
rules:
  - {apiGroups: [""], resources: [secrets], verbs: [get, list, watch, create, update, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: keeper}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: keeper}
subjects:
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: keeper}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: migrator}
rules:
  - {apiGroups: [""], resources: [secrets], verbs: [list, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: migrator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: migrator}
subjects:
  - {kind: ServiceAccount, name: controller, namespace: argoseal-sentinel}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: accesses}
rules:
  - {apiGroups: [argoseal.dev], resources: [secretaccesses], verbs: [get, create, update, patch, delete, deletecollection]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: accesses}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: accesses}
subjects:
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: janitor}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: definitions}
rules:
  - {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get, update, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: definitions}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: definitions}
subjects:
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: janitor}
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: keeper}
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: helm}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: escalates}
rules:
  - {apiGroups: [argoseal.dev], resources: [secretaccesses], verbs: [escalate]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: escalates}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: escalates}
subjects:
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: helm}
---
apiVersion: argoseal.dev/v1alpha1
kind: SecretAccess
metadata: {name: access, namespace: team}
spec:
  secrets:
    - name: guarded
      mount:
        - {serviceAccount: api}
        - {serviceAccount: argo, containers: [init, wait]}
        - {serviceAccount: imaged, containers: [init, wait], images: [i]}
        - {serviceAccount: otherwise, containers: [init, wait], images: [another]}
        - {serviceAccount: past, until: "2026-01-01T00:00:00Z"}
        - {serviceAccount: future, until: "2999-01-01T00:00:00Z"}
      get:
        - {kind: ServiceAccount, name: reader}
        - {kind: ServiceAccount, name: reader, namespace: elsewhere}
    - name: sealed-off
  users:
    - {kind: User, name: lead}
    - {kind: ServiceAccount, name: deputy}
  controllers:
    - {kind: ServiceAccount, name: argo, namespace: argo}
    - {kind: ServiceAccount, name: maker}
`

func start(t *testing.T) *server {
	t.Helper()
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{chart + "crds"}, ErrorIfCRDPathMissing: true,
		ControlPlane: envtest.ControlPlane{
			APIServer: &envtest.APIServer{Path: program("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")},
			Etcd:      &envtest.Etcd{Path: program("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")},
		},
	}
	folder := t.TempDir()
	logs := filepath.Join(folder, "policy.yaml")
	if err := os.WriteFile(logs, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata, namespaces: [audited]}, {level: None}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env.ControlPlane.APIServer.Configure().Set("audit-policy-file", logs).Set("audit-log-path", filepath.Join(folder, "audit.log"))
	config, err := env.Start()
	if err != nil {
		t.Fatalf("start the API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &server{t: t, config: config, log: filepath.Join(folder, "audit.log")}
	s.config.QPS, s.config.Burst = 500, 500
	s.admin = s.as("")
	files, err := filepath.Glob(chart + "access/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("policies %v: %v", files, err)
	}
	for _, file := range append(files, chart+"encryption/escrow.yaml") {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s.apply(string(raw))
	}
	s.apply(setup)
	var a v1alpha1.SecretAccess
	if err := s.admin.Get(t.Context(), client.ObjectKey{Namespace: team, Name: "access"}, &a); err != nil {
		t.Fatal(err)
	}
	for _, pair := range access.PlanFor(&a, time.Now()).Pairs {
		s.must(s.admin.Create(t.Context(), &pair.Role))
		s.must(s.admin.Create(t.Context(), &pair.Binding))
	}
	return s
}

func program(variables ...string) string {
	for _, v := range variables {
		if path := os.Getenv(v); path != "" {
			return path
		}
	}
	return ""
}

func (s *server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// as is a client that acts as the user; "" is an admin.
func (s *server) as(user string) client.Client {
	s.t.Helper()
	scheme := runtime.NewScheme()
	s.must(errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	c, err := client.New(s.configOf(user), client.Options{Scheme: scheme})
	s.must(err)
	return c
}

func (s *server) configOf(user string) *rest.Config {
	config := rest.CopyConfig(s.config)
	if user != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
		if user == kubelet {
			config.Impersonate.Groups = append(config.Impersonate.Groups, "system:nodes")
		}
	}
	return config
}

// apply creates every object of a stream.
func (s *server) apply(text string) {
	s.t.Helper()
	for _, o := range s.objects(text) {
		if err := s.admin.Create(s.t.Context(), o); err != nil {
			s.t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

func (s *server) objects(text string) (all []*unstructured.Unstructured) {
	s.t.Helper()
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return all
		}
		s.must(err)
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}

func (s *server) object(text string) *unstructured.Unstructured {
	s.t.Helper()
	return s.objects(text)[0]
}

// inForce waits until the API server knows policies and parameters, which is a moment
// after they were written.
func (s *server) inForce() {
	s.t.Helper()
	last := map[string]error{}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		last["pods"] = s.create(dev, pod("web", "main"))
		last["roles"] = s.create(dev, s.object(role(team, "secrets", "get", "")))
		last["names"] = s.create(dev, s.object(ourRole))
		last["clusterroles"] = s.create(dev, s.object(clusterRole("secrets", "list")))
		last["volumes"] = s.create(dev, s.object(volume(csi("nodePublish"))))
		last["exec"] = s.exec(dev, "exec", "none")
		last["tokens"] = s.create(dev, s.object(tokenSecret("reader", team)))
		last["contents"] = s.create(dev, s.object(secretOf("sealed-off")))
		last["accesses"] = s.create(janitor, s.object(accessOf("x", team)))
		last["definition"] = s.as(janitor).Delete(s.t.Context(), s.definition("secretaccesses"), client.DryRunAll)
		if !slices.ContainsFunc([]string{"pods", "roles", "names", "clusterroles", "volumes", "exec", "tokens", "contents", "accesses", "definition"}, func(n string) bool { return last[n] == nil }) {
			return
		}
	}
	s.t.Fatalf("the policies are not in force: %v", last)
}

// create tries it as a dry run, which takes the same way through admission.
func (s *server) create(user string, o client.Object) error {
	return s.as(user).Create(s.t.Context(), o, client.DryRunAll)
}

// check compares an answer with the code that it should begin with; none: admitted.
func check(t *testing.T, err error, want reason.Code, words ...string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("admitted, want %s", want)
	case want != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), " denied request: "+string(want)+": ")):
		t.Errorf("answered %v, want %s", err, want)
	case want != "" && !strings.HasSuffix(err.Error(), ". "+want.Remedy()):
		t.Errorf("%v does not end with %q", err, want.Remedy())
	}
	for _, word := range words {
		if err != nil && !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %q", err, word)
		}
	}
}

// pod takes the guarded Secret into a container's environment.
func pod(account, container string) *corev1.Pod {
	return podOf(takes(account, container))
}

func podOf(spec *corev1.PodSpec) *corev1.Pod {
	spec = spec.DeepCopy()
	complete(spec)
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "p-", Namespace: team}, Spec: *spec}
}

// complete gives a spec what else the API server asks of it.
func complete(spec *corev1.PodSpec) {
	for _, list := range []*[]corev1.Container{&spec.InitContainers, &spec.Containers} {
		for i := range *list {
			c := &(*list)[i]
			if c.Name == "" {
				c.Name = fmt.Sprintf("c%d", i)
				if list == &spec.InitContainers {
					c.Name = "i" + c.Name
				}
			}
			c.Image = "i"
			for j := range c.Env {
				c.Env[j].Name = fmt.Sprintf("E%d", j)
				if from := c.Env[j].ValueFrom; from != nil && from.SecretKeyRef != nil {
					from.SecretKeyRef.Key = "k"
				}
			}
		}
	}
	if len(spec.Containers) == 0 {
		spec.Containers = []corev1.Container{{Name: "main", Image: "i"}}
	}
	for i := range spec.Volumes {
		v := &spec.Volumes[i]
		if v.Name == "" {
			v.Name = "v"
		}
		switch {
		case v.ISCSI != nil:
			v.ISCSI.TargetPortal, v.ISCSI.IQN = "127.0.0.1", "iqn.2015-02.example.com:t"
		case v.RBD != nil:
			v.RBD.CephMonitors, v.RBD.RBDImage = []string{"m"}, "i"
		case v.FlexVolume != nil:
			v.FlexVolume.Driver = "example.com/d"
		case v.Cinder != nil:
			v.Cinder.VolumeID = "v"
		case v.CephFS != nil:
			v.CephFS.Monitors = []string{"m"}
		case v.AzureFile != nil:
			v.AzureFile.ShareName = "s"
			if v.AzureFile.SecretName == "" {
				v.AzureFile.SecretName = "other"
			}
		case v.ScaleIO != nil:
			v.ScaleIO.Gateway, v.ScaleIO.System, v.ScaleIO.VolumeName = "g", "s", "v"
		case v.StorageOS != nil:
			v.StorageOS.VolumeName = "v"
		case v.CSI != nil:
			v.CSI.Driver = "example.com"
		}
	}
}

// testPlaces puts each place where a pod can name a Secret to the
// policy: refused without a grant, admitted with one, as package access has it.
func testPlaces(t *testing.T, s *server) {
	for _, p := range allPlaces() {
		if strings.HasPrefix(p.path, "spec.ephemeralContainers") {
			continue // they come later: see "debug"
		}
		t.Run(p.path, func(t *testing.T) {
			spec := podWith(p)
			spec.ServiceAccountName = "web"
			check(t, s.create(lead, podOf(spec)), reason.SecretNotGranted, "Secret guarded is guarded by SecretAccess access", "ServiceAccount web")
			spec.ServiceAccountName = "api"
			check(t, s.create(lead, podOf(spec)), "")
			check(t, s.create(dev, podOf(spec)), reason.SecretUseDenied, "Secret guarded", "SecretAccess access", "dev")
			// The same, of a Secret that nobody guards.
			p.set(reflect.ValueOf(spec).Elem())
			free := s.object(strings.ReplaceAll(mustYAML(t, podOf(spec)), secret, "free"))
			free.SetAPIVersion("v1")
			free.SetKind("Pod")
			check(t, s.create(dev, free), "")
		})
	}
}

func mustYAML(t *testing.T, o any) string {
	t.Helper()
	raw, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// testGrants: the policy says what package access says.
func testGrants(t *testing.T, s *server) {
	var a v1alpha1.SecretAccess
	if err := s.admin.Get(t.Context(), client.ObjectKey{Namespace: team, Name: "access"}, &a); err != nil {
		t.Fatal(err)
	}
	mounts := func(account string, containers ...string) *corev1.PodSpec {
		spec := &corev1.PodSpec{ServiceAccountName: account, Volumes: []corev1.Volume{{
			Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}},
		}}, Containers: []corev1.Container{{Name: "bystander"}}}
		for _, name := range containers {
			c := corev1.Container{Name: name, VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/s"}}}
			if name == "init" {
				spec.InitContainers = append(spec.InitContainers, c)
			} else {
				spec.Containers = append(spec.Containers, c)
			}
		}
		return spec
	}
	pulls := func(account string) *corev1.PodSpec {
		return &corev1.PodSpec{ServiceAccountName: account, ImagePullSecrets: []corev1.LocalObjectReference{{Name: secret}}}
	}
	both := takes("argo", "wait")
	both.Containers = append(both.Containers, takes("argo", "main").Containers...)
	shares, host, whole := takes("argo", "wait"), takes("argo", "wait"), takes("api", "main")
	shares.ShareProcessNamespace, host.HostPID, whole.ShareProcessNamespace = new(true), true, new(true)
	off := takes("api", "main")
	off.Containers[0].EnvFrom[0].SecretRef.Name = "sealed-off"
	for name, c := range map[string]struct {
		spec *corev1.PodSpec
		want reason.Code
	}{
		"a grant":                                 {takes("api", "main"), ""},
		"none":                                    {takes("web", "main"), reason.SecretNotGranted},
		"the default ServiceAccount":              {takes("", "main"), reason.SecretNotGranted},
		"a Secret without any grant":              {off, reason.SecretNotGranted},
		"a grant that has ended":                  {takes("past", "main"), reason.SecretNotGranted},
		"a grant that will end":                   {takes("future", "main"), ""},
		"a container with a grant":                {takes("argo", "wait"), ""},
		"a container without":                     {takes("argo", "main"), reason.SecretNotGranted},
		"both":                                    {both, reason.SecretNotGranted},
		"containers that share processes":         {shares, reason.SecretNotGranted},
		"processes of the host's":                 {host, reason.SecretNotGranted},
		"such a pod, by a whole grant":            {whole, ""},
		"a container of that name and image":      {takes("imaged", "wait"), ""},
		"a container of that name alone":          {takes("otherwise", "wait"), reason.SecretNotGranted},
		"a volume, where it may be":               {mounts("argo", "init", "wait"), ""},
		"a volume, where it may not be, too":      {mounts("argo", "init", "wait", "main"), reason.SecretNotGranted},
		"a volume that no container mounts":       {mounts("argo"), ""},
		"a volume, with a whole grant":            {mounts("api", "main"), ""},
		"to pull with, by a grant of containers":  {pulls("argo"), reason.SecretNotGranted},
		"to pull with, by a grant of a whole pod": {pulls("api"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, s.create(lead, podOf(c.spec)), c.want)
			// Who may not use it never makes such a pod, a controller one that is limited.
			denied, limited := reason.SecretUseDenied, reason.SecretUseDenied
			if c.want != "" {
				denied, limited = c.want, c.want
			} else if c.spec.ServiceAccountName == "argo" || c.spec.ServiceAccountName == "imaged" {
				limited = ""
			}
			check(t, s.create(dev, podOf(c.spec)), denied)
			check(t, s.create(argo, podOf(c.spec)), limited)
			spec := podOf(c.spec).Spec
			if refused := access.Refused(&a, &spec, time.Now()); (len(refused) > 0) != (c.want != "") {
				t.Errorf("package access says %v", refused)
			}
		})
	}
}

// kinds are what pods are made from.
var kinds = map[string]string{
	"PodTemplate":           `{apiVersion: v1, kind: PodTemplate, metadata: {name: x, namespace: team}, template: TEMPLATE}`,
	"ReplicationController": `{apiVersion: v1, kind: ReplicationController, metadata: {name: x, namespace: team}, spec: {selector: {a: b}, template: TEMPLATE}}`,
	"ReplicaSet":            `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: x, namespace: team}, spec: {selector: {matchLabels: {a: b}}, template: TEMPLATE}}`,
	"Deployment":            `{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, namespace: team}, spec: {selector: {matchLabels: {a: b}}, template: TEMPLATE}}`,
	"StatefulSet":           `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x, namespace: team}, spec: {serviceName: s, selector: {matchLabels: {a: b}}, template: TEMPLATE}}`,
	"DaemonSet":             `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: x, namespace: team}, spec: {selector: {matchLabels: {a: b}}, template: TEMPLATE}}`,
	"Job":                   `{apiVersion: batch/v1, kind: Job, metadata: {name: x, namespace: team}, spec: {template: TEMPLATE}}`,
	"ControllerRevision":    `{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: x, namespace: team}, revision: 1, data: {spec: {template: TEMPLATE}}}`,
	"CronJob":               `{apiVersion: batch/v1, kind: CronJob, metadata: {name: x, namespace: team}, spec: {schedule: "0 0 1 1 *", jobTemplate: {spec: {template: TEMPLATE}}}}`,
}

// from is an object of the kind whose pods run as the account and take the Secret.
func from(kind, account, name string) string {
	policy := "Always"
	if kind == "Job" || kind == "CronJob" {
		policy = "Never"
	}
	return strings.ReplaceAll(kinds[kind], "TEMPLATE", `{metadata: {labels: {a: b}}, spec: {restartPolicy: `+policy+`, serviceAccountName: `+account+
		`, containers: [{name: main, image: i, envFrom: [{secretRef: {name: `+name+`}}]}]}}`)
}

func testKinds(t *testing.T, s *server) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			check(t, s.create(lead, s.object(from(kind, "api", secret))), "")
			check(t, s.create(lead, s.object(from(kind, "web", secret))), reason.SecretNotGranted)
			check(t, s.create(dev, s.object(from(kind, "api", secret))), reason.SecretUseDenied)
			if kind == "ControllerRevision" {
				testRevisions(t, s)
				return // these never change
			}
			check(t, s.create(dev, s.object(from(kind, "web", "free"))), "")
			check(t, s.create(dev, s.object(from(kind, "reader", "free"))), reason.SecretUseDenied, "ServiceAccount reader")
			check(t, s.create(lead, s.object(from(kind, "reader", "free"))), "")
			// A change of what is there already.
			if kind == "Job" {
				return // these never change
			}
			o := s.object(from(kind, "web", "free"))
			s.must(s.admin.Create(t.Context(), o))
			t.Cleanup(func() { _ = s.admin.Delete(context.Background(), o) })
			update := func(user, text string) error {
				changed := s.object(text)
				changed.SetLabels(map[string]string{"new": "label"})
				changed.SetResourceVersion(o.GetResourceVersion())
				return s.as(user).Update(t.Context(), changed, client.DryRunAll)
			}
			check(t, update(dev, from(kind, "web", "free")), "")
			check(t, update(lead, from(kind, "web", secret)), reason.SecretNotGranted)
			check(t, update(dev, from(kind, "api", secret)), reason.SecretUseDenied)
			check(t, update(lead, from(kind, "api", secret)), "")
		})
	}
}

// testRevisions: what comes of a patch, nobody knows.
func testRevisions(t *testing.T, s *server) {
	const plain, whole = `data: {spec: {template: {`, `data: {spec: {template: {"$patch": replace, `
	free := from("ControllerRevision", "web", "free")
	replaced := strings.Replace(free, plain, whole, 1)
	const stateful, daemons = "system:serviceaccount:kube-system:statefulset-controller", "system:serviceaccount:kube-system:daemon-set-controller"
	for name, c := range map[string]struct {
		user, object string
		want         reason.Code
	}{
		"a patch":                        {dev, free, reason.SecretUseDenied},
		"a patch that says nothing":      {dev, strings.Replace(free, "serviceAccountName: web, ", "", 1), reason.SecretUseDenied},
		"a patch that replaces":          {dev, replaced, reason.SecretUseDenied},
		"another spelling":               {dev, strings.Replace(replaced, "serviceAccountName: web", "ServiceAccountName: reader", 1), reason.SecretUseDenied},
		"a patch of something else":      {dev, strings.Replace(free, plain, `data: {x: {y: {`, 1), reason.SecretUseDenied},
		"a patch by a limited one":       {argo, replaced, reason.SecretUseDenied},
		"where nothing is guarded":       {dev, strings.Replace(free, "namespace: team", "namespace: free", 1), ""},
		"a StatefulSet's":                {stateful, replaced, ""},
		"a DaemonSet's":                  {daemons, replaced, ""},
		"a DaemonSet's without a grant":  {daemons, strings.Replace(from("ControllerRevision", "web", secret), plain, whole, 1), reason.SecretNotGranted},
		"one by who may use it":          {lead, replaced, ""},
		"one that takes it, by such one": {lead, strings.Replace(from("ControllerRevision", "api", secret), plain, whole, 1), ""},
	} {
		t.Run(name, func(t *testing.T) { check(t, s.create(c.user, s.object(c.object)), c.want) })
	}
	made := s.object(replaced)
	s.must(s.as(stateful).Create(t.Context(), made))
	err := s.as(dev).Patch(t.Context(), made, client.RawPatch(types.MergePatchType, []byte(`{"revision":2}`)), client.DryRunAll)
	check(t, err, "")
}

// TestARevisionIsReadInAnySpelling is why nobody but Kubernetes' own controllers makes
// ControllerRevisions beside a guarded Secret: the controller of StatefulSets decodes what
// comes of them as this does.
func TestARevisionIsReadInAnySpelling(t *testing.T) {
	set := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{ServiceAccountName: "web"}}}}
	before, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, patch := range []string{
		`{"spec":{"template":{"$patch":"replace","spec":{"ServiceAccountName":"reader"}}}}`,
		`{"spec":{"template":{"$patch":"replace","spec":{"\u017fERVICEACCOUNTNAME":"reader"}}}}`,
	} {
		after, err := strategicpatch.StrategicMergePatch(before, []byte(patch), set)
		if err != nil {
			t.Fatal(err)
		}
		var made appsv1.StatefulSet
		if err := json.Unmarshal(after, &made); err != nil || made.Spec.Template.Spec.ServiceAccountName != "reader" {
			t.Errorf("%s: runs as %q: %v", patch, made.Spec.Template.Spec.ServiceAccountName, err)
		}
	}
}

// testRunning: what is done to a pod that holds the Secret.
func testRunning(t *testing.T, s *server) {
	holder, other, limited := pod("api", "main"), podOf(&corev1.PodSpec{}), pod("argo", "wait")
	holder.Name, other.Name, limited.Name = "holder", "other", "limited"
	for _, p := range []*corev1.Pod{holder, other} {
		s.must(s.as(lead).Create(t.Context(), p))
	}
	s.must(s.as(argo).Create(t.Context(), limited))
	image := func(user string, p *corev1.Pod) error {
		changed := p.DeepCopy()
		changed.Spec.Containers[0].Image = "another"
		return s.as(user).Update(t.Context(), changed, client.DryRunAll)
	}
	label := func(user string, p *corev1.Pod) error {
		changed := p.DeepCopy()
		changed.Labels = map[string]string{"a": "b"}
		return s.as(user).Update(t.Context(), changed, client.DryRunAll)
	}
	debug := func(user string, p *corev1.Pod, name string) error {
		changed := p.DeepCopy()
		c := corev1.EphemeralContainerCommon{Name: "debug", Image: "i", TerminationMessagePolicy: "File", ImagePullPolicy: "Always"}
		switch name {
		case "envFrom":
			c.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}}}
		case "env":
			c.Env = []corev1.EnvVar{{Name: "E", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: "k",
			}}}}
		}
		changed.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: c}}
		return s.as(user).SubResource("ephemeralcontainers").Update(t.Context(), changed, client.DryRunAll)
	}
	for name, c := range map[string]struct {
		err  error
		want reason.Code
	}{
		"another image where the Secret is":              {image(dev, holder), reason.SecretUseDenied},
		"another image by who may use it":                {image(lead, holder), ""},
		"another image elsewhere":                        {image(dev, other), ""},
		"a label":                                        {label(dev, holder), ""},
		"a debugger beside the Secret":                   {debug(dev, holder, ""), reason.SecretUseDenied},
		"a debugger by who may use it":                   {debug(lead, holder, ""), ""},
		"a debugger elsewhere":                           {debug(dev, other, ""), ""},
		"a debugger that takes it from the environment":  {debug(lead, other, "envFrom"), reason.SecretNotGranted},
		"a debugger that takes a key of it":              {debug(lead, other, "env"), reason.SecretNotGranted},
		"a debugger that takes it where it may":          {debug(lead, holder, "envFrom"), ""},
		"a debugger that takes a key of it where it may": {debug(lead, holder, "env"), ""},
		"another image of wait by a limited one":         {image(argo, limited), reason.SecretUseDenied},
		"a debugger by a limited one":                    {debug(argo, limited, ""), reason.SecretUseDenied},
		"a label by a limited one":                       {label(argo, limited), ""},
		"a debugger elsewhere by a limited one":          {debug(argo, other, ""), ""},
		"another image elsewhere by a limited one":       {image(argo, other), ""},
		"a command":                   {s.exec(dev, "exec", "holder"), reason.SecretUseDenied},
		"attaching":                   {s.exec(dev, "attach", "holder"), reason.SecretUseDenied},
		"a command by who may use it": {s.exec(lead, "exec", "holder"), ""},
		"attaching by who may use it": {s.exec(lead, "attach", "holder"), ""},
	} {
		t.Run(name, func(t *testing.T) { check(t, c.err, c.want) })
	}
}

// exec asks for a command in a pod, or to attach to it. No node runs it, so what is
// admitted fails after that.
func (s *server) exec(user, sub, name string) error {
	s.t.Helper()
	return s.run(user, team, sub, name, "main", "id")
}

func (s *server) run(user, namespace, sub, name, container string, command ...string) error {
	s.t.Helper()
	kube, err := kubernetes.NewForConfig(s.configOf(user))
	s.must(err)
	request := kube.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(name).SubResource(sub).
		Param("container", container).Param("stdout", "true")
	for _, word := range command {
		request.Param("command", word)
	}
	err = request.Do(s.t.Context()).Error()
	if apierrors.IsForbidden(err) {
		return err
	}
	return nil
}

func role(namespace, resource, verb, name string) string {
	names := ""
	if name != "" {
		names = ", resourceNames: [" + name + "]"
	}
	group := map[string]string{"secretaccesses": "argoseal.dev", "roles": "rbac.authorization.k8s.io"}[resource]
	return fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: x, namespace: %s}, rules: [
		{apiGroups: ["%s"], resources: ["%s"], verbs: ["%s"]%s}]}`, namespace, group, resource, verb, names)
}

// roleOf is a Role of another group.
func roleOf(group, resource, verb string) string {
	return strings.Replace(role(team, resource, verb, ""), `apiGroups: [""]`, `apiGroups: ["`+group+`"]`, 1)
}

func clusterRole(resource, verb string) string {
	text := strings.Replace(role("", resource, verb, ""), "kind: Role", "kind: ClusterRole", 1)
	return strings.Replace(text, "name: x, namespace: ", "name: x", 1)
}

func binding(namespace, role string) string {
	kind := "RoleBinding"
	if namespace == "" {
		kind = "ClusterRoleBinding"
	} else {
		namespace = ", namespace: " + namespace
	}
	return fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: %s, metadata: {name: x%s}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: dev}],
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %s}}`, kind, namespace, role)
}

func tokenSecret(account, namespace string) string {
	return `{apiVersion: v1, kind: Secret, metadata: {name: x, namespace: ` + namespace + `, annotations: {kubernetes.io/service-account.name: ` + account +
		`}}, type: kubernetes.io/service-account-token}`
}

func accessOf(name, namespace string) string {
	return `{apiVersion: argoseal.dev/v1alpha1, kind: SecretAccess, metadata: {name: ` + name + `, namespace: ` + namespace + `}, spec: {secrets: [{name: s}]}}`
}

func volume(source string) string {
	return `{apiVersion: v1, kind: PersistentVolume, metadata: {name: x}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], ` + source + `}}`
}

func testVolumes(t *testing.T, s *server) {
	for name, source := range volumes {
		t.Run(name, func(t *testing.T) {
			check(t, s.create(dev, s.object(volume(source))), reason.SecretUseDenied)
			check(t, s.create("", s.object(volume(source))), "")
			check(t, s.create(dev, s.object(volume(strings.ReplaceAll(source, "guarded", "free")))), "")
			check(t, s.create(dev, s.object(volume(strings.ReplaceAll(source, "namespace: team", "namespace: free")))), map[bool]reason.Code{true: reason.SecretUseDenied}[name == "azureFile.secretName"])
		})
	}
	t.Run("of whatever namespace", func(t *testing.T) {
		check(t, s.create(dev, s.object(volume(`iscsi: {targetPortal: 127.0.0.1, iqn: "iqn.2015-02.example.com:t", lun: 0, secretRef: {name: guarded}}`))), reason.SecretUseDenied)
	})
	// What a driver takes an attribute for, nobody knows.
	const binder = "system:serviceaccount:kube-system:persistent-volume-binder"
	csiOf := func(attributes, claim string) string {
		return volume(`csi: {driver: example.com, volumeHandle: h, volumeAttributes: ` + attributes + `}` + claim)
	}
	const forTeam, forFree = `, claimRef: {namespace: team, name: c}`, `, claimRef: {namespace: free, name: c}`
	for name, c := range map[string]struct {
		user, object string
		want         reason.Code
	}{
		"an attribute, for its namespace":       {dev, csiOf(`{secretName: guarded}`, forTeam), reason.SecretUseDenied},
		"an attribute of any name":              {dev, csiOf(`{auth: guarded}`, forTeam), reason.SecretUseDenied},
		"an attribute, by who may use it":       {"", csiOf(`{secretName: guarded}`, forTeam), ""},
		"an attribute, for another namespace":   {dev, csiOf(`{secretName: guarded}`, forFree), ""},
		"an attribute that names the namespace": {dev, csiOf(`{secretName: guarded, secretNamespace: team}`, forFree), reason.SecretUseDenied},
		"an attribute that names another":       {dev, csiOf(`{secretName: guarded, secretNamespace: free}`, forFree), ""},
		"another attribute":                     {dev, csiOf(`{secretName: free, size: "10"}`, forTeam), ""},
		"many attributes":                       {dev, csiOf(`{a: a, b: b, c: c, d: d, e: e, f: f, g: g, h: h, i: i, j: j, k: k, l: l, m: m, nn: nn, o: o, p: p, q: q, r: r, s: s, t: t, u: u, v: v, secretName: free}`, forTeam), ""},
		"many attributes, and the Secret's":     {dev, csiOf(`{a: a, b: b, c: c, d: d, e: e, f: f, g: g, h: h, i: i, j: j, k: k, l: l, m: m, nn: nn, o: o, p: p, q: q, r: r, s: s, t: t, u: u, v: v, secretName: guarded}`, forTeam), reason.SecretUseDenied},
		"an option of a flexVolume":             {dev, volume(`flexVolume: {driver: example.com/d, options: {secret: guarded}}` + forTeam), reason.SecretUseDenied},
		"another option of a flexVolume":        {dev, volume(`flexVolume: {driver: example.com/d, options: {secret: free}}` + forTeam), ""},
	} {
		t.Run(name, func(t *testing.T) { check(t, s.create(c.user, s.object(c.object)), c.want) })
	}
	// Volumes that are there are bound, and grow.
	admitted, guess := s.object(volume(csi("nodeStage"))), s.object(csiOf(`{secretName: guarded}`, ""))
	admitted.SetName("admitted")
	guess.SetName("guess")
	s.must(s.as("").Create(t.Context(), admitted))
	s.must(s.as(dev).Create(t.Context(), guess))
	patch := func(user string, o client.Object, body string) error {
		return s.as(user).Patch(t.Context(), o.DeepCopyObject().(client.Object), client.RawPatch("application/merge-patch+json", []byte(body)), client.DryRunAll)
	}
	const bind = `{"spec":{"claimRef":{"kind":"PersistentVolumeClaim","namespace":"team","name":"c"}}}`
	for name, c := range map[string]struct {
		err  error
		want reason.Code
	}{
		"a volume is bound":                          {patch(binder, admitted, bind), ""},
		"a volume grows":                             {patch(dev, admitted, `{"spec":{"capacity":{"storage":"2Gi"}}}`), ""},
		"a volume is bound by somebody":              {patch(dev, admitted, bind), reason.SecretUseDenied},
		"a volume is bound whose attribute names it": {patch(binder, guess, bind), reason.SecretUseDenied},
		"such a volume is bound elsewhere":           {patch(binder, guess, strings.Replace(bind, "team", "free", 1)), ""},
	} {
		t.Run(name, func(t *testing.T) { check(t, c.err, c.want) })
	}
	t.Run("bound to another claim", func(t *testing.T) { testBoundAnew(t, s, binder, bind) })
	t.Run("without a Secret", func(t *testing.T) {
		check(t, s.create(dev, s.object(volume(`csi: {driver: example.com, volumeHandle: h}`))), "")
	})
}

// testBoundAnew: a volume of a driver in the tree that says no namespace has the Secret of
// whatever claim it is bound to, and Kubernetes' own binder lets it go from one claim and
// binds it to another.
func testBoundAnew(t *testing.T, s *server, binder, bind string) {
	made := func(user, name, more string) *unstructured.Unstructured {
		o := s.object(volume(`iscsi: {targetPortal: 127.0.0.1, iqn: "iqn.2015-02.example.com:t", lun: 0, secretRef: {name: guarded` + more))
		o.SetName(name)
		s.must(s.as(user).Create(t.Context(), o))
		return o
	}
	patch := func(o *unstructured.Unstructured, body string, options ...client.PatchOption) error {
		return s.as(binder).Patch(t.Context(), o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(body)), options...)
	}
	const elsewhere, here, nothing = `}}, claimRef: {namespace: free, name: c}`, `}}, claimRef: {namespace: team, name: c}`, `{"spec":{"claimRef":null}}`
	// Somebody makes it for a claim of a namespace where nothing is guarded, which is not there.
	free := made(dev, "anew", elsewhere)
	check(t, patch(free, nothing), "")
	check(t, patch(free, bind, client.DryRunAll), reason.SecretUseDenied)
	check(t, patch(free, strings.Replace(bind, "team", "free", 1), client.DryRunAll), "")
	// By who may use it, for the claim that it is bound to, or of a namespace that it says.
	check(t, patch(made("", "claimed", here), `{"spec":{"claimRef":{"uid":"00000000-0000-4000-8000-000000000000"}}}`, client.DryRunAll), "")
	check(t, patch(made("", "namespaced", ", namespace: team}}"), bind, client.DryRunAll), "")
}

// podTaking is a pod that takes another Secret.
func podTaking(account, name string) string {
	return `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: team}, spec: {serviceAccountName: ` + account +
		`, containers: [{name: main, image: i, envFrom: [{secretRef: {name: ` + name + `}}]}]}}`
}

// ourRole has a name that the controller could give, and says nothing; toOurRole binds
// somebody to it.
const ourRole = `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: argoseal-get-0123456789abcdef, namespace: free}, rules: []}`

var toOurRole = strings.Replace(binding("free", "argoseal-get-0123456789abcdef"), "kind: ClusterRole,", "kind: Role,", 1)

func testRights(t *testing.T, s *server) {
	for name, c := range map[string]struct {
		user, object string
		want         reason.Code
	}{
		"a Role for all Secrets":                 {dev, role(team, "secrets", "get", ""), reason.SecretRightsGuarded},
		"a Role for the guarded one":             {dev, role(team, "secrets", "get", "guarded"), reason.SecretRightsGuarded},
		"a Role for another":                     {dev, role(team, "secrets", "get", "free"), ""},
		"a Role that lists":                      {dev, role(team, "secrets", "list", ""), reason.SecretRightsGuarded},
		"a Role that watches":                    {dev, role(team, "secrets", "watch", ""), reason.SecretRightsGuarded},
		"a Role that patches":                    {dev, role(team, "secrets", "patch", ""), reason.SecretRightsGuarded},
		"a Role that patches the guarded one":    {dev, role(team, "secrets", "patch", "guarded"), reason.SecretRightsGuarded},
		"a Role that patches another":            {dev, role(team, "secrets", "patch", "free"), ""},
		"a Role that deletes":                    {dev, role(team, "secrets", "delete", ""), reason.SecretRightsGuarded},
		"a Role that deletes all":                {dev, role(team, "secrets", "deletecollection", ""), reason.SecretRightsGuarded},
		"a Role that updates":                    {dev, role(team, "secrets", "update", ""), ""},
		"a Role that creates Secrets":            {dev, role(team, "secrets", "create", ""), ""},
		"a Role for everything":                  {dev, role(team, "*", "*", ""), reason.SecretRightsGuarded},
		"a Role for everything of a kind":        {dev, role(team, "pods", "*", ""), ""},
		"a Role that escalates":                  {dev, role(team, "roles", "escalate", ""), reason.SecretRightsGuarded},
		"a Role that binds":                      {dev, role(team, "roles", "bind", ""), reason.SecretRightsGuarded},
		"a Role that may all with roles":         {dev, role(team, "roles", "*", ""), reason.SecretRightsGuarded},
		"a Role that reads roles":                {dev, role(team, "roles", "get", ""), ""},
		"a Role that acts as others":             {dev, role(team, "serviceaccounts", "impersonate", ""), reason.SecretRightsGuarded},
		"a Role that gets tokens":                {dev, role(team, "serviceaccounts/token", "create", ""), reason.SecretRightsGuarded},
		"a Role that uses the SecretAccess":      {dev, role(team, "secretaccesses", "use", ""), reason.SecretRightsGuarded},
		"a Role that writes SecretAccesses":      {dev, role(team, "secretaccesses", "patch", ""), reason.SecretRightsGuarded},
		"a Role that reads SecretAccesses":       {dev, role(team, "secretaccesses", "get", ""), ""},
		"a Role that acts as a user, so":         {dev, roleOf("authentication.k8s.io", "users", "impersonate:user-info"), reason.SecretRightsGuarded},
		"a Role that acts on others' behalf":     {dev, roleOf("", "pods", "impersonate-on:serviceaccount:get"), reason.SecretRightsGuarded},
		"a Role for all of authentication":       {dev, roleOf("authentication.k8s.io", "*", "*"), reason.SecretRightsGuarded},
		"a Role that reviews tokens":             {dev, roleOf("authentication.k8s.io", "tokenreviews", "create"), ""},
		"a wide Role by who may use it":          {lead, role(team, "secrets", "get", ""), ""},
		"a wide Role where nothing is guarded":   {dev, role("free", "secrets", "get", ""), ""},
		"a binding":                              {dev, binding(team, "view"), reason.SecretRightsGuarded},
		"a binding by who may use it":            {lead, binding(team, "view"), ""},
		"a binding where nothing is guarded":     {dev, binding("free", "view"), ""},
		"a name of ours where none is guarded":   {dev, ourRole, reason.SecretRightsGuarded},
		"such a name by the controller":          {operator, ourRole, ""},
		"a name that only begins so":             {dev, strings.Replace(ourRole, "0123456789abcdef", "by-hand", 1), ""},
		"a binding of such a name":               {dev, strings.Replace(binding("free", "view"), "name: x", "name: argoseal-use-limited-0123456789abcdef", 1), reason.SecretRightsGuarded},
		"a binding to such a Role":               {dev, toOurRole, reason.SecretRightsGuarded},
		"a binding to such a Role by an admin":   {"", toOurRole, ""},
		"a binding to a ClusterRole called so":   {dev, binding("free", "argoseal-get-0123456789abcdef"), ""},
		"a ClusterRole for all Secrets":          {dev, clusterRole("secrets", "get"), reason.SecretRightsGuarded},
		"a ClusterRole that patches":             {dev, clusterRole("secrets", "patch"), reason.SecretRightsGuarded},
		"a ClusterRole that deletes all":         {dev, clusterRole("secrets", "deletecollection"), reason.SecretRightsGuarded},
		"a ClusterRole that creates Secrets":     {dev, clusterRole("secrets", "create"), ""},
		"a ClusterRole that escalates":           {dev, clusterRole("roles", "escalate"), reason.SecretRightsGuarded},
		"a ClusterRole that names a Secret":      {dev, strings.Replace(role("", "secrets", "get", "guarded"), "kind: Role, metadata: {name: x, namespace: }", "kind: ClusterRole, metadata: {name: x}", 1), reason.SecretRightsGuarded},
		"a ClusterRole that gets tokens":         {dev, clusterRole("serviceaccounts/token", "create"), reason.SecretRightsGuarded},
		"a ClusterRole that may all with roles":  {dev, clusterRole("roles", "*"), reason.SecretRightsGuarded},
		"a ClusterRole that uses SecretAccesses": {dev, clusterRole("secretaccesses", "use"), reason.SecretRightsGuarded},
		"a ClusterRole that writes them":         {dev, clusterRole("secretaccesses", "patch"), reason.SecretRightsGuarded},
		"a ClusterRole that reads them":          {dev, clusterRole("secretaccesses", "get"), ""},
		"a ClusterRole that acts as a user, so":  {dev, strings.Replace(clusterRole("users", "impersonate:user-info"), `apiGroups: [""]`, `apiGroups: ["authentication.k8s.io"]`, 1), reason.SecretRightsGuarded},
		"a ClusterRole for the kubelets' API":    {dev, clusterRole("nodes/proxy", "get"), reason.SecretRightsGuarded},
		"a ClusterRole of other roles":           {dev, `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: x}, rules: [], aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}}`, reason.SecretRightsGuarded},
		"a cluster-wide binding of another":      {dev, binding("", "developer"), reason.SecretRightsGuarded},
		"a ClusterRole for pods":                 {dev, clusterRole("pods", "get"), ""},
		"a ClusterRole by a cluster admin":       {"", clusterRole("secrets", "get"), ""},
		"a ClusterRole by who may use one":       {lead, clusterRole("secrets", "get"), reason.SecretRightsGuarded},
		"a cluster-wide binding of edit":         {dev, binding("", "edit"), reason.SecretRightsGuarded},
		"a cluster-wide binding of view":         {dev, binding("", "view"), ""},
		"a cluster-wide binding by an admin":     {"", binding("", "edit"), ""},

		"a token Secret of who may read":          {dev, tokenSecret("reader", team), reason.SecretUseDenied},
		"a token Secret by who may use it":        {lead, tokenSecret("reader", team), ""},
		"a token Secret of another":               {dev, tokenSecret("api", team), ""},
		"a token Secret where nothing is guarded": {dev, tokenSecret("reader", "free"), ""},
		"a Secret":                                 {dev, `{apiVersion: v1, kind: Secret, metadata: {name: x, namespace: team, annotations: {kubernetes.io/service-account.name: reader}}}`, ""},
		"a SecretAccess by who reads no Secret":    {janitor, accessOf("x", team), reason.AccessNotHeld},
		"a SecretAccess by who reads them":         {"", accessOf("x", team), ""},
		"a pod by a controller of Kubernetes":      {jobs, from("Job", "api", secret), ""},
		"a pod by a controller, without a grant":   {jobs, from("Job", "web", secret), reason.SecretNotGranted},
		"a pod for others, by a reader":            {argo, podTaking("reader", "free"), reason.SecretUseDenied},
		"a pod for others, by anybody else":        {argo, podTaking("web", "free"), ""},
		"a token Secret of who may use it":         {dev, tokenSecret("deputy", team), reason.SecretUseDenied},
		"a token Secret of a controller":           {dev, tokenSecret("maker", team), reason.SecretUseDenied},
		"one of who may use it, by another such":   {lead, tokenSecret("deputy", team), ""},
		"one of that name in another namespace":    {dev, tokenSecret("deputy", "free"), ""},
		"one of a controller elsewhere by name":    {dev, tokenSecret("argo", team), ""},
		"a pod that runs as who may use it":        {dev, podTaking("deputy", "free"), reason.SecretUseDenied},
		"a pod that runs as a controller":          {dev, podTaking("maker", "free"), reason.SecretUseDenied},
		"a pod that runs so, by who may use it":    {lead, podTaking("deputy", "free"), ""},
		"a pod that runs as anybody else":          {dev, podTaking("web", "free"), ""},
		"a pod that takes it in another namespace": {dev, strings.Replace(from("Deployment", "web", secret), "namespace: team", "namespace: free", 1), ""},
	} {
		t.Run(name, func(t *testing.T) { check(t, s.create(c.user, s.object(c.object)), c.want) })
	}
}

// testChanges: what is there and changes.
func testChanges(t *testing.T, s *server) {
	narrow := s.object(role(team, "secrets", "get", "free"))
	narrow.SetName("narrow")
	token := s.object(tokenSecret("api", team))
	token.SetName("token")
	for _, o := range []*unstructured.Unstructured{narrow, token} {
		s.must(s.as("").Create(t.Context(), o))
	}
	patch := func(user string, o client.Object, body string) error {
		return s.as(user).Patch(t.Context(), o.DeepCopyObject().(client.Object), client.RawPatch("application/merge-patch+json", []byte(body)), client.DryRunAll)
	}
	request := func(user, account, namespace string) error {
		sa := s.object(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: ` + account + `, namespace: ` + namespace + `}}`)
		token := s.object(`{apiVersion: authentication.k8s.io/v1, kind: TokenRequest, spec: {audiences: []}}`)
		return s.as(user).SubResource("token").Create(t.Context(), sa, token, &client.SubResourceCreateOptions{CreateOptions: client.CreateOptions{DryRun: []string{"All"}}})
	}
	few := s.object(clusterRole("pods", "get"))
	few.SetName("few")
	s.must(s.as("").Create(t.Context(), few))
	admins := s.object(`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: cluster-admin}}`)
	const aggregated = `{"metadata":{"labels":{"rbac.authorization.k8s.io/aggregate-to-view":"true"}}}`
	guard := s.object(accessOf("access", team))
	// The garbage collector would remove it: there is no such owner.
	const owned = `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"00000000-0000-4000-8000-000000000000"}]}}`
	const kept = `{"metadata":{"finalizers":["x.example.com/hold"]}}`
	var marker, markerBinding client.Object
	var a v1alpha1.SecretAccess
	s.must(s.admin.Get(t.Context(), client.ObjectKey{Namespace: team, Name: "access"}, &a))
	for _, pair := range access.PlanFor(&a, time.Now()).Pairs {
		if slices.Contains(pair.Role.Rules[0].Verbs, access.VerbGuarded) {
			marker, markerBinding = &pair.Role, &pair.Binding
		}
	}
	remove := func(user string, o client.Object) error {
		return s.as(user).Delete(t.Context(), o.DeepCopyObject().(client.Object), client.DryRunAll)
	}
	const collector = "system:serviceaccount:kube-system:generic-garbage-collector"
	for name, c := range map[string]struct {
		err  error
		want reason.Code
	}{
		"a Role becomes wide":                {patch(dev, narrow, `{"rules":[{"apiGroups":[""],"resources":["secrets"],"verbs":["get"]}]}`), reason.SecretRightsGuarded},
		"the Role that marks goes":           {remove(dev, marker), reason.SecretRightsGuarded},
		"its binding goes":                   {remove(dev, markerBinding), reason.SecretRightsGuarded},
		"it marks nothing any more":          {patch(dev, marker, `{"rules":[]}`), reason.SecretRightsGuarded},
		"it is nobody's any more":            {patch(dev, marker, `{"metadata":{"ownerReferences":[]}}`), reason.SecretRightsGuarded},
		"its binding is for another":         {patch(lead, markerBinding, `{"subjects":[{"kind":"User","name":"dev","apiGroup":"rbac.authorization.k8s.io"}]}`), reason.SecretRightsGuarded},
		"it gets an annotation":              {patch(dev, marker, `{"metadata":{"annotations":{"a":"b"}}}`), ""},
		"it is kept for ever":                {patch(dev, marker, kept), reason.SecretRightsGuarded},
		"its binding is kept for ever":       {patch(dev, markerBinding, kept), reason.SecretRightsGuarded},
		"it is kept, by who may use it":      {patch(lead, marker, kept), ""},
		"another Role is kept":               {patch(dev, narrow, kept), ""},
		"it goes, by who may use it":         {remove(lead, marker), ""},
		"it goes with its SecretAccess":      {remove(collector, marker), ""},
		"another Role goes":                  {remove(dev, narrow), ""},
		"all Roles go":                       {s.as(dev).DeleteAllOf(t.Context(), &rbacv1.Role{}, client.InNamespace(team), client.DryRunAll), reason.SecretRightsGuarded},
		"a Role gets a label":                {patch(dev, narrow, `{"metadata":{"labels":{"a":"b"}}}`), ""},
		"a wide ClusterRole joins view":      {patch(dev, admins, aggregated), reason.SecretRightsGuarded},
		"it joins others":                    {patch(dev, admins, `{"metadata":{"labels":{"team.example.com/joins":"true"}}}`), reason.SecretRightsGuarded},
		"it joins view, by an admin":         {patch("", admins, aggregated), ""},
		"it gets an annotation of ours":      {patch(dev, admins, `{"metadata":{"annotations":{"a":"b"}}}`), ""},
		"another ClusterRole joins view":     {patch(dev, few, aggregated), ""},
		"a token becomes another's":          {patch(dev, token, `{"metadata":{"annotations":{"kubernetes.io/service-account.name":"reader"}}}`), reason.SecretUseDenied},
		"a token gets a label":               {patch(dev, token, `{"metadata":{"labels":{"a":"b"}}}`), ""},
		"a token of who may read":            {request(dev, "reader", team), reason.SecretUseDenied},
		"a token by who may use it":          {request(lead, "reader", team), ""},
		"a token of another":                 {request(dev, "api", team), ""},
		"a token where nothing is guarded":   {request(dev, "reader", "free"), ""},
		"a token for a pod, by its kubelet":  {request(kubelet, "reader", team), ""},
		"a token of who may use it":          {request(dev, "deputy", team), reason.SecretUseDenied},
		"a token of a controller":            {request(dev, "maker", team), reason.SecretUseDenied},
		"a token of both, by one of them":    {errors.Join(request(lead, "deputy", team), request(lead, "maker", team)), ""},
		"a token of both, by the kubelet":    {errors.Join(request(kubelet, "deputy", team), request(kubelet, "maker", team)), ""},
		"a token of a namesake elsewhere":    {request(dev, "deputy", "free"), ""},
		"a token of a controller's namesake": {request(dev, "argo", team), ""},
		"a SecretAccess gets an owner":       {patch(janitor, guard, owned), reason.AccessNotHeld},
		"it gets one from who may it":        {patch("", guard, owned), ""},
		"a SecretAccess is kept for ever":    {patch(janitor, guard, kept), reason.AccessNotHeld},
		"it is kept, by who may it":          {patch("", guard, kept), ""},
		"it is let go by the collector":      {patch(collector, guard, kept), ""},
		"a SecretAccess changes":             {patch(janitor, guard, `{"spec":{"users":[{"kind":"User","name":"janitor"}]}}`), reason.AccessNotHeld},
		"a SecretAccess gets a label":        {patch(janitor, guard, `{"metadata":{"labels":{"a":"b"}}}`), ""},
		"a SecretAccess goes":                {s.as(janitor).Delete(t.Context(), guard.DeepCopy(), client.DryRunAll), reason.AccessNotHeld},
		"all SecretAccesses go":              {s.as(janitor).DeleteAllOf(t.Context(), &v1alpha1.SecretAccess{}, client.InNamespace(team), client.DryRunAll), reason.AccessNotHeld},
		"a SecretAccess goes, by who may it": {s.as("").Delete(t.Context(), guard.DeepCopy(), client.DryRunAll), ""},
	} {
		t.Run(name, func(t *testing.T) { check(t, c.err, c.want) })
	}
}

func secretOf(name string) string {
	return `{apiVersion: v1, kind: Secret, metadata: {name: ` + name + `, namespace: team}, stringData: {password: hunter2}}`
}

// testContents: what writes a Secret, or deletes it, is answered with it.
func testContents(t *testing.T, s *server) {
	for _, name := range []string{secret, "free"} {
		s.must(s.admin.Create(t.Context(), s.object(secretOf(name))))
	}
	ctx, dry := t.Context(), []string{metav1.DryRunAll}
	of := func(user string) corev1client.SecretInterface {
		kube, err := kubernetes.NewForConfig(s.configOf(user))
		s.must(err)
		return kube.CoreV1().Secrets(team)
	}
	patch := func(user, name string, kind types.PatchType, body string) error {
		_, err := of(user).Patch(ctx, name, kind, []byte(body), metav1.PatchOptions{DryRun: dry, FieldManager: "test"})
		return err
	}
	nothing := func(user, name string) error { return patch(user, name, types.MergePatchType, `{}`) }
	applies := func(user, name string) error {
		return patch(user, name, types.ApplyPatchType, `{"apiVersion":"v1","kind":"Secret"}`)
	}
	replaces := func(user, name string) error {
		_, err := of(user).Update(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.UpdateOptions{DryRun: dry})
		return err
	}
	removes := func(user, name string) error {
		return of(user).Delete(ctx, name, metav1.DeleteOptions{DryRun: dry, PropagationPolicy: new(metav1.DeletePropagationForeground)})
	}
	removesAll := func(user, labels string) error {
		return of(user).DeleteCollection(ctx, metav1.DeleteOptions{DryRun: dry}, metav1.ListOptions{LabelSelector: labels})
	}
	const system = "system:serviceaccount:kube-system:"
	for name, c := range map[string]struct {
		err  error
		want reason.Code
	}{
		"a change of nothing":                        {nothing(dev, secret), reason.SecretUseDenied},
		"an application":                             {applies(dev, secret), reason.SecretUseDenied},
		"a replacement":                              {replaces(dev, secret), reason.SecretUseDenied},
		"a deletion":                                 {removes(dev, secret), reason.SecretUseDenied},
		"a deletion of all":                          {removesAll(dev, ""), reason.SecretUseDenied},
		"a first one of that name":                   {s.create(dev, s.object(secretOf("sealed-off"))), reason.SecretUseDenied},
		"another, by any of these":                   {errors.Join(nothing(dev, "free"), applies(dev, "free"), replaces(dev, "free"), removes(dev, "free")), ""},
		"a deletion of others":                       {removesAll(dev, "a=b"), ""},
		"a first one, by who reads":                  {s.create(keeper, s.object(secretOf("sealed-off"))), ""},
		"a first one, by who may use it":             {s.create(lead, s.object(secretOf("sealed-off"))), ""},
		"any of these, by who reads":                 {errors.Join(nothing(keeper, secret), applies(keeper, secret), replaces(keeper, secret), removes(keeper, secret)), ""},
		"any of these, by who may use it":            {errors.Join(nothing(lead, secret), applies(lead, secret), replaces(lead, secret), removes(lead, secret), removesAll(lead, "")), ""},
		"a namespace's end":                          {removesAll(system+"namespace-controller", ""), ""},
		"the garbage collector":                      {errors.Join(nothing(system+"generic-garbage-collector", secret), removes(system+"generic-garbage-collector", secret)), ""},
		"the cleaner of tokens, which reads nothing": {errors.Join(nothing(system+"legacy-service-account-token-cleaner", secret), removes(system+"legacy-service-account-token-cleaner", secret)), ""},
		"the controller of tokens":                   {errors.Join(replaces("system:kube-controller-manager", secret), removes("system:kube-controller-manager", secret)), ""},
	} {
		t.Run(name, func(t *testing.T) { check(t, c.err, c.want) })
	}
	t.Run("a migration", func(t *testing.T) {
		client, err := metadata.NewForConfig(s.configOf("system:serviceaccount:argoseal-sentinel:controller"))
		s.must(err)
		record, err := migration.Migrator{Client: client}.Page(ctx, []schema.GroupVersionResource{{Version: "v1", Resource: "secrets"}}, migration.Record{})
		if err != nil || !record.Finished || record.Done < 2 {
			t.Errorf("%+v: %v", record, err)
		}
	})
	// What no policy can refuse, because the API server decodes and checks the change first.
	// So the docs say that patch reads; where this is not so any more, they may say less.
	t.Run("a patch that makes no Secret quotes it", func(t *testing.T) {
		for body, kind := range map[string]types.PatchType{
			`{"immutable":"x"}`: types.MergePatchType,
			`[{"op":"copy","from":"/data/password","path":"/type"}]`: types.JSONPatchType,
		} {
			if err := patch(dev, secret, kind, body); err == nil || apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "aHVudGVyMg==") {
				t.Errorf("%s: the answer quotes nothing: %v", body, err)
			}
		}
	})
}

// testSchema: a SecretAccess that grants too many is none.
func testSchema(t *testing.T, s *server) {
	for name, c := range map[string]struct{ spec, want string }{
		"nothing":                        {`{secrets: []}`, "at least 1"},
		"a Secret twice":                 {`{secrets: [{name: a}, {name: a}]}`, "Duplicate"},
		"a ServiceAccount twice":         {`{secrets: [{name: a, mount: [{serviceAccount: b}, {serviceAccount: b}]}]}`, "Duplicate"},
		"everybody":                      {`{secrets: [{name: a, get: [{kind: Group, name: "system:authenticated"}]}]}`, "too many"},
		"a ServiceAccount as a user":     {`{secrets: [{name: a, get: [{kind: User, name: "system:serviceaccount:a:b"}]}]}`, "too many"},
		"everybody to use":               {`{secrets: [{name: a}], users: [{kind: Group, name: "system:serviceaccounts"}]}`, "too many"},
		"a user of a namespace":          {`{secrets: [{name: a, get: [{kind: User, name: a, namespace: b}]}]}`, "only a ServiceAccount"},
		"an unknown kind":                {`{secrets: [{name: a, get: [{kind: Robot, name: a}]}]}`, "Unsupported value"},
		"no container":                   {`{secrets: [{name: a, mount: [{serviceAccount: b, containers: []}]}]}`, "at least 1"},
		"no time":                        {`{secrets: [{name: a, mount: [{serviceAccount: b, until: tomorrow}]}]}`, "date-time"},
		"a time that Go cannot read":     {`{secrets: [{name: a, mount: [{serviceAccount: b, until: "2027-01-01t00:00:00z"}]}]}`, "should match"},
		"a time":                         {`{secrets: [{name: a, mount: [{serviceAccount: b, until: "2027-01-01T00:00:00+01:00"}]}]}`, ""},
		"a ServiceAccount of no name":    {`{secrets: [{name: a, get: [{kind: ServiceAccount, name: Backup_Job}]}]}`, "no RoleBinding takes another"},
		"such a one to use":              {`{secrets: [{name: a}], users: [{kind: ServiceAccount, name: "system:x"}]}`, "no RoleBinding takes another"},
		"a ServiceAccount with dots":     {`{secrets: [{name: a, get: [{kind: ServiceAccount, name: backup-job.v2}]}]}`, ""},
		"a user of any name":             {`{secrets: [{name: a, get: [{kind: User, name: "Jo_B <jo@example.com>"}]}]}`, ""},
		"a Secret that nobody may have":  {`{secrets: [{name: a}]}`, ""},
		"a ServiceAccount of the system": {`{secrets: [{name: a, get: [{kind: ServiceAccount, name: "x", namespace: kube-system}]}]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.object(`{apiVersion: argoseal.dev/v1alpha1, kind: SecretAccess, metadata: {name: x, namespace: free}, spec: ` + c.spec + `}`)
			err := s.create("", o)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// testLarge: the API server bounds what a policy may cost, and refuses what costs more.
// A large pod beside the largest SecretAccess is admitted.
func testLarge(t *testing.T, s *server) {
	s.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: large}}`)
	a := &v1alpha1.SecretAccess{ObjectMeta: metav1.ObjectMeta{Name: "large", Namespace: "large"}}
	spec := &corev1.PodSpec{ServiceAccountName: "sa-31"}
	var names []string
	for i := range 16 {
		names = append(names, fmt.Sprintf("c-%d", i))
	}
	for i := range 32 {
		g := v1alpha1.GuardedSecret{Name: fmt.Sprintf("secret-%d", i)}
		for j := range 32 {
			g.Mount = append(g.Mount, v1alpha1.MountGrant{ServiceAccount: fmt.Sprintf("sa-%d", j), Containers: names})
			g.Get = append(g.Get, v1alpha1.AccessGrant{Kind: "User", Name: fmt.Sprintf("u-%d", j)})
		}
		a.Spec.Secrets = append(a.Spec.Secrets, g)
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: g.Name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: g.Name}}})
	}
	for _, name := range names {
		c := corev1.Container{Name: name}
		for j := range 100 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("E%d", j), Value: "v"})
		}
		for _, v := range spec.Volumes {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: "/" + v.Name})
		}
		spec.Containers = append(spec.Containers, c)
	}
	s.must(s.admin.Create(t.Context(), a))
	large := func(account string) *corev1.Pod {
		p := podOf(spec)
		p.Namespace, p.Spec.ServiceAccountName = "large", account
		return p
	}
	for deadline := time.Now().Add(20 * time.Second); s.create("", large("web")) == nil && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
	}
	check(t, s.create("", large("web")), reason.SecretNotGranted)
	check(t, s.create("", large("sa-31")), "")
}

// testPreset: what a real Argo makes is admitted, by its controller, with the preset.
func testPreset(t *testing.T, s *server) {
	s.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: workflows}}`)
	s.must(s.admin.Create(t.Context(), argoPreset("workflows")))
	var a v1alpha1.SecretAccess
	s.must(s.admin.Get(t.Context(), client.ObjectKey{Namespace: "workflows", Name: "argo-workflows"}, &a))
	for _, pair := range access.PlanFor(&a, time.Now()).Pairs {
		s.must(s.admin.Create(t.Context(), &pair.Role))
		s.must(s.admin.Create(t.Context(), &pair.Binding))
	}
	made := func(name string) *corev1.Pod {
		p := argotest.Pod(t, name)
		p.ObjectMeta = metav1.ObjectMeta{GenerateName: "p-", Namespace: "workflows"}
		p.Spec.NodeName, p.Spec.Priority, p.Spec.PreemptionPolicy, p.Spec.Tolerations = "", nil, nil, nil
		return p
	}
	for deadline := time.Now().Add(20 * time.Second); s.create(argo, made("data")) == nil && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
	}
	// How Argo ends what it has made.
	const kill, lies = "/bin/argoexec", "/var/run/argo/argoexec"
	for name, c := range map[string]struct {
		err  error
		want reason.Code
	}{
		"wait ends":                       {s.run(argo, "workflows", "exec", "x", "wait", kill, "kill", "15", "1"), ""},
		"wait ends at once":               {s.run(argo, "workflows", "exec", "x", "wait", kill, "kill", "9", "1"), ""},
		"main ends":                       {s.run(argo, "workflows", "exec", "x", "main", lies, "kill", "15", "1"), ""},
		"a sidecar ends by its own way":   {s.run(argo, "workflows", "exec", "x", "proxy", "/bin/sh", "-c", "kill -15 1"), ""},
		"a command in wait":               {s.run(argo, "workflows", "exec", "x", "wait", "cat", "/proc/1/environ"), reason.SecretUseDenied},
		"a command in init":               {s.run(argo, "workflows", "exec", "x", "init", "id"), reason.SecretUseDenied},
		"an argoexec that main replaced":  {s.run(argo, "workflows", "exec", "x", "wait", lies, "kill", "15", "1"), reason.SecretUseDenied},
		"a command wherever it may go":    {s.run(argo, "workflows", "exec", "x", "", "id"), reason.SecretUseDenied},
		"attaching to wait":               {s.run(argo, "workflows", "attach", "x", "wait"), reason.SecretUseDenied},
		"main, where whole pods have it":  {s.run(argo, team, "exec", "x", "main", lies, "kill", "15", "1"), reason.SecretUseDenied},
		"wait ends, by somebody":          {s.run(dev, "workflows", "exec", "x", "wait", kill, "kill", "15", "1"), reason.SecretUseDenied},
		"any command, by who may use all": {s.run("", "workflows", "exec", "x", "wait", "id"), ""},
	} {
		t.Run(name, func(t *testing.T) { check(t, c.err, c.want) })
	}
	for _, name := range argotest.All(t) {
		t.Run(name, func(t *testing.T) {
			if slices.Contains(notByThePreset, name) {
				check(t, s.create(argo, made(name)), reason.SecretNotGranted)
				return
			}
			check(t, s.create(argo, made(name)), "")
			if len(access.References(&made(name).Spec)) > 0 {
				check(t, s.create(dev, made(name)), reason.SecretUseDenied)
			}
		})
	}
}

// testAudited: a SecretAccess that is to audit alone refuses nothing, and who may change
// it is the same as ever.
func testAudited(t *testing.T, s *server) {
	s.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: audited}}`)
	s.apply(`{apiVersion: argoseal.dev/v1alpha1, kind: SecretAccess, metadata: {name: access, namespace: audited}, spec: {enforcement: Audit, secrets: [{name: guarded, get: [{kind: ServiceAccount, name: reader}]}]}}`)
	in := func(text string) *unstructured.Unstructured {
		return s.object(strings.Replace(text, "namespace: team", "namespace: audited", 1))
	}
	everything := map[string]*unstructured.Unstructured{
		"pod": in(podTaking("web", secret)), "reader": in(podTaking("reader", "free")), "role": in(role(team, "secrets", "get", "")),
		"binding": in(binding(team, "view")), "token": in(tokenSecret("reader", team)),
	}
	for what, o := range everything {
		t.Run(what, func(t *testing.T) { check(t, s.create(dev, o.DeepCopy()), "") })
	}
	check(t, s.create(dev, in(secretOf(secret))), "")
	check(t, s.run(dev, "audited", "exec", "x", "main", "id"), "")
	check(t, s.create(dev, in(podTaking("web", "free"))), "")
	testAuditLog(t, s)
	patch := func(user, body string) error {
		o := in(accessOf("access", team))
		return s.as(user).Patch(t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(body)), client.DryRunAll)
	}
	check(t, patch(janitor, `{"spec":{"users":[{"kind":"User","name":"janitor"}]}}`), reason.AccessNotHeld)
	o := in(accessOf("access", team))
	s.must(s.admin.Patch(t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"enforcement":"Enforce"}}`))))
	for deadline := time.Now().Add(20 * time.Second); s.create(dev, everything["pod"].DeepCopy()) == nil && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
	}
	for what, code := range map[string]reason.Code{"pod": reason.SecretNotGranted, "reader": reason.SecretUseDenied, "role": reason.SecretRightsGuarded, "binding": reason.SecretRightsGuarded, "token": reason.SecretUseDenied} {
		check(t, s.create(dev, everything[what].DeepCopy()), code)
	}
}

// testAuditLog: what is not refused is said in the API server's audit log, and nothing else.
func testAuditLog(t *testing.T, s *server) {
	raw, err := os.ReadFile(s.log)
	s.must(err)
	var said []string
	for line := range strings.Lines(string(raw)) {
		var event struct {
			ImpersonatedUser struct{ Username string }
			ObjectRef        struct{ Resource string }
			Annotations      map[string]string
		}
		s.must(json.Unmarshal([]byte(line), &event))
		if event.ImpersonatedUser.Username != dev {
			continue
		}
		for key, value := range event.Annotations {
			if strings.HasPrefix(key, "argoseal-secret-") {
				said = append(said, event.ObjectRef.Resource+": "+key+" = "+value)
			}
		}
	}
	slices.Sort(said)
	said = slices.Compact(said) // a command is logged as it begins, too
	const use = "the verb use of SecretAccess access"
	if want := []string{
		"pods: argoseal-secret-exec/would-ask = " + use,
		"pods: argoseal-secret-pods/would-ask = " + use + ", for ServiceAccount reader",
		"pods: argoseal-secret-pods/would-refuse = SecretNotGranted: Secret guarded, SecretAccess access, ServiceAccount web",
		"rolebindings: argoseal-secret-rights/would-ask = " + use,
		"roles: argoseal-secret-rights/would-ask = " + use,
		"secrets: argoseal-secret-contents/would-ask = to read Secret guarded, or the verb use of SecretAccess access",
		"secrets: argoseal-secret-tokens/would-ask = " + use,
	}; !slices.Equal(said, want) {
		t.Errorf("the audit log says %q", said)
	}
}

// definition is that of a resource of ours.
func (s *server) definition(resource string) *unstructured.Unstructured {
	s.t.Helper()
	return s.object(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: ` + resource + `.argoseal.dev}}`)
}

// schema changes what a definition says of its first version.
func (s *server) schema(user, resource, op, path string) error {
	s.t.Helper()
	return s.as(user).Patch(s.t.Context(), s.definition(resource), client.RawPatch(types.JSONPatchType,
		[]byte(`[{"op":"`+op+`","path":"/spec/versions/0/`+path+`","value":"other words"}]`)), client.DryRunAll)
}

// testDefinition: who may change no SecretAccess changes none by way of its definition. Who
// installs the chart goes on.
func testDefinition(t *testing.T, s *server) {
	const until = "schema/openAPIV3Schema/properties/spec/properties/secrets/items/properties/mount/items/properties/until"
	const words = "schema/openAPIV3Schema/description"
	remove := func(user, resource string) error {
		return s.as(user).Delete(t.Context(), s.definition(resource), client.DryRunAll)
	}
	patch := func(user, body string) error {
		return s.as(user).Patch(t.Context(), s.definition("secretaccesses"), client.RawPatch(types.MergePatchType, []byte(body)), client.DryRunAll)
	}
	const owned = `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"gone","uid":"00000000-0000-4000-8000-000000000000"}]}}`
	for name, c := range map[string]struct {
		err  error
		want reason.Code
	}{
		"it is deleted":                          {remove(janitor, "secretaccesses"), reason.AccessNotHeld},
		"its grants never end":                   {s.schema(janitor, "secretaccesses", "remove", until), reason.AccessNotHeld},
		"its schema changes at all":              {s.schema(janitor, "secretaccesses", "replace", words), reason.AccessNotHeld},
		"it gets an owner":                       {patch(janitor, owned), reason.AccessNotHeld},
		"it gets a label":                        {patch(janitor, `{"metadata":{"labels":{"a":"b"}}}`), ""},
		"another's schema changes":               {s.schema(janitor, "secretencryptions", "replace", words), ""},
		"it is deleted by who reads Secrets":     {remove(keeper, "secretaccesses"), ""},
		"it changes by who reads Secrets":        {s.schema(keeper, "secretaccesses", "replace", words), ""},
		"it is deleted by who may escalate":      {remove(helm, "secretaccesses"), ""},
		"it changes by who may escalate":         {errors.Join(s.schema(helm, "secretaccesses", "remove", until), s.schema(helm, "secretaccesses", "replace", words)), ""},
		"it gets an owner from who may escalate": {patch(helm, owned), ""},
		"it is deleted and changes by an admin":  {errors.Join(remove("", "secretaccesses"), s.schema("", "secretaccesses", "replace", words)), ""},
	} {
		t.Run(name, func(t *testing.T) { check(t, c.err, c.want) })
	}
}

// testEscrow: what is in escrow goes only if somebody says so.
func testEscrow(t *testing.T, s *server) {
	o := s.object(`{apiVersion: argoseal.dev/v1alpha1, kind: SecretEncryption, metadata: {name: cluster}, spec: {provider: secretbox}}`)
	s.must(s.admin.Create(t.Context(), o))
	definition, other := s.definition("secretencryptions"), s.definition("secretaccesses")
	remove := func(o *unstructured.Unstructured) error {
		return s.admin.Delete(t.Context(), o.DeepCopy(), client.DryRunAll)
	}
	all := func() error {
		return s.admin.DeleteAllOf(t.Context(), &v1alpha1.SecretEncryption{}, client.DryRunAll)
	}
	annotate := func(o *unstructured.Unstructured) {
		t.Helper()
		s.must(s.admin.Patch(t.Context(), o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"argoseal.dev/delete-escrow":"true"}}}`))))
	}
	check(t, remove(o), "")
	s.must(unstructured.SetNestedSlice(o.Object, []any{map[string]any{"key": "secretbox/k", "recipients": "r", "data": "…"}}, "status", "escrow"))
	s.must(s.admin.Status().Update(t.Context(), o))
	check(t, remove(o), reason.EscrowHeld)
	check(t, all(), reason.EscrowHeld)
	check(t, remove(definition), reason.EscrowHeld)
	check(t, remove(other), "")
	const escrowed = "schema/openAPIV3Schema/properties/status/properties/escrow"
	prunes := map[string]error{
		"the keys": s.schema("", "secretencryptions", "remove", escrowed), "what they are": s.schema("", "secretencryptions", "remove", escrowed+"/items/properties/data"),
		"the status": s.schema("", "secretencryptions", "remove", "subresources/status"),
	}
	for what, err := range prunes {
		t.Run("a schema without "+what, func(t *testing.T) { check(t, err, reason.EscrowHeld) })
	}
	t.Run("other words", func(t *testing.T) {
		check(t, s.schema("", "secretencryptions", "replace", escrowed+"/description"), "")
		check(t, s.schema("", "secretencryptions", "remove", escrowed+"/items/properties/unused"), "")
	})
	annotate(o)
	annotate(definition)
	check(t, s.schema("", "secretencryptions", "remove", escrowed), "")
	check(t, remove(o), "")
	check(t, all(), "")
	check(t, remove(definition), "")
}

// TestSecretAccessPolicies asks a real API server.
func TestSecretAccessPolicies(t *testing.T) {
	s := start(t)
	s.inForce()
	for name, test := range map[string]func(*testing.T, *server){
		"places": testPlaces, "grants": testGrants, "kinds": testKinds, "running": testRunning, "volumes": testVolumes,
		"rights": testRights, "contents": testContents, "changes": testChanges, "schema": testSchema, "large": testLarge, "preset": testPreset,
		"escrow": testEscrow, "audited": testAudited, "definition": testDefinition,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}
