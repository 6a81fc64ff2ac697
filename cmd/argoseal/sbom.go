package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/image"
	"github.com/argoseal/argoseal/pkg/image/referrer"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
)

// sbomOptions are the flags of sbom.
type sbomOptions struct {
	verifyOptions
	kubeconfig, context string
	// of is the output that it is about.
	of              string
	artifact, image string
	document        string
	syft            bool
	format          string
	timeout         time.Duration
	location        string
	attach          bool
	registry        attachOptions
	attest          attestOptions
}

const sbomExample = `  # an SBOM of an archive that a step made, by syft on the path; signed, and published
  # where policies look
  argoseal sbom ci/POD_UID --output model --artifact model.tgz --run-syft \
    --sign-key scanner.key --rekor-url https://rekor.example.com --publish scanner

  # one that another program has made, into a file that cosign verifies, too
  argoseal sbom ci/POD_UID --output model --artifact model.tgz --sbom model.cdx.json \
    --sign-key scanner.key --rekor-url https://rekor.example.com --attestation sbom-bundle.json

  # of an image, beside it in its registry
  argoseal sbom ci/POD_UID --output image --image registry.example.com/team/app@sha256:9f86d0… --run-syft \
    --sign-key scanner.key --rekor-url https://rekor.example.com --attach --publish scanner`

func sbomCommand() *cobra.Command {
	o := &sbomOptions{}
	c := &cobra.Command{
		Use:   "sbom {NAMESPACE/NAME | BUNDLE} {--artifact FILE | --image IMAGE@DIGEST} {--sbom FILE | --run-syft}",
		Short: "Sign that there is an SBOM of what a step made",
		Long: `Sign that there is a software bill of materials of what a step made, for people and
for policies that ask for one.

The seal is a Provenance or an ArtifactSeal, as NAMESPACE/NAME, or a bundle in a file. It
is verified first, as argoseal verify does. The artifact has to be what it seals: a file or
a folder as it lies in the store, or an image by the digest of a manifest that was sealed,
by itself or in a layout.

The document is SPDX 2.3 or CycloneDX 1.4 or later, in JSON. --run-syft has syft make it, a
program on the path (https://github.com/anchore/syft), of a copy of just the bytes that were
compared with the seal; of an image, by its digest. With --sbom nobody checks whether
the document is about these bytes: that is your word.

With --sign-key two statements are signed and logged, both about the sealed digest. One has
the whole document, as cosign looks for it (--attestation, --attach). The other is small and
names the document by its digest (--publish). They say nothing of where the artifact comes
from: the seal does.`,
		Example: sbomExample,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.of, "output", "", "name of the output that it is about (default: any that has the digest)")
	f.StringVar(&o.artifact, "artifact", "", "the artifact as it lies in the store: a file or a folder, or its digest as sha256:HEX (with --sbom)")
	f.StringVar(&o.image, "image", "", "the image that the output is the manifest of or has inside, NAME@sha256:HEX")
	f.StringVar(&o.document, "sbom", "", "file with the SBOM")
	f.BoolVar(&o.syft, "run-syft", false, "have syft, a program on the path, make the SBOM")
	f.StringVar(&o.format, "format", string(sbom.SPDX), "what syft is to make: spdx or cyclonedx")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "how long syft may take")
	f.StringVar(&o.location, "location", "", "URL where whoever reads of the SBOM finds it (default: a name by its digest, RFC 6920)")
	f.BoolVar(&o.attach, "attach", false, "put the signed SBOM beside the image in its registry")
	f.StringVar(&o.registry.registryCA, "registry-cacert", "", "authority of the registry's certificate, PEM, beside those that this machine trusts")
	f.BoolVar(&o.registry.plainHTTP, "plain-http", false, "speak HTTP to the registry")
	o.attest.flags(f, "the SBOM", "an SBOM")
	o.trustFlags(f)
	o.recordedFlag(f)
	o.producer.flags(f)
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "file that says how to reach the cluster (default: $KUBECONFIG, or ~/.kube/config)")
	f.StringVar(&o.context, "context", "", "its context (default: the current one)")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{string(sbom.SPDX), string(sbom.CycloneDX)}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// check refuses flags that ask for nothing, or for two things at once.
func (o *sbomOptions) check() error {
	switch {
	case (o.artifact == "") == (o.image == ""):
		return usage(errors.New("say what it is about: --artifact or --image, one of them"))
	case (o.document == "") == !o.syft:
		return usage(errors.New("say which SBOM: --sbom or --run-syft, one of them"))
	case o.artifact == "-":
		return usage(errors.New("--artifact is a file, a folder or a digest: what is piped in is not read"))
	case o.syft && strings.HasPrefix(o.artifact, "sha256:"):
		return usage(errors.New("--run-syft needs the artifact as a file or a folder"))
	case !slices.Contains(sbom.Formats, sbom.Format(o.format)):
		return usage(fmt.Errorf("--format is %.80q, want spdx or cyclonedx", o.format))
	case o.timeout <= 0:
		return usage(errors.New("--timeout has to be more than nothing"))
	case o.attach && o.image == "":
		return usage(errors.New("--attach puts it beside an image: --image"))
	case o.attach && o.attest.key == "":
		return usage(errors.New("--attach is about what --sign-key signs"))
	}
	o.attest.beside = o.attach
	return o.producer.check()
}

func (o *sbomOptions) run(cmd *cobra.Command, what string) error {
	namespace, record, isRecord := recordNamed(what)
	if isRecord && o.producer.namespace == "" && !o.producer.any {
		o.producer.namespace = namespace
	}
	if err := o.check(); err != nil {
		return err
	}
	root, err := o.root()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if err := o.attest.check(ctx, o.trustedRoot); err != nil {
		return err
	}
	var api client.Client
	if isRecord || o.attest.as != "" {
		if api, err = connect(o.kubeconfig, o.context); err != nil {
			return err
		}
	}
	var step sealedStep
	if isRecord {
		step, err = recorded(ctx, api, root, namespace, record)
	} else {
		step, err = o.sealIn(what)
	}
	if err != nil {
		return err
	}
	return o.describe(cmd, api, step)
}

// describe gets the document for what a seal that holds is about, signs, and keeps that.
func (o *sbomOptions) describe(cmd *cobra.Command, api client.Client, step sealedStep) error {
	if err := o.producer.accepts(step.Statement); err != nil {
		return err
	}
	ctx := cmd.Context()
	about, document, err := o.documented(ctx, step.Statement)
	if err != nil {
		return err
	}
	parsed, err := sbom.Parse(document)
	if err != nil {
		return usage(fmt.Errorf("the SBOM: %w", err))
	}
	out := cmd.OutOrStdout()
	_, _ = fmt.Fprintln(out, printable(fmt.Sprintf("%s %s, with %d parts, of %s (sha256:%s).", parsed.Format, parsed.Version, parsed.Parts, about.name, about.sha256)))
	if o.attest.sealer == nil {
		_, _ = fmt.Fprintln(out, "Nothing is signed (--sign-key).")
		return nil
	}
	progress := func(format string, args ...any) {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), printable(fmt.Sprintf(format, args...)))
	}
	if o.attest.file != "" || o.attach {
		if err := o.keepWhole(cmd, about, parsed.Format, document, progress); err != nil {
			return err
		}
	}
	if o.attest.as == "" {
		return nil
	}
	s := &v1alpha1.SBOM{ObjectMeta: metav1.ObjectMeta{
		Namespace: step.Step.Namespace, Name: v1alpha1.SBOMName(string(about.sha256), string(about.of), o.attest.as),
	}}
	documents, seen, err := o.documents(ctx, api, client.ObjectKeyFromObject(s), about, parsed.Format, document)
	if err != nil {
		return err
	}
	stated := provenance.DocumentReference{Name: about.name, About: []provenance.About{about.stated()}, Documents: documents}
	payload, err := provenance.BuildReference(stated)
	if err != nil {
		return usage(err)
	}
	bundle, err := o.attest.signed(ctx, payload, progress)
	if err != nil {
		return err
	}
	var formats []string
	for _, f := range stated.Speaks(about.stated()) {
		formats = append(formats, string(f))
	}
	return o.attest.publish(ctx, api, step, bundle, publication{
		object: s, kind: "SBOM", most: v1alpha1.MaxSBOM, shared: true, seen: seen, bundle: func() string { return s.Spec.Bundle },
		set: func() { s.Spec = v1alpha1.SBOMSpec{Formats: formats, Bundle: string(bundle)} },
	}, cmd)
}

// keepWhole signs the whole document, and keeps that in a file and beside the image.
func (o *sbomOptions) keepWhole(cmd *cobra.Command, about described, format sbom.Format, document []byte, progress func(string, ...any)) error {
	payload, err := provenance.BuildSBOM(about.name, about.sha256, format, document)
	if err != nil {
		return reason.Wrap(reason.UsageInvalid, err, "the whole SBOM cannot be signed (%v): publish that there is one (--publish), and keep it as it is", err)
	}
	bundle, err := o.attest.signed(cmd.Context(), payload, progress)
	if err != nil {
		return err
	}
	if err := o.attest.write(bundle, cmd); err != nil || !o.attach {
		return err
	}
	access, err := o.registry.access()
	if err != nil {
		return err
	}
	at, err := referrer.Attach(cmd.Context(), about.ref, bundle, format.PredicateType(), access...)
	if err != nil {
		return unasked(about.ref, err)
	}
	_, _ = fmt.Fprintf(cmd.OutOrStdout(), "It is beside the image as %s\n", printable(at.String()))
	return nil
}

// imageOf is the image, if an output is its manifest or has it inside.
func (o *sbomOptions) imageOf(s *provenance.Statement) (described, error) {
	parsed, err := image.Parse(o.image)
	if err != nil {
		return described{}, usage(fmt.Errorf("--image: %w", err))
	}
	if parsed.Digest == "" {
		return described{}, usage(errors.New("--image has no digest: name it as NAME@sha256:HEX, a tag can be moved"))
	}
	options := []name.Option{name.StrictValidation}
	if o.registry.plainHTTP {
		options = append(options, name.Insecure)
	}
	ref, err := name.NewDigest(parsed.String(), options...)
	if err != nil {
		return described{}, usage(err)
	}
	named := func(output string) bool { return o.of == "" || o.of == output }
	inLayout := slices.ContainsFunc(s.Measured, func(m provenance.Measured) bool { return m.Digest == parsed.Digest && named(m.Output) })
	isFile := slices.ContainsFunc(s.Subjects, func(f provenance.Subject) bool {
		return f.SHA256 == parsed.Digest && !f.Form.IsDirectory() && named(f.Output)
	})
	if !inLayout && !isFile {
		return described{}, reason.New(reason.DigestMismatch, "the step has sealed no image sha256:%s", parsed.Digest)
	}
	return described{name: parsed.Name, sha256: parsed.Digest, of: provenance.OfImage, ref: ref}, nil
}

// ofImage is the SBOM of an image.
func (o *sbomOptions) ofImage(ctx context.Context, about described) ([]byte, error) {
	if !o.syft {
		return o.given()
	}
	access, err := o.registry.access()
	if err != nil {
		return nil, err
	}
	parts, _, err := referrer.Platforms(ctx, about.ref, access...)
	if err != nil {
		return nil, unasked(about.ref, err)
	}
	if len(parts) > 0 { // syft would take the one that it likes
		return nil, usage(fmt.Errorf("%s is an index: name the manifest of a platform, such as %s, and the others one by one", about.ref, parts[0]))
	}
	return o.scan(ctx, "registry:"+about.ref.String(), about.ref.String())
}
