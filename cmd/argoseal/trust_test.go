package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

const paris = "s3://minio:9000/artifacts/a.tgz"

// installation is the API of a cluster of that name whose notary is n.
func installation(tb testing.TB, name string, n *sealtest.Notary) client.Client {
	tb.Helper()
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "argoseal-system", Name: name}
	}
	return fake.NewClientBuilder().WithObjects(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "uid"}},
		&corev1.ConfigMap{ObjectMeta: meta(v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(n.TrustedRoot())}},
		&corev1.ConfigMap{ObjectMeta: meta(v1alpha1.ConfigMapNotaryKey), Data: map[string]string{v1alpha1.NotaryKeyKey: string(n.Signer.PublicKeyPEM())}},
	).Build()
}

// trustIn runs a trust command in a cluster.
func trustIn(tb testing.TB, api client.Client, args ...string) (string, error) {
	tb.Helper()
	c := trustCommandWith(&trustOptions{connect: func(string, string) (client.Client, error) { return api, nil }})
	var out bytes.Buffer
	c.SetArgs(args)
	c.SetOut(&out)
	c.SilenceUsage, c.SilenceErrors = true, true
	err := c.ExecuteContext(tb.Context())
	return out.String(), err
}

func sealedBy(t *testing.T, n *sealtest.Notary, cluster string) (bundle, digest string) {
	t.Helper()
	digest = strings.Repeat("a", 64)
	facts := sealtest.Facts(paris, artifact.Digest(digest))
	facts.Builder.Cluster = cluster
	payload, err := provenance.Build(facts)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, n.Bundle(t, payload)), "sha256:" + digest
}

// What one cluster exports verifies its seals offline, and another takes it; there it
// speaks for no other builder.
func TestADomainGoesFromOneClusterToAnother(t *testing.T) {
	home, abroad := sealtest.NewNotary(t), sealtest.NewNotary(t)
	rome, dir := installation(t, "rome", home), t.TempDir()
	if _, err := trustIn(t, installation(t, "paris", abroad), "export", "--cluster-name", "paris", "--to", dir); err != nil {
		t.Fatal(err)
	}
	offline := func(bundle, digest string, more ...string) (int, string) {
		code, out, errs := command(t, "", append([]string{"verify", digest, "--bundle", bundle, "--any-producer", "--key", filepath.Join(dir, "notary.pub"),
			"--trusted-root", filepath.Join(dir, "trusted_root.json"), "--rules", filepath.Join(dir, "domain.json")}, more...)...)
		return code, out + errs
	}
	genuine, digest := sealedBy(t, abroad, "paris")
	if code, out := offline(genuine, digest); code != 0 || !strings.Contains(out, "none is proven") {
		t.Errorf("exit code %d: %s", code, out)
	}
	forged, _ := sealedBy(t, abroad, "rome")
	if code, out := offline(forged, digest); code != reason.BuilderNotTrusted.ExitCode() {
		t.Errorf("for another builder: exit code %d: %s", code, out)
	}

	if out, err := trustIn(t, rome, "add", "paris", "--cluster-name", "rome", "--from", dir); err != nil || !strings.Contains(out, "builders/v1/paris/") {
		t.Fatalf("%s, %v", out, err)
	}
	if _, err := trustIn(t, rome, "add", "paris", "--cluster-name", "rome", "--from", dir); reason.Of(err) != reason.UsageInvalid {
		t.Errorf("it is added twice: %v", err)
	}
	beside := client.ObjectKey{Namespace: "argoseal-system", Name: v1alpha1.ConfigMapDomainPrefix + "paris"}
	var domain corev1.ConfigMap
	if err := rome.Get(t.Context(), beside, &domain); err != nil {
		t.Fatal(err)
	}
	domain.Data["tuf.json"] = "{}"
	if err := rome.Update(t.Context(), &domain); err != nil {
		t.Fatal(err)
	}
	if _, err := trustIn(t, rome, "add", "paris", "--cluster-name", "rome", "--from", dir, "--replace"); err != nil {
		t.Error(err)
	}
	if err := rome.Get(t.Context(), beside, &domain); err != nil || domain.Data["tuf.json"] != "{}" {
		t.Errorf("what follows a TUF repository is forgotten: %v", err)
	}
	for name, args := range map[string][]string{
		"of another name":     {"add", "lyon", "--from", dir},
		"the installation's":  {"add", "installed", "--from", dir},
		"without files":       {"add", "lyon"},
		"of no files":         {"add", "lyon", "--from", t.TempDir()},
		"of the same builder": {"add", "lyon", "--from", dir, "--cluster-name", "paris"},
	} {
		if _, err := trustIn(t, rome, append(args, "--cluster-name", "rome")...); reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	out, err := trustIn(t, rome, "show", "--cluster-name", "rome")
	for _, want := range []string{"installed", "paris", home.Signer.Hint(), abroad.Signer.Hint(), "https://argoseal.dev/builders/v1/rome/isolated", sealtest.URL, "2026-01-01T00:00:00Z"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("no %q in %s, %v", want, out, err)
		}
	}
	out, err = trustIn(t, rome, "show", "-o", "json")
	var r trustReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Domains) != 2 || r.Domains[0].Builders[0] != "https://argoseal.dev/builders/v1/uid/isolated" {
		t.Errorf("%s, %v", out, err)
	}
	if err != nil {
		t.Error(err)
	}
}

// A domain may be there for what others attest alone: for whom it speaks is shown, and that
// it seals nothing, offline either.
func TestADomainMayBeOfWhoAttestsAlone(t *testing.T) {
	theirs := sealtest.NewNotary(t)
	rome, dir := installation(t, "rome", sealtest.NewNotary(t)), t.TempDir()
	for name, content := range map[string][]byte{
		"notary.pub": theirs.Signer.PublicKeyPEM(), "trusted_root.json": theirs.TrustedRoot(), "domain.json": []byte(`{"attests": ["` + sealtest.GitHubBuilder + `"]}`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := trustIn(t, rome, "add", "github", "--cluster-name", "rome", "--from", dir); err != nil || !strings.Contains(out, "for "+sealtest.GitHubBuilder) {
		t.Fatalf("%s, %v", out, err)
	}
	out, err := trustIn(t, rome, "show")
	if err != nil || !strings.Contains(out, sealtest.GitHubBuilder) || !strings.Contains(out, "attests") {
		t.Errorf("%s, %v", out, err)
	}
	if out, err = trustIn(t, rome, "show", "-o", "json"); err != nil || !strings.Contains(out, `"attests": [`) {
		t.Errorf("%s, %v", out, err)
	}
	bundle, digest := sealedBy(t, theirs, "test")
	code, said, errs := command(t, "", "verify", digest, "--bundle", bundle, "--any-producer", "--key", filepath.Join(dir, "notary.pub"),
		"--trusted-root", filepath.Join(dir, "trusted_root.json"), "--rules", filepath.Join(dir, "domain.json"))
	if code != reason.BuilderNotTrusted.ExitCode() {
		t.Errorf("a seal by it: exit code %d: %s", code, said+errs)
	}
}

// A key that has ended counts by what the API server says, and one that is compromised
// by nothing that a Rekor v2 alone could prove.
func TestVerifyKnowsWhenAKeyCounts(t *testing.T) {
	n := sealtest.NewNotary(t)
	bundle, digest := sealedBy(t, n, "paris")
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	rules := func(rule verify.KeyRule) string {
		rule.Hint = n.Signer.Hint()
		raw, err := (verify.Rules{Builders: verify.BuildersOf("paris"), Keys: []verify.KeyRule{rule}}).JSON()
		if err != nil {
			t.Fatal(err)
		}
		return write(t, raw)
	}
	ended, stolen := rules(verify.KeyRule{ValidUntil: &at}), rules(verify.KeyRule{CompromisedFrom: &at})
	for name, c := range map[string]struct {
		rules string
		args  []string
		want  reason.Code
	}{
		"ended, on record before":       {ended, []string{"--recorded", "2026-05-01T00:00:00Z"}, ""},
		"ended, on record after":        {ended, []string{"--recorded", "2026-07-01T00:00:00Z"}, reason.SignerExpired},
		"ended, nobody knows":           {ended, nil, reason.SignerExpired},
		"compromised, on record before": {stolen, []string{"--recorded", "2026-05-01T00:00:00Z"}, reason.SignerCompromised},
		"no time":                       {ended, []string{"--recorded", "yesterday"}, reason.UsageInvalid},
		"no such rules":                 {filepath.Join(t.TempDir(), "none"), nil, reason.UsageInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := command(t, "", append([]string{"verify", digest, "--bundle", bundle, "--any-producer", "--key", write(t, n.Signer.PublicKeyPEM()),
				"--trusted-root", write(t, n.TrustedRoot()), "--rules", c.rules}, c.args...)...)
			want := 0
			if c.want != "" {
				want = c.want.ExitCode()
			}
			if code != want {
				t.Errorf("exit code %d, want %d: %s%s", code, want, out, errs)
			}
		})
	}
}

func TestExportWritesWhatItReads(t *testing.T) {
	n := sealtest.NewNotary(t)
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	raw, err := (verify.Rules{
		Builders: verify.BuildersOf("x"), Logs: 1, Keys: []verify.KeyRule{{Hint: n.Signer.Hint(), ValidFrom: &at, ValidUntil: &at, CompromisedFrom: &at}},
		Identities: []verify.IdentityRule{{Issuer: "i", Subject: "s", ValidUntil: &at}, {Issuer: "i", SubjectPattern: "a|b"}},
	}).JSON()
	if err != nil {
		t.Fatal(err)
	}
	d, err := verify.ParseDomain("x", verify.Sources{TrustedRoot: n.TrustedRoot(), Keys: n.Signer.PublicKeyPEM(), Rules: raw})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := exportDomain(&bytes.Buffer{}, dir, d); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "domain.json")); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("got %s, %v, want %s", got, err, raw)
	}
}
