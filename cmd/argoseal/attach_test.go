package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// pushed is an image in a registry, and the seal of its manifest.
type pushed struct {
	ref                 name.Digest
	manifest            artifact.Digest
	bundle              []byte
	bundleAt, key, root string
	notary              *sealtest.Notary
	facts               provenance.Facts
}

// misled says of every index that it is an image: what a registry says of the kind of a
// manifest is not among what the digest is of.
type misled struct{ http.ResponseWriter }

func (w misled) WriteHeader(code int) {
	if w.Header().Get("Content-Type") == string(types.OCIImageIndex) && w.Header().Get("Docker-Content-Digest") != "" {
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
	}
	w.ResponseWriter.WriteHeader(code)
}

func pushImage(t *testing.T, options ...registry.Option) pushed {
	t.Helper()
	handler := registry.New(append(options, registry.Logger(log.New(io.Discard, "", 0)))...)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(misled{w}, r)
	}))
	t.Cleanup(server.Close)
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewDigest(strings.TrimPrefix(server.URL, "http://") + "/team/app@" + digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	notary := sealtest.NewNotary(t)
	p := pushed{ref: ref, manifest: artifact.Digest(digest.Hex)}
	p.bundle = notary.Bundle(t, sealtest.Payload(t, "s3://minio:9000/artifacts/manifest.json", p.manifest))
	p.bundleAt, p.key, p.root = write(t, p.bundle), write(t, notary.Signer.PublicKeyPEM()), write(t, notary.TrustedRoot())
	return p
}

func (p pushed) attach(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return command(t, "", append([]string{"attach", p.ref.String(), "--plain-http", "--bundle", p.bundleAt, "--key", p.key, "--trusted-root", p.root, "--any-producer"}, args...)...)
}

// referrers are the manifests whose subject the image is.
func (p pushed) referrers(t *testing.T) []v1.Descriptor {
	t.Helper()
	index, err := remote.Referrers(p.ref)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return m.Manifests
}

// TestASealIsPutBesideItsImage: with and without the registry's API for referrers, once
// however often it is asked for, and as it was signed.
func TestASealIsPutBesideItsImage(t *testing.T) {
	for kind, api := range map[string]bool{"with the referrers API": true, "by a tag": false} {
		t.Run(kind, func(t *testing.T) {
			p := pushImage(t, registry.WithReferrersSupport(api))
			for range 2 {
				if code, out, errs := p.attach(t); code != 0 || !strings.Contains(out, p.ref.Context().String()) {
					t.Fatalf("exit code %d\n%s%s", code, out, errs)
				}
			}
			all := p.referrers(t)
			if len(all) != 1 {
				t.Fatalf("want one bundle, got %+v", all)
			}
			there, err := remote.Get(p.ref.Context().Digest(all[0].Digest.String()))
			if err != nil {
				t.Fatal(err)
			}
			var m v1.Manifest
			if err := json.Unmarshal(there.Manifest, &m); err != nil || len(m.Layers) != 1 || m.ArtifactType != "application/vnd.dev.sigstore.bundle.v0.3+json" || m.Subject.Digest.String() != p.ref.DigestStr() {
				t.Fatalf("%v: %s", err, there.Manifest)
			}
			layer, err := remote.Layer(p.ref.Context().Digest(m.Layers[0].Digest.String()))
			if err != nil {
				t.Fatal(err)
			}
			r, err := layer.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			if bytes, err := io.ReadAll(r); err != nil || string(bytes) != string(p.bundle) {
				t.Errorf("%v: it is another bundle", err)
			}
		})
	}
}

// sealedLayout is an image in a registry, and the seal of a step's output that is its OCI
// layout, as our sidecar measures it.
func sealedLayout(t *testing.T, options ...registry.Option) pushed {
	t.Helper()
	p := pushImage(t, options...)
	img, err := remote.Image(p.ref)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "image")
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := at.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var images oci.Layout
	sum, _, err := content.MeasureDirShowing(t.Context(), root, "image", 0, false, &images)
	if err != nil || len(images.Images()) != 1 {
		t.Fatal(err, images.Images())
	}
	facts := sealtest.Facts("s3://minio:9000/artifacts/image/", sum.SHA256)
	facts.Subjects[0].Sum = sum
	facts.Measured = []provenance.Measured{{Output: facts.Subjects[0].Output, Image: images.Images()[0]}}
	payload, err := provenance.Build(facts)
	if err != nil {
		t.Fatal(err)
	}
	notary := sealtest.NewNotary(t)
	p.notary, p.facts, p.bundle = notary, facts, notary.Bundle(t, payload)
	p.bundleAt, p.key, p.root = write(t, p.bundle), write(t, notary.Signer.PublicKeyPEM()), write(t, notary.TrustedRoot())
	return p
}

// options trust the notary of the seal, and ask for nobody in particular.
func (p pushed) options(t *testing.T) (*attachOptions, *verify.Root) {
	t.Helper()
	o := &attachOptions{verifyOptions: verifyOptions{keys: []string{p.key}, trustedRoot: p.root, rules: configFile("domain.json")}, plainHTTP: true}
	o.producer.any, o.producer.level, o.producer.outcome, o.producer.mode, o.producer.overrides = true, "observed", "any", "any", "any"
	root, err := o.root()
	if err != nil {
		t.Fatal(err)
	}
	return o, root
}

// whole is the record of a workflow of one step.
func (p pushed) whole(t *testing.T, change func(*provenance.Facts)) *v1alpha1.WorkflowProvenance {
	t.Helper()
	facts := p.facts
	change(&facts)
	step, err := provenance.Build(facts)
	if err != nil {
		t.Fatal(err)
	}
	s, err := provenance.Parse(step)
	if err != nil {
		t.Fatal(err)
	}
	of, err := provenance.OfWorkflow([]provenance.StepStatement{{Statement: s, SHA256: artifact.DigestOfText(string(step))}}, "v1")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := provenance.BuildWorkflow(of)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := provenance.BuildSummary(provenance.SummaryFacts{
		Subjects: of.Subjects, Builder: of.Builder, Namespace: of.Namespace, Workflow: of.Workflow, Statement: artifact.DigestOfText(string(payload)),
		Verified: of.FinishedAt.Add(time.Minute), Passed: of.Mode == v1alpha1.ModeEnforce,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.WorkflowProvenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.facts.Step.Namespace, Name: p.facts.Step.Workflow.UID},
		Status:     v1alpha1.WorkflowProvenanceStatus{Bundle: string(p.notary.Bundle(t, payload)), Summary: string(p.notary.Bundle(t, summary))},
	}
}

// cluster is one with the seal of a layout, and what else is in it.
func (p pushed) cluster(t *testing.T, more ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	ns := p.facts.Step.Namespace
	seal := &v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "image", Labels: map[string]string{v1alpha1.LabelImagePrefix + artifact.DigestLabel(p.manifest): v1alpha1.ImageMeasured}}}
	seal.Spec.Provenance, seal.Spec.Images = "pod", []v1alpha1.SealedImage{{SHA256: string(p.manifest)}}
	record := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pod", CreationTimestamp: metav1.NewTime(time.Now())}, Status: v1alpha1.ProvenanceStatus{Bundle: string(p.bundle)}}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(more, seal, record)...).Build()
}

// attachWhole attaches what there is in a cluster of the whole workflow, too.
func (p pushed) attachWhole(t *testing.T, o *attachOptions, root *verify.Root, api client.Client) error {
	t.Helper()
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetOut(io.Discard)
	o.whole = true
	return o.attachAll(cmd, p.ref, o.inCluster(api, root, nil), nil)
}

// TestTheSealOfARevokedImageIsNotAttached, whatever of it a Revocation names. Cosign and
// Kyverno would take it there.
func TestTheSealOfARevokedImageIsNotAttached(t *testing.T) {
	p := sealedLayout(t, registry.WithReferrersSupport(true))
	attach := func(with *v1alpha1.RevocationSpec, how interceptor.Funcs) (string, error) {
		var objects []client.Object
		if with != nil {
			objects = append(objects, &v1alpha1.Revocation{ObjectMeta: metav1.ObjectMeta{Name: "r"}, Spec: *with})
		}
		api := interceptor.NewClient(p.cluster(t, objects...), how)
		var told strings.Builder
		all, err := revocationsOf(t.Context(), api, &told)
		if err != nil {
			return told.String(), err
		}
		o, root := p.options(t)
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		cmd.SetOut(io.Discard)
		return told.String(), o.attachAll(cmd, p.ref, o.inCluster(api, root, all), nil)
	}
	manifest, other := []string{string(p.manifest)}, []string{strings.Repeat("0", 64)}
	for name, c := range map[string]struct {
		names v1alpha1.RevocationSpec
		want  reason.Code
	}{
		"the image":    {v1alpha1.RevocationSpec{Images: manifest}, reason.Revoked},
		"its bytes":    {v1alpha1.RevocationSpec{Digests: manifest}, reason.Revoked},
		"its layout":   {v1alpha1.RevocationSpec{Digests: []string{string(p.facts.Subjects[0].SHA256)}}, reason.Revoked},
		"its workflow": {v1alpha1.RevocationSpec{Workflows: []string{p.facts.Step.Workflow.UID}}, reason.Revoked},
		"its key":      {v1alpha1.RevocationSpec{Keys: []string{p.hint(t)}}, reason.Revoked},
		"nothing":      {v1alpha1.RevocationSpec{}, reason.PolicyInvalid},
	} {
		if _, err := attach(&c.names, interceptor.Funcs{}); reason.Of(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	failing := func(err error) interceptor.Funcs {
		return interceptor.Funcs{List: func(ctx context.Context, api client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if _, is := list.(*v1alpha1.RevocationList); is {
				return err
			}
			return api.List(ctx, list, options...)
		}}
	}
	if _, err := attach(nil, failing(apierrors.NewServiceUnavailable("x"))); reason.Of(err) != reason.LookupFailed {
		t.Errorf("while nobody answers: %v", err)
	}
	if all := p.referrers(t); len(all) != 0 {
		t.Fatalf("something was written: %+v", all)
	}
	if told, err := attach(&v1alpha1.RevocationSpec{Digests: other, Images: other}, interceptor.Funcs{}); err != nil || told != "" || len(p.referrers(t)) != 1 {
		t.Errorf("another is revoked: %v, %q", err, told)
	}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "revocations"}, "", nil)
	if told, err := attach(nil, failing(forbidden)); err != nil || !strings.Contains(told, "not looked at") {
		t.Errorf("to who may not list them: %v, %q", err, told)
	}
}

// hint is that of the key that signed.
func (p pushed) hint(t *testing.T) string {
	t.Helper()
	_, root := p.options(t)
	r, err := root.InspectRecorded(p.bundle, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r.KeyHint
}

// TestWhatIsStatedOfTheWorkflowIsPutBesideItsImage: the step's seal, the provenance of the
// whole, and its summary. What is not there yet, or about something else, is not, nor is
// the seal then.
func TestWhatIsStatedOfTheWorkflowIsPutBesideItsImage(t *testing.T) {
	as := func(*provenance.Facts) {}
	p := sealedLayout(t, registry.WithReferrersSupport(true))
	honest := p.whole(t, as)
	other := p.whole(t, func(f *provenance.Facts) { f.Step.Workflow.UID = "other" })
	longer := p.whole(t, func(f *provenance.Facts) { f.FinishedAt = f.FinishedAt.Add(time.Minute) })
	stranger := sealedLayout(t)
	stranger.facts = p.facts
	audited := p.whole(t, func(f *provenance.Facts) { f.Mode = v1alpha1.ModeAudit })
	for name, c := range map[string]struct {
		is     *v1alpha1.WorkflowProvenance
		change func(is *v1alpha1.WorkflowProvenance, o *attachOptions)
		want   reason.Code
	}{
		"no record":                         {nil, nil, reason.ProvenancePending},
		"nothing stated yet":                {honest, func(is *v1alpha1.WorkflowProvenance, _ *attachOptions) { is.Status.Bundle = "" }, reason.ProvenancePending},
		"no summary":                        {honest, func(is *v1alpha1.WorkflowProvenance, _ *attachOptions) { is.Status.Summary = "" }, reason.ProvenancePending},
		"of another workflow":               {other, nil, reason.StatementInvalid},
		"the summary of another statement":  {honest, func(is *v1alpha1.WorkflowProvenance, _ *attachOptions) { is.Status.Summary = longer.Status.Summary }, reason.StatementInvalid},
		"the summary in both places":        {honest, func(is *v1alpha1.WorkflowProvenance, _ *attachOptions) { is.Status.Bundle = is.Status.Summary }, reason.StatementInvalid},
		"the step's seal in its place":      {honest, func(is *v1alpha1.WorkflowProvenance, _ *attachOptions) { is.Status.Bundle = string(p.bundle) }, reason.StatementInvalid},
		"of another notary":                 {stranger.whole(t, as), nil, reason.SignatureInvalid},
		"of an image that it does not name": {p.whole(t, func(f *provenance.Facts) { f.Measured = nil }), nil, reason.DigestMismatch},
		"of a lower mode than asked for":    {audited, func(_ *v1alpha1.WorkflowProvenance, o *attachOptions) { o.producer.mode = string(v1alpha1.ModeEnforce) }, reason.ModeTooLow},
	} {
		o, root := p.options(t)
		var objects []client.Object
		if c.is != nil {
			is := c.is.DeepCopy()
			if c.change != nil {
				c.change(is, o)
			}
			objects = append(objects, is)
		}
		if err := p.attachWhole(t, o, root, p.cluster(t, objects...)); reason.Of(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if all := p.referrers(t); len(all) != 0 {
		t.Fatalf("something was written: %+v", all)
	}
	o, root := p.options(t)
	for range 2 {
		if err := p.attachWhole(t, o, root, p.cluster(t, honest)); err != nil {
			t.Fatal(err)
		}
	}
	kinds := map[string]int{}
	for _, d := range p.referrers(t) {
		kinds[d.Annotations["dev.sigstore.bundle.predicateType"]]++
	}
	if len(kinds) != 2 || kinds[provenance.PredicateType] != 2 || kinds[provenance.SummaryType] != 1 {
		t.Errorf("beside the image are %v", kinds)
	}
	if code, _, errs := p.attach(t, "--with-workflow"); code != reason.UsageInvalid.ExitCode() {
		t.Errorf("of a bundle: exit code %d\n%s", code, errs)
	}
}

// Where the key has ended since, what is stated of the workflow counts by the time of its
// record, as the step's seal does.
func TestWhatIsStatedOfTheWorkflowOutlivesItsKey(t *testing.T) {
	p := sealedLayout(t, registry.WithReferrersSupport(true))
	end := time.Now().Add(-time.Hour)
	rules, err := verify.Rules{Keys: []verify.KeyRule{{Hint: p.hint(t), ValidUntil: &end}}}.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]reason.Code{-time.Minute: "", time.Minute: reason.SignerExpired} {
		of := p.whole(t, func(*provenance.Facts) {})
		of.CreationTimestamp = metav1.NewTime(end.Add(after))
		api := p.cluster(t, of)
		var step v1alpha1.Provenance
		if err := api.Get(t.Context(), client.ObjectKey{Namespace: of.Namespace, Name: "pod"}, &step); err != nil {
			t.Fatal(err)
		}
		older := step.DeepCopy()
		older.ResourceVersion, older.CreationTimestamp = "", metav1.NewTime(end.Add(-time.Minute))
		if err := errors.Join(api.Delete(t.Context(), &step), api.Create(t.Context(), older)); err != nil {
			t.Fatal(err)
		}
		o, _ := p.options(t)
		o.rules = write(t, rules)
		root, err := o.root()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.attachWhole(t, o, root, api); reason.Of(err) != want {
			t.Errorf("recorded %s after the key's end: %v, want %q", after, err, want)
		}
	}
}

// TestTheSealOfALayoutIsPutBesideItsImage, found in the cluster by its label, too, and
// beside no other.
func TestTheSealOfALayoutIsPutBesideItsImage(t *testing.T) {
	p := sealedLayout(t, registry.WithReferrersSupport(true))
	if code, out, errs := p.attach(t); code != 0 || len(p.referrers(t)) != 1 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	other := pushImage(t)
	other.bundleAt, other.key, other.root = p.bundleAt, p.key, p.root
	if code, out, errs := other.attach(t); code != reason.DigestMismatch.ExitCode() {
		t.Errorf("beside another image: exit code %d\n%s%s", code, out, errs)
	}
	o, root := p.options(t)
	if s, _, err := o.find(t.Context(), p.cluster(t), root, nil, p.manifest); err != nil || s == nil {
		t.Errorf("got %v, %v", s, err)
	}
	p.bundle = other.bundle // a seal that points to another's
	if s, _, err := o.find(t.Context(), p.cluster(t), root, nil, p.manifest); err == nil {
		t.Errorf("got %v", s)
	}
}

// An output that is named is the only one that counts, of a layout's and of a manifest's seal.
func TestOnlyTheNamedOutputIsAttached(t *testing.T) {
	for kind, p := range map[string]pushed{"a manifest": pushImage(t), "a layout": sealedLayout(t)} {
		output := sealtest.Facts("s3://minio:9000/artifacts/x", p.manifest).Subjects[0].Output
		if code, out, errs := p.attach(t, "--dry-run", "--output", "main-logs"); code != reason.DigestMismatch.ExitCode() {
			t.Errorf("%s, another output: exit code %d\n%s%s", kind, code, out, errs)
		}
		if code, out, errs := p.attach(t, "--dry-run", "--output", output); code != 0 {
			t.Errorf("%s: exit code %d\n%s%s", kind, code, out, errs)
		}
	}
}

// A layout's seal that is newer does not come before the manifest's.
func TestSealsOfTheManifestComeFirst(t *testing.T) {
	digest := artifact.DigestOfText("manifest")
	seal := func(name, sha256 string, at int64) v1alpha1.ArtifactSeal {
		a := v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(at, 0)}}
		a.Spec.SHA256 = sha256
		return a
	}
	seals := []v1alpha1.ArtifactSeal{seal("layout", "x", 9), seal("older", string(digest), 1), seal("newer", string(digest), 2)}
	manifestsFirst(seals, digest)
	if seals[0].Name != "newer" || seals[1].Name != "older" || seals[2].Name != "layout" {
		t.Errorf("the order is %s, %s, %s", seals[0].Name, seals[1].Name, seals[2].Name)
	}
}

// Nothing is written that does not hold.
func TestWhatIsNotTheImagesSealIsNotAttached(t *testing.T) {
	p := pushImage(t, registry.WithReferrersSupport(true))
	other := pushImage(t)
	tagged := p.ref.Context().Tag("v1").String()
	swapped := func(swap func(*pushed)) pushed {
		p := p
		swap(&p)
		return p
	}
	for name, c := range map[string]struct {
		with pushed
		args []string
		want reason.Code
	}{
		"the seal of another image": {swapped(func(p *pushed) { p.bundleAt, p.key, p.root = other.bundleAt, other.key, other.root }), nil, reason.DigestMismatch},
		"another key":               {swapped(func(p *pushed) { p.key = other.key }), nil, reason.SignatureInvalid},
		"another log":               {swapped(func(p *pushed) { p.root = other.root }), nil, reason.LogEntryInvalid},
		"another namespace":         {p, []string{"--any-producer=false", "--namespace", "elsewhere"}, reason.ProducerMismatch},
		"nobody in particular":      {p, []string{"--any-producer=false"}, reason.ProducerUnstated},
		"platforms of a bundle":     {p, []string{"--platforms"}, reason.UsageInvalid},
		"an argument more":          {p, []string{tagged}, reason.UsageInvalid},
	} {
		if code, out, errs := c.with.attach(t, c.args...); code != c.want.ExitCode() {
			t.Errorf("%s: exit code %d, want %d\n%s%s", name, code, c.want.ExitCode(), out, errs)
		}
	}
	if code, _, errs := command(t, "", "attach", tagged, "--any-producer", "--bundle", p.bundleAt); code != reason.UsageInvalid.ExitCode() || !strings.Contains(errs, "no digest") {
		t.Errorf("by tag: exit code %d\n%s", code, errs)
	}
	if code, _, errs := p.attach(t, "--dry-run"); code != 0 {
		t.Errorf("--dry-run: exit code %d\n%s", code, errs)
	}
	if all := p.referrers(t); len(all) != 0 {
		t.Errorf("something was written: %+v", all)
	}
}

// secure puts the image into a registry with TLS and a password, and returns the file with
// the registry's authority.
func (p *pushed) secure(t *testing.T) (authority string) {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ci" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it
	img, err := remote.Image(p.ref)
	if err != nil {
		t.Fatal(err)
	}
	if p.ref, err = name.NewDigest(strings.TrimPrefix(server.URL, "https://") + "/team/app@" + p.ref.DigestStr()); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(p.ref, img, remote.WithTransport(server.Client().Transport), remote.WithAuth(&authn.Basic{Username: "ci", Password: "secret"})); err != nil {
		t.Fatal(err)
	}
	return write(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

// TestARegistryIsAskedByTLSAndWithAPassword: under an authority of its own, with what
// docker login has stored. What is missing is said.
func TestARegistryIsAskedByTLSAndWithAPassword(t *testing.T) {
	p := pushImage(t)
	authority := p.secure(t)
	config := filepath.Join(t.TempDir(), "config.json")
	login := `{"auths": {"` + p.ref.RegistryStr() + `": {"username": "ci", "password": "secret"}}}`
	if err := os.WriteFile(config, []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	attach := func(args ...string) (int, string, string) {
		return command(t, "", append([]string{"attach", p.ref.String(), "--bundle", p.bundleAt, "--key", p.key, "--trusted-root", p.root, "--any-producer"}, args...)...)
	}
	t.Setenv("REGISTRY_AUTH_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	if code, _, errs := attach("--registry-cacert", authority); code == 0 || !strings.Contains(errs, "log in to "+p.ref.RegistryStr()) {
		t.Errorf("without a password: exit code %d\n%s", code, errs)
	}
	t.Setenv("DOCKER_CONFIG", filepath.Dir(config))
	if code, _, errs := attach(); code == 0 || !strings.Contains(errs, "--registry-cacert") {
		t.Errorf("without its authority: exit code %d\n%s", code, errs)
	}
	if code, _, errs := attach("--registry-cacert", p.key); code != reason.UsageInvalid.ExitCode() {
		t.Errorf("with what is no certificate: exit code %d\n%s", code, errs)
	}
	if code, out, errs := attach("--registry-cacert", authority); code != 0 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// TestNoPasswordIsSentWithoutTLS: an address of this machine's own, which the client would
// ask by HTTP if nothing else answers.
func TestNoPasswordIsSentWithoutTLS(t *testing.T) {
	var asked, told atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if _, _, given := r.BasicAuth(); given {
			told.Add(1)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(server.Close)
	p := pushImage(t)
	host := strings.TrimPrefix(server.URL, "http://")
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	login := `{"auths": {"` + host + `": {"username": "ci", "password": "secret"}}}`
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	attach := func(args ...string) (int, string, string) {
		return command(t, "", append([]string{"attach", host + "/team/app@" + p.ref.DigestStr(), "--bundle", p.bundleAt, "--key", p.key, "--trusted-root", p.root, "--any-producer"}, args...)...)
	}
	if code, _, errs := attach(); code == 0 || asked.Load() != 0 || !strings.Contains(errs, "--plain-http") {
		t.Errorf("exit code %d, asked %d times\n%s", code, asked.Load(), errs)
	}
	if code, _, errs := attach("--plain-http"); code == 0 || told.Load() == 0 {
		t.Errorf("where it is asked for, it was not told either: exit code %d\n%s", code, errs)
	}
}

// TestTheSealsOfAnImagesPlatformsAreAttached: each beside its own manifest; one that is not
// sealed is named, and does not keep the others from theirs.
func TestTheSealsOfAnImagesPlatformsAreAttached(t *testing.T) {
	p := pushImage(t, registry.WithReferrersSupport(true))
	index := mutate.AppendManifests(empty.Index)
	var platforms []artifact.Digest
	for _, of := range []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}, {OS: "unknown", Architecture: "unknown"}} {
		img, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &of}})
		platforms = append(platforms, artifact.Digest(digest.Hex))
	}
	hash, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	whole := p.ref.Context().Digest(hash.String())
	if err := remote.WriteIndex(whole, index); err != nil {
		t.Fatal(err)
	}
	o := &attachOptions{platforms: true, plainHTTP: true}
	sealed := map[artifact.Digest]bool{artifact.Digest(hash.Hex): true, platforms[0]: true}
	find := func(_ context.Context, digest artifact.Digest) ([]attestation, error) {
		if !sealed[digest] {
			return nil, reason.New(reason.DigestMismatch, "no step has sealed it")
		}
		return []attestation{sealOf(&provenance.Statement{}, p.bundle)}, nil
	}
	attach := func() (string, error) {
		var out strings.Builder
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := o.attachAll(cmd, whole, find, nil)
		return out.String(), err
	}
	if out, err := attach(); reason.Of(err) != reason.DigestMismatch || !strings.Contains(err.Error(), "1 of 3") || !strings.Contains(out, "(linux/arm64): ") {
		t.Errorf("%v\n%s", err, out)
	}
	sealed[platforms[1]] = true
	if out, err := attach(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	beside := func(hex artifact.Digest) int {
		p.ref = p.ref.Context().Digest("sha256:" + string(hex))
		return len(p.referrers(t))
	}
	for _, hex := range append(platforms[:2:2], artifact.Digest(hash.Hex)) {
		if n := beside(hex); n != 1 {
			t.Errorf("%d seals beside %s, want one", n, hex)
		}
	}
	if n := beside(platforms[2]); n != 0 {
		t.Errorf("%d seals beside what is for no platform", n)
	}
}

// The cluster is asked for the seal of a manifest; what it answers is verified, too.
func TestTheSealOfAnImageIsFoundInTheCluster(t *testing.T) {
	p := pushImage(t)
	seal := func(name, sha256 string) *v1alpha1.ArtifactSeal {
		a := &v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{v1alpha1.LabelSHA256: artifact.DigestLabel(p.manifest)}}}
		a.Spec.SHA256, a.Spec.Provenance = sha256, name
		return a
	}
	record := func(name, bundle string) *v1alpha1.Provenance {
		return &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, CreationTimestamp: metav1.NewTime(time.Now())}, Status: v1alpha1.ProvenanceStatus{Bundle: bundle}}
	}
	o, root := p.options(t)
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	digest := string(p.manifest)
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		seal("forged", digest), record("forged", "{}"), seal("gone", digest), seal("good", digest), record("good", string(p.bundle)),
	).Build()
	if s, bundle, err := o.find(t.Context(), api, root, nil, p.manifest); err != nil || s == nil || string(bundle) != string(p.bundle) {
		t.Errorf("got %v, %v", s, err)
	}
	api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(seal("forged", digest), record("forged", "{}")).Build()
	if _, _, err := o.find(t.Context(), api, root, nil, p.manifest); reason.Of(err) != reason.BundleInvalid {
		t.Errorf("want %s, got %v", reason.BundleInvalid, err)
	}
	// The label has room for all digits but the last.
	api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(seal("near", digest[:63]+"x"), record("near", string(p.bundle))).Build()
	if _, _, err := o.find(t.Context(), api, root, nil, p.manifest); reason.Of(err) != reason.DigestMismatch {
		t.Errorf("want %s, got %v", reason.DigestMismatch, err)
	}
}

// TestCosignVerifiesWhatIsAttached: the judge is from outside.
func TestCosignVerifiesWhatIsAttached(t *testing.T) {
	cosign := os.Getenv("ARGOSEAL_BIN_COSIGN")
	if cosign == "" {
		t.Skip("cosign is not built: make integration")
	}
	for name, p := range map[string]pushed{
		"a manifest's seal": pushImage(t, registry.WithReferrersSupport(true)),
		"a layout's seal":   sealedLayout(t, registry.WithReferrersSupport(true)),
	} {
		t.Run(name, func(t *testing.T) { cosignVerifies(t, cosign, p) })
	}
}

func cosignVerifies(t *testing.T, cosign string, p pushed) {
	t.Helper()
	if code, out, errs := p.attach(t); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	kind := "slsaprovenance1"
	judge := func(key string) (string, error) {
		c := exec.CommandContext(t.Context(), cosign, "verify-attestation", "--key", key, "--trusted-root", p.root, "--type", kind,
			"--allow-http-registry", p.ref.String())
		c.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := judge(p.key); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := judge(pushImage(t).key); err == nil {
		t.Errorf("it holds under another key, too\n%s", out)
	}
	if p.notary == nil {
		return
	}
	// What is stated of the whole workflow.
	kind = provenance.SummaryType
	if out, err := judge(p.key); err == nil {
		t.Errorf("there is a summary already\n%s", out)
	}
	o, root := p.options(t)
	if err := p.attachWhole(t, o, root, p.cluster(t, p.whole(t, func(*provenance.Facts) {}))); err != nil {
		t.Fatal(err)
	}
	for _, kind = range []string{"slsaprovenance1", provenance.SummaryType} {
		out, err := judge(p.key)
		if err != nil {
			t.Errorf("%s: %v\n%s", kind, err, out)
		}
		if n := strings.Count(out, "\"payloadType\""); n != map[string]int{"slsaprovenance1": 2, provenance.SummaryType: 1}[kind] {
			t.Errorf("%s: cosign shows %d statements\n%s", kind, n, out)
		}
	}
}
