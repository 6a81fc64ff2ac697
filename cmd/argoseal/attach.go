package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/image"
	"github.com/argoseal/argoseal/pkg/image/referrer"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// maxLooked bounds how many seals of one digest are looked at.
const maxLooked = 1000

type attachOptions struct {
	verifyOptions
	kubeconfig, context string
	// of is the output that has to be the manifest or the layout; empty: any.
	of         string
	registryCA string
	plainHTTP  bool
	platforms  bool
	// whole asks for what is stated of the whole workflow, too.
	whole  bool
	dryRun bool
}

const attachExample = `  # a step has sealed the image's manifest: put its seal beside the image
  argoseal attach registry.example.com/team/app@sha256:9f86d0… --namespace ci

  # everybody who trusts the notary's key can verify it from there
  cosign verify-attestation registry.example.com/team/app@sha256:9f86d0… \
    --key notary.pub --trusted-root trusted_root.json --type slsaprovenance1

  # an image for many platforms: the seal of each platform's manifest, too
  argoseal attach registry.example.com/team/app@sha256:9f86d0… --platforms --namespace ci

  # what is stated of the whole workflow, too: its provenance, and the verdict
  argoseal attach registry.example.com/team/app@sha256:9f86d0… --with-workflow --namespace ci

  # a seal from a file
  argoseal attach registry.example.com/team/app@sha256:9f86d0… --namespace ci --bundle bundle.json`

func attachCommand() *cobra.Command {
	o := &attachOptions{}
	c := &cobra.Command{
		Use:   "attach IMAGE@DIGEST {--namespace NAMESPACE | --any-producer}",
		Short: "Put the seal of a container image beside it in its registry",
		Long: `Put the seal of a container image beside it in its registry, where cosign,
policy-controller and Kyverno look for attestations (an OCI referrer).

The seal is one whose subject is the image's manifest: of a step that has the manifest,
such as the file that a builder writes, as an output without an archive, or that has an
OCI image layout as an output, or an archive of one, in which the image lay whole. It is looked
for in the cluster, or read from --bundle, and verified before anything is written, as
argoseal verify does. So say whose step it has to be, and by --output which of its outputs:
else any counts, and a step can write an image's manifest to its log, too. Of several seals
the newest that holds is taken, those of the manifest itself before those of layouts.

What a Revocation of the cluster names, by its digest or by what made it, is not put there.
With --bundle no cluster is asked, and what is beside an image stays when it is revoked.

An image for many platforms is an index, and who pulls it for one platform may look for
the seal of that platform's manifest. --platforms puts these beside their manifests, too:
each has to be sealed, and one that is not is named.

With --with-workflow the provenance of the step's whole workflow goes beside the image, and
the Verification Summary Attestation of it (https://slsa.dev/verification_summary/v1). Both
are there once the workflow has ended, and have to name the image: as something that left it.

Registry credentials are those of docker login, podman login or crane auth login
(config.json in $DOCKER_CONFIG or ~/.docker, auth.json of podman).`,
		Example: attachExample,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.bundle, "bundle", "", "the seal, a Sigstore bundle (default: it is looked for in the cluster)")
	o.trustFlags(f)
	o.recordedFlag(f)
	o.producer.flags(f)
	f.StringVar(&o.of, "output", "", "name of the output that is the manifest or the layout (default: any)")
	f.StringVar(&o.registryCA, "registry-cacert", "", "authority of the registry's certificate, PEM, beside those that this machine trusts")
	f.BoolVar(&o.plainHTTP, "plain-http", false, "speak HTTP to the registry")
	f.BoolVar(&o.platforms, "platforms", false, "if the image is an index: the seals of its platforms' manifests, too")
	f.BoolVar(&o.whole, "with-workflow", false, "what is stated of the step's whole workflow, too: its provenance, and a summary")
	f.BoolVar(&o.dryRun, "dry-run", false, "verify, and write nothing")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "file that says how to reach the cluster (default: $KUBECONFIG, or ~/.kube/config)")
	f.StringVar(&o.context, "context", "", "its context (default: the current one)")
	return c
}

func (o *attachOptions) run(cmd *cobra.Command, text string) error {
	if err := o.producer.check(); err != nil {
		return err
	}
	parsed, err := image.Parse(text)
	if err != nil {
		return usage(fmt.Errorf("%s: %w", text, err))
	}
	if parsed.Digest == "" {
		return usage(fmt.Errorf("%s has no digest: name the image as NAME@sha256:HEX, a tag may be another image by the time this is done", parsed))
	}
	options := []name.Option{name.StrictValidation}
	if o.plainHTTP {
		options = append(options, name.Insecure)
	}
	ref, err := name.NewDigest(parsed.String(), options...)
	if err != nil {
		return usage(err)
	}
	if o.platforms && o.bundle != "" {
		return usage(errors.New("--bundle is the seal of one manifest, and --platforms asks for many: attach them one by one"))
	}
	if o.whole && o.bundle != "" {
		return usage(errors.New("--bundle is the seal of a step, and --with-workflow asks the cluster for more"))
	}
	find, err := o.finder(cmd)
	if err != nil {
		return err
	}
	access, err := o.access()
	if err != nil {
		return err
	}
	return o.attachAll(cmd, ref, find, access)
}

// attachAll puts seals beside an image and, if asked for, beside its platforms' manifests.
func (o *attachOptions) attachAll(cmd *cobra.Command, ref name.Digest, find finder, access []remote.Option) error {
	whole := referrer.Part{Ref: ref}
	if !o.platforms {
		return o.attach(cmd, whole, find, access)
	}
	parts, others, err := referrer.Platforms(cmd.Context(), ref, access...)
	if err != nil {
		return unasked(ref, err)
	}
	switch out := cmd.OutOrStdout(); {
	case len(parts) == 0:
		_, _ = fmt.Fprintln(out, "It is an image for one platform, and no index.")
	case others > 0:
		_, _ = fmt.Fprintf(out, "%d manifests of the index are for no platform, and are left out.\n", others)
	}
	var first error
	without := 0
	for _, part := range append([]referrer.Part{whole}, parts...) {
		if err := o.attach(cmd, part, find, access); err != nil {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", printable(part.String()), printable(err.Error()))
			without++
			if first == nil {
				first = err
			}
		}
	}
	if first != nil {
		return reason.Wrap(reason.Of(first), first, "%d of %d manifests got no seal (above)", without, len(parts)+1)
	}
	return nil
}

// access is how the registry is asked: with what docker login and the like have stored,
// and by TLS unless it is said otherwise.
func (o *attachOptions) access() ([]remote.Option, error) {
	base, ok := remote.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the registry client's transport is none of HTTP")
	}
	var by http.RoundTripper = base
	if o.registryCA != "" {
		own, err := readBounded(o.registryCA, maxTrust)
		if err != nil {
			return nil, err
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("what this machine trusts: %w", err)
		}
		if !pool.AppendCertsFromPEM(own) {
			return nil, usage(fmt.Errorf("%s holds no certificate", o.registryCA))
		}
		with := base.Clone()
		with.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		by = with
	}
	if !o.plainHTTP {
		by = secured{by}
	}
	return []remote.Option{remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(by)}, nil
}

// secured sends nothing without TLS. The client would turn to HTTP by itself for private
// addresses, and whoever keeps it from the port with TLS would be told the password.
type secured struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (s secured) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errors.New("nothing is sent without TLS (--plain-http)")
	}
	return s.RoundTripper.RoundTrip(r)
}

// unasked is that the registry could not be asked, and what the caller can do about it.
func unasked(ref name.Digest, err error) error {
	var said *transport.Error
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return reason.Wrap(reason.LookupFailed, err, "%v: give the authority of its certificate (--registry-cacert)", err)
	case errors.As(err, &said) && (said.StatusCode == http.StatusUnauthorized || said.StatusCode == http.StatusForbidden):
		return reason.Wrap(reason.LookupFailed, err, "%v: log in to %s as somebody who may write there (docker login, podman login, crane auth login)", err, ref.RegistryStr())
	default:
		return reason.Wrap(reason.LookupFailed, err, "%v", err)
	}
}

// attestation is a verified bundle about an image, and what it is, in words.
type attestation struct {
	bundle    []byte
	predicate string
	what      string
}

// finder finds the seal of a manifest, verified, and what else is to go beside it.
type finder func(ctx context.Context, digest artifact.Digest) ([]attestation, error)

// sealOf is the seal of a step.
func sealOf(s *provenance.Statement, bundle []byte) attestation {
	return attestation{bundle, provenance.PredicateType, fmt.Sprintf("the seal of step %s of workflow %s/%s", printable(s.Step.NodeName), printable(s.Step.Namespace), printable(s.Step.Workflow.Name))}
}

// attach puts the seal of one manifest beside it.
func (o *attachOptions) attach(cmd *cobra.Command, part referrer.Part, find finder, access []remote.Option) error {
	digest, err := artifact.ParseDigest(strings.TrimPrefix(part.Ref.DigestStr(), "sha256:"))
	if err != nil {
		return usage(err)
	}
	all, err := find(cmd.Context(), digest)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	for _, a := range all {
		_, _ = fmt.Fprintf(out, "Of %s there is %s.\n", printable(part.String()), a.what)
	}
	if o.dryRun {
		_, _ = fmt.Fprintln(out, "Nothing was written (--dry-run).")
		return nil
	}
	for _, a := range all {
		at, err := referrer.Attach(cmd.Context(), part.Ref, a.bundle, a.predicate, access...)
		if err != nil {
			return unasked(part.Ref, err)
		}
		_, _ = fmt.Fprintf(out, "It is beside the image as %s\n", printable(at.String()))
	}
	return nil
}

// finder looks in the bundle that is given, or else in the cluster.
func (o *attachOptions) finder(cmd *cobra.Command) (finder, error) {
	root, err := o.root()
	if err != nil {
		return nil, err
	}
	if o.bundle == "" {
		api, err := connect(o.kubeconfig, o.context)
		if err != nil {
			return nil, err
		}
		all, err := revocationsOf(cmd.Context(), api, cmd.ErrOrStderr())
		if err != nil {
			return nil, err
		}
		return o.inCluster(api, root, all), nil
	}
	bundle, err := readBounded(o.bundle, verify.MaxBundle)
	if err != nil {
		return nil, err
	}
	recorded, err := o.recordedAt()
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, digest artifact.Digest) ([]attestation, error) {
		r, err := o.holds(root, bundle, recorded, digest)
		if err != nil {
			return nil, err
		}
		return []attestation{sealOf(r.Statement, bundle)}, nil
	}, nil
}

// inCluster finds the seal in the cluster, and what is stated of the whole workflow.
func (o *attachOptions) inCluster(api client.Reader, root *verify.Root, revocations []v1alpha1.Revocation) finder {
	return func(ctx context.Context, digest artifact.Digest) ([]attestation, error) {
		s, bundle, err := o.find(ctx, api, root, revocations, digest)
		if err != nil {
			return nil, err
		}
		all := []attestation{sealOf(s, bundle)}
		if !o.whole {
			return all, nil
		}
		more, err := o.ofWorkflow(ctx, api, root, s, digest)
		return append(all, more...), err
	}
}

// find looks in the cluster for the newest seal of a manifest that holds and is not revoked,
// or of a layout with the image in it. Labels and ArtifactSeals only say where to look.
func (o *attachOptions) find(ctx context.Context, api client.Reader, root *verify.Root, revocations []v1alpha1.Revocation, digest artifact.Digest) (*provenance.Statement, []byte, error) {
	var seals []v1alpha1.ArtifactSeal
	for _, label := range []client.MatchingLabels{
		{v1alpha1.LabelSHA256: artifact.DigestLabel(digest)},
		{v1alpha1.LabelImagePrefix + artifact.DigestLabel(digest): v1alpha1.ImageMeasured},
	} {
		var some v1alpha1.ArtifactSealList
		if err := api.List(ctx, &some, client.InNamespace(o.producer.namespace), label, client.Limit(maxLooked)); err != nil {
			return nil, nil, reason.Wrap(reason.LookupFailed, err, "list artifactseals: %v", err)
		}
		if some.Continue != "" {
			return nil, nil, usage(fmt.Errorf("there are more than %d seals of that digest: say in which --namespace, or give the --bundle", maxLooked))
		}
		seals = append(seals, some.Items...)
	}
	manifestsFirst(seals, digest)
	var last error = reason.New(reason.DigestMismatch, "no step has sealed the image sha256:%s: have the step that builds it store its manifest as an output without an archive, or its OCI layout", digest)
	for _, a := range seals {
		if a.Spec.SHA256 != string(digest) && !slices.ContainsFunc(a.Spec.Images, func(i v1alpha1.SealedImage) bool { return i.SHA256 == string(digest) }) {
			continue
		}
		var p v1alpha1.Provenance
		if err := api.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: a.Spec.Provenance}, &p); err != nil {
			last = reason.Wrap(reason.LookupFailed, err, "provenance %s/%s: %v", a.Namespace, a.Spec.Provenance, err)
			continue
		}
		r, err := o.holds(root, []byte(p.Status.Bundle), p.CreationTimestamp.Time, digest)
		if err == nil {
			err = revoked(revocations, r, digest)
		}
		if err == nil {
			return r.Statement, []byte(p.Status.Bundle), nil
		}
		last = err
	}
	return nil, nil, last
}

// ofWorkflow is what is stated of the whole workflow of a step, and sums it up. The record
// only says where to look: both have to be about that workflow and this image, by a builder
// of the cluster that sealed the step, and as good as the flags ask of the step.
func (o *attachOptions) ofWorkflow(ctx context.Context, api client.Reader, root *verify.Root, s *provenance.Statement, digest artifact.Digest) ([]attestation, error) {
	name := printable(s.Step.Namespace + "/" + s.Step.Workflow.Name)
	var p v1alpha1.WorkflowProvenance
	switch err := api.Get(ctx, client.ObjectKey{Namespace: s.Step.Namespace, Name: s.Step.Workflow.UID}, &p); {
	case client.IgnoreNotFound(err) != nil:
		return nil, reason.Wrap(reason.LookupFailed, err, "workflowprovenance %s/%s: %v", s.Step.Namespace, s.Step.Workflow.UID, err)
	case p.Status.Bundle == "" || p.Status.Summary == "":
		why := "it has not ended, or its records are not final"
		if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionAttested); c != nil {
			why = printable(c.Reason + ": " + c.Message)
		}
		return nil, reason.New(reason.ProvenancePending, "of workflow %s there is no provenance or no summary: %s", name, why)
	}
	var all []attestation
	var statement artifact.Digest
	for _, of := range []struct {
		bundle, predicate, what string
		kind                    provenance.Kind
	}{
		{p.Status.Bundle, provenance.PredicateType, "the provenance of workflow " + name, provenance.KindWorkflow},
		{p.Status.Summary, provenance.SummaryType, "the summary of workflow " + name, provenance.KindSummary},
	} {
		signed, err := root.PayloadRecorded([]byte(of.bundle), p.CreationTimestamp.Time)
		if err != nil {
			return nil, err
		}
		w, err := wholeOf(signed, of.kind)
		if err != nil {
			return nil, err
		}
		switch {
		case w.namespace != s.Step.Namespace || w.workflow != s.Step.Workflow || w.builder.Cluster != s.Builder.Cluster || w.summary != nil && w.summary.Statement != statement:
			return nil, reason.New(reason.StatementInvalid, "what the record of workflow %s has is about another one", name)
		case !w.hasFile(digest) && !provenance.HasImage(w.subjects, digest):
			return nil, reason.New(reason.DigestMismatch, "%s does not name the image: it did not leave the workflow in an output, or there was no room", of.what)
		}
		if err := o.producer.how(w.maker()); err != nil {
			return nil, err
		}
		statement = artifact.DigestOfText(string(signed.Payload))
		all = append(all, attestation{[]byte(of.bundle), of.predicate, of.what})
	}
	return all, nil
}

// manifestsFirst sorts seals of the manifest itself before those of layouts, and the newest
// first.
func manifestsFirst(seals []v1alpha1.ArtifactSeal, digest artifact.Digest) {
	layout := func(a v1alpha1.ArtifactSeal) int {
		if a.Spec.SHA256 == string(digest) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(seals, func(a, b v1alpha1.ArtifactSeal) int {
		return cmp.Or(layout(a)-layout(b), b.CreationTimestamp.Compare(a.CreationTimestamp.Time))
	})
}

// holds verifies the seal of a step. It has to be about this file, or an output with this
// image in it, and from a producer that the flags ask for.
func (o *attachOptions) holds(root *verify.Root, bundle []byte, recorded time.Time, digest artifact.Digest) (*verify.Result, error) {
	r, err := root.InspectRecorded(bundle, recorded)
	if err != nil {
		return nil, err
	}
	named := func(output string) bool { return o.of == "" || o.of == output }
	inLayout := slices.ContainsFunc(r.Statement.Measured, func(m provenance.Measured) bool { return m.Digest == digest && named(m.Output) })
	isFile := slices.ContainsFunc(r.Statement.Subjects, func(s provenance.Subject) bool {
		return s.SHA256 == digest && !s.Form.IsDirectory() && named(s.Output)
	})
	if !inLayout && !isFile {
		if _, err := o.match(r.Statement, contents{digest, kindFile}); err != nil {
			return nil, err
		}
		return nil, reason.New(reason.DigestMismatch, "it is not output %s of the step that is the image's manifest or has it inside", o.of)
	}
	return r, o.producer.accepts(r.Statement)
}
