//go:build e2e

package charts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// The guards are tried on the development cluster, where the chart is
// installed. Everything that is tried is tried as a dry run, which takes the
// same way through admission, so the cases do not depend on each other.

const release = lab.System

// user is who tries something.
type user struct {
	name   string
	groups []string
}

var (
	clusterAdmin = user{"guards-admin", []string{"system:masters"}}
	// tenant may do everything in the test's namespaces, virtual verbs too,
	// and nothing outside.
	tenant   = user{name: "guards-tenant"}
	operator = user{name: "guards-operator"}
	// platform may write webhook configurations and definitions, and everything in Argoseal's own
	// namespace, and has no virtual verb.
	platform = user{name: "guards-platform"}
	// debugger may run commands in steps' containers.
	debugger = user{name: "guards-debugger"}
	notary   = user{name: "system:serviceaccount:" + release + ":argoseal-notary"}
	follower = user{name: "system:serviceaccount:" + release + ":argoseal-controller"}
	webhook  = user{name: "system:serviceaccount:" + release + ":argoseal-webhook"}
	rekor    = user{name: "system:serviceaccount:" + release + ":argoseal-rekor"}
	argo     = user{name: "system:serviceaccount:" + part.ArgoNamespace + ":argo"}
	// impostor has the notary's name and another namespace; RBAC lets it.
	// unbound is our controller, with every right that RBAC can give.
	unbound   = user{"system:serviceaccount:" + release + ":argoseal-controller", []string{"system:masters"}}
	impostor  = user{"system:serviceaccount:guards:argoseal-notary", []string{"system:masters"}}
	node      = user{"system:node:guards-node", []string{"system:nodes"}}
	nameOnly  = user{name: "system:node:guards-node"}
	groupOnly = user{"guards-somebody", []string{"system:nodes"}}
	// virtual reports for the tagged pod's node under a name of its own,
	// elsewhere for another node.
	virtual   = user{name: "guards-virtual"}
	elsewhere = user{name: "guards-elsewhere"}
	podGC     = controller("pod-garbage-collector")
	jobs      = controller("job-controller")
	collector = controller("generic-garbage-collector")
	emptier   = controller("namespace-controller")
)

func controller(name string) user { return user{name: "system:serviceaccount:kube-system:" + name} }

var (
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	mutating    = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	validating  = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	provenances = schema.GroupVersionResource{Group: "argoseal.dev", Version: "v1alpha1", Resource: "provenances"}
	workflows   = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "workflows"}
	seals       = schema.GroupVersionResource{Group: "argoseal.dev", Version: "v1alpha1", Resource: "artifactseals"}
	workflowed  = schema.GroupVersionResource{Group: "argoseal.dev", Version: "v1alpha1", Resource: "workflowprovenances"}
	tlogs       = schema.GroupVersionResource{Group: "argoseal.dev", Version: "v1alpha1", Resource: "transparencylogs"}
	rbac        = schema.GroupVersion{Group: "rbac.authorization.k8s.io", Version: "v1"}
)

// cluster is the API server the guards are tried on.
type cluster struct {
	t   *testing.T
	lab *lab.Lab
}

func connect(t *testing.T) *cluster {
	t.Helper()
	l, err := lab.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{t: t, lab: l}
}

// waitForGuards waits until the webhooks answer and the policies are at work,
// which is a moment after they were made.
func (c *cluster) waitForGuards() {
	c.t.Helper()
	err := c.lab.Ready(c.t.Context(), lab.Webhook)
	if err != nil {
		c.t.Fatalf("is the chart installed? `make install` does it: %v", err)
	}
	forgery := attempt{as: clusterAdmin, verb: "create", on: provenances, body: record("forged")}
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Second) {
		if err = c.try(forgery, "default", true); err != nil && strings.Contains(err.Error(), string(reason.RecordGuarded)) {
			return
		}
	}
	c.t.Fatalf("no guards: is the chart installed? A forged Provenance got %v", err)
}

// namespace makes an empty namespace with a name of its own.
func (c *cluster) namespace() string {
	c.t.Helper()
	ns := fmt.Sprintf("guards-%d", time.Now().UnixNano()%1e9)
	c.make(user{}, namespaces, ns, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"NS"}}`)
	return ns
}

// config is that of a client that acts as the user; the zero user is the
// kubeconfig's.
func (c *cluster) config(u user) *rest.Config {
	config := rest.CopyConfig(c.lab.Config)
	if u.name != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: u.name, Groups: append([]string{"system:authenticated"}, u.groups...)}
	}
	return config
}

// as is a client that acts as the user.
func (c *cluster) as(u user) dynamic.Interface {
	c.t.Helper()
	client, err := dynamic.NewForConfig(c.config(u))
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

// object reads JSON, in which NS stands for the test's namespace.
func object(t *testing.T, ns, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "NS", ns)), &u.Object); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return u
}

// make creates an object and, if it is of the cluster, removes it at the end.
func (c *cluster) make(as user, gvr schema.GroupVersionResource, ns, text string) *unstructured.Unstructured {
	c.t.Helper()
	o := object(c.t, ns, text)
	client := c.as(as).Resource(gvr)
	made, err := client.Namespace(o.GetNamespace()).Create(c.t.Context(), o, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	if o.GetNamespace() != "" {
		return made
	}
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := client.Delete(ctx, o.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			c.t.Error(err)
		}
	})
	return made
}

// attempt is one request to the API server.
type attempt struct {
	as   user
	verb string // patch (the default), jsonpatch, create, update, delete, deletecollection, connect
	on   schema.GroupVersionResource
	in   string // the namespace, if it is not the test's
	name string
	sub  string // subresource
	body string // NS stands for the test's namespace
	// refused is the code that the answer must begin with; none: it must
	// be admitted.
	refused reason.Code
}

// try makes the request; with dry it changes nothing.
func (c *cluster) try(a attempt, ns string, dry bool) error {
	c.t.Helper()
	var client dynamic.ResourceInterface = c.as(a.as).Resource(a.on)
	if a.in != "" {
		ns = a.in
	}
	if a.on != namespaces && a.on != mutating && a.on != validating && a.on != definitions && a.on != tlogs {
		client = c.as(a.as).Resource(a.on).Namespace(ns)
	}
	var dryRun, sub []string
	if dry {
		dryRun = []string{metav1.DryRunAll}
	}
	if a.sub != "" {
		sub = []string{a.sub}
	}
	name := strings.ReplaceAll(a.name, "NS", ns)
	ctx := c.t.Context()
	var err error
	switch a.verb {
	case "create":
		o := object(c.t, ns, a.body)
		_, err = client.Create(ctx, o, metav1.CreateOptions{DryRun: dryRun}, sub...)
	case "update":
		o := object(c.t, ns, a.body)
		var now *unstructured.Unstructured
		if now, err = client.Get(ctx, o.GetName(), metav1.GetOptions{}); err != nil {
			break
		}
		o.SetResourceVersion(now.GetResourceVersion())
		_, err = client.Update(ctx, o, metav1.UpdateOptions{DryRun: dryRun}, sub...)
	case "connect":
		err = c.connect(a, ns, name)
	case "jsonpatch":
		_, err = client.Patch(ctx, name, types.JSONPatchType, []byte(a.body), metav1.PatchOptions{DryRun: dryRun}, sub...)
	case "delete":
		err = client.Delete(ctx, name, metav1.DeleteOptions{DryRun: dryRun})
	case "deletecollection":
		err = client.DeleteCollection(ctx, metav1.DeleteOptions{DryRun: dryRun}, metav1.ListOptions{})
	default:
		body := []byte(strings.ReplaceAll(a.body, "NS", ns))
		_, err = client.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{DryRun: dryRun}, sub...)
	}
	return err
}

// connect asks for a command in a container of a pod, or, without one, to attach to
// it; the body is the container and the command, word by word. No node runs the
// pod, so what is admitted fails after that.
func (c *cluster) connect(a attempt, ns, name string) error {
	c.t.Helper()
	config := c.config(a.as)
	config.GroupVersion, config.APIPath = &schema.GroupVersion{Version: "v1"}, "/api"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		c.t.Fatal(err)
	}
	words := strings.Split(a.body, " ")
	request := client.Post().Namespace(ns).Resource("pods").Name(name).SubResource(a.sub).Param("container", words[0]).Param("stdout", "true")
	for _, word := range words[1:] {
		request = request.Param("command", strings.ReplaceAll(word, "_", " "))
	}
	if err = request.Do(c.t.Context()).Error(); err != nil && strings.Contains(err.Error(), "denied") {
		return err
	}
	return nil
}

// prepare makes a namespace with pods that look as Argo's do in a labelled
// one. They are made before it is labelled, for the gate would refuse them.
func (c *cluster) prepare() string {
	c.t.Helper()
	var admin user
	ns := c.namespace()
	c.make(admin, namespaces, ns, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"NS-audit","labels":{"argoseal.dev/mode":"audit"}}}`)
	for _, in := range []string{ns, ns + "-audit"} {
		c.make(admin, rbac.WithResource("rolebindings"), in, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"tenant","namespace":"NS"},
			"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},
			"subjects":[`+users(tenant, nameOnly, groupOnly, virtual, elsewhere)+`]}`)
	}
	for _, r := range []struct {
		by   user
		node string
	}{{virtual, "guards-node"}, {elsewhere, "guards-other"}} {
		name := "NS-" + r.by.name
		c.make(admin, rbac.WithResource("clusterroles"), ns, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"`+name+`"},
			"rules":[{"apiGroups":[""],"resources":["nodes"],"resourceNames":["`+r.node+`"],"verbs":["argoseal-report"]}]}`)
		c.make(admin, rbac.WithResource("clusterrolebindings"), ns, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"`+name+`"},
			"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"`+name+`"},"subjects":[`+users(r.by)+`]}`)
	}
	c.make(admin, rbac.WithResource("clusterrolebindings"), ns, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"NS-operator"},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"argoseal-operator"},
		"subjects":[`+users(operator)+`]}`)
	c.make(admin, rbac.WithResource("clusterroles"), ns, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"NS-platform"},"rules":[
		{"apiGroups":["admissionregistration.k8s.io","apiextensions.k8s.io"],"resources":["mutatingwebhookconfigurations","validatingwebhookconfigurations","customresourcedefinitions"],"verbs":["get","list","create","update","patch","delete","deletecollection"]},
		{"apiGroups":[""],"resources":["secrets","configmaps","pods/exec"],"verbs":["get","list","create","update","patch","delete","deletecollection"]}]}`)
	c.make(admin, rbac.WithResource("clusterrolebindings"), ns, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"NS-platform"},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"NS-platform"},
		"subjects":[`+users(platform, operator, debugger)+`]}`)
	c.make(admin, rbac.WithResource("clusterrolebindings"), ns, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"NS-debugger"},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"argoseal-exec"},
		"subjects":[`+users(debugger)+`]}`)
	c.make(admin, rbac.WithResource("clusterroles"), ns, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"NS-editor"},
		"rules":[{"apiGroups":[""],"resources":["namespaces"],"resourceNames":["NS"],"verbs":["patch"]}]}`)
	c.make(admin, rbac.WithResource("clusterrolebindings"), ns, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"NS-editor"},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"NS-editor"},
		"subjects":[`+users(operator)+`]}`)
	// The owner has to be there, or the garbage collector takes the pod away.
	owner := c.make(admin, configMaps, ns, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"w","namespace":"NS"}}`)
	// The tagged pod runs on a node that does not exist: nobody but the test
	// reports about it. The untagged one waits for a scheduler that does not.
	c.make(admin, pods, ns, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"tagged","namespace":"NS",
		"labels":{"workflows.argoproj.io/workflow":"w","workflows.argoproj.io/completed":"false"},
		"annotations":{"argoseal.dev/tag":"t","workflows.argoproj.io/kill-cmd-wait":"[]","workflows.argoproj.io/node-id":"w-1"},
		"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"w","uid":"`+string(owner.GetUID())+`"}]},
		"spec":{"nodeName":"guards-node",`+podSpec+`}}`)
	// This one is as a Job makes it that wants its log in argo logs.
	c.make(admin, pods, ns, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"labelled","namespace":"NS",
		"labels":{"workflows.argoproj.io/workflow":"w"}},"spec":{"schedulerName":"nobody",`+podSpec+`}}`)
	c.make(admin, pods, ns, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"untagged","namespace":"NS"},
		"spec":{"schedulerName":"nobody",`+podSpec+`}}`)
	c.make(notary, provenances, ns, record("old"))
	c.make(admin, workflows, ns, workflow("under-way", stored))
	c.make(admin, workflows, ns, strings.Replace(workflow("ended", `"phase":"Failed","message":"m","finishedAt":"2026-01-01T00:00:00Z",`+stored),
		`"labels":{`, `"labels":{"workflows.argoproj.io/completed":"true",`, 1))
	reported := attempt{as: node, on: pods, name: "tagged", sub: "status", body: status(`"phase":"Running","startTime":"2026-01-01T00:00:00Z",` + ended("0"))}
	// The role of the debugger was made last.
	who, err := c.lab.As(debugger.name)
	if err == nil {
		err = lab.Granted(c.t.Context(), who, ns, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"argoseal-exec"}})
	}
	if err := errors.Join(err, c.try(reported, ns, false), c.lab.SetMode(c.t.Context(), ns, v1alpha1.ModeEnforce)); err != nil {
		c.t.Fatal(err)
	}
	return ns
}

const podSpec = `"automountServiceAccountToken":false,"terminationGracePeriodSeconds":0,
		"containers":[{"name":"main","image":"localhost/none:1"}],"initContainers":[{"name":"init","image":"localhost/none:1"}]`

// users are the subjects of a binding.
func users(list ...user) string {
	var subjects []string
	for _, u := range list {
		subjects = append(subjects, `{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"`+u.name+`"}`)
	}
	return strings.Join(subjects, ",")
}

func status(fields string) string { return `{"status":{` + fields + `}}` }

// ended is the status of the pod's container, ended with an exit code.
func ended(exitCode string) string {
	return `"containerStatuses":[{"name":"main","image":"i","imageID":"i","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":` + exitCode + `}}}]`
}

func metadata(fields string) string { return `{"metadata":{` + fields + `}}` }

func record(name string) string {
	return `{"apiVersion":"argoseal.dev/v1alpha1","kind":"Provenance","metadata":{"name":"` + name + `","namespace":"NS"},
		"spec":{"pod":{"name":"p","uid":"u"},"workflow":{"name":"w","uid":"u"},"nodeID":"n"}}`
}
