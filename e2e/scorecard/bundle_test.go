//go:build e2e

package scorecard

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/cluster/part"
)

const (
	root      = "../.."
	chart     = root + "/charts/argoseal-sentinel"
	values    = root + "/charts/testdata/sentinel/default.values.yaml"
	namespace = "argoseal-sentinel"
)

// bundle is what a lifecycle manager is given. Broken ones are made from one that is
// not, by a change of these.
type bundle struct {
	chart       chartFile
	deployments []appsv1.Deployment
	// permissions are the rights of each ServiceAccount in its own namespace, and in
	// the cluster.
	permissions, clusterPermissions map[string][]rbacv1.PolicyRule
	crds                            []*apiextensionsv1.CustomResourceDefinition
	owned                           []ownedCRD
	// examples is a list of resources, as JSON.
	examples string
	// others are installed as they are.
	others []*unstructured.Unstructured
	// leftOut is what there is no place for, as KIND NAME.
	leftOut []string
}

type chartFile struct{ Name, Description, Version, Home, KubeVersion string }

// ownedCRD is the part of a ClusterServiceVersion that is about one CRD.
type ownedCRD struct {
	Name              string       `json:"name"`
	Version           string       `json:"version"`
	Kind              string       `json:"kind"`
	DisplayName       string       `json:"displayName"`
	Description       string       `json:"description"`
	Resources         []resource   `json:"resources,omitempty"`
	SpecDescriptors   []descriptor `json:"specDescriptors,omitempty"`
	StatusDescriptors []descriptor `json:"statusDescriptors,omitempty"`
}

type resource struct {
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

type descriptor struct {
	Path        string `json:"path"`
	DisplayName string `json:"displayName"`
	Description string `json:"description,omitempty"`
}

// makeBundle makes a new one.
func makeBundle(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{permissions: map[string][]rbacv1.PolicyRule{}, clusterPermissions: map[string][]rbacv1.PolicyRule{}}
	read(t, filepath.Join(chart, "Chart.yaml"), &b.chart)
	b.sort(t, render(t))
	for _, crd := range b.crds {
		b.owned = append(b.owned, own(t, crd))
	}
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < len(b.crds) {
		t.Fatalf("examples %v: %v", files, err)
	}
	examples := make([]map[string]any, len(files))
	for i, file := range files {
		read(t, file, &examples[i])
	}
	b.setExamples(t, examples)
	return b
}

func (b *bundle) setExamples(t *testing.T, examples []map[string]any) {
	t.Helper()
	text, err := json.Marshal(examples)
	if err != nil {
		t.Fatal(err)
	}
	b.examples = string(text)
}

func (b *bundle) listExamples(t *testing.T) []map[string]any {
	t.Helper()
	var list []any
	if err := utiljson.Unmarshal([]byte(b.examples), &list); err != nil { // numbers as an API server gives them
		t.Fatal(err)
	}
	examples := make([]map[string]any, len(list))
	for i, o := range list {
		examples[i] = o.(map[string]any)
	}
	return examples
}

// render has helm render the whole chart.
func render(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	helm, err := part.Path(t.Context(), "helm", "helm")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), helm, "template", "argoseal-sentinel", chart, "--namespace", namespace,
		"--kube-version", "1.36.0", "--values", values, "--set", "access.enabled=true,crds.keep=false")
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+t.TempDir())
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &errOut)
	}
	var objects []*unstructured.Unstructured
	for doc := range strings.SplitSeq(out.String(), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			t.Fatalf("%v: %s", err, doc)
		}
		if o.GetKind() != "" {
			objects = append(objects, o)
		}
	}
	return objects
}

// sort puts each object of the chart where a bundle has it: the rights of ServiceAccounts
// that Deployments run as stand beside these, and what else is installed stands alone.
func (b *bundle) sort(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	ours := map[string]bool{}
	for _, o := range objects {
		if o.GetKind() == "Deployment" {
			d := *to[appsv1.Deployment](t, o)
			b.deployments = append(b.deployments, d)
			ours[d.Spec.Template.Spec.ServiceAccountName] = true
		}
	}
	roles, given := map[string]*unstructured.Unstructured{}, map[string]bool{}
	var rest []*unstructured.Unstructured
	for _, o := range objects {
		switch kind := o.GetKind(); {
		case kind == "CustomResourceDefinition":
			b.crds = append(b.crds, to[apiextensionsv1.CustomResourceDefinition](t, o))
		case kind == "Deployment", kind == "ServiceAccount" && ours[o.GetName()]:
		case o.GetNamespace() != "" && o.GetNamespace() != namespace: // it installs into one
			b.leftOut = append(b.leftOut, kind+" "+o.GetNamespace()+"/"+o.GetName())
		case slices.Contains([]string{"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "PodDisruptionBudget", "NetworkPolicy"}, kind):
			rest = append(rest, o)
			roles[kind+" "+o.GetName()] = o
		default:
			b.leftOut = append(b.leftOut, kind+" "+o.GetName())
		}
	}
	for _, o := range rest {
		if !strings.HasSuffix(o.GetKind(), "RoleBinding") {
			continue
		}
		bound := to[rbacv1.ClusterRoleBinding](t, o) // a RoleBinding has the same fields, and a Role those of a ClusterRole
		if len(bound.Subjects) != 1 || !ours[bound.Subjects[0].Name] {
			continue
		}
		name := bound.RoleRef.Kind + " " + bound.RoleRef.Name
		role, account, rights := roles[name], bound.Subjects[0].Name, b.clusterPermissions
		if role == nil {
			t.Fatalf("%s binds %s, which is not there", o.GetName(), name)
		}
		if o.GetKind() == "RoleBinding" {
			rights = b.permissions
		}
		rights[account] = append(rights[account], to[rbacv1.ClusterRole](t, role).Rules...)
		given[o.GetKind()+" "+o.GetName()], given[name] = true, true
	}
	b.others = slices.DeleteFunc(rest, func(o *unstructured.Unstructured) bool { return given[o.GetKind()+" "+o.GetName()] })
}

// managed are the resources of Kubernetes that the controller of a kind writes.
var managed = map[string][]resource{
	"SecretAccess":     {{"Role", "v1"}, {"RoleBinding", "v1"}},
	"SecretEncryption": {{"ConfigMap", "v1"}, {"Secret", "v1"}},
}

// own says of a CRD what its schema says.
func own(t *testing.T, crd *apiextensionsv1.CustomResourceDefinition) ownedCRD {
	t.Helper()
	version, kind := crd.Spec.Versions[0], crd.Spec.Names.Kind
	if len(crd.Spec.Versions) != 1 {
		t.Fatalf("%s has several versions: say here which is described", crd.Name)
	}
	properties := version.Schema.OpenAPIV3Schema.Properties
	return ownedCRD{
		Name: crd.Name, Version: version.Name, Kind: kind, DisplayName: words(kind),
		Description: line(version.Schema.OpenAPIV3Schema.Description), Resources: managed[kind],
		SpecDescriptors: describe(properties["spec"]), StatusDescriptors: describe(properties["status"]),
	}
}

func describe(s apiextensionsv1.JSONSchemaProps) []descriptor {
	var found []descriptor
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		found = append(found, descriptor{Path: name, DisplayName: words(name), Description: line(s.Properties[name].Description)})
	}
	return found
}

var hump = regexp.MustCompile(`([a-z])([A-Z])`)

// words makes Max Key Age of maxKeyAge.
func words(name string) string {
	spaced := hump.ReplaceAllString(name, "$1 $2")
	return strings.ToUpper(spaced[:1]) + spaced[1:]
}

func line(text string) string { return strings.Join(strings.Fields(text), " ") }

// files are those of the bundle, by their paths in it.
func (b *bundle) files(t *testing.T) map[string][]byte {
	t.Helper()
	const channel = "alpha"
	files := map[string][]byte{
		"metadata/annotations.yaml": spell(t, map[string]any{"annotations": map[string]string{
			"operators.operatorframework.io.bundle.mediatype.v1":       "registry+v1",
			"operators.operatorframework.io.bundle.manifests.v1":       "manifests/",
			"operators.operatorframework.io.bundle.metadata.v1":        "metadata/",
			"operators.operatorframework.io.bundle.package.v1":         b.chart.Name,
			"operators.operatorframework.io.bundle.channels.v1":        channel,
			"operators.operatorframework.io.bundle.channel.default.v1": channel,
		}}),
		"manifests/" + b.chart.Name + ".clusterserviceversion.yaml": spell(t, b.serviceVersion()),
	}
	for _, crd := range b.crds {
		files["manifests/"+crd.Name+".yaml"] = spell(t, crd)
	}
	for _, o := range b.others {
		files["manifests/"+strings.ToLower(o.GetKind())+"-"+o.GetName()+".yaml"] = spell(t, o)
	}
	return files
}

func (b *bundle) serviceVersion() map[string]any {
	var deployments []map[string]any
	for _, d := range b.deployments {
		deployments = append(deployments, map[string]any{"name": d.Name, "label": d.Labels, "spec": d.Spec})
	}
	rights := func(of map[string][]rbacv1.PolicyRule) (list []map[string]any) {
		for _, account := range slices.Sorted(maps.Keys(of)) {
			list = append(list, map[string]any{"serviceAccountName": account, "rules": of[account]})
		}
		return list
	}
	mode := func(name string, supported bool) map[string]any {
		return map[string]any{"type": name, "supported": supported}
	}
	return map[string]any{
		"apiVersion": "operators.coreos.com/v1alpha1",
		"kind":       "ClusterServiceVersion",
		"metadata": map[string]any{
			"name":        b.chart.Name + ".v" + b.chart.Version,
			"namespace":   namespace,
			"annotations": map[string]string{"alm-examples": b.examples},
		},
		"spec": map[string]any{
			"displayName":    b.chart.Name,
			"description":    b.chart.Description,
			"version":        b.chart.Version,
			"minKubeVersion": strings.TrimSuffix(strings.TrimPrefix(b.chart.KubeVersion, ">="), "-0"),
			"maturity":       "alpha",
			"provider":       map[string]string{"name": "Argoseal", "url": b.chart.Home},
			"installModes": []map[string]any{
				mode("OwnNamespace", false), mode("SingleNamespace", false), mode("MultiNamespace", false), mode("AllNamespaces", true),
			},
			"customresourcedefinitions": map[string]any{"owned": b.owned},
			"install": map[string]any{"strategy": "deployment", "spec": map[string]any{
				"deployments": deployments, "permissions": rights(b.permissions), "clusterPermissions": rights(b.clusterPermissions),
			}},
		},
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func spell(t *testing.T, o any) []byte {
	t.Helper()
	text, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func to[T any](t *testing.T, o *unstructured.Unstructured) *T {
	t.Helper()
	typed := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, typed); err != nil {
		t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
	}
	return typed
}
