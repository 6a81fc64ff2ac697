package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

const (
	made  = "the bytes that a step made"
	spdx  = `{"spdxVersion":"SPDX-2.3","packages":[{"name":"a"}]}`
	cyclo = `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"a"}]}`
)

// sealedBytes is a step that made these bytes.
func sealedBytes(t *testing.T) sealedStep {
	t.Helper()
	return sealedRun(t, func(f *provenance.Facts) { f.Subjects[0].SHA256 = artifact.DigestOfText(made) })
}

// model makes a folder with something in it, and gives its tree digest.
func model(t *testing.T, dir string) artifact.Digest {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "inside"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := content.TreeOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// sealsModel has a step have stored that folder without an archive.
func sealsModel(tree artifact.Digest) func(*provenance.Facts) {
	return func(f *provenance.Facts) {
		f.Subjects[0].URI, f.Subjects[0].Sum = "s3://minio:9000/artifacts/model/", content.Sum{Form: content.FormDirectory, Size: 1, SHA256: tree, Tree: tree}
	}
}

// sbomBy are options that ask for nobody in particular, and sign with a notary's key.
func sbomBy(by *sealtest.Notary) *sbomOptions {
	o := &sbomOptions{format: "spdx", timeout: time.Minute}
	o.producer.any, o.producer.level, o.producer.outcome, o.producer.mode, o.producer.overrides = true, "observed", "any", "any", "any"
	if by != nil {
		o.attest.sealer, o.attest.root = by.Sealer, by.Root
	}
	return o
}

// said is a command that keeps what it says.
func said(t *testing.T) (*cobra.Command, *bytes.Buffer) {
	t.Helper()
	c, out := &cobra.Command{}, &bytes.Buffer{}
	c.SetContext(t.Context())
	c.SetOut(out)
	c.SetErr(out)
	return c, out
}

func TestAnSBOMIsSignedAndPublished(t *testing.T) {
	by := sealtest.NewNotary(t)
	step := sealedBytes(t)
	ns, about := step.Step.Namespace, artifact.DigestOfText(made)
	api := clusterOf(t, &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: step.Step.Pod.UID, UID: "record"}})
	for _, n := range []struct {
		format   sbom.Format
		document string
		formats  []string
	}{{sbom.CycloneDX, cyclo, []string{"cyclonedx"}}, {sbom.SPDX, spdx, []string{"spdx", "cyclonedx"}}, {sbom.SPDX, spdx, []string{"spdx", "cyclonedx"}}} {
		format, document := n.format, n.document
		o := sbomBy(by)
		o.artifact, o.document, o.of = write(t, []byte(made)), write(t, []byte(document)), "hello-art"
		o.attest.file, o.attest.as = filepath.Join(t.TempDir(), "sbom.json"), "scanner"
		cmd, out := said(t)
		if err := o.describe(cmd, api, step); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{string(format), "with 1 parts", string(about), "published: SBOM argo/" + string(about) + ".file.scanner"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q lacks %q", out, want)
			}
		}
		var s v1alpha1.SBOM
		if err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: v1alpha1.SBOMName(string(about), "file", "scanner")}, &s); err != nil {
			t.Fatal(err)
		}
		signed, err := by.Root.Payload([]byte(s.Spec.Bundle))
		if err != nil {
			t.Fatal(err)
		}
		r, err := provenance.ParseReference(signed.Payload)
		if err != nil {
			t.Fatal(err)
		}
		// What the key has published in another format stays.
		if f := r.Speaks(provenance.About{Of: provenance.OfFile, SHA256: about}); len(f) != len(n.formats) || len(r.Documents) != len(f) || f[0] != format ||
			!slices.Equal(s.Spec.Formats, n.formats) || r.Documents[0].SHA256 != artifact.DigestOfText(document) ||
			!strings.HasPrefix(r.Documents[0].URI, "ni:///sha-256;") || len(s.OwnerReferences) != 1 || s.OwnerReferences[0].UID != "record" {
			t.Errorf("published is %+v, which says %+v", s, r)
		}
		raw, err := os.ReadFile(o.attest.file)
		if err != nil {
			t.Fatal(err)
		}
		signed, err = by.Root.Payload(raw)
		if err != nil || !strings.Contains(string(signed.Payload), document) || provenance.KindOf(signed.Payload) != provenance.KindSBOM {
			t.Errorf("the file states %v, %v", signed, err)
		}
		// It is no word on who made it.
		code, _, errs := command(t, "", "verify", o.artifact, "--any-producer", "--bundle", o.attest.file, "--key", write(t, by.Signer.PublicKeyPEM()), "--trusted-root", write(t, by.TrustedRoot()))
		if code != reason.StatementInvalid.ExitCode() || !strings.Contains(errs, "SBOM") {
			t.Errorf("verify: exit code %d\n%s", code, errs)
		}
	}
}

// What two steps made goes with the last of their records, and with nothing else.
func TestAnSBOMStaysAsLongAsOneOfItsSteps(t *testing.T) {
	by, first := sealtest.NewNotary(t), sealedBytes(t)
	second := sealedRun(t, func(f *provenance.Facts) {
		f.Subjects[0].SHA256, f.Step.Pod.UID = artifact.DigestOfText(made), "22222222-2222-2222-2222-222222222222"
	})
	ns := first.Step.Namespace
	record := func(name string, uid types.UID) *v1alpha1.Provenance {
		return &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: uid}}
	}
	api := clusterOf(t, record(first.Step.Pod.UID, "first"), record(second.Step.Pod.UID, "second"), record("other", "another"))
	at := client.ObjectKey{Namespace: ns, Name: v1alpha1.SBOMName(string(artifact.DigestOfText(made)), "file", "scanner")}
	publish := func(of sealedStep) (*v1alpha1.SBOM, error) {
		o := sbomBy(by)
		o.artifact, o.document, o.attest.as = write(t, []byte(made)), write(t, []byte(spdx)), "scanner"
		cmd, _ := said(t)
		err := o.describe(cmd, api, of)
		s := &v1alpha1.SBOM{}
		if get := api.Get(t.Context(), at, s); get != nil && err == nil {
			t.Fatal(get)
		}
		return s, err
	}
	var s *v1alpha1.SBOM
	for _, of := range []sealedStep{first, second, second} {
		var err error
		if s, err = publish(of); err != nil {
			t.Fatal(err)
		}
	}
	if o := s.OwnerReferences; len(o) != 2 || o[0].UID != "second" || o[1].UID != "first" {
		t.Errorf("it goes with %v", o)
	}
	// Others may have written what they like.
	yes := true
	s.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x"},
		{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Provenance", Name: "other", UID: "an earlier one"},
		{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Provenance", Name: first.Step.Pod.UID, UID: "first", BlockOwnerDeletion: &yes, Controller: &yes},
	}
	s.Finalizers = []string{"example.com/stays"}
	if err := api.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s, err := publish(second)
	if err != nil {
		t.Fatal(err)
	}
	if o := s.OwnerReferences; len(o) != 2 || o[0].UID != "second" || o[1].UID != "first" || o[1].Controller != nil || len(s.Finalizers) != 0 {
		t.Errorf("it goes with %v, after %v", o, s.Finalizers)
	}
	// Where there are too many, the step for which it is published is among them.
	s.OwnerReferences = nil
	for i := range maxOwners + 8 {
		r := record(fmt.Sprintf("other-%d", i), types.UID(fmt.Sprintf("other %d", i)))
		if err := api.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Provenance", Name: r.Name, UID: r.UID})
	}
	if err := api.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if s, err = publish(second); err != nil || len(s.OwnerReferences) != maxOwners || s.OwnerReferences[0].UID != "second" || s.OwnerReferences[1].UID != "other 0" {
		t.Errorf("it goes with %v, %v", s.OwnerReferences, err)
	}
	// One on its way out would be gone in the moment that its finalizer is.
	s.Finalizers = []string{"example.com/stays"}
	if err := api.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := publish(first); reason.Of(err) != reason.LookupFailed || !strings.Contains(err.Error(), "is being deleted") {
		t.Errorf("one that is being deleted: %v", err)
	}
}

// What cannot be read is not gone; but a Reproduction may be published without reading records.
// However many owners others have written, some are looked at.
func TestWhatAnObjectGoesWith(t *testing.T) {
	gets := 0
	api := interceptor.NewClient(clusterOf(t).(client.WithWatch), interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
		if gets++; key.Name == "hidden" {
			return errors.New("forbidden")
		}
		return c.Get(ctx, key, object, options...)
	}})
	s := &v1alpha1.SBOM{}
	if o, err := owners(t.Context(), api, s, "hidden", false); err != nil || len(o) != 0 {
		t.Errorf("a Reproduction goes with %v, %v", o, err)
	}
	if _, err := owners(t.Context(), api, s, "hidden", true); err == nil {
		t.Error("what cannot be read is taken for gone")
	}
	for i := range 1000 {
		s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Provenance", Name: fmt.Sprint(i), UID: "x"})
	}
	gets = 0
	if o, err := owners(t.Context(), api, s, "gone", true); err != nil || len(o) != 0 || gets > 2*maxOwners+1 {
		t.Errorf("it goes with %v, %v, after %d reads", o, err, gets)
	}
}

// What the key has said before is signed again only if it is about the same, and was said by
// this key; and nothing that was said meanwhile is lost.
func TestAnSBOMSignsNoOthersWords(t *testing.T) {
	by, about := sealtest.NewNotary(t), artifact.DigestOfText(made)
	cyclonedx := func(of provenance.DigestKind, about artifact.Digest) provenance.DocumentReference {
		return sealtest.DescribedAs(of, about, sbom.CycloneDX)
	}
	for name, c := range map[string]struct {
		before  []byte
		replace bool
		want    []string
	}{
		"its own":                 {by.Reference(t, cyclonedx(provenance.OfFile, about)), false, []string{"spdx", "cyclonedx"}},
		"about other bytes":       {by.Reference(t, cyclonedx(provenance.OfFile, artifact.DigestOfText("other"))), false, []string{"spdx"}},
		"about an image":          {by.Reference(t, cyclonedx(provenance.OfImage, about)), false, []string{"spdx"}},
		"another's":               {sealtest.NewNotary(t).Reference(t, cyclonedx(provenance.OfFile, about)), true, []string{"spdx"}},
		"its own, to be replaced": {by.Reference(t, cyclonedx(provenance.OfFile, about)), true, []string{"spdx"}},
	} {
		t.Run(name, func(t *testing.T) {
			step := sealedBytes(t)
			s := &v1alpha1.SBOM{
				ObjectMeta: metav1.ObjectMeta{Namespace: step.Step.Namespace, Name: v1alpha1.SBOMName(string(about), "file", "scanner")},
				Spec:       v1alpha1.SBOMSpec{Formats: []string{"cyclonedx"}, Bundle: string(c.before)},
			}
			api := clusterOf(t, s)
			o := sbomBy(by)
			o.artifact, o.document, o.attest.as, o.attest.replace = write(t, []byte(made)), write(t, []byte(spdx)), "scanner", c.replace
			cmd, _ := said(t)
			if err := o.describe(cmd, api, step); err != nil {
				t.Fatal(err)
			}
			if err := api.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil {
				t.Fatal(err)
			}
			signed, err := by.Root.Payload([]byte(s.Spec.Bundle))
			if err != nil {
				t.Fatal(err)
			}
			r, err := provenance.ParseReference(signed.Payload)
			if err != nil || len(r.About) != 1 || len(r.Documents) != len(c.want) || !slices.Equal(s.Spec.Formats, c.want) {
				t.Errorf("%v states %+v, %v", s.Spec.Formats, r, err)
			}
		})
	}
	// Two at once: the second is told.
	step, o := sealedBytes(t), sbomBy(by)
	o.artifact, o.document, o.attest.as = write(t, []byte(made)), write(t, []byte(spdx)), "scanner"
	first := true
	api := interceptor.NewClient(clusterOf(t).(client.WithWatch), interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
		err := c.Get(ctx, key, object, options...)
		if _, is := object.(*v1alpha1.SBOM); is && first {
			first = false
			return errors.Join(err, c.Create(ctx, &v1alpha1.SBOM{
				ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
				Spec:       v1alpha1.SBOMSpec{Formats: []string{"cyclonedx"}, Bundle: string(by.Reference(t, cyclonedx(provenance.OfFile, about)))},
			}))
		}
		return err
	}})
	cmd, _ := said(t)
	if err := o.describe(cmd, api, step); reason.Of(err) != reason.LookupFailed || !strings.Contains(err.Error(), "meanwhile") {
		t.Errorf("two at once: %v", err)
	}
	if err := o.describe(cmd, api, step); err != nil {
		t.Errorf("again: %v", err)
	}
	// No answer is not an answer.
	gets := 0
	api = interceptor.NewClient(clusterOf(t).(client.WithWatch), interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
		if _, is := object.(*v1alpha1.SBOM); is {
			if gets++; gets == 4 { // what the first run wrote was read for the second, and is read again to be written
				return errors.New("no answer")
			}
		}
		return c.Get(ctx, key, object, options...)
	}})
	if err := o.describe(cmd, api, step); err != nil {
		t.Fatal(err)
	}
	if err := o.describe(cmd, api, step); reason.Of(err) != reason.LookupFailed || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("without an answer: %v", err)
	}
}

// A directory is described as one, and an image as one.
func TestAnSBOMSaysWhatItIsAbout(t *testing.T) {
	by, dir := sealtest.NewNotary(t), filepath.Join(t.TempDir(), "model")
	tree := model(t, dir)
	both := sealedRun(t, func(f *provenance.Facts) {
		sealsModel(tree)(f)
		file := f.Subjects[0]
		file.Output, file.URI, file.Sum = "listing", "s3://minio:9000/artifacts/listing", content.Sum{Form: content.FormFile, Size: 1, SHA256: tree, Tree: content.FileTree(tree)}
		f.Subjects = append(f.Subjects, file)
	})
	publishes := func(o *sbomOptions, step sealedStep, about provenance.About) {
		t.Helper()
		api := clusterOf(t)
		o.document, o.attest.as = write(t, []byte(spdx)), "scanner"
		cmd, _ := said(t)
		if err := o.describe(cmd, api, step); err != nil {
			t.Fatal(err)
		}
		var s v1alpha1.SBOM
		if err := api.Get(t.Context(), client.ObjectKey{Namespace: step.Step.Namespace, Name: v1alpha1.SBOMName(string(about.SHA256), string(about.Of), "scanner")}, &s); err != nil {
			t.Fatal(err)
		}
		signed, err := by.Root.Payload([]byte(s.Spec.Bundle))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := provenance.ParseReference(signed.Payload); err != nil || len(r.Speaks(about)) != 1 || len(r.About) != 1 {
			t.Errorf("of %v it states %+v, %v", about, r, err)
		}
	}
	o := sbomBy(by)
	o.artifact = dir
	publishes(o, both, provenance.About{Of: provenance.OfTree, SHA256: tree})
	o.artifact, o.of = "sha256:"+string(tree), "listing"
	publishes(o, both, provenance.About{Of: provenance.OfFile, SHA256: tree})
	o.of = ""
	cmd, _ := said(t)
	if err := o.describe(cmd, clusterOf(t), both); reason.Of(err) != reason.UsageInvalid || !strings.Contains(err.Error(), "--output") {
		t.Errorf("a digest of two things: %v", err)
	}
	p := pushImage(t, registry.WithReferrersSupport(true))
	o = sbomBy(by)
	o.keys, o.trustedRoot, o.rules, o.image = []string{p.key}, p.root, configFile("domain.json"), p.ref.String()
	step, err := o.sealIn(p.bundleAt)
	if err != nil {
		t.Fatal(err)
	}
	_, hex, _ := strings.Cut(p.ref.DigestStr(), ":")
	publishes(o, step, provenance.About{Of: provenance.OfImage, SHA256: artifact.Digest(hex)})
}

// Without a key nothing is signed, and it says so.
func TestAnSBOMIsLookedAtWithoutAKey(t *testing.T) {
	o := sbomBy(nil)
	o.artifact, o.document = "sha256:"+string(artifact.DigestOfText(made)), write(t, []byte(spdx))
	cmd, out := said(t)
	if err := o.describe(cmd, nil, sealedBytes(t)); err != nil || !strings.Contains(out.String(), "Nothing is signed") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAnSBOMOfSomethingElseIsNotSigned(t *testing.T) {
	by := sealtest.NewNotary(t)
	for name, c := range map[string]struct {
		change func(*sbomOptions)
		want   reason.Code
	}{
		"other bytes":        {func(o *sbomOptions) { o.artifact = write(t, []byte("other bytes")) }, reason.DigestMismatch},
		"another output":     {func(o *sbomOptions) { o.of = "other" }, reason.DigestMismatch},
		"a folder":           {func(o *sbomOptions) { o.artifact = t.TempDir() }, reason.DigestMismatch},
		"no such file":       {func(o *sbomOptions) { o.artifact = "/nowhere" }, reason.UsageInvalid},
		"another image":      {func(o *sbomOptions) { o.artifact, o.image = "", "registry.test/app@sha256:"+strings.Repeat("a", 64) }, reason.DigestMismatch},
		"an image by a tag":  {func(o *sbomOptions) { o.artifact, o.image = "", "registry.test/app:1" }, reason.UsageInvalid},
		"no document":        {func(o *sbomOptions) { o.document = write(t, []byte("{}")) }, reason.UsageInvalid},
		"an empty document":  {func(o *sbomOptions) { o.document = write(t, []byte(`{"spdxVersion":"SPDX-2.3"}`)) }, reason.UsageInvalid},
		"an endless one":     {func(o *sbomOptions) { o.document = write(t, make([]byte, sbom.MaxDocument+1)) }, reason.UsageInvalid},
		"another's workflow": {func(o *sbomOptions) { o.producer.any, o.producer.namespace = false, "elsewhere" }, reason.ProducerMismatch},
	} {
		o := sbomBy(by)
		o.artifact, o.document, o.attest.file = write(t, []byte(made)), write(t, []byte(spdx)), filepath.Join(t.TempDir(), "sbom.json")
		c.change(o)
		cmd, _ := said(t)
		err := o.describe(cmd, nil, sealedBytes(t))
		if _, there := os.Stat(o.attest.file); reason.Of(err) != c.want || there == nil {
			t.Errorf("%s: %v, the file: %v", name, err, there)
		}
	}
	// What has no room as a whole is published by its digest.
	large := `{"spdxVersion":"SPDX-2.3","packages":[{"name":"` + strings.Repeat("a", provenance.MaxPayload) + `"}]}`
	o := sbomBy(by)
	o.artifact, o.document, o.attest.as = write(t, []byte(made)), write(t, []byte(large)), "scanner"
	cmd, _ := said(t)
	if err := o.describe(cmd, clusterOf(t), sealedBytes(t)); err != nil {
		t.Error(err)
	}
	o.attest.file = filepath.Join(t.TempDir(), "sbom.json")
	if err := o.describe(cmd, clusterOf(t), sealedBytes(t)); reason.Of(err) != reason.UsageInvalid || !strings.Contains(err.Error(), "--publish") {
		t.Errorf("a whole one that is large: %v", err)
	}
}

func TestWhatAnSBOMNeedsIsSaid(t *testing.T) {
	by := sealtest.NewNotary(t)
	base := []string{"sbom", "ci/x", "--key", write(t, by.Signer.PublicKeyPEM()), "--trusted-root", write(t, by.TrustedRoot()), "--kubeconfig", "/nowhere"}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"about nothing":     {[]string{"--run-syft"}, "--artifact"},
		"about two things":  {[]string{"--run-syft", "--artifact", "x", "--image", "y"}, "--artifact"},
		"no SBOM":           {[]string{"--artifact", "x"}, "--sbom"},
		"two SBOMs":         {[]string{"--artifact", "x", "--sbom", "y", "--run-syft"}, "--sbom"},
		"syft and a digest": {[]string{"--artifact", "sha256:" + digest, "--run-syft"}, "--run-syft"},
		"a pipe":            {[]string{"--artifact", "-", "--sbom", "y"}, "piped"},
		"another format":    {[]string{"--artifact", "x", "--run-syft", "--format", "xml"}, "--format"},
		"no time":           {[]string{"--artifact", "x", "--run-syft", "--timeout", "0s"}, "--timeout"},
		"beside no image":   {[]string{"--artifact", "x", "--run-syft", "--attach"}, "--image"},
		"nothing to attach": {[]string{"--image", "x", "--run-syft", "--attach"}, "--sign-key"},
		"publish nothing":   {[]string{"--artifact", "x", "--run-syft", "--publish", "scanner"}, "--sign-key"},
	} {
		code, out, errs := command(t, "", append(append([]string{}, base...), c.args...)...)
		if code != reason.UsageInvalid.ExitCode() || !strings.Contains(errs, c.says) {
			t.Errorf("%s: exit code %d\n%s%s", name, code, out, errs)
		}
	}
}

// fakeSyft puts a program on the path that says what it was given, and does as the script
// says.
func fakeSyft(t *testing.T, script string) (saw string) {
	t.Helper()
	dir := t.TempDir()
	saw = filepath.Join(dir, "saw")
	text := fmt.Sprintf("#!/bin/sh\necho \"$@\" > %s\nfor a in \"$@\"; do case \"$a\" in file:*) cat \"${a#file:}\" >> %s;; dir:*) ls \"${a#dir:}\" >> %s;; esac; done\n%s\n", saw, saw, saw, script)
	if err := os.WriteFile(filepath.Join(dir, "syft"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return saw
}

func TestSyftSeesJustWhatWasSealed(t *testing.T) {
	saw := fakeSyft(t, "echo '"+spdx+"'")
	o := sbomBy(nil)
	o.artifact, o.syft = write(t, []byte(made)), true
	cmd, out := said(t)
	if err := o.describe(cmd, nil, sealedBytes(t)); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(saw)
	if err != nil || !strings.Contains(string(raw), made) || !strings.Contains(string(raw), "spdx-json") || !strings.Contains(string(raw), "--source-name "+location) || strings.Contains(string(raw), o.artifact) {
		t.Errorf("syft saw %s, %v; it is said %s", raw, err, out)
	}
	// Bytes that are not sealed it is not shown at all.
	if err := os.Remove(saw); err != nil {
		t.Fatal(err)
	}
	o.artifact = write(t, []byte("other bytes"))
	if err := o.describe(cmd, nil, sealedBytes(t)); reason.Of(err) != reason.DigestMismatch {
		t.Error(err)
	}
	if _, err := os.Stat(saw); err == nil {
		t.Error("syft was run on what is not sealed")
	}
	// A directory that was stored without an archive.
	dir := filepath.Join(t.TempDir(), "model")
	tree := model(t, dir)
	folder := sealedRun(t, sealsModel(tree))
	o.artifact = dir
	if err := o.describe(cmd, nil, folder); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(saw); err != nil || !strings.Contains(string(raw), "dir:") || !strings.Contains(string(raw), "inside") {
		t.Errorf("syft saw %s, %v", raw, err)
	}
}

// It parses what others made: of what this program knows it learns what it needs.
func TestSyftSeesNoCredentials(t *testing.T) {
	saw := fakeSyft(t, `env > "${0%/*}/environment"; mktemp > "${0%/*}/temporary"; echo '`+spdx+`'`)
	for _, name := range []string{"VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY", "KUBECONFIG", "COSIGN_PASSWORD", "SYFT_PARALLELISM", "https_proxy"} {
		t.Setenv(name, "1")
	}
	o := sbomBy(nil)
	o.artifact, o.syft = write(t, []byte(made)), true
	cmd, _ := said(t)
	if err := o.describe(cmd, nil, sealedBytes(t)); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(saw), "environment"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"VAULT_TOKEN", "AWS_", "KUBE", "COSIGN"} {
		if strings.Contains(string(raw), name) {
			t.Errorf("it sees %s", name)
		}
	}
	for _, name := range []string{"PATH=", "SYFT_PARALLELISM=1", "https_proxy=1", "TMPDIR="} {
		if !strings.Contains(string(raw), name) {
			t.Errorf("it does not see %s", name)
		}
	}
	left, err := os.ReadFile(filepath.Join(filepath.Dir(saw), "temporary"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.TrimSpace(string(left))); !os.IsNotExist(err) {
		t.Errorf("what it left is there: %v", err)
	}
}

// A folder is copied to a place of its own, whatever it is called here; and never into itself.
func TestAFolderIsCopiedApart(t *testing.T) {
	fakeSyft(t, "echo '"+spdx+"'")
	dir, temporary := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "model", "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	tree := model(t, filepath.Join(dir, "model"))
	t.Setenv("TMPDIR", temporary)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(dir, "model", "below"), link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(link)
	folder := sealedRun(t, sealsModel(tree))
	o := sbomBy(nil)
	o.artifact, o.syft = "..", true
	cmd, out := said(t)
	if err := o.describe(cmd, nil, folder); err != nil {
		t.Error(err, out)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "model", "below"))
	if err := o.describe(cmd, nil, folder); reason.Of(err) != reason.UsageInvalid || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("into itself: %v", err)
	}
}

func TestSyftIsHeldToBounds(t *testing.T) {
	for name, c := range map[string]struct{ script, says string }{
		"it fails":           {"echo broken >&2; exit 3", "broken"},
		"it says too much":   {"yes | head -c 40000000", "syft made more than"},
		"it complains a lot": {"yes | head -c 9000000 >&2; exit 1", "exit status 1"},
		"it does not end":    {"sleep 60", "--timeout"},
		"it makes no SBOM":   {"echo '{}'", "the SBOM"},
	} {
		t.Run(name, func(t *testing.T) {
			fakeSyft(t, c.script)
			o := sbomBy(nil)
			o.artifact, o.syft = write(t, []byte(made)), true
			if strings.HasPrefix(c.script, "sleep") {
				o.timeout = 2 * time.Second
			}
			cmd, _ := said(t)
			begun := time.Now()
			err := o.describe(cmd, nil, sealedBytes(t))
			if reason.Of(err) != reason.UsageInvalid || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 2*maxComplaint {
				t.Errorf("%v", err)
			}
			if took := time.Since(begun); took > 50*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	t.Setenv("PATH", t.TempDir())
	o := sbomBy(nil)
	o.artifact, o.syft = write(t, []byte(made)), true
	cmd, _ := said(t)
	if err := o.describe(cmd, nil, sealedBytes(t)); reason.Of(err) != reason.UsageInvalid || !strings.Contains(err.Error(), "--sbom") {
		t.Errorf("without syft: %v", err)
	}
}

// describeImage signs an SBOM of an image, and puts it beside it.
func (p pushed) describeImage(t *testing.T, by *sealtest.Notary, document string) {
	t.Helper()
	o := sbomBy(by)
	o.keys, o.trustedRoot, o.rules = []string{p.key}, p.root, configFile("domain.json")
	o.image, o.document, o.attach, o.registry.plainHTTP = p.ref.String(), write(t, []byte(document)), true, true
	step, err := o.sealIn(p.bundleAt)
	if err != nil {
		t.Fatal(err)
	}
	cmd, out := said(t)
	if err := o.describe(cmd, nil, step); err != nil || !strings.Contains(out.String(), "It is beside the image") {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestAnSBOMIsPutBesideItsImage(t *testing.T) {
	by := sealtest.NewNotary(t)
	for _, p := range []pushed{pushImage(t, registry.WithReferrersSupport(true)), sealedLayout(t, registry.WithReferrersSupport(true))} {
		p.describeImage(t, by, spdx)
		p.describeImage(t, by, cyclo)
		if n := len(p.referrers(t)); n != 2 {
			t.Errorf("%d are beside it", n)
		}
	}
}

// TestCosignVerifiesSBOMs: the judge is from outside.
func TestCosignVerifiesSBOMs(t *testing.T) {
	cosign := os.Getenv("ARGOSEAL_BIN_COSIGN")
	if cosign == "" {
		t.Skip("cosign is not built: make integration")
	}
	by, p := sealtest.NewNotary(t), pushImage(t, registry.WithReferrersSupport(true))
	judge := func(kind, key string) (string, error) {
		c := exec.CommandContext(t.Context(), cosign, "verify-attestation", "--key", key, "--trusted-root", write(t, by.TrustedRoot()), "--type", kind, "--allow-http-registry", p.ref.String())
		c.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := c.CombinedOutput()
		return string(out), err
	}
	key := write(t, by.Signer.PublicKeyPEM())
	if out, err := judge("spdxjson", key); err == nil {
		t.Errorf("there is one already\n%s", out)
	}
	p.describeImage(t, by, spdx)
	p.describeImage(t, by, cyclo)
	for _, kind := range []string{"spdxjson", "cyclonedx"} {
		if out, err := judge(kind, key); err != nil || strings.Count(out, "\"payloadType\"") != 1 {
			t.Errorf("%s: %v\n%s", kind, err, out)
		}
		if out, err := judge(kind, p.key); err == nil {
			t.Errorf("%s: it holds under another key, too\n%s", kind, out)
		}
	}
}
