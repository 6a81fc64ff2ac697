//go:build integration

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tuf/tuftest"
)

// follower is whom the chart has follow a TUF repository.
const follower = "system:serviceaccount:argoseal-system:argoseal-tuf"

// The command keeps a trusted root up to date on a real API server, with the rights that the
// chart gives it, under the guard of the chart: they let it do that, and nothing else.
func TestTheTrustedRootFollowsARepository(t *testing.T) {
	admin := startAPIServer(t)
	must(t, admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "argoseal-system"}}))
	for _, object := range rendered(t) {
		must(t, admin.Create(t.Context(), object))
	}
	config, scheme, err := connect()
	must(t, err)
	limited := actingAs(t, config)
	api, err := client.New(limited, client.Options{Scheme: scheme})
	must(t, err)
	named := func(name, key, value string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "argoseal-system", Name: name}, Data: map[string]string{key: value}}
	}
	guarded := func(err error) error {
		if err == nil || !strings.Contains(err.Error(), string(reason.AnchorGuarded)) {
			return errors.Join(errors.New("it is not refused by the guard"), err)
		}
		return nil
	}
	eventually(t, "the guard is at work", func() error {
		return guarded(api.Create(t.Context(), named("argoseal-trust-mine", "x", "y"), client.DryRunAll))
	})

	log := sealtest.NewLog(t)
	repository := tuftest.New(t, log.TrustedRoot)
	root := filepath.Join(t.TempDir(), "root.json")
	must(t, os.WriteFile(root, repository.Root, 0o600))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	address := freeAddress(t)
	c := trustedRootCommand()
	c.SetArgs([]string{"--namespace=argoseal-system", "--tuf-url=" + repository.URL, "--tuf-root=" + root, "--create", "--every=1m", "--metrics-address=" + address, "--health-address=0"})
	go func() { ended <- c.ExecuteContext(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("it ends with %v", err)
		}
	}()
	eventually(t, "there is a trusted root", func() error {
		var c corev1.ConfigMap
		if err := admin.Get(t.Context(), client.ObjectKey{Namespace: "argoseal-system", Name: v1alpha1.ConfigMapTrustedRoot}, &c); err != nil {
			return err
		}
		if !strings.Contains(c.Data[v1alpha1.TrustedRootKey], `"tlogs"`) || c.Data[v1alpha1.FollowedKey] == "" {
			return errors.New("it has no log")
		}
		return nil
	})
	eventually(t, "metrics say when it ends", func() error {
		response, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err == nil && !strings.Contains(string(text), `argoseal_trust_followed_expires_timestamp_seconds{role="root"}`) {
			err = errors.New("no metric")
		}
		return err
	})
	eventually(t, "an event says that it has changed", func() error {
		var all corev1.EventList
		err := admin.List(t.Context(), &all, client.InNamespace("argoseal-system"))
		for _, e := range all.Items {
			if e.Reason == string(reason.RootChanged) && e.InvolvedObject.Name == v1alpha1.ConfigMapTrustedRoot {
				return nil
			}
		}
		return errors.Join(errors.New("no event"), err)
	})

	// What the program may not.
	for name, err := range map[string]error{
		"make another domain":            api.Create(t.Context(), named("argoseal-trust-mine", "x", "y"), client.DryRunAll),
		"make the notary's key":          api.Create(t.Context(), named(v1alpha1.ConfigMapNotaryKey, v1alpha1.NotaryKeyKey, "x"), client.DryRunAll),
		"say which root.json is trusted": api.Create(t.Context(), named(v1alpha1.ConfigMapTUFRoot, "root.json", "{}"), client.DryRunAll),
	} {
		if err := guarded(err); err != nil {
			t.Errorf("it may %s: %v", name, err)
		}
	}
	must(t, admin.Create(t.Context(), named(v1alpha1.ConfigMapNotaryKey, v1alpha1.NotaryKeyKey, "x")))
	for name, err := range map[string]error{
		"write the notary's key":  api.Update(t.Context(), named(v1alpha1.ConfigMapNotaryKey, v1alpha1.NotaryKeyKey, "y"), client.DryRunAll),
		"delete the trusted root": api.Delete(t.Context(), named(v1alpha1.ConfigMapTrustedRoot, "", ""), client.DryRunAll),
		"read a Secret":           api.List(t.Context(), &corev1.SecretList{}, client.InNamespace("argoseal-system")),
	} {
		if err == nil {
			t.Errorf("it may %s", name)
		}
	}
}

// rendered are the guard and the rights of the chart.
func rendered(t *testing.T) []client.Object {
	t.Helper()
	helm := os.Getenv("ARGOSEAL_BIN_HELM")
	if helm == "" {
		t.Fatal("ARGOSEAL_BIN_HELM is not set: `make integration` sets it")
	}
	out, err := exec.CommandContext(t.Context(), helm, "template", "argoseal", "../../charts/argoseal", "--namespace", "argoseal-system", "--kube-version", "1.36.0", "-f", "../../charts/testdata/tuf.values.yaml").Output()
	must(t, err)
	var all []client.Object
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(out), 4096)
	for {
		var u unstructured.Unstructured
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if u.GetName() == "argoseal-anchors" || u.GetName() == "argoseal-tuf" && strings.HasPrefix(u.GetKind(), "Role") {
			all = append(all, &u)
		}
	}
	if len(all) != 4 {
		t.Fatalf("the chart has %d of the objects that are tried", len(all))
	}
	return all
}

// actingAs has programs of this test act as the follower.
func actingAs(t *testing.T, admin *rest.Config) *rest.Config {
	t.Helper()
	raw, err := os.ReadFile(os.Getenv("KUBECONFIG"))
	must(t, err)
	all, err := clientcmd.Load(raw)
	must(t, err)
	groups := []string{"system:serviceaccounts", "system:authenticated"}
	for name, user := range all.AuthInfos {
		user.Impersonate, user.ImpersonateGroups = follower, groups
		all.AuthInfos[name] = user
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, clientcmd.WriteToFile(*all, path))
	t.Setenv("KUBECONFIG", path)
	limited := rest.CopyConfig(admin)
	limited.Impersonate = rest.ImpersonationConfig{UserName: follower, Groups: groups}
	return limited
}

func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not yet: %v", what, err)
}
