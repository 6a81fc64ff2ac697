package main

import (
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// An operator replaces the trusted root, and what was sealed under the one before verifies
// on; what would be of no use is not written.
func TestTheTrustedRootIsReplaced(t *testing.T) {
	n := sealtest.NewNotary(t)
	api := installation(t, "rome", n)
	next := sealtest.NewLog(t)
	newRoot, spoilt := write(t, next.TrustedRoot), write(t, next.TrustedRoot[:len(next.TrustedRoot)/2])
	for name, args := range map[string][]string{
		"neither":           {"root"},
		"no root":           {"root", "--from", spoilt},
		"no file":           {"root", "--from", newRoot + "x"},
		"no time":           {"root", "--from", newRoot, "--until", "soon"},
		"nothing to remove": {"root", "--from", newRoot, "--without", "https://else.example.com"},
		"no root before":    {"root", "--from", newRoot, "--before", spoilt},
	} {
		if out, err := trustIn(t, api, args...); reason.Of(err) != reason.UsageInvalid || out != "" {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	bundle, digest := sealedBy(t, n, "rome")
	exported := func() string {
		t.Helper()
		dir := t.TempDir()
		if _, err := trustIn(t, api, "export", "--cluster-name", "rome", "--to", dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	verifies := func(trusted string) int {
		t.Helper()
		dir := exported()
		if trusted == "" {
			trusted = dir + "/trusted_root.json"
		}
		code, _, _ := command(t, "", "verify", digest, "--bundle", bundle, "--any-producer", "--key", dir+"/notary.pub",
			"--trusted-root", trusted, "--rules", dir+"/domain.json", "--recorded", time.Now().Add(-time.Minute).UTC().Format(time.RFC3339))
		return code
	}
	if code := verifies(newRoot); code != reason.LogEntryInvalid.ExitCode() {
		t.Errorf("under the new root alone: exit code %d", code)
	}
	out, err := trustIn(t, api, "root", "--from", newRoot, "--until", time.Now().UTC().Format(time.RFC3339))
	if err != nil || strings.Count(out, sealtest.URL) != 2 {
		t.Fatalf("%s, %v", out, err)
	}
	if code := verifies(""); code != 0 {
		t.Errorf("after the root is replaced: exit code %d", code)
	}

	// The chart's own log gets a new key: what was saved is put back, as the one before.
	saved := write(t, n.TrustedRoot())
	fresh := sealtest.NewNotaryWith(t, sealtest.Backend{Log: next, TrustedRoot: next.TrustedRoot})
	api = installation(t, "rome", fresh.At(t, sealtest.Backend{Log: next, TrustedRoot: next.TrustedRoot}))
	if _, err := trustIn(t, api, "root", "--before", saved); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(exported() + "/trusted_root.json")
	if err != nil {
		t.Fatal(err)
	}
	printed, err := trustIn(t, api, "root", "--from", newRoot, "--before", saved)
	if err != nil {
		t.Fatal(err)
	}
	for what, trusted := range map[string][]byte{"in the cluster": kept, "printed": []byte(printed)} {
		root, err := verify.NewRoot(trusted, n.Signer.PublicKeyPEM(), fresh.Signer.PublicKeyPEM())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(bundle)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := root.Inspect(raw); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Helm writes the chart's value over what a command has put there, at each upgrade. Who runs
// the command is told, where the ConfigMap is the chart's.
func TestWhoChangesTheChartsTrustedRootIsTold(t *testing.T) {
	for _, helm := range []bool{true, false} {
		api := installation(t, "rome", sealtest.NewNotary(t))
		var trusted corev1.ConfigMap
		key := client.ObjectKey{Namespace: "argoseal-system", Name: v1alpha1.ConfigMapTrustedRoot}
		if err := api.Get(t.Context(), key, &trusted); err != nil {
			t.Fatal(err)
		}
		trusted.Labels = map[string]string{"app.kubernetes.io/managed-by": "argoseal-notary"}
		if helm {
			trusted.Labels["app.kubernetes.io/managed-by"] = "Helm"
		}
		if err := api.Update(t.Context(), &trusted); err != nil {
			t.Fatal(err)
		}
		chain := write(t, sealtest.NewAuthority(t).TimestampChain(t))
		for _, args := range [][]string{
			{"root", "--from", write(t, sealtest.NewLog(t).TrustedRoot)},
			{"timestamps", "--url", "https://timestamps.example.com", "--chain", chain},
		} {
			out, err := trustIn(t, api, args...)
			if err != nil || strings.Contains(out, "rekor.trustedRoot") != helm {
				t.Errorf("%s, the chart's %t: %s, %v", args[0], helm, out, err)
			}
		}
	}
}
