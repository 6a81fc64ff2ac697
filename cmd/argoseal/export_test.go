package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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
		record("a", "u-1", "bundle 1", time.Hour), record("a", "u-2", "bundle 2", time.Minute), record("b", "u-3", "bundle 3", time.Hour), record("a", "u-4", "", time.Hour),
	).Build()
	folder := t.TempDir()
	o := exportOptions{to: folder, namespace: "a", olderThan: 30 * time.Minute}
	for range 2 {
		if n, err := o.export(t.Context(), api, now); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	o = exportOptions{to: folder}
	if n, err := o.export(t.Context(), api, now); n != 3 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*", "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("there are %v, %v", files, err)
	}
	third := filepath.Join(folder, "b", "u-3.sigstore.json")
	if got, err := os.ReadFile(third); err != nil || !bytes.Equal(got, []byte("bundle 3")) {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.WriteFile(third, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := o.export(t.Context(), api, now); reason.Of(err) != reason.BundleInvalid {
		t.Errorf("a file that differs: %v", err)
	}
	if got, _ := os.ReadFile(third); string(got) != "another" {
		t.Error("it was overwritten")
	}
}
