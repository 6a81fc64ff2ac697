//go:build e2e

package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
	webhook "github.com/argoseal/argoseal/webhook/evidence"
)

var update = flag.Bool("update", false, "write what Tekton Chains states into the testdata of pkg/attestation")

// tekton is the controller of Tekton Chains, in a cluster that has of Tekton its kinds alone:
// TaskRuns it signs under a key in a key service, and PipelineRuns under a certificate.
type tekton struct {
	client client.Client
	log    *logV1
	// trusted is the trusted root of the log, with Fulcio's certificates.
	trusted []byte
	// key (PEM) signs TaskRuns, and identity by issuer PipelineRuns.
	key              []byte
	issuer, identity string
}

// startTekton runs it until the test ends. Its probes it serves on port 8080 of all addresses,
// and ends if that is not free.
func startTekton(t *testing.T) *tekton {
	t.Helper()
	l, cluster, authority := startV1(t), startIssuing(t), sealtest.NewAuthority(t)
	fulcio, key := startFulcio(t, authority, cluster), keyInKMS(t)
	signer, err := seal.LoadKMSSigner(t.Context(), key)
	must(t, err)
	k := &tekton{
		log: l, key: signer.PublicKeyPEM(),
		issuer: cluster.name(), identity: "https://kubernetes.io/namespaces/argoseal-system/serviceaccounts/tekton-chains-controller",
	}
	k.trusted, err = verify.TrustCertificates(l.trustedRoot, fulcio, authority.Issuers(t))
	must(t, err)
	_, err = envtest.InstallCRDs(cluster.config, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{kindOf("TaskRun"), kindOf("PipelineRun")}})
	must(t, err)
	k.client, err = client.New(cluster.config, client.Options{})
	must(t, err)
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "tekton-chains"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "tekton-chains", Name: "chains-config"}, Data: map[string]string{
			"artifacts.taskrun.format": "slsa/v2alpha4", "artifacts.taskrun.signer": "kms", "signers.kms.kmsref": key,
			"signers.x509.fulcio.enabled": "true", "signers.x509.fulcio.address": fulcio, "signers.x509.fulcio.issuer": k.issuer,
			"signers.x509.identity.token.file": cluster.token(t, "tekton-chains-controller", "sigstore"),
			"artifacts.oci.signer":             "none",
			"transparency.enabled":             "manual", "transparency.url": l.url,
		}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "tekton-chains", Name: "config-observability"}, Data: map[string]string{
			"metrics.backend-destination": "none", // else it serves them, and takes no port that is free for sure
		}},
	} {
		must(t, k.client.Create(t.Context(), o))
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "kubeconfig"), cluster.kubeconfig, 0o600))
	startWith(t, dir, append(toKMS(), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"), "SYSTEM_NAMESPACE=tekton-chains", "METRICS_DOMAIN=tekton.dev/chains",
		"PROFILING_PORT="+freePort(t)), "chains-controller", program(t, "chains-controller"))
	return k
}

// kindOf is a kind of Tekton's, with whatever its objects have.
func kindOf(kind string) *apiextensionsv1.CustomResourceDefinition {
	keep, name := true, strings.ToLower(kind)
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: name + "s.tekton.dev"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "tekton.dev", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind, ListKind: kind + "List", Plural: name + "s", Singular: name},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema:       &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &keep}},
				Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
			}},
		},
	}
}

// built is where a run says that it has put the file.
const built = "https://files.example.com/models/hello-art.tgz"

// finished is a run of Tekton's that has built the file, and says so as Chains asks for.
const finished = `
apiVersion: tekton.dev/v1
metadata: {namespace: default, generateName: build-, labels: {app: models}}
spec:
  serviceAccountName: builder
  params: [{name: ref, value: v1}]
  timeout: 1h0m0s
status:
  startTime: "2026-11-21T10:00:00Z"
  completionTime: "2026-11-21T10:00:07Z"
  conditions: [{type: Succeeded, status: "True", reason: Succeeded, lastTransitionTime: "2026-11-21T10:00:07Z"}]
  provenance: {featureFlags: {enableAPIFields: beta, verificationNoMatchPolicy: ignore}}
  results:
    - {name: model-ARTIFACT_OUTPUTS, type: object, value: {uri: %[1]s, digest: "sha256:%[2]s", isBuildArtifact: "true"}}
    - {name: size, type: string, value: "16"}
`

// finishedTask is what else a TaskRun has.
const finishedTask = `
spec:
  taskSpec: &task
    params: [{name: ref, type: string}]
    results: [{name: model-ARTIFACT_OUTPUTS, type: object, properties: {uri: {type: string}, digest: {type: string}, isBuildArtifact: {type: string}}}, {name: size, type: string}]
    steps: [{name: make, image: alpine, script: make}]
status:
  podName: build-pod
  taskSpec: *task
  steps:
    - name: make
      container: step-make
      imageID: docker.io/library/alpine@sha256:21dc6063fd678b478f57c0e13f47560d0ea4eeba26dfc947b2a4f81f686b9f45
      terminated: {exitCode: 0, reason: Completed, startedAt: "2026-11-21T10:00:01Z", finishedAt: "2026-11-21T10:00:06Z"}
`

// finishedPipeline is what else a PipelineRun has.
const finishedPipeline = `
spec:
  serviceAccountName: null
  taskRunTemplate: {serviceAccountName: builder}
  timeout: null
  pipelineSpec: &pipeline
    params: [{name: ref, type: string}]
    tasks: [{name: build, taskSpec: {steps: [{name: make, image: alpine, script: make}]}}]
status:
  pipelineSpec: *pipeline
`

// run has a run of a kind finished, and waits until Chains has signed it.
func (k *tekton) run(t *testing.T, kind string, annotations map[string]string) *unstructured.Unstructured {
	t.Helper()
	of := map[string]any{}
	for _, part := range []string{fmt.Sprintf(finished, built, sha256Of(content)), map[string]string{"TaskRun": finishedTask, "PipelineRun": finishedPipeline}[kind]} {
		more := map[string]any{}
		must(t, yaml.Unmarshal([]byte(part), &more))
		for name, value := range more {
			inner, ok := of[name].(map[string]any)
			if !ok {
				of[name] = value
				continue
			}
			for name, value := range value.(map[string]any) {
				if inner[name] = value; value == nil {
					delete(inner, name)
				}
			}
		}
	}
	run := &unstructured.Unstructured{Object: of}
	run.SetKind(kind)
	run.SetAnnotations(annotations)
	status := run.Object["status"]
	must(t, k.client.Create(t.Context(), run))
	await(t, "the "+kind+" is finished", func() error {
		if err := k.client.Get(t.Context(), client.ObjectKeyFromObject(run), run); err != nil {
			return err
		}
		run.Object["status"] = status
		return k.client.Status().Update(t.Context(), run) // Chains writes that it is there
	})
	await(t, "Chains signs the "+kind, func() error {
		if err := k.client.Get(t.Context(), client.ObjectKeyFromObject(run), run); err != nil {
			return err
		}
		if signed := run.GetAnnotations()["chains.tekton.dev/signed"]; signed != "true" {
			return fmt.Errorf("chains.tekton.dev/signed is %q", signed)
		}
		return nil
	})
	return run
}

// stored is what Chains has stored with a run, in base64 as it is and decoded.
func stored(t *testing.T, run *unstructured.Unstructured, what string) (encoded string, decoded []byte) {
	t.Helper()
	name := "chains.tekton.dev/" + what + "-" + strings.ToLower(run.GetKind()) + "-" + string(run.GetUID())
	encoded, ok := run.GetAnnotations()[name]
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		t.Fatalf("annotation %s is %q: %v", name, encoded, err)
	}
	return encoded, decoded
}

// bundled has a Rekor v1 record what Chains signed, as anybody can, and cosign make a bundle of
// it. docs/policy.md has the commands. It gives what cosign says, too, and whether it did.
func (k *tekton) bundled(t *testing.T, run *unstructured.Unstructured) (bundle []byte, said string, err error) {
	t.Helper()
	signature, envelope := stored(t, run, "signature")
	certificate, verifier := stored(t, run, "cert")
	by := "--certificate=certificate"
	if certificate == "" {
		by, verifier = "--key=chains.pub", k.key
	}
	proposal, err := json.Marshal(map[string]any{"apiVersion": "0.0.1", "kind": "dsse", "spec": map[string]any{
		"proposedContent": map[string]any{"envelope": string(envelope), "verifiers": [][]byte{verifier}},
	}})
	must(t, err)
	response, err := http.Post(k.log.url+"/api/v1/log/entries", "application/json", bytes.NewReader(proposal))
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	if said, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusCreated {
		t.Fatalf("the log answers %s: %v\n%s", response.Status, err, said)
	}
	dir := t.TempDir()
	for name, data := range map[string]string{
		"signature": signature, "envelope.json": string(envelope), "certificate": certificate, "chains.pub": string(k.key), "hello-art.tgz": content,
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600))
	}
	said, err = offline(t, dir, program(t, "cosign"), "bundle", "create", "--artifact=hello-art.tgz", "--attestation=envelope.json", "--signature=signature",
		by, "--rekor-url="+k.log.url, "--out=bundle.json")
	if err == nil {
		bundle, err = os.ReadFile(filepath.Join(dir, "bundle.json"))
	}
	return bundle, said, err
}

// cosigns is how cosign's `bundle create` calls what it makes.
const cosigns = "application/vnd.dev.sigstore.bundle+json;version=0.3"

// entryOf says of which kind the entry is that Chains made in the log itself, and whether it has
// the signature.
func (k *tekton) entryOf(t *testing.T, run *unstructured.Unstructured) (kind string, signed bool) {
	t.Helper()
	response, err := http.Get(run.GetAnnotations()["chains.tekton.dev/transparency"])
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	var all map[string]struct {
		Body []byte `json:"body"`
	}
	must(t, json.NewDecoder(response.Body).Decode(&all))
	if len(all) != 1 {
		t.Fatalf("the log has %d entries of it", len(all))
	}
	_, envelope := stored(t, run, "signature")
	var signatures struct {
		Signatures []struct{ Sig string } `json:"signatures"`
	}
	must(t, json.Unmarshal(envelope, &signatures))
	for _, entry := range all {
		var is struct{ APIVersion, Kind string }
		must(t, json.Unmarshal(entry.Body, &is))
		kind = is.Kind + " " + is.APIVersion
		for _, sig := range []string{signatures.Signatures[0].Sig, base64.StdEncoding.EncodeToString([]byte(signatures.Signatures[0].Sig))} {
			signed = signed || bytes.Contains(entry.Body, []byte(sig))
		}
	}
	return kind, signed
}

// whatCounts is what an operator trusts of Chains, and what a policy names.
type whatCounts struct {
	key, trusted []byte
	rules        verify.Rules
	of           v1alpha1.Attested
}

// gate asks what the gate asks.
func gate(t *testing.T, c whatCounts) (webhook.Attested, *reason.Error) {
	t.Helper()
	rules, err := c.rules.JSON()
	must(t, err)
	theirs, err := verify.ParseDomain(c.of.Domain, verify.Sources{TrustedRoot: c.trusted, Keys: c.key, Rules: rules})
	must(t, err)
	home := sealtest.NewNotary(t).Domain(t, v1alpha1.DomainInstalled)
	home.Builders = verify.BuildersOf("home")
	root, err := verify.New(home)
	must(t, err)
	root, err = root.With(theirs)
	must(t, err)
	return webhook.NewVerified(1<<20).Attested(root, c.of, time.Now())
}

// What the controller of Tekton Chains signs counts, once a Rekor v1 has it and cosign has made
// a bundle of it: of a TaskRun, in SLSA Provenance v1 and under a key; of a PipelineRun, in v0.2,
// which is what Chains makes by default, and under a certificate. The entry that Chains makes in
// a log itself has not even a signature.
func TestWhatTektonChainsSignsCounts(t *testing.T) {
	k := startTekton(t)
	t.Run("the entry that Chains makes", func(t *testing.T) {
		run := k.run(t, "TaskRun", map[string]string{"chains.tekton.dev/transparency-upload": "true"})
		if kind, has := k.entryOf(t, run); kind != "intoto 0.0.1" || has {
			t.Errorf("it is a %s, with a signature: %v; docs/policy.md says something else", kind, has)
		}
		if _, said, err := k.bundled(t, run); err == nil || !strings.Contains(said, "too many tlog entries") {
			t.Errorf("cosign makes a bundle of what the log has twice: %v\n%s", err, said)
		}
	})
	for kind, buildType := range map[string]string{"TaskRun": sealtest.ChainsV2BuildType, "PipelineRun": "tekton.dev/v1/PipelineRun"} {
		t.Run(kind, func(t *testing.T) {
			run := k.run(t, kind, nil)
			_, statement := stored(t, run, "payload")
			if *update {
				must(t, os.WriteFile(filepath.Join("..", "..", "pkg", "attestation", "testdata", "chains-"+strings.ToLower(kind)+".json"), statement, 0o644))
			}
			bundle, said, err := k.bundled(t, run)
			if err != nil {
				t.Fatalf("cosign bundle create: %v\n%s", err, said)
			}
			good := whatCounts{trusted: k.trusted, rules: verify.Rules{Attests: []string{sealtest.ChainsBuilder}}, of: v1alpha1.Attested{
				Domain: "tekton", Builder: sealtest.ChainsBuilder, BuildType: buildType, Subject: built, Bundle: string(bundle),
			}}
			other, stranger := good, newSigner(t, "P-256")
			by, others := []string{"--key=chains.pub"}, []string{"--key=others.pub"}
			if kind == "TaskRun" {
				good.key, other.key = k.key, stranger.PublicKeyPEM()
			} else {
				by = []string{"--certificate-identity=" + k.identity, "--certificate-oidc-issuer=" + k.issuer}
				others = []string{"--certificate-identity=" + k.identity + "2", "--certificate-oidc-issuer=" + k.issuer}
				good.rules.Identities = []verify.IdentityRule{{Issuer: k.issuer, Subject: k.identity}}
				other.rules.Identities = []verify.IdentityRule{{Issuer: k.issuer, Subject: k.identity + "2"}}
			}
			b := sealtest.Bundle(t, bundle)
			if b.GetMediaType() != cosigns {
				t.Errorf("cosign calls its bundle %q; it was %q", b.GetMediaType(), cosigns)
			}
			payload := b.GetDsseEnvelope().GetPayload()
			at := bytes.Index(payload, []byte(sha256Of(content)))
			if at < 0 {
				t.Fatalf("it is not about the file: %s", payload)
			}
			payload[at] ^= 1
			changed := sealtest.JSON(t, b)

			t.Run("the gate", func(t *testing.T) {
				got, no := gate(t, good)
				if no != nil || got.SHA256 != artifact.Digest(sha256Of(content)) {
					t.Errorf("got %+v, %v", got, no)
				}
				with := func(change func(*whatCounts)) whatCounts {
					c := good
					change(&c)
					return c
				}
				for name, wrong := range map[string]struct {
					is   whatCounts
					want reason.Code
				}{
					"another builder":                      {with(func(c *whatCounts) { c.of.Builder += "2" }), reason.BuilderNotTrusted},
					"a builder that nobody lets attest":    {with(func(c *whatCounts) { c.rules.Attests = []string{sealtest.GitHubBuilder} }), reason.BuilderNotTrusted},
					"another build type":                   {with(func(c *whatCounts) { c.of.BuildType += "2" }), reason.StatementInvalid},
					"another file":                         {with(func(c *whatCounts) { c.of.Subject += "2" }), reason.SubjectMismatch},
					"another signer":                       {other, reason.SignatureInvalid},
					"a changed byte":                       {with(func(c *whatCounts) { c.of.Bundle = string(changed) }), reason.SignatureInvalid},
					"a trusted root without the log's key": {with(func(c *whatCounts) { c.trusted = sealtest.NewLogV1(t).TrustedRoot }), reason.LogEntryInvalid},
				} {
					if got, no := gate(t, wrong.is); no == nil || no.Code != wrong.want {
						t.Errorf("%s: got %+v, %v, want %s", name, got, no, wrong.want)
					}
				}
			})
			t.Run("verify-bundle", func(t *testing.T) {
				dir := t.TempDir()
				for name, data := range map[string][]byte{
					"bundle.json": bundle, "changed.json": changed, "trusted_root.json": k.trusted, "chains.pub": k.key, "others.pub": stranger.PublicKeyPEM(),
					"hello-art.tgz": []byte(content), "changed.tgz": []byte(content + " "),
				} {
					must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
				}
				for name, v := range map[string]struct {
					bundle  string
					by      []string
					file    string
					genuine bool
				}{
					"what Chains signed": {"bundle.json", by, "hello-art.tgz", true},
					"another file":       {"bundle.json", by, "changed.tgz", false},
					"another signer":     {"bundle.json", others, "hello-art.tgz", false},
					"a changed byte":     {"changed.json", by, "hello-art.tgz", false},
				} {
					out, err := offline(t, dir, ours(t), append([]string{"verify-bundle", "--bundle=" + v.bundle, "--trusted-root=trusted_root.json", v.file}, v.by...)...)
					if (err == nil) != v.genuine {
						t.Errorf("%s: %v\n%s", name, err, out)
					}
				}
			})
		})
	}
}
