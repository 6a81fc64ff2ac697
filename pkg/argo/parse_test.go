package argo_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/reason"
)

type object = map[string]any
type list = []any

func TestMarksOfArgo(t *testing.T) {
	tests := map[string]struct {
		pod  corev1.Pod
		want bool
	}{
		"a bare pod":                   {corev1.Pod{}, false},
		"the workflow label":           {corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"workflows.argoproj.io/workflow": "x"}}}, true},
		"the node id":                  {corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"workflows.argoproj.io/node-id": "x"}}}, true},
		"an owner of Argo's":           {corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "WorkflowArtifactGCTask"}}}}, true},
		"an owner of another of Argo":  {corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout"}}}}, false},
		"an owner that is a Workflow":  {corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Workflow"}}}}, false},
		"an owner of another's":        {corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "Workflow"}}}}, false},
		"a container that is argoexec": {corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Command: []string{"/var/run/argo/argoexec", "emissary"}}}}}, true},
		"argoexec in the arguments":    {corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Args: []string{"argoexec", "init"}}}}}, true},
		"a template":                   {corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Env: []corev1.EnvVar{{Name: "ARGO_TEMPLATE"}}}}}}, true},
		"a container named wait":       {corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "wait", Command: []string{"sleep"}}}}}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := argo.LooksLike(&test.pod); got != test.want {
				t.Errorf("LooksLike is %v, want %v", got, test.want)
			}
		})
	}
}

func TestUnreadablePodsAreRefused(t *testing.T) {
	tests := map[string]struct {
		change func(*testing.T, *corev1.Pod)
		code   reason.Code
		detail string
	}{
		"without init": {func(t *testing.T, p *corev1.Pod) { p.Spec.InitContainers = nil }, reason.UnknownPodLayout, `no init container "init"`},
		"without wait": {func(t *testing.T, p *corev1.Pod) { waitOf(p).Name = "supervisor" }, reason.UnknownPodLayout, `no container "wait"`},
		"without a template": {func(t *testing.T, p *corev1.Pod) { templateOf(t, p).Name = "X" },
			reason.TemplateInvalid, "init has no ARGO_TEMPLATE"},
		"with two templates": {func(t *testing.T, p *corev1.Pod) {
			c := initOf(p)
			c.Env = append(c.Env, *env(c, "ARGO_TEMPLATE"))
		}, reason.TemplateInvalid, "init has ARGO_TEMPLATE twice"},
		"with a template from elsewhere": {func(t *testing.T, p *corev1.Pod) {
			*templateOf(t, p) = corev1.EnvVar{Name: "ARGO_TEMPLATE", ValueFrom: &corev1.EnvVarSource{}}
		}, reason.TemplateInvalid, "not a literal value"},
		"with an offloaded template": {func(t *testing.T, p *corev1.Pod) { templateOf(t, p).Value = "offloaded" },
			reason.TemplateOffloaded, "ConfigMap"},
		"with the ConfigMap of one": {func(t *testing.T, p *corev1.Pod) { addEmptyDir(p, "argo-env-config") },
			reason.TemplateOffloaded, "ConfigMap"},
		"with a template too large": {func(t *testing.T, p *corev1.Pod) {
			templateOf(t, p).Value = "{" + strings.Repeat(" ", 131072) + "}"
		}, reason.TemplateInvalid, "131074 bytes"},
		"with a variable in the template": {func(t *testing.T, p *corev1.Pod) {
			v := templateOf(t, p)
			v.Value = strings.Replace(v.Value, "hello_world", "$(ARGO_NODE_ID)", 1)
		}, reason.TemplateInvalid, "$(ARGO_NODE_ID)"},
		"with a service in the template": {func(t *testing.T, p *corev1.Pod) {
			v := templateOf(t, p)
			v.Value = strings.Replace(v.Value, "hello_world", "$(MY_SVC_SERVICE_HOST)", 1)
		}, reason.TemplateInvalid, "$(MY_SVC_SERVICE_HOST)"},
		"with a template that is no JSON": {func(t *testing.T, p *corev1.Pod) { templateOf(t, p).Value = "{" },
			reason.TemplateInvalid, "not a JSON object"},
		"with something after the template": {func(t *testing.T, p *corev1.Pod) { templateOf(t, p).Value += "{}" },
			reason.TemplateInvalid, "not a JSON object"},
		"with a key twice": {func(t *testing.T, p *corev1.Pod) { addToTemplate(t, p, `"name":"x"`) },
			reason.TemplateInvalid, `key "name" is given twice`},
		"with a key in two cases": {func(t *testing.T, p *corev1.Pod) { addToTemplate(t, p, `"OUTPUTS":{}`) },
			reason.TemplateInvalid, `key "outputs" is given twice`},
		"with a key twice far inside": {func(t *testing.T, p *corev1.Pod) {
			addToTemplate(t, p, `"archiveLocation":{"s3":{"key":"a","\u212aey":"b"}}`)
			v := templateOf(t, p)
			at := strings.LastIndex(v.Value, `"archiveLocation"`)
			v.Value = v.Value[:at-1] + "}"
		}, reason.TemplateInvalid, "is given twice"},
		"with an unknown field": {func(t *testing.T, p *corev1.Pod) { addToTemplate(t, p, `"artifactPlugins":{}`) },
			reason.TemplateInvalid, `field "artifactPlugins"`},
		"with two types": {func(t *testing.T, p *corev1.Pod) { addToTemplate(t, p, `"script":{}`) },
			reason.TemplateInvalid, "more than one type: container, script"},
		"with a node id too long": {func(t *testing.T, p *corev1.Pod) {
			p.Annotations["workflows.argoproj.io/node-id"] = strings.Repeat("x", 4097)
		}, reason.NodeMismatch, "longer than 4096"},
		"of a component of Argo's": {func(t *testing.T, p *corev1.Pod) { p.Labels["workflows.argoproj.io/component"] = "agent" },
			reason.UnsupportedPod, "agent"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "produce")
			test.change(t, pod)
			_, err := argo.Parse(pod)
			wantRefusal(t, err, test.code, test.detail)
		})
	}
}

// addToTemplate puts a field in front of the template's others.
func addToTemplate(t *testing.T, p *corev1.Pod, field string) {
	v := templateOf(t, p)
	v.Value = "{" + field + "," + strings.TrimPrefix(v.Value, "{")
}

func TestUnreadableTemplatesAreRefused(t *testing.T) {
	input := func(artifacts ...any) func(object) {
		return func(o object) { o["inputs"] = object{"artifacts": list(artifacts)} }
	}
	output := func(artifacts ...any) func(object) {
		return func(o object) { o["outputs"] = object{"artifacts": list(artifacts)} }
	}
	many := make(list, 1025)
	for i := range many {
		many[i] = object{"name": "x"}
	}
	tests := map[string]struct {
		change func(object)
		code   reason.Code
		detail string
	}{
		"no type":            {func(o object) { delete(o, "container") }, reason.UnknownPodLayout, "none of the known types"},
		"an empty name":      {output(object{"path": "/x"}), reason.TemplateInvalid, `name ""`},
		"a path for a name":  {output(object{"name": "../x", "path": "/x"}), reason.TemplateInvalid, `name "../x"`},
		"a dot in a name":    {output(object{"name": "x.tgz", "path": "/x"}), reason.TemplateInvalid, `name "x.tgz"`},
		"a name too long":    {output(object{"name": strings.Repeat("x", 129), "path": "/x"}), reason.TemplateInvalid, "longer than 128"},
		"an input's twin":    {input(object{"name": "x", "path": "/x"}, object{"name": "x", "path": "/y"}), reason.TemplateInvalid, `artifact "x" is given twice`},
		"an output's twin":   {output(object{"name": "x", "path": "/x"}, object{"name": "x", "path": "/y"}), reason.TemplateInvalid, `artifact "x" is given twice`},
		"inputs in one path": {input(object{"name": "x", "path": "/x"}, object{"name": "y", "path": "/x/"}), reason.TemplateInvalid, `path "/x" is another input's`},
		"a path too long":    {output(object{"name": "x", "path": "/" + strings.Repeat("x", 4096)}), reason.TemplateInvalid, "longer than 4096"},
		"too many artifacts": {output(many...), reason.TemplateInvalid, "1025 artifacts"},
		"an unknown store":   {input(object{"name": "x", "path": "/x", "plugin": object{"key": "k"}}), reason.TemplateInvalid, `unknown field "plugin"`},
		"an unknown field of S3": {input(object{"name": "x", "path": "/x", "s3": object{"versionID": "k"}}),
			reason.TemplateInvalid, `unknown field "versionID"`},
		"an unknown archive": {output(object{"name": "x", "path": "/x", "archive": object{"zstd": object{}}}),
			reason.TemplateInvalid, `unknown field "zstd"`},
		"an unknown repository": {func(o object) { o["archiveLocation"] = object{"plugin": object{}} },
			reason.TemplateInvalid, `archiveLocation: json: unknown field "plugin"`},
		"a key that is no string": {input(object{"name": "x", "path": "/x", "s3": object{"key": 7}}), reason.TemplateInvalid, "cannot unmarshal"},
		"a resource with artifacts": {func(o object) {
			delete(o, "container")
			o["resource"] = object{}
		}, reason.UnsupportedPod, "resource template with artifacts"},
		"a resource from an artifact": {func(o object) {
			delete(o, "container")
			o["resource"] = object{"manifestFrom": object{}}
		}, reason.UnsupportedPod, "manifest from elsewhere"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := argo.Parse(withTemplate(t, "produce", test.change))
			wantRefusal(t, err, test.code, test.detail)
		})
	}
}

func TestTheTemplateIsReadAsTheKubeletGivesIt(t *testing.T) {
	pod := withTemplate(t, "produce", func(o object) {
		o["outputs"] = object{"artifacts": list{object{"name": "x", "path": "/x", "s3": object{"key": "a$$b/$(date)/$"}}}}
	})
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := step.Outputs[0].Location().Key, "a$b/$(date)/$"; got != want {
		t.Errorf("key is %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range argotest.Supported() {
		pod := argotest.Pod(f, name)
		f.Add(env(initOf(pod), "ARGO_TEMPLATE").Value)
	}
	f.Add(`{"container":null,"script":{},"inputs":{"artifacts":[null]}}`)
	f.Add(`[{}]`)
	f.Fuzz(func(t *testing.T, template string) {
		pod := argotest.Pod(t, "everything")
		env(initOf(pod), "ARGO_TEMPLATE").Value = template
		step, err := argo.Parse(pod)
		if err != nil {
			if step != nil || reason.Of(err) == reason.Internal {
				t.Fatalf("Parse gives %v with %v", step, err)
			}
			return
		}
		for _, o := range step.Outputs {
			if valid := o.Location().Validate() == nil; valid != (o.Problem() == nil) {
				t.Fatalf("output %q has location %+v and problem %v", o.Name, o.Location(), o.Problem())
			}
		}
		for _, i := range step.Inputs {
			if valid := i.Location().Validate() == nil; valid != (i.Source == argo.SourceStore && i.Problem() == nil) {
				t.Fatalf("input %q has location %+v, source %q and problem %v", i.Name, i.Location(), i.Source, i.Problem())
			}
			if (i.URI() != "") != (i.Pinned() && i.Problem() == nil) {
				t.Fatalf("input %q comes from %q, has source %q and problem %v", i.Name, i.URI(), i.Source, i.Problem())
			}
		}
		// Whatever the template says, the structure's check ends.
		_ = argo.CheckStructure(pod, step, argotest.Identity())
	})
}
