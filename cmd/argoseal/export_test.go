package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestSealsAreExportedOnce(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	record := func(namespace, name, bundle string, age time.Duration) *v1alpha1.Provenance {
		return &v1alpha1.Provenance{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))},
			Status:     v1alpha1.ProvenanceStatus{Bundle: bundle},
		}
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&v1alpha1.WorkflowProvenance{
			ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "w-1", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))},
			Spec:       v1alpha1.WorkflowProvenanceSpec{Workflow: v1alpha1.ObjectRef{Name: "w", UID: "w-1"}},
			Status:     v1alpha1.WorkflowProvenanceStatus{Bundle: "the whole", Summary: "its summary"},
		},
		record("a", "u-1", "bundle 1", time.Hour), record("a", "u-2", "bundle 2", time.Minute), record("b", "u-3", "bundle 3", time.Hour), record("a", "u-4", "", time.Hour),
	).Build()
	folder := t.TempDir()
	o := exportOptions{to: folder, namespace: "a", olderThan: 30 * time.Minute}
	for range 2 {
		if n, err := o.export(t.Context(), api, io.Discard, now); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	o = exportOptions{to: folder}
	if n, err := o.export(t.Context(), api, io.Discard, now); n != 5 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*", "*"))
	if err != nil || len(files) != 5 {
		t.Fatalf("there are %v, %v", files, err)
	}
	for name, want := range map[string]string{"w-1.workflow": "the whole", "w-1.summary": "its summary"} {
		if got, err := os.ReadFile(filepath.Join(folder, "b", name+".sigstore.json")); err != nil || string(got) != want {
			t.Errorf("%s has %q, %v", name, got, err)
		}
	}
	var again v1alpha1.WorkflowProvenance
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: "b", Name: "w-1"}, &again); err != nil {
		t.Fatal(err)
	}
	again.Status.Bundle = "the whole, and more"
	if err := api.Update(t.Context(), &again); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := o.export(t.Context(), api, io.Discard, now); n != 5 || err != nil {
			t.Fatalf("once it was stated anew: %d, %v", n, err)
		}
	}
	if files, err := filepath.Glob(filepath.Join(folder, "b", "w-1.workflow*")); err != nil || len(files) != 2 {
		t.Errorf("of the workflow there are %v, %v", files, err)
	}
	if _, err := (exportOptions{to: folder, namespace: "nobody"}).export(t.Context(), api, io.Discard, now); reason.Of(err) != reason.UsageInvalid {
		t.Errorf("a namespace without seals: %v", err)
	}
	third := filepath.Join(folder, "b", "u-3.sigstore.json")
	if got, err := os.ReadFile(third); err != nil || !bytes.Equal(got, []byte("bundle 3")) {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.WriteFile(third, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := o.export(t.Context(), api, io.Discard, now); reason.Of(err) != reason.BundleInvalid {
		t.Errorf("a file that differs: %v", err)
	}
	if got, _ := os.ReadFile(third); string(got) != "another" {
		t.Error("it was overwritten")
	}
}

// forgetful is an API server of two pages, which has forgotten by the second how things were.
type forgetful struct {
	client.Reader
	// forgets says how often it has forgotten; without a token it does not say where to go on.
	forgets int
	token   string
}

func (f *forgetful) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	page, are := list.(*v1alpha1.ProvenanceList)
	if !are {
		return nil // there are no workflows
	}
	if o.Continue != "" && f.forgets > 0 {
		f.forgets--
		err := apierrors.NewResourceExpired("the continue parameter is too old")
		err.ErrStatus.Continue = f.token
		return err
	}
	name := map[string]string{"": "first", "then": "second", "now": "second"}[o.Continue]
	page.Items = []v1alpha1.Provenance{{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Status: v1alpha1.ProvenanceStatus{Bundle: name}}}
	if name == "first" {
		page.Continue = "then"
	}
	return nil
}

// Whoever has so many records that the API server forgets meanwhile gets them all, and is told.
func TestAListThatTakesLongGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		api  forgetful
		want string
		told bool
	}{
		"at once":         {forgetful{}, "first second ", false},
		"forgotten":       {forgetful{forgets: 1, token: "now"}, "first second ", true},
		"again and again": {forgetful{forgets: 9, token: "now"}, "first ", true},
		"nobody says how": {forgetful{forgets: 1}, "first ", false},
	} {
		t.Run(name, func(t *testing.T) {
			var told strings.Builder
			cmd := &cobra.Command{}
			cmd.SetContext(t.Context())
			cmd.SetErr(&told)
			api, got := c.api, ""
			err := (&traceOptions{}).each(cmd, &api, func(p *v1alpha1.Provenance) error {
				got += p.Name + " "
				return nil
			})
			if whole := strings.HasSuffix(c.want, "second "); got != c.want || (err == nil) != whole || (told.Len() > 0) != c.told {
				t.Errorf("it looked at %s, said %q and ended with %v", got, told.String(), err)
			}
			api = c.api
			n, err := exportOptions{to: t.TempDir()}.export(t.Context(), &api, io.Discard, time.Now())
			if n != strings.Count(c.want, " ") || (err == nil) != strings.HasSuffix(c.want, "second ") {
				t.Errorf("%d are exported, %v", n, err)
			}
		})
	}
}
