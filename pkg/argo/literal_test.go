package argo_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Steps leave it to the kubelet to replace $(NAME) in main. What init and wait read
// is the template as Argo wrote it.
func TestReferencesArriveAtArgoAsTheyAre(t *testing.T) {
	const word = "hello world"
	for reference, text := range map[string]string{
		"$(MY_SVC_SERVICE_HOST):$(MY_SVC_SERVICE_PORT)": "$(MY_SVC_SERVICE_HOST):$(MY_SVC_SERVICE_PORT)",
		"$(ARGO_NODE_ID) of its own":                    "$(ARGO_NODE_ID) of its own",
		"$$$(DB_PORT) after a dollar":                   "$$(DB_PORT) after a dollar",
		"$$HOME, $(date), $(DB_PORT), $(open":           "$HOME, $(date), $(DB_PORT), $(open",
		`\\u0024(DB_PORT) is no $(DB_PORT)`:             `\\u0024(DB_PORT) is no $(DB_PORT)`,
	} {
		t.Run(reference, func(t *testing.T) {
			pod, _ := argotest.Parsed(t, "produce")
			wf := argotest.Owner(t, pod)
			v := templateOf(t, pod)
			if v.Value = strings.Replace(v.Value, word, reference, 1); !strings.Contains(v.Value, reference) {
				t.Fatal("the template does not have the word")
			}
			main := mainOf(pod)
			for i, arg := range main.Args {
				main.Args[i] = strings.Replace(arg, word, strings.ReplaceAll(reference, `\\`, `\`), 1)
			}
			if _, err := argo.Parse(pod); reason.Of(err) != reason.TemplateInvalid {
				t.Errorf("it is not refused as Argo made it: %v", err)
			}
			before := pod.DeepCopy()
			literal := argo.Literal(pod)
			if !equality.Semantic.DeepEqual(pod, before) {
				t.Error("the pod itself has changed")
			}
			step, err := argo.Parse(literal)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Replace(templateOf(t, before).Value, reference, text, 1); step.TemplateDigest != artifact.DigestOfText(want) {
				t.Error("init reads another template than Argo wrote")
			}
			argo.HandTemplate(literal, step)
			if err := argo.CheckStructure(literal, step, argotest.Identity()); err != nil {
				t.Error(err)
			}
			if !slices.Equal(mainOf(literal).Args, main.Args) {
				t.Errorf("main has the arguments %q", mainOf(literal).Args)
			}
			if got := altered(t, literal, wf); len(got) > 0 {
				t.Errorf("overridden: %q", got)
			}
			mainOf(literal).Args = append(mainOf(literal).Args, "evil")
			if got := altered(t, literal, wf); len(got) == 0 {
				t.Error("another argument is not seen")
			}
			if again := argo.Literal(literal); again != literal {
				t.Error("the second time something changes")
			}
		})
	}
}

// A template has one reading, whatever Literal wrote in it: what its containers have
// with one dollar less, or more, is not what it gives them.
func TestATemplateWithReferencesHasOneReading(t *testing.T) {
	const says = "$(DB_PORT) $$(NOW)"
	for has, want := range map[string]bool{
		says:                 true,
		"$(DB_PORT) $(NOW)":  false,
		"$$(DB_PORT) $(NOW)": false, "$$(DB_PORT) $$(NOW)": false,
	} {
		pod := argotest.Pod(t, "produce")
		wf := argotest.Owner(t, pod)
		v := templateOf(t, pod)
		v.Value = strings.Replace(v.Value, "hello world", says, 1)
		main := mainOf(pod)
		for i, arg := range main.Args {
			main.Args[i] = strings.Replace(arg, "hello world", has, 1)
		}
		literal := argo.Literal(pod)
		if templateOf(t, literal).Value == v.Value {
			t.Fatal("nothing was written otherwise")
		}
		if got := altered(t, literal, wf); (len(got) == 0) != want {
			t.Errorf("main with %q is overridden in %q", has, got)
		}
	}
}

// What the kubelet leaves alone is not touched, nor what Argo did not write.
func TestLiteralLeavesWhatIsLiteral(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *corev1.Pod){
		"as it is": func(*testing.T, *corev1.Pod) {},
		"with a command": func(t *testing.T, p *corev1.Pod) {
			v := templateOf(t, p)
			v.Value = strings.Replace(v.Value, "hello world", "$(date)", 1)
		},
		"without init":     func(_ *testing.T, p *corev1.Pod) { p.Spec.InitContainers = nil },
		"without template": func(t *testing.T, p *corev1.Pod) { templateOf(t, p).Name = "X" },
	} {
		pod := argotest.Pod(t, "produce")
		change(t, pod)
		if argo.Literal(pod) != pod {
			t.Errorf("%s: it has changed", name)
		}
	}
	pod := argotest.Pod(t, "produce")
	v := templateOf(t, pod)
	v.Value = strings.Replace(v.Value, "hello world", "$(DB_PORT)", 1)
	waitOf(pod).Env = append(waitOf(pod).Env, corev1.EnvVar{Name: "ARGO_TEMPLATE", Value: v.Value + " "})
	literal := argo.Literal(pod)
	if got := env(waitOf(literal), "ARGO_TEMPLATE").Value; got != v.Value+" " {
		t.Errorf("wait's other template has become %q", got)
	}
}
