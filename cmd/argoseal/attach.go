package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/spf13/cobra"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/image"
	"github.com/argoseal/argoseal/pkg/image/referrer"
	"github.com/argoseal/argoseal/pkg/reason"
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
