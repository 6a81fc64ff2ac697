package definition_test

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/argo/graph"
)

// What a Workflow remembers of its parts is its own: another one, of the same name and UID,
// that has one word otherwise has other digests, whichever was asked first.
func TestRememberedDigestsAreTheWorkflowsOwn(t *testing.T) {
	for name, from := range map[string]func(*testing.T) (*unstructured.Unstructured, object){"a whole template": referring, "a template from elsewhere": taking} {
		t.Run(name, func(t *testing.T) {
			said := func(u *unstructured.Unstructured) (text string) {
				w := parsed(t, u)
				for range 3 {
					made, err := w.Made()
					if err != nil {
						t.Fatal(err)
					}
					now := fmt.Sprint(w.Fingerprint("artifact-passing[0].generate-artifact", nil), made, w.Settled("artifact-passing[0].generate-artifact"))
					if text != "" && now != text {
						t.Fatalf("it says %s, and then %s", text, now)
					}
					text = now
				}
				return text
			}
			is, _ := from(t)
			same, _ := from(t)
			other, template := from(t)
			template["container"].(object)["image"] = "other"
			argued, _ := from(t)
			if spec, whole := argued.Object["status"].(object)["storedWorkflowTemplateSpec"].(object); whole {
				spec["arguments"] = object{"parameters": list{object{"name": "a", "value": "b"}}}
			} else {
				argued.Object["spec"].(object)["onExit"] = "other"
			}
			if said(is) != said(same) {
				t.Error("two that are the same say different things")
			}
			if said(is) == said(other) || said(is) == said(argued) {
				t.Error("two that differ say the same")
			}
		})
	}
	// Names under which Argo files its copies are none of ours for other parts.
	if id := (graph.Copy{Template: "arguments"}).ID(); id == "arguments" {
		t.Error("a copy has the name of another part")
	}
}
