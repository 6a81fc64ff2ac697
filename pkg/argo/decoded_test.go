package argo_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
)

// A template that is remembered is as its text says, whatever was asked of it since, and a
// step that is read from it is the same.
func TestATemplateThatIsRememberedIsAsItsTextSays(t *testing.T) {
	for _, name := range argotest.Supported() {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, name)
			text := env(initOf(pod), "ARGO_TEMPLATE").Value
			first, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			wf := argotest.Owner(t, pod)
			step := first.WithLogs().DefinedBy(wf)
			_ = argo.CheckStructure(pod, step, argotest.Identity())
			_ = argo.Warnings(pod, step)
			if _, err := argo.Altered(pod, step, wf); err != nil {
				t.Fatal(err)
			}
			for i := range step.Inputs {
				step.Inputs[i].Name = "changed"
			}
			for i := range step.Outputs {
				step.Outputs[i].Name = "changed"
			}
			known, err := argo.TemplateOf(pod.Namespace, text)
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := argo.TemplateOf(pod.Namespace, text); len(text) < 16<<10 && again != known {
				t.Error("it is not remembered")
			}
			fresh, err := argo.DecodeTemplate(text)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(known, fresh) {
				t.Errorf("what is remembered is %+v, its text says %+v", known, fresh)
			}
			// What one caller does to a step's lists is not another's.
			one, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			other := pod.DeepCopy()
			env(initOf(other), "ARGO_TEMPLATE").Value = " " + text // read anew
			two, err := argo.Parse(other)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(one.Inputs, two.Inputs) || !reflect.DeepEqual(one.Outputs, two.Outputs) || one.Kind != two.Kind || one.Template != two.Template || one.ScriptSHA256 != two.ScriptSHA256 {
				t.Errorf("from what is remembered the step is %+v, read anew %+v", one, two)
			}
		})
	}
}

// One that differs in anything is another one, and what cannot be read is remembered by
// nobody.
func TestOnlyTheVeryTextIsRemembered(t *testing.T) {
	text := func(name string) string {
		return fmt.Sprintf(`{"name":%q,"container":{"image":"i"},"inputs":{},"outputs":{},"metadata":{}}`, name)
	}
	one, err := argo.TemplateOf("remembered", text("a"))
	if err != nil {
		t.Fatal(err)
	}
	for namespace, other := range map[string]string{"remembered": text("b"), "elsewhere": text("c"), "": text("A")} {
		got, err := argo.TemplateOf(namespace, other)
		if fresh, _ := argo.DecodeTemplate(other); err != nil || got == one || !reflect.DeepEqual(got, fresh) {
			t.Errorf("%s gives %+v, %v", other, got, err)
		}
	}
	for range 2 {
		for _, bad := range []string{"", "{", `{"name":"a","NAME":"b"}`, `{"unknown":1}`, strings.Replace(text("a"), `"inputs"`, `"outputs"`, 1)} {
			if got, err := argo.TemplateOf("remembered", bad); err == nil {
				t.Errorf("%s gives %+v", bad, got)
			}
		}
	}
	long := text(strings.Repeat("x", 16<<10))
	a, _ := argo.TemplateOf("remembered", long)
	if b, err := argo.TemplateOf("remembered", long); err != nil || a == b {
		t.Errorf("a long one is remembered, or is not read: %v", err)
	}
}

// Whoever has many templates read forgets some of others', and holds no more memory.
func TestTemplatesAreForgotten(t *testing.T) {
	text := func(i int) string {
		return fmt.Sprintf(`{"name":"t-%d","container":{"image":%q},"inputs":{},"outputs":{},"metadata":{}}`, i, strings.Repeat("i", 4<<10))
	}
	first, err := argo.TemplateOf("many", text(0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := argo.TemplateOf("many", text(1+i)); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := argo.TemplateOf("many", text(0)); err != nil || again == first {
		t.Errorf("after a hundred others it is remembered still, or %v", err)
	}
}
