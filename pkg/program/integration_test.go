//go:build integration

package program

import (
	"context"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lax is the definition of SecretAccess without what keeps out times that Go cannot read.
func lax(t *testing.T) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	raw, err := os.ReadFile("../../charts/argoseal-sentinel/files/crds/argoseal.dev_secretaccesses.yaml")
	must(t, err)
	var all map[string]any
	must(t, yaml.Unmarshal(raw, &all))
	var without func(any)
	without = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if _, is := v["pattern"].(string); is {
				delete(v, "pattern")
			}
			for _, one := range v {
				without(one)
			}
		case []any:
			for _, one := range v {
				without(one)
			}
		}
	}
	without(all)
	raw, err = yaml.Marshal(all)
	must(t, err)
	var d apiextensionsv1.CustomResourceDefinition
	must(t, yaml.Unmarshal(raw, &d))
	return &d
}

// TestAProgramThatCannotReadAnObjectIsNotReady: with a real API server. One object that Go
// cannot read stops a cache, and whoever watches the program learns of it.
func TestAProgramThatCannotReadAnObjectIsNotReady(t *testing.T) {
	env := &envtest.Environment{CRDs: []*apiextensionsv1.CustomResourceDefinition{lax(t)}}
	config, err := env.Start()
	if err != nil {
		t.Fatalf("start the API server: %v", err)
	}
	t.Cleanup(func() { must(t, env.Stop()) })
	scheme := runtime.NewScheme()
	must(t, v1alpha1.AddToScheme(scheme))
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	address := free.Addr().String()
	must(t, free.Close())

	b := Beside{MetricsAddress: "0", HealthAddress: address}
	ctx, cancel := context.WithCancel(t.Context())
	mgr, err := b.Manager(ctx, config, b.Options(scheme, ""))
	must(t, err)
	_, err = mgr.GetCache().GetInformer(ctx, &v1alpha1.SecretAccess{}, cache.BlockUntilSynced(false))
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	answers := func(path string) int {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		must(t, err)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0
		}
		must(t, response.Body.Close())
		return response.StatusCode
	}
	soon := func(what string, within time.Duration, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(within); !holds(); time.Sleep(200 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not in %s: %s", within, what)
			}
		}
	}
	soon("it is ready", 20*time.Second, func() bool { return answers("/readyz") == http.StatusOK })

	api, err := client.New(config, client.Options{Scheme: scheme})
	must(t, err)
	until := metav1.NewTime(time.Now().Add(time.Hour))
	must(t, api.Create(ctx, &v1alpha1.SecretAccess{ObjectMeta: metav1.ObjectMeta{Name: "good", Namespace: "default"}, Spec: v1alpha1.SecretAccessSpec{
		Secrets: []v1alpha1.GuardedSecret{{Name: "s", Mount: []v1alpha1.MountGrant{{ServiceAccount: "a", Until: &until}}}},
	}}))
	for end := time.Now().Add(patience + 5*time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		if code := answers("/readyz"); code != http.StatusOK {
			t.Fatalf("beside an object that it can read it answers %d", code)
		}
	}
	bad := &unstructured.Unstructured{}
	must(t, yaml.Unmarshal([]byte(`{apiVersion: argoseal.dev/v1alpha1, kind: SecretAccess, metadata: {name: bad, namespace: default},
		spec: {secrets: [{name: s, mount: [{serviceAccount: a, until: "2027-01-01t00:00:00z"}]}]}}`), &bad.Object))
	must(t, api.Create(ctx, bad))
	soon("it is not ready", patience+time.Minute, func() bool { return answers("/readyz") == http.StatusInternalServerError })
	if code := answers("/healthz"); code != http.StatusOK {
		t.Errorf("it does not live any more: %d", code) // to start anew would change nothing
	}
}
