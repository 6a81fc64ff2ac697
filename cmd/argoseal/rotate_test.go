package main

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// published are the notary's keys as they are published, with their rules.
func published(t *testing.T, api client.Client) (*corev1.ConfigMap, verify.Rules) {
	t.Helper()
	var m corev1.ConfigMap
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: "argoseal-system", Name: v1alpha1.ConfigMapNotaryKey}, &m); err != nil {
		t.Fatal(err)
	}
	rules, err := verify.ParseRules([]byte(m.Data[v1alpha1.RulesKey]))
	if err != nil {
		t.Fatal(err)
	}
	return &m, rules
}

func TestRotateAsksTheNotary(t *testing.T) {
	n := sealtest.NewNotary(t)
	api := installation(t, "rome", n)
	if out, err := trustIn(t, api, "rotate"); err != nil || !strings.Contains(out, "Asked for") {
		t.Fatalf("%s, %v", out, err)
	}
	m, rules := published(t, api)
	if m.Data[v1alpha1.RotateKey] == "" || len(rules.Keys) != 0 || m.Data[v1alpha1.NotaryKeyKey] != string(n.Signer.PublicKeyPEM()) {
		t.Errorf("it wrote %v", m.Data)
	}
}

// Somebody else's domain that is spoilt keeps nobody from saying that a key is stolen, nor
// from seeing what is trusted.
func TestASpoiltDomainDoesNotStopTheRest(t *testing.T) {
	n := sealtest.NewNotary(t)
	api := installation(t, "rome", n)
	if _, err := trustIn(t, api, "show"); err != nil {
		t.Errorf("all is well, and show says %v", err)
	}
	spoilt := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "argoseal-system", Name: v1alpha1.ConfigMapDomainPrefix + "x"},
		Data:       map[string]string{v1alpha1.TrustedRootKey: "{", v1alpha1.NotaryKeyKey: "x", v1alpha1.RulesKey: "{}"},
	}
	if err := api.Create(t.Context(), spoilt); err != nil {
		t.Fatal(err)
	}
	out, err := trustIn(t, api, "rotate", "--from", "2026-11-30T08:00:00Z")
	if err != nil || !strings.Contains(out, spoilt.Name) || !strings.Contains(out, n.Signer.Hint()) {
		t.Errorf("%s, %v", out, err)
	}
	if _, rules := published(t, api); len(rules.Keys) != 1 || rules.Keys[0].CompromisedFrom == nil {
		t.Errorf("rules are %+v", rules)
	}
	for _, output := range []string{"table", "json"} {
		out, err := trustIn(t, api, "show", "-o", output)
		if err == nil || !strings.Contains(out, n.Signer.Hint()) || !strings.Contains(out, spoilt.Name) {
			t.Errorf("show -o %s: %s, %v", output, out, err)
		}
	}
	// Without the installation's own there is nothing to go by.
	if err := api.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "argoseal-system", Name: v1alpha1.ConfigMapTrustedRoot}}); err != nil {
		t.Fatal(err)
	}
	if out, err := trustIn(t, api, "rotate", "--from", "2026-11-30T08:00:00Z"); err == nil {
		t.Errorf("it wrote %s", out)
	}
}

// What a stolen key has signed is refused at once, and the output says what that costs.
func TestACompromisedKeyIsRefusedAtOnce(t *testing.T) {
	n := sealtest.NewNotary(t)
	api := installation(t, "rome", n)
	for name, args := range map[string][]string{
		"no time":        {"--from", "yesterday"},
		"no such key":    {"--from", "2026-11-30T08:00:00Z", "--key", "x"},
		"a key, no time": {"--key", n.Signer.Hint()},
		"an argument":    {"now"},
	} {
		if _, err := trustIn(t, api, append([]string{"rotate"}, args...)...); reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	out, err := trustIn(t, api, "rotate", "--from", "2026-11-30T08:00:00Z")
	if err != nil || !strings.Contains(out, "A Rekor v2 proves no time") || !strings.Contains(out, n.Signer.Hint()) {
		t.Fatalf("%s, %v", out, err)
	}
	// Earlier counts, later does not.
	if _, err := trustIn(t, api, "rotate", "--from", "2026-11-30T09:00:00Z", "--key", n.Signer.Hint()); err != nil {
		t.Fatal(err)
	}
	if _, rules := published(t, api); rules.Keys[0].CompromisedFrom.UTC().Hour() != 8 {
		t.Errorf("rules are %+v", rules)
	}
	if _, err := trustIn(t, api, "rotate", "--from", "2026-11-30T07:00:00Z", "--key", n.Signer.Hint()); err != nil {
		t.Fatal(err)
	}
	if _, rules := published(t, api); len(rules.Keys) != 1 || rules.Keys[0].CompromisedFrom.Hour() != 7 {
		t.Errorf("rules are %+v", rules)
	}
	bundle, digest := sealedBy(t, n, "rome")
	dir := t.TempDir()
	if _, err := trustIn(t, api, "export", "--cluster-name", "rome", "--to", dir); err != nil {
		t.Fatal(err)
	}
	code, _, errs := command(t, "", "verify", digest, "--bundle", bundle, "--any-producer", "--recorded", "2026-01-01T00:00:00Z",
		"--key", dir+"/notary.pub", "--trusted-root", dir+"/trusted_root.json", "--rules", dir+"/domain.json")
	if code != reason.SignerCompromised.ExitCode() {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
