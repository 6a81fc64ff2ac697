//go:build integration

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// What others have built: one with cosign alone, one with Tekton.
const (
	model    = "weights of a model\n"
	ofTekton = "weights of another\n"
)

// Who built it, and how, by their own word.
const (
	theirBuilder   = "https://example.com/builder"
	theirBuildType = "https://example.com/build/v1"
)

// theirCosign is stock cosign, with keys of its own that write to a real Rekor v2.
type theirCosign struct {
	dir   string
	rekor sealtest.Rekor
}

func newTheirCosign(t *testing.T) *theirCosign {
	t.Helper()
	c := &theirCosign{dir: t.TempDir(), rekor: sealtest.StartRekor(t)}
	c.write(t, "model.bin", model)
	c.write(t, "trusted_root.json", string(c.rekor.TrustedRoot))
	for _, key := range []string{"theirs", "others"} {
		c.run(t, "generate-key-pair", "--output-key-prefix="+key)
	}
	c.run(t, "signing-config", "create", "--rekor-config=ANY", "--out=signing.json",
		"--rekor=url="+c.rekor.URL+",api-version=2,operator=example.com,start-time="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	return c
}

func (c *theirCosign) write(t *testing.T, name, text string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600))
}

func (c *theirCosign) read(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.dir, name))
	check(t, err)
	return raw
}

// run has no way out but to this machine.
func (c *theirCosign) run(t *testing.T, args ...string) {
	t.Helper()
	cosign := os.Getenv("ARGOSEAL_BIN_COSIGN")
	if cosign == "" {
		t.Fatal("ARGOSEAL_BIN_COSIGN is not set: `make integration` sets it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, cosign, args...)
	cmd.Dir = c.dir
	cmd.Env = []string{"HOME=" + c.dir, "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=localhost", "COSIGN_PASSWORD="}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cosign %s: %v\n%s", args[0], err, out)
	}
}

// attests is the bundle that cosign writes, signed with a key and logged.
func (c *theirCosign) attests(t *testing.T, key string, args ...string) string {
	t.Helper()
	c.run(t, append([]string{"attest-blob", "--key=" + key + ".key", "--yes", "--bundle=bundle.json",
		"--signing-config=signing.json", "--trusted-root=trusted_root.json"}, args...)...)
	return string(c.read(t, "bundle.json"))
}

// built is what cosign attests of the file itself: SLSA Provenance v1.
func (c *theirCosign) built(t *testing.T, key, builder, buildType string) string {
	t.Helper()
	c.predicate(t, builder, buildType)
	return c.attests(t, key, "--type=slsaprovenance1", "--predicate=predicate.json", "model.bin")
}

func (c *theirCosign) predicate(t *testing.T, builder, buildType string) {
	t.Helper()
	c.write(t, "predicate.json", fmt.Sprintf(
		`{"buildDefinition": {"buildType": %q, "externalParameters": {"ref": "v1"}}, "runDetails": {"builder": {"id": %q}}}`, buildType, builder))
}

// unlogged is what cosign signs and no log has.
func (c *theirCosign) unlogged(t *testing.T) string {
	t.Helper()
	c.predicate(t, theirBuilder, theirBuildType)
	c.run(t, "signing-config", "create", "--out=nowhere.json")
	c.run(t, "attest-blob", "--key=theirs.key", "--yes", "--bundle=unlogged.json", "--signing-config=nowhere.json",
		"--trusted-root=trusted_root.json", "--type=slsaprovenance1", "--predicate=predicate.json", "model.bin")
	return string(c.read(t, "unlogged.json"))
}

// attestedByCosign: what stock cosign attests of a file admits a consumer, to whom the bytes
// are pinned that cosign read; and whatever is wrong with it refuses the consumer.
func (c *testCluster) attestedByCosign(t *testing.T) {
	s := c.scene(t, "enforce")
	at := s.step.PinnedInputs()[0].Location()
	s.takeLiterally(t, at.Key)
	theirs, domain := newTheirCosign(t), "theirs-"+s.namespace
	check(t, c.admin.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapDomainPrefix + domain},
		Data: map[string]string{
			v1alpha1.TrustedRootKey: string(theirs.rekor.TrustedRoot), v1alpha1.NotaryKeyKey: string(theirs.read(t, "theirs.pub")),
			v1alpha1.RulesKey: fmt.Sprintf(`{"attests": [%q, %q]}`, theirBuilder, sealtest.ChainsBuilder),
		},
	}))
	genuine := v1alpha1.Attested{
		Domain: domain, Builder: theirBuilder, BuildType: theirBuildType, Subject: "model.bin",
		Bundle: theirs.built(t, "theirs", theirBuilder, theirBuildType),
	}
	theirs.write(t, "statement.json", string(sealtest.ChainsV2(t, sealtest.Built{Name: "https://files.example.com/model.bin", SHA256: artifact.DigestOfText(ofTekton)})))
	chains := v1alpha1.Attested{
		Domain: domain, Builder: sealtest.ChainsBuilder, BuildType: sealtest.ChainsV2BuildType,
		Bundle: theirs.attests(t, "theirs", "--statement=statement.json"),
	}

	p := &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "models-"}}
	p.Spec.Namespaces = []string{s.namespace}
	allows := func(a v1alpha1.Attested) {
		before := p.DeepCopy()
		p.Spec.Allow = &v1alpha1.Allow{S3: []v1alpha1.S3Input{{Location: at.URI(), Content: v1alpha1.Content{Attested: &a}}}}
		if p.Name == "" {
			check(t, c.admin.Create(t.Context(), p))
			return
		}
		check(t, c.admin.Patch(t.Context(), p, client.MergeFrom(before))) // the webhook writes its status
	}
	admits := func(t *testing.T, what, file string) {
		t.Helper()
		var pod *corev1.Pod
		eventually(t, what+" admits", func() (err error) {
			pod, err = s.create(t, s.argo, s.consume, metav1.DryRunAll)
			if err == nil && !pinsTo(pod, artifact.DigestOfText(file)) {
				err = errors.New("other bytes are pinned")
			}
			return err
		})
		compares(t, pod, file, "")
		compares(t, pod, file+" ", reason.InputAltered)
	}
	refuses := func(t *testing.T, what string, code reason.Code, says ...string) {
		t.Helper()
		var last error
		eventually(t, what+" refuses", func() error {
			_, last = s.create(t, s.argo, s.consume, metav1.DryRunAll)
			for _, part := range says {
				if last == nil || !strings.Contains(last.Error(), part) {
					return fmt.Errorf("it says %v, want %s", last, part)
				}
			}
			return nil
		})
		refused(t, last, http.StatusForbidden, code, says...)
	}

	allows(genuine)
	admits(t, "what cosign attests", model)
	allows(chains)
	admits(t, "a statement of Tekton Chains that cosign signs", ofTekton)

	with := func(change func(*v1alpha1.Attested)) v1alpha1.Attested {
		a := genuine
		change(&a)
		return a
	}
	for _, wrong := range []struct {
		what string
		of   v1alpha1.Attested
		says string
	}{
		{"another key", with(func(a *v1alpha1.Attested) { a.Bundle = theirs.built(t, "others", theirBuilder, theirBuildType) }), "SignatureInvalid: the bundle names the key"},
		{"another builder's work", with(func(a *v1alpha1.Attested) {
			a.Bundle = theirs.built(t, "theirs", "https://example.com/laptop", theirBuildType)
		}), "BuilderNotTrusted: the statement is of builder https://example.com/laptop"},
		{"a builder that the domain does not list", with(func(a *v1alpha1.Attested) {
			a.Builder = "https://example.com/laptop"
			a.Bundle = theirs.built(t, "theirs", a.Builder, theirBuildType)
		}), "may not attest for builder https://example.com/laptop"},
		{"another build type", with(func(a *v1alpha1.Attested) {
			a.Bundle = theirs.built(t, "theirs", theirBuilder, "https://example.com/by-hand/v1")
		}), "StatementInvalid: the statement is of build type https://example.com/by-hand/v1"},
		{"a digest that was changed since", with(func(a *v1alpha1.Attested) { a.Bundle = about(t, a.Bundle, model, model+" ") }), "SignatureInvalid"},
		{"what no log has", with(func(a *v1alpha1.Attested) { a.Bundle = theirs.unlogged(t) }), "LogEntryInvalid: bundle has no entry"},
		{"Chains' statement of another step", func() v1alpha1.Attested { a := chains; a.BuildType = sealtest.ChainsBuildType; return a }(), "StatementInvalid: the statement is of build type " + sealtest.ChainsV2BuildType},
	} {
		t.Run(wrong.what, func(t *testing.T) {
			allows(wrong.of)
			refuses(t, "it", reason.AttestationInvalid, wrong.says)
		})
	}

	allows(genuine)
	admits(t, "what cosign attests, again,", model)
	for what, revoked := range map[string]v1alpha1.RevocationSpec{
		"the digest": {Digests: []string{string(artifact.DigestOfText(model))}},
		"the key":    {Keys: []string{sealtest.Bundle(t, []byte(genuine.Bundle)).GetVerificationMaterial().GetPublicKey().GetHint()}},
	} {
		t.Run("a Revocation of "+what, func(t *testing.T) {
			r := &v1alpha1.Revocation{ObjectMeta: metav1.ObjectMeta{GenerateName: "theft-"}, Spec: revoked}
			r.Spec.Reason = "theft of " + what
			check(t, c.admin.Create(t.Context(), r))
			refuses(t, "it", reason.Revoked, r.Spec.Reason)
			check(t, c.admin.Delete(t.Context(), r))
			admits(t, "what is no longer revoked", model)
		})
	}
	s.made(t, s.consume)
}

// about is the bundle with the digest of another text in its statement.
func about(t *testing.T, bundle, is, was string) string {
	t.Helper()
	b := sealtest.Bundle(t, []byte(bundle))
	e := b.GetDsseEnvelope()
	changed := strings.Replace(string(e.GetPayload()), string(artifact.DigestOfText(is)), string(artifact.DigestOfText(was)), 1)
	if changed == string(e.GetPayload()) {
		t.Fatalf("it is not about %q: %s", is, changed)
	}
	e.Payload = []byte(changed)
	return string(sealtest.JSON(t, b))
}

// pinned are the pins that the check of a pod is given.
func pinned(pod *corev1.Pod) (pins []pin.Pin, err error) {
	i := slices.IndexFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == argo.VerifyContainer })
	if i < 0 {
		return nil, errors.New("no argoseal-verify")
	}
	for _, arg := range pod.Spec.InitContainers[i].Args {
		if text, ok := strings.CutPrefix(arg, "--pin="); ok {
			p, err := pin.Parse(text)
			if err != nil {
				return nil, err
			}
			pins = append(pins, p)
		}
	}
	return pins, nil
}

func pinsTo(pod *corev1.Pod, digest artifact.Digest) bool {
	pins, err := pinned(pod)
	return err == nil && len(pins) == 1 && pins[0].SHA256 == digest
}

// compares has the check of a pod look at what Argo's init would leave of such a file.
func compares(t *testing.T, pod *corev1.Pod, file string, want reason.Code) {
	t.Helper()
	pins, err := pinned(pod)
	check(t, err)
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, pins[0].Input), []byte(file), 0o600))
	if err := pin.CheckInputs(dir, nil, pins, nil); reason.Of(err) != want || (err == nil) != (want == "") {
		t.Errorf("the pod says of %q: %v, want %q", file, err, want)
	}
}
