package notary

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/tag"
)

// testdata/v1 has finished pods with the tags, containers and measurements that the
// code of commit 1170783 gave them. They are never recorded anew: an upgrade costs
// the pods that it finds running nothing.
func TestPodsThatThePredecessorAdmittedAreSealed(t *testing.T) {
	keys, err := tag.ParseKeys(tag.WithKey(nil, "0123456789abcdef", []byte(strings.Repeat("k", 32))))
	must(t, err)
	for name, inputs := range map[string]int{"producer": 0, "consumer": 1} {
		t.Run(name, func(t *testing.T) {
			s := producer(t)
			s.pod, s.workflow = &corev1.Pod{}, &unstructured.Unstructured{}
			load(t, "v1/"+name, s.pod)
			load(t, "v1/workflow", &s.workflow.Object)
			s.rules.Tags = keys
			facts, noted, err := s.rules.facts(s.witness(t))
			must(t, err)
			if len(noted) != 1 || len(facts.Subjects) != 1 || facts.Subjects[0].Size != 151 || len(facts.Inputs) != inputs {
				t.Errorf("outputs %+v, subjects %+v, inputs %+v", noted, facts.Subjects, facts.Inputs)
			}
			if _, err := provenance.Build(facts); err != nil {
				t.Error(err)
			}
		})
	}
}
