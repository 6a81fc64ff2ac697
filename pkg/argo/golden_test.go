package argo_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestEveryPodOfArgoHasAVerdict(t *testing.T) {
	refused := map[string]struct {
		code   reason.Code
		detail string
	}{
		"agent":       {reason.UnsupportedPod, "Argo's agent"},
		"artifact-gc": {reason.UnsupportedPod, "Argo's artifact-gc"},
		"data":        {reason.UnsupportedPod, "data template"},
		"offloaded":   {reason.TemplateOffloaded, "ConfigMap"},
	}
	for _, name := range argotest.All(t) {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, name)
			if !argo.LooksLike(pod) {
				t.Error("LooksLike says it is not Argo's")
			}
			step, err := argo.Parse(pod)
			if want, found := refused[name]; found {
				wantRefusal(t, err, want.code, want.detail)
				return
			}
			if !slices.Contains(argotest.Supported(), name) {
				t.Fatal("the pod is neither supported nor refused")
			}
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			if err := step.Genuine(argotest.Controller, argotest.Owner(t, pod), argotest.Identity()); err != nil {
				t.Errorf("Genuine: %v", err)
			}
			if err := argo.CheckStructure(pod, step, argotest.Identity()); err != nil {
				t.Errorf("CheckStructure: %v", err)
			}
		})
	}
}

func TestWhatStepsSayAboutThemselves(t *testing.T) {
	tests := map[string]struct {
		kind            argo.Kind
		template        string
		inputs, outputs []string
	}{
		"produce": {argo.KindContainer, "hello-world-to-file", nil, []string{
			"hello-art s3://s3.argo.svc:7070/artifacts/artifact-passing/artifact-passing-hello-world-to-file-2947538355/hello-art.tgz",
		}},
		"consume": {argo.KindContainer, "print-message-from-file", []string{
			"message store s3://s3.argo.svc:7070/artifacts/artifact-passing/artifact-passing-hello-world-to-file-2947538355/hello-art.tgz",
		}, nil},
		"script": {argo.KindScript, "main", nil, []string{"out s3://s3.argo.svc:7070/artifacts/script/script/out.tgz"}},
		"everything": {argo.KindContainer, "main", []string{"inline raw", "maybe absent", "on-volume raw"}, []string{
			"tree s3://s3.argo.svc:7070/artifacts/everything/everything/tree.tgz",
			"plain-file s3://s3.argo.svc:7070/artifacts/everything/everything/inline.conf as none",
			"zipped s3://s3.argo.svc:7070/artifacts/everything/everything/zipped.zip as zip",
			"on-volume s3://s3.argo.svc:7070/artifacts/everything/everything/on-volume.tgz on scratch",
			"keyed s3://s3.argo.svc:7070/artifacts/reports/everything/keyed.tgz",
			"absent s3://s3.argo.svc:7070/artifacts/everything/everything/absent.tgz",
		}},
		"restricted":     {argo.KindContainer, "main", nil, []string{"out s3://s3.argo.svc:7070/artifacts/restricted/restricted/out.tgz"}},
		"executor-image": {argo.KindContainer, "main", nil, nil},
		"container-set":  {argo.KindContainerSet, "main", nil, []string{"x s3://s3.argo.svc:7070/artifacts/container-set/container-set/x.tgz"}},
		"resource":       {argo.KindResource, "main", nil, nil},
		"on-exit":        {argo.KindContainer, "bye", nil, nil},
		"no-main":        {argo.KindContainerSet, "main", nil, nil},
		"daemon": {argo.KindContainer, "main", []string{"config store s3://s3.argo.svc:7070/artifacts/team/config.tgz"}, []string{
			"dump DaemonUnsupported",
		}},
		"executor-user": {argo.KindContainer, "main", []string{"message store s3://s3.argo.svc:7070/artifacts/team/message.tgz"}, []string{
			"out s3://s3.argo.svc:7070/artifacts/executor-user/executor-user/out.tgz",
		}},
		"on-mount": {argo.KindContainer, "main", []string{"sealed store s3://s3.argo.svc:7070/artifacts/team/input.tgz", "note raw"}, []string{
			"out s3://s3.argo.svc:7070/artifacts/on-mount/on-mount/out.tgz on mnt",
		}},
		"own-archive": {argo.KindContainer, "main", []string{"keyed store s3://other.example:9000/data/team/keyed.tgz"}, []string{
			"plain s3://other.example:9000/data/own/own-archive/plain.tgz",
			"keyed s3://other.example:9000/data/reports/keyed.tgz",
		}},
		"same-path": {argo.KindContainer, "main", []string{
			"samedir store s3://s3.argo.svc:7070/artifacts/team/samedir.tgz", "hello store s3://s3.argo.svc:7070/artifacts/team/hello.tgz", "absent absent",
		}, []string{
			"outer s3://s3.argo.svc:7070/artifacts/same-path/same-path/outer.tgz on input-artifacts",
			"inner s3://s3.argo.svc:7070/artifacts/same-path/same-path/inner.zip as zip on input-artifacts",
			"hello s3://s3.argo.svc:7070/artifacts/same-path/same-path/hello.tgz on input-artifacts",
			"beside s3://s3.argo.svc:7070/artifacts/same-path/same-path/beside.tgz",
			"absent s3://s3.argo.svc:7070/artifacts/same-path/same-path/absent.tgz",
			"bare s3://s3.argo.svc:7070/artifacts/same-path/same-path/bare as none on input-artifacts there",
		}},
		"stores": {argo.KindContainer, "main", []string{
			"keyed store s3://s3.argo.svc:7070/artifacts/team/keyed.tgz",
			"elsewhere store s3://other.example:9000/data/sets/elsewhere.tgz",
			"half store s3://s3.argo.svc:7070/artifacts/team/half.tgz",
		}, []string{
			"plain s3://s3.argo.svc:7070/artifacts/stores/stores/plain.tgz",
			"keyed s3://s3.argo.svc:7070/artifacts/reports/stores/keyed.tgz",
			"elsewhere s3://other.example:9000/data/made/elsewhere.tgz",
			"half s3://s3.argo.svc:7070/artifacts/made/half.tgz",
			"keyless s3://s3.argo.svc:7070/artifacts/stores/stores/keyless.tgz",
		}},
		"workspace": {argo.KindContainerSet, "main", []string{"source store s3://s3.argo.svc:7070/artifacts/team/source.tgz"}, []string{
			"built s3://s3.argo.svc:7070/artifacts/workspace/workspace/built.tgz on workspace",
			"log s3://s3.argo.svc:7070/artifacts/workspace/workspace/log.tgz",
		}},
		"retried": {argo.KindContainer, "work", nil, []string{"num s3://s3.argo.svc:7070/artifacts/nested/nested-work-4233083134/num.tgz"}},
	}
	if len(tests) != len(argotest.Supported()) {
		t.Errorf("%d pods are tested, %d are supported", len(tests), len(argotest.Supported()))
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			pod, step := argotest.Parsed(t, name)
			if step.Kind != want.kind || step.Template != want.template {
				t.Errorf("kind %q, template %q; want %q, %q", step.Kind, step.Template, want.kind, want.template)
			}
			if step.Namespace != pod.Namespace || step.Pod != pod.Name || step.Workflow != pod.OwnerReferences[0].Name ||
				step.WorkflowUID != string(pod.OwnerReferences[0].UID) || step.NodeName == "" || step.NodeID == "" || len(step.TemplateDigest) != 64 {
				t.Errorf("the step says %+v", step)
			}
			if diff := cmp.Diff(want.inputs, inputs(step)); diff != "" {
				t.Errorf("inputs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.outputs, outputs(step)); diff != "" {
				t.Errorf("outputs (-want +got):\n%s", diff)
			}
		})
	}
}

// inputs spells the inputs of a step: name, source, and location or problem,
// and the archive strategy if there is one.
func inputs(s *argo.Step) []string {
	var list []string
	for _, i := range s.Inputs {
		words := []string{i.Name, string(i.Source)}
		if i.Problem() != nil {
			words = append(words, string(i.Problem().Code))
		} else if i.Pinned() {
			words = append(words, i.URI())
			if i.Archive() != content.ArchiveDetect {
				words = append(words, "by", string(i.Archive()))
			}
		}
		list = append(list, strings.Join(words, " "))
	}
	return list
}

// outputs spells the outputs of a step: name, and location or problem, the
// archive strategy if it is not Argo's default, and the volume if any.
func outputs(s *argo.Step) []string {
	var list []string
	for _, o := range s.Outputs {
		if o.Problem() != nil {
			list = append(list, o.Name+" "+string(o.Problem().Code))
		} else {
			words := []string{o.Name, o.Location().URI()}
			if o.Archive() != content.ArchiveTar {
				words = append(words, "as", string(o.Archive()))
			}
			if o.Volume() != "" {
				words = append(words, "on", o.Volume())
			}
			switch o.Place() {
			case measurement.PlacePacked:
				words = append(words, "packed")
			case measurement.PlaceVolume:
				words = append(words, "there")
			}
			list = append(list, strings.Join(words, " "))
		}
	}
	return list
}

// wantRefusal wants a refusal with this code whose detail has these words.
func wantRefusal(t *testing.T, err error, code reason.Code, detail string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it is admitted, want %s: %s", code, detail)
	}
	if reason.Of(err) != code || !strings.Contains(err.Error(), detail) {
		t.Errorf("it is refused with %q, want code %s and the words %q", err, code, detail)
	}
}

// withTemplate gives a pod whose ARGO_TEMPLATE was changed.
func withTemplate(t *testing.T, name string, change func(template map[string]any)) *corev1.Pod {
	t.Helper()
	pod := argotest.Pod(t, name)
	v := templateOf(t, pod)
	var template map[string]any
	if err := json.Unmarshal([]byte(v.Value), &template); err != nil {
		t.Fatal(err)
	}
	change(template)
	text, err := json.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	v.Value = string(text)
	return pod
}

// templateOf gives the ARGO_TEMPLATE of init.
func templateOf(t *testing.T, pod *corev1.Pod) *corev1.EnvVar {
	t.Helper()
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		for j := range c.Env {
			if c.Name == "init" && c.Env[j].Name == "ARGO_TEMPLATE" {
				return &c.Env[j]
			}
		}
	}
	t.Fatal("the pod has no ARGO_TEMPLATE")
	return nil
}

// replaceOnce replaces what has to be there.
func replaceOnce(t *testing.T, text, old, with string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("%s is not in %s", old, text)
	}
	return strings.Replace(text, old, with, 1)
}

// A data template that stores nothing makes a list and no artifact.
func TestADataTemplateWithoutArtifactsIsAStep(t *testing.T) {
	pod := withTemplate(t, "data", func(o object) { delete(o, "outputs") })
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	if err := argo.CheckStructure(pod, step, argotest.Identity()); err != nil || step.Kind != argo.KindData {
		t.Errorf("kind %s: %v", step.Kind, err)
	}
	main := mainOf(pod)
	main.Command[slices.Index(main.Command, "data")] = "resource"
	wantRefusal(t, argo.CheckStructure(pod, step, argotest.Identity()), reason.EmissaryAltered, "does not run argoexec data")
}
