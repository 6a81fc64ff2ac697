//go:build e2e

package suite

import (
	"context"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// TestScrubbingFindsWhatWasAltered: an artifact that somebody alters after its workflow has
// ended is found, and one that is as it was sealed is not accused. `make conformance`
// installs the scrubber at its end.
func TestScrubbingFindsWhatWasAltered(t *testing.T) {
	t.Parallel()
	l := cluster(t)
	if pods, err := l.PodsOf(t.Context(), lab.Scrubber); apierrors.IsNotFound(err) || err == nil && len(pods) == 0 {
		unfit(t, "Argoseal was installed without the scrubber")
	} else if err != nil {
		t.Fatal(err)
	}
	ns := namespace(t, "scrubbed", v1alpha1.ModeEnforce)
	runs := map[string]*lab.Run{}
	for _, name := range []string{"altered", "intact"} {
		runs[name] = finish(t, ns, begin(t, "shapes/directory.yaml", ns, name+"-"+ns))
		if runs[name].Phase != "Succeeded" {
			t.Fatal(runs[name])
		}
	}
	seals, err := l.Seals(t.Context(), ns, runs["altered"].UID)
	if err != nil || len(seals) != 1 {
		t.Fatalf("want one seal, got %d: %v", len(seals), err)
	}
	seal := seals[0]
	if seal.Spec.Location.Bucket != part.S3Bucket {
		t.Fatalf("it lies elsewhere: %+v", seal.Spec.Location)
	}
	before, err := l.Get(t.Context(), part.S3Bucket, seal.Spec.Location.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Put(t.Context(), seal.Spec.Location.Key, lab.Tarball("message", "trust me\n")); err != nil {
		t.Fatal(err)
	}
	waitIntact(t, &seal, metav1.ConditionFalse)
	if err := l.Put(t.Context(), seal.Spec.Location.Key, before); err != nil {
		t.Fatal(err)
	}
	waitIntact(t, &seal, metav1.ConditionTrue)
	others, err := l.Seals(t.Context(), ns, runs["intact"].UID)
	if err != nil || len(others) != 1 || len(others[0].Status.Conditions) != 0 {
		t.Errorf("want one seal that nothing is said of, got %+v, %v", others, err)
	}
	// Nobody else says what became of it, whatever RBAC gives.
	forged := seal.DeepCopy()
	forged.Status.Conditions = nil
	if err := l.Client.Status().Update(t.Context(), forged); err == nil || !apierrors.IsForbidden(err) {
		t.Errorf("a cluster admin wrote its status: %v", err)
	}
}

// waitIntact waits for the condition Intact of a seal, and reads the seal anew.
func waitIntact(t *testing.T, seal *v1alpha1.ArtifactSeal, want metav1.ConditionStatus) {
	t.Helper()
	last := "it has none"
	err := lab.Eventually(t.Context(), 3*time.Minute, func(ctx context.Context) (bool, error) {
		if err := cluster(t).Client.Get(ctx, client.ObjectKeyFromObject(seal), seal); err != nil {
			return false, err
		}
		c := meta.FindStatusCondition(seal.Status.Conditions, v1alpha1.ConditionIntact)
		if c != nil {
			last = fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
		}
		return c != nil && c.Status == want, nil
	})
	if err != nil {
		t.Fatalf("want the condition Intact to be %s, got %s: %v", want, last, err)
	}
}
