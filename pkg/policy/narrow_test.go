package policy

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/image"
)

// A namespace's policy names no producers of images but its own and those that a policy of
// the cluster's names for that namespace; and what was read of a policy is left as it was.
func TestATenantNamesNoOthersProducers(t *testing.T) {
	const own = `{images: [{name: "**", producers: [{output: manifest, namespaces: [lib], anyWorkflow: true}]}]}`
	for cluster, want := range map[string]string{
		"": "ImageUnproven",
		`{images: [{name: "other.test/**", producers: [{output: index, namespaces: [lib], anyWorkflow: true}]}]}`:                          "admitted",
		`{namespaces: [elsewhere], images: [{name: "other.test/**", producers: [{output: index, namespaces: [lib], anyWorkflow: true}]}]}`: "ImageUnproven",
		`{images: [{name: "other.test/**", producers: [{output: index, namespaces: [ci], anyWorkflow: true}]}]}`:                           "ImageUnproven",
		`{images: [{name: "other.test/**", producers: [{output: index, sameNamespace: true, anyWorkflow: true}]}]}`:                        "ImageUnproven",
		`{allow: {producers: [{namespaces: [lib], anyWorkflow: true}]}}`:                                                                   "ImageUnproven",
	} {
		mine := ownOf(t, own)
		set, err := NewSet("team", clusterOf(t, cluster), mine)
		if err != nil {
			t.Fatal(err)
		}
		if got := imageAnswer(t, set, app+"@sha256:"+digestA, manifest()); got != want {
			t.Errorf("%s: the answer is %s, want %s", cluster, got, want)
		}
		// Shown whatever Namespaces says.
		i, _ := image.Parse(app + "@sha256:" + digestA)
		k := set.Image(i, Consumer{Namespace: "team", Mode: v1alpha1.ModeEnforce, Cluster: "here"}, now)
		k.Show(manifest())
		if no := k.Refusal(); (no == nil) != (want == "admitted") {
			t.Errorf("%s: a seal that is shown is answered %v", cluster, no)
		} else if no != nil && !strings.Contains(no.Detail, "may name no others") {
			t.Errorf("%s: it does not say why: %v", cluster, no)
		}
		if mine[0].Spec.Images[0].Producers[0].Namespaces[0] != "lib" {
			t.Error("the policy itself is changed")
		}
	}
	for policy, want := range map[string]int{
		own: 1,
		`{images: [{name: "**", producers: [{output: manifest, namespaces: [team], anyWorkflow: true}, {output: manifest, sameNamespace: true, anyWorkflow: true}]}]}`: 0,
		`{images: [{name: "**", sha256: [A]}]}`: 0,
	} {
		if got := OwnWarnings(&ownOf(t, policy)[0]); len(got) != want {
			t.Errorf("%s: warnings are %q", policy, got)
		}
	}
}

// A digest that such a policy lists counts, whoever else it names.
func TestANarrowedEntryKeepsItsDigests(t *testing.T) {
	set, err := NewSet("team", nil, ownOf(t, `{images: [{name: "**", sha256: [A], producers: [{output: manifest, namespaces: [lib], anyWorkflow: true}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := imageAnswer(t, set, app+"@sha256:"+digestA); got != "admitted" {
		t.Errorf("the answer is %s", got)
	}
	if got := imageAnswer(t, set, app+"@sha256:"+digestB, of(digestB)); got != "ImageUnproven" {
		t.Errorf("another digest is %s", got)
	}
}

// The pod's own namespace is asked first: no number of others hides it.
func TestTheOwnNamespaceIsAskedFirst(t *testing.T) {
	var others []string
	for i := range 26 {
		others = append(others, strings.Repeat("a", i+1))
	}
	set, err := NewSet("team", clusterOf(t, `{images: [{name: "**", producers: [{output: manifest, namespaces: [`+strings.Join(others[:13], ", ")+`], anyWorkflow: true}, {output: manifest, namespaces: [`+strings.Join(others[13:], ", ")+`], anyWorkflow: true}, {output: manifest, sameNamespace: true, anyWorkflow: true}]}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	i, _ := image.Parse(app + "@sha256:" + digestA)
	k := set.Image(i, Consumer{Namespace: "team"}, now)
	if names := k.Namespaces(); len(names) != maxImageNamespaces || names[0] != "team" || names[1] != "a" {
		t.Errorf("asked are %v", names)
	}
	if no := k.Refusal(); no == nil || !strings.Contains(no.Detail, "not in 11 more") {
		t.Errorf("it does not say what it leaves out: %v", no)
	}
}
