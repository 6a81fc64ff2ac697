package definition

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const written = `{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow",
 "metadata":{"name":"w","namespace":"n","uid":"u","creationTimestamp":"2026-11-21T10:00:00Z","labels":{"a":"b"}},
 "spec":{"entrypoint":"main","arguments":{"parameters":[{"name":"p","value":1.50},{"name":"q","value":7}]},"templates":[{"name":"main","container":{"image":"i"}}]},
 "status":{"phase":"Running","nodes":{"x":{"id":"x"}},"storedTemplates":{"namespaced/t/x":{"name":"x","container":{"image":"j"}}}}}`

func essenceOf(t *testing.T, raw string) *Essence {
	t.Helper()
	e, err := ReadEssence([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAnEssenceSaysWhatItsWorkflowSays(t *testing.T) {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(written)); err != nil {
		t.Fatal(err)
	}
	want, err := Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	got, err := essenceOf(t, written).Parse()
	if err != nil {
		t.Fatal(err)
	}
	if got.Fingerprint("w", nil) != want.Fingerprint("w", nil) || got.HasCopies() != want.HasCopies() || !got.Created.Equal(want.Created) ||
		got.Name != want.Name || got.Namespace != want.Namespace || got.UID != want.UID {
		t.Errorf("it says %+v, want %+v", got, want)
	}
	if _, kept := got.status()["nodes"]; kept {
		t.Error("the nodes are kept")
	}
}

func TestEssencesThatSayOtherThingsHaveOtherDigests(t *testing.T) {
	change := func(f func(map[string]any)) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(written), &m); err != nil {
			t.Fatal(err)
		}
		f(m)
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	plain := essenceOf(t, change(func(map[string]any) {}))
	first, _ := plain.Digest()
	if same, _ := essenceOf(t, change(func(m map[string]any) { m["status"].(map[string]any)["nodes"] = nil })).Digest(); same != first {
		t.Error("what a node says changes the digest")
	}
	for name, f := range map[string]func(map[string]any){
		"another UID":         func(m map[string]any) { m["metadata"].(map[string]any)["uid"] = "v" },
		"another name":        func(m map[string]any) { m["metadata"].(map[string]any)["name"] = "v" },
		"another namespace":   func(m map[string]any) { m["metadata"].(map[string]any)["namespace"] = "v" },
		"another creation":    func(m map[string]any) { m["metadata"].(map[string]any)["creationTimestamp"] = "2026-11-21T10:00:01Z" },
		"another spec":        func(m map[string]any) { m["spec"].(map[string]any)["entrypoint"] = "v" },
		"no copies":           func(m map[string]any) { delete(m["status"].(map[string]any), "storedTemplates") },
		"copies that are nil": func(m map[string]any) { m["status"].(map[string]any)["storedTemplates"] = nil },
		"a whole spec copied": func(m map[string]any) { m["status"].(map[string]any)["storedWorkflowTemplateSpec"] = map[string]any{} },
		"copies as a spec": func(m map[string]any) {
			s := m["status"].(map[string]any)
			s["storedWorkflowTemplateSpec"] = s["storedTemplates"]
			delete(s, "storedTemplates")
		},
	} {
		if other, err := essenceOf(t, change(f)).Digest(); err != nil || other == first {
			t.Errorf("%s: the same digest, %v", name, err)
		}
	}
	// A field that only looks like another is none.
	if e := essenceOf(t, change(func(m map[string]any) { m["Spec"] = m["spec"]; delete(m, "spec") })); e.Spec != nil {
		t.Error("Spec is spec")
	}
}
