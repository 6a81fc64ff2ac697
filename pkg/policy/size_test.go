package policy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// patterned are policies that have so many patterns of so many bytes between them.
func patterned(n, bytes int) []v1alpha1.ProvenancePolicy {
	var own []v1alpha1.ProvenancePolicy
	for i := range n {
		if i%64 == 0 {
			own = append(own, v1alpha1.ProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: fmt.Sprint("p", i)}})
			own[len(own)-1].Spec.Allow = &v1alpha1.Allow{}
		}
		allow := own[len(own)-1].Spec.Allow
		allow.S3 = append(allow.S3, v1alpha1.S3Input{Location: "s3://store/data/" + strings.Repeat("x", bytes-16), Content: v1alpha1.Content{AnyContent: true}})
	}
	return own
}

// The patterns of a namespace take memory by their bytes, so these have a bound, before any
// is compiled.
func TestANamespacesPatternsAreBounded(t *testing.T) {
	const at = MaxOwnPatterns / (2048 + perPattern)
	many := patterned(8*at, 2048)
	var err error
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = NewSet("team", nil, many)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; reason.Of(err) != reason.PolicyInvalid || took > 1<<20 {
		t.Errorf("%v, after %d KiB", err, took>>10)
	}
	one := many[0]
	if err := CheckOwn(&one); reason.Of(err) != reason.PolicyInvalid {
		t.Errorf("one policy: %v", err)
	}
	for name, rules := range map[string]v1alpha1.PolicyRules{
		"gcs":    {Allow: &v1alpha1.Allow{GCS: make([]v1alpha1.GCSInput, 1)}},
		"azure":  {Allow: &v1alpha1.Allow{Azure: make([]v1alpha1.AzureInput, 1)}},
		"http":   {Allow: &v1alpha1.Allow{HTTP: make([]v1alpha1.HTTPInput, 1)}},
		"git":    {Allow: &v1alpha1.Allow{Git: make([]v1alpha1.GitInput, 1)}},
		"images": {Images: make([]v1alpha1.ImageRule, 1)},
	} {
		text := strings.Repeat("x", MaxOwnPatterns+1)
		switch name {
		case "gcs":
			rules.Allow.GCS[0].Location = text
		case "azure":
			rules.Allow.Azure[0].Location = text
		case "http":
			rules.Allow.HTTP[0].URL = text
		case "git":
			rules.Allow.Git[0].Repository = text
		case "images":
			rules.Images[0].Name = text
		}
		own := []v1alpha1.ProvenancePolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "p"}, Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: rules}}}
		if _, err := NewSet("team", nil, own); err == nil || !strings.Contains(err.Error(), "together") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Twin: as many as there may be, and what is ordinary.
	for _, own := range [][]v1alpha1.ProvenancePolicy{patterned(at, 2048), patterned(400, 100)} {
		if _, err := NewSet("team", nil, own); err != nil {
			t.Error(err)
		}
	}
}

// What a set says to take is what it takes, or more.
func TestASetTakesWhatItSays(t *testing.T) {
	heap := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	for _, bytes := range []int{17, 40, 100, 900, 2048} {
		own := patterned(MaxOwnPatterns/(bytes+perPattern), bytes)
		before := heap()
		set, err := NewSet("team", nil, own)
		if err != nil {
			t.Fatal(err)
		}
		if took, says := heap()-before, set.Size(); took > says || took < says/8 {
			t.Errorf("patterns of %d bytes: it takes %d KiB and says %d", bytes, took>>10, says>>10)
		}
		runtime.KeepAlive(set)
		runtime.KeepAlive(own)
	}
}
