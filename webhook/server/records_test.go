package server

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
)

func records(t *testing.T) *Records {
	t.Helper()
	r := NewRecords()
	r.provenances = synced{indexer: cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)}
	r.seals = synced{indexer: cache.NewIndexer(cache.MetaNamespaceKeyFunc, sealIndexers())}
	return r
}

func TestARecordIsKeptWithoutWhatIsLargeInIt(t *testing.T) {
	r := records(t)
	large := strings.Repeat("x", 1000)
	abridged, err := r.abridge(&v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "p", UID: "u", ResourceVersion: "1", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: large}}},
		Status: v1alpha1.ProvenanceStatus{
			Bundle: "bundle", Envelope: large, Outputs: []v1alpha1.OutputStatus{{Name: "o", Files: large}},
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed}},
		},
	})
	check(t, err)
	check(t, r.provenances.GetIndexer().Add(abridged))
	got, err := r.Provenance(t.Context(), ns, "p")
	check(t, err)
	s := got.Status
	if s.Bundle != "bundle" || s.Envelope != "" || s.Outputs[0].Files != "" || len(s.Conditions) != 1 || got.ManagedFields != nil {
		t.Errorf("it is %+v", got)
	}
	// What comes later has another bundle, or none yet.
	got.ResourceVersion, got.Status.Bundle = "2", ""
	abridged, err = r.abridge(got)
	check(t, err)
	check(t, r.provenances.GetIndexer().Update(abridged))
	if got, err = r.Provenance(t.Context(), ns, "p"); err != nil || got.Status.Bundle != "" {
		t.Errorf("it has the bundle of what it was before: %+v, %v", got, err)
	}
	check(t, r.provenances.GetIndexer().Delete(got))
	if got, err := r.Provenance(t.Context(), ns, "p"); got != nil || err != nil {
		t.Errorf("one that is gone is %+v, %v", got, err)
	}
}

func TestSealsAreFoundByTheirLabels(t *testing.T) {
	r := records(t)
	for name, of := range map[string]labels.Set{
		"a": {layout.LabelWorkflow: "w", v1alpha1.LabelLocation: "x"},
		"b": {layout.LabelWorkflow: "w", v1alpha1.LabelLocation: "y"},
		"c": {layout.LabelWorkflow: "v", v1alpha1.LabelLocation: "x"},
		"d": {},
	} {
		check(t, r.seals.GetIndexer().Add(&v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: of}}))
		check(t, r.seals.GetIndexer().Add(&v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: name, Labels: of}}))
	}
	for _, c := range []struct {
		of   labels.Set
		want []string
	}{
		{labels.Set{layout.LabelWorkflow: "w"}, []string{"a", "b"}},
		{labels.Set{v1alpha1.LabelLocation: "x"}, []string{"a", "c"}},
		{labels.Set{layout.LabelWorkflow: "w", v1alpha1.LabelLocation: "x"}, []string{"a"}},
		{labels.Set{layout.LabelWorkflow: "none"}, nil},
	} {
		found, err := r.Seals(t.Context(), ns, c.of)
		check(t, err)
		var got []string
		for _, s := range found {
			if s.Namespace != ns {
				t.Errorf("%v: one of namespace %s", c.of, s.Namespace)
			}
			got = append(got, s.Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.of, got, c.want)
		}
	}
}

func TestBeforeTheRecordsAreListedThereIsNoAnswer(t *testing.T) {
	for name, spoil := range map[string]func(*Records){
		"nothing is watched":     func(r *Records) { *r = *NewRecords() },
		"provenances are not":    func(r *Records) { r.provenances = synced{r.provenances.GetIndexer(), true} },
		"artifact seals are not": func(r *Records) { r.seals = synced{r.seals.GetIndexer(), true} },
	} {
		r := records(t)
		spoil(r)
		_, one := r.Provenance(t.Context(), ns, "p")
		_, two := r.Seal(t.Context(), ns, "s")
		_, three := r.Seals(t.Context(), ns, labels.Set{layout.LabelWorkflow: "w"})
		if one == nil || two == nil || three == nil || r.Ready(nil) == nil {
			t.Errorf("%s: %v, %v, %v", name, one, two, three)
		}
	}
}
