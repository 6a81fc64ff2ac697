package access_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	admission "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

// shipped are the objects in the chart's folder of policies.
func shipped[T runtime.Object](t *testing.T) (all []T) {
	t.Helper()
	var files []string
	for _, folder := range []string{"access", "encryption"} {
		found, err := filepath.Glob("../../../charts/argoseal-sentinel/files/" + folder + "/*.yaml")
		if err != nil || len(found) == 0 {
			t.Fatalf("files %v: %v", found, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
		for {
			doc, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			o, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode(doc, nil, nil)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if o, is := o.(T); is {
				all = append(all, o)
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("there is none")
	}
	return all
}

// TestPoliciesFailClosedAndSayWhy: an error refuses, a policy is bound, and messages
// are as package reason makes them.
func TestPoliciesFailClosedAndSayWhy(t *testing.T) {
	bound := map[string]bool{}
	for _, b := range shipped[*admission.ValidatingAdmissionPolicyBinding](t) {
		bound[b.Spec.PolicyName] = slices.Contains(b.Spec.ValidationActions, admission.Deny)
		if r := b.Spec.ParamRef; r != nil && (r.Selector == nil || len(r.Selector.MatchLabels)+len(r.Selector.MatchExpressions) > 0 || r.Namespace != "" || r.Name != "") {
			t.Errorf("%s leaves SecretAccesses out", b.Name)
		}
	}
	for _, p := range shipped[*admission.ValidatingAdmissionPolicy](t) {
		if p.Spec.FailurePolicy == nil || *p.Spec.FailurePolicy != admission.Fail {
			t.Errorf("%s does not fail closed", p.Name)
		}
		if !bound[p.Name] {
			t.Errorf("%s is not bound, or does not deny", p.Name)
		}
		for _, v := range p.Spec.Validations {
			for _, text := range []string{v.Message, strings.Trim(v.MessageExpression, "'")} {
				name, _, _ := strings.Cut(text, ":")
				code := reason.Code(name)
				if text == "" {
					continue
				}
				if !slices.Contains(reason.All(), code) || !strings.HasSuffix(text, ". "+code.Remedy()) {
					t.Errorf("%s: %q is not a reason code with its remedy", p.Name, text)
				}
			}
		}
	}
}

// TestTheControllerMayDoWhatItGives: no more than that, and nothing that would let it
// give what it has not.
func TestTheControllerMayDoWhatItGives(t *testing.T) {
	may := map[string]bool{}
	for _, role := range shipped[*rbacv1.ClusterRole](t) {
		if role.Name != "argoseal-sentinel-access" {
			continue
		}
		for _, rule := range role.Rules {
			for _, g := range rule.APIGroups {
				for _, r := range rule.Resources {
					for _, v := range rule.Verbs {
						may[g+"/"+r+" "+v] = true
					}
				}
			}
		}
	}
	want := []string{
		"/secrets argoseal-guarded", "/secrets get",
		"argoseal.dev/secretaccesses get", "argoseal.dev/secretaccesses list", "argoseal.dev/secretaccesses use",
		"argoseal.dev/secretaccesses use-limited", "argoseal.dev/secretaccesses watch",
		"argoseal.dev/secretaccesses/finalizers update", "argoseal.dev/secretaccesses/status update",
		"events.k8s.io/events create", "events.k8s.io/events patch",
	}
	for _, r := range []string{"roles", "rolebindings"} {
		for _, v := range []string{"create", "delete", "get", "list", "patch", "watch"} {
			want = append(want, "rbac.authorization.k8s.io/"+r+" "+v)
		}
	}
	for _, w := range want {
		if !may[w] {
			t.Errorf("it may not: %s", w)
		}
		delete(may, w)
	}
	for m := range may {
		t.Errorf("it may %s", m)
	}
	a := guards()
	a.Spec.Secrets[0].Get = []v1alpha1.AccessGrant{{Kind: "User", Name: "jo"}}
	a.Spec.Users, a.Spec.Controllers = a.Spec.Secrets[0].Get, a.Spec.Secrets[0].Get
	for _, pair := range access.PlanFor(a, now).Pairs {
		for _, rule := range pair.Role.Rules {
			if len(rule.ResourceNames) == 0 {
				t.Errorf("%s names nothing", pair.Role.Name)
			}
			for _, v := range rule.Verbs {
				if !slices.Contains(want, rule.APIGroups[0]+"/"+rule.Resources[0]+" "+v) {
					t.Errorf("it gives %v, and has it not", rule)
				}
			}
		}
	}
}
