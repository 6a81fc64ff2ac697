package server

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/tag"
)

// The tag key is made once, and gets a successor once it is old, which issues
// nothing yet.
func TestTheTagKeyIsRotated(t *testing.T) {
	api, clock := fake.NewClientset(), time.Now()
	api.PrependReactor("create", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		s := action.(clienttesting.CreateAction).GetObject().(*corev1.Secret)
		s.CreationTimestamp = metav1.NewTime(clock)
		return s.Name == "", s, nil // what is asked for the time only has no name yet
	})
	secrets := api.CoreV1().Secrets("argoseal-system")
	secret := func(want int) map[string][]byte {
		t.Helper()
		s, err := secrets.Get(t.Context(), v1alpha1.SecretTagKey, metav1.GetOptions{})
		check(t, err)
		if len(s.Data) != want+1 {
			t.Fatalf("there are %d keys, want %d", len(s.Data)-1, want)
		}
		return s.Data
	}
	trust := &Trust{API: api, Namespace: "argoseal-system", Log: logr.Discard()}
	_, err := trust.makeKey(t.Context())
	check(t, err)
	s, err := secrets.Get(t.Context(), v1alpha1.SecretTagKey, metav1.GetOptions{})
	check(t, err)
	current := string(s.Data["current"])
	made := func(at time.Time) {
		s.Annotations = map[string]string{tag.AnnotationMade + current: at.UTC().Format(time.RFC3339)}
		_, err := secrets.Update(t.Context(), s, metav1.UpdateOptions{})
		check(t, err)
	}
	made(time.Now().Add(-6 * 24 * time.Hour))
	check(t, trust.loadKeys(t.Context()))
	secret(1)
	made(time.Now().Add(-8 * 24 * time.Hour))
	clock = time.Now().Add(-2 * 24 * time.Hour)
	check(t, trust.loadKeys(t.Context()))
	secret(1) // by the API server's clock it is six days old
	clock = time.Now()
	check(t, trust.loadKeys(t.Context()))
	if data := secret(2); string(data["current"]) != current {
		t.Error("the new key issues before anybody knows it")
	}
	check(t, (&Trust{API: api, Namespace: "argoseal-system", Log: logr.Discard()}).loadKeys(t.Context()))
	secret(2)
}
