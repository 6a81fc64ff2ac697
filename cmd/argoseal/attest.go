package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/reproduce"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/verify"
)

const (
	// maxSigningKey bounds a private key's file, in bytes.
	maxSigningKey = 64 << 10
	// logTimeout is how long the log may take for one answer, and logPatience how long it
	// is asked again: the run before may have taken hours.
	logTimeout  = 20 * time.Second
	logPatience = 2 * time.Minute
)

// attestOptions are the flags that say how something is signed, and where it is kept.
type attestOptions struct {
	key          string
	rekorURL     string
	rekorVersion int
	trustedRoot  string
	file         string
	as           string
	replace      bool
	// beside: it is kept somewhere else, too.
	beside bool

	sealer *seal.Sealer
	// root trusts what the key signs.
	root *verify.Root
}

// flags are those for what is signed, which becomes an object of that kind.
func (o *attestOptions) flags(f *pflag.FlagSet, what, kind string) {
	f.StringVar(&o.key, "sign-key", "", "sign "+what+" with this private key: a PEM file (PKCS #8), or NAME://… of a key service that a program sigstore-kms-NAME on the path speaks to")
	f.StringVar(&o.rekorURL, "rekor-url", "", "transparency log that has to have the signature (with --sign-key)")
	f.IntVar(&o.rekorVersion, "rekor-version", 2, "version of Rekor that the log runs: 1 or 2")
	f.StringVar(&o.trustedRoot, "rekor-trusted-root", "", "Sigstore trusted root with that log's key (default: --trusted-root)")
	f.StringVar(&o.file, "attestation", "", "file for the signed "+strings.TrimPrefix(what, "the ")+", a Sigstore bundle")
	f.StringVar(&o.as, "publish", "", "name of the trust domain by which the cluster knows the key: the signed "+strings.TrimPrefix(what, "the ")+" becomes "+kind+" beside the seal, where policies look")
	f.BoolVar(&o.replace, "replace", false, "with --publish: overwrite "+kind+" of that name even if this key has not signed it")
}

var domainLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// check refuses flags that ask for nothing, and loads the key: a run takes long, and a key
// that cannot sign what came of it is known before.
func (o *attestOptions) check(ctx context.Context, trustedRoot string) error {
	if o.key == "" {
		if o.rekorURL != "" || o.trustedRoot != "" || o.file != "" || o.as != "" || o.replace {
			return usage(errors.New("--rekor-url, --rekor-trusted-root, --attestation, --publish and --replace are about what --sign-key signs"))
		}
		return nil
	}
	switch {
	case o.rekorURL == "":
		return usage(errors.New("--sign-key needs --rekor-url: what is in no log does not count"))
	case o.rekorVersion != 1 && o.rekorVersion != 2:
		return usage(errors.New("--rekor-version is 1 or 2"))
	case o.file == "" && o.as == "" && !o.beside:
		return usage(errors.New("--sign-key needs a place for what it signs: --attestation FILE, --publish DOMAIN or both"))
	case o.as != "" && !domainLabel.MatchString(o.as):
		return usage(fmt.Errorf("--publish is %.80q, want the name of a trust domain", o.as))
	}
	if o.trustedRoot == "" {
		o.trustedRoot = trustedRoot
	}
	trusted, err := readBounded(o.trustedRoot, maxTrust)
	if err != nil {
		return err
	}
	signer, err := o.signer(ctx)
	if err != nil {
		return err
	}
	root, err := verify.NewRoot(trusted, signer.PublicKeyPEM())
	if err != nil {
		return usage(fmt.Errorf("%s: %w", o.trustedRoot, err))
	}
	newLog := seal.NewRekorV2
	if o.rekorVersion == 1 {
		newLog = seal.NewRekorV1
	}
	log, err := newLog(o.rekorURL, logTimeout)
	if err != nil {
		return usage(fmt.Errorf("--rekor-url: %w", err))
	}
	o.root = root
	o.sealer = seal.New(signer, seal.NewRecorder(log, clock.RealClock{}), root)
	return nil
}

// signer loads the key. Its error does not quote the file.
func (o *attestOptions) signer(ctx context.Context) (*seal.Signer, error) {
	var signer *seal.Signer
	var err error
	if strings.Contains(o.key, "://") {
		signer, err = seal.LoadKMSSigner(ctx, o.key)
	} else {
		var private []byte
		if private, err = readBounded(o.key, maxSigningKey); err == nil {
			if signer, err = seal.LoadSigner(private); err != nil {
				err = usage(fmt.Errorf("--sign-key: %w", err))
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if o.rekorVersion == 1 {
		return signer, signer.FitsRekorV1()
	}
	return signer, signer.FitsRekorV2(ctx)
}

// attested is a signed result.
type attested struct {
	bundle  []byte
	verdict provenance.Reproduced
}

// sign signs what two runs say, and has the log take it. What nobody can tell is not
// signed: that is no error here, as judged says it.
func (o *attestOptions) sign(ctx context.Context, first, again sealedStep, r *reproduce.Result, progress func(string, ...any)) (*attested, error) {
	if o.sealer == nil || r.Verdict == reproduce.NotComparable {
		return nil, nil
	}
	payload, err := reproduce.Attest(first.stated(), again.stated(), r, versionOfArgoseal(), time.Now())
	if err != nil {
		return nil, err
	}
	facts, err := provenance.ParseReproduction(payload)
	if err != nil {
		return nil, err
	}
	bundle, err := o.signed(ctx, payload, progress)
	if err != nil {
		return nil, err
	}
	return &attested{bundle, facts.Verdict}, nil
}

// signed signs a statement, and has the log take it.
func (o *attestOptions) signed(ctx context.Context, payload []byte, progress func(string, ...any)) ([]byte, error) {
	signed, err := o.sealer.Prepare(ctx, payload)
	if err != nil {
		return nil, err
	}
	var bundle []byte
	var last error
	err = wait.PollUntilContextTimeout(ctx, look, logPatience, true, func(ctx context.Context) (bool, error) {
		var paused *seal.PausedError
		got, err := o.sealer.Log(ctx, signed)
		switch {
		case err == nil:
			bundle = got
			return true, nil
		case errors.As(err, &paused):
			return false, nil
		case errors.Is(err, seal.ErrDuplicate): // its first answer was lost
			signed, err = o.sealer.Prepare(ctx, payload)
			return false, err
		case reason.Of(err) != reason.Internal: // the answer does not verify: asked again, the log would only have it twice
			return false, err
		}
		last = err
		progress("%v", err)
		return false, nil
	})
	switch {
	case err == nil:
		return bundle, nil
	case wait.Interrupted(err) && last != nil:
		err = last
	}
	return nil, reason.Wrap(reason.Of(err), err, "the result was not signed: %v", err)
}

// keep writes the signed result where the flags say. A file is there even if publishing
// fails.
func (o *attestOptions) keep(ctx context.Context, api client.Client, first sealedStep, a *attested, cmd *cobra.Command) error {
	if err := o.write(a.bundle, cmd); err != nil || o.as == "" {
		return err
	}
	r := &v1alpha1.Reproduction{ObjectMeta: metav1.ObjectMeta{
		Namespace: first.Step.Namespace, Name: v1alpha1.ReproductionName(first.Step.Pod.UID, o.as),
	}}
	return o.publish(ctx, api, first, a.bundle, publication{
		object: r, kind: "Reproduction", most: v1alpha1.MaxReproduction, bundle: func() string { return r.Spec.Bundle },
		set: func() { r.Spec = v1alpha1.ReproductionSpec{Verdict: string(a.verdict), Bundle: string(a.bundle)} },
	}, cmd)
}

// write writes a bundle to the file, if one is asked for.
func (o *attestOptions) write(bundle []byte, cmd *cobra.Command) error {
	if o.file == "" {
		return nil
	}
	if err := os.WriteFile(o.file, append(bundle, '\n'), 0o644); err != nil {
		return usage(err)
	}
	_, _ = fmt.Fprintln(cmd.ErrOrStderr(), printable("signed: "+o.file))
	return nil
}

// publication is an object that has a bundle.
type publication struct {
	object client.Object
	kind   string
	// most is the size of the largest bundle, in bytes.
	most int
	// shared: it is about bytes that other steps may have made, too. It goes when the last
	// of their records does.
	shared bool
	// seen is the bundle that was there, of one that is shared, when what is new was signed.
	seen string
	// bundle is what the object has, and set gives it what is new.
	bundle func() string
	set    func()
}

// publish writes an object of a domain, or replaces it. What was written by anybody else
// there may be another signer's.
func (o *attestOptions) publish(ctx context.Context, api client.Client, about sealedStep, bundle []byte, p publication, cmd *cobra.Command) error {
	if len(bundle) > p.most {
		return reason.New(reason.UsageInvalid, "the signed result has %d bytes, and %s objects have at most %d: keep it as a file (--attestation)", len(bundle), p.kind, p.most)
	}
	r := p.object
	err := api.Get(ctx, client.ObjectKeyFromObject(r), r)
	if client.IgnoreNotFound(err) != nil {
		return reason.Wrap(reason.LookupFailed, err, "publish %s %s/%s: %v", p.kind, r.GetNamespace(), r.GetName(), err)
	}
	if err == nil && !o.replace {
		if _, err := o.root.Payload([]byte(p.bundle())); err != nil {
			return usage(fmt.Errorf("there is %s %s/%s already, and this key has not signed it: --replace overwrites it (%w)", p.kind, r.GetNamespace(), r.GetName(), err))
		}
	}
	if err == nil && r.GetDeletionTimestamp() != nil {
		return reason.New(reason.LookupFailed, "%s %s/%s is being deleted: run this again once it is gone, for which its finalizers (%.200q) have to be", p.kind, r.GetNamespace(), r.GetName(), r.GetFinalizers())
	}
	if p.shared && !o.replace && p.bundle() != p.seen {
		return reason.New(reason.LookupFailed, "%s %s/%s was written meanwhile: run this again, so that both count", p.kind, r.GetNamespace(), r.GetName())
	}
	// Whoever wrote the one before may have tied its life to something else.
	r.SetFinalizers(nil)
	by, no := owners(ctx, api, r, about.Step.Pod.UID, p.shared)
	if no != nil {
		return reason.Wrap(reason.LookupFailed, no, "publish %s %s/%s: %v", p.kind, r.GetNamespace(), r.GetName(), no)
	}
	r.SetOwnerReferences(by)
	p.set()
	switch {
	case apierrors.IsNotFound(err):
		err = api.Create(ctx, r)
	case err == nil:
		err = api.Update(ctx, r)
	}
	if err != nil {
		return reason.Wrap(reason.LookupFailed, err, "publish %s %s/%s: %v", p.kind, r.GetNamespace(), r.GetName(), err)
	}
	_, _ = fmt.Fprintln(cmd.ErrOrStderr(), printable("published: "+p.kind+" "+r.GetNamespace()+"/"+r.GetName()))
	return nil
}

// maxOwners is how many records the life of one object may hang on.
const maxOwners = 32

// owners are the records that an object goes with: that of the step, and of one that is
// shared also the latest of those that it has, as far as they are records that are there.
func owners(ctx context.Context, api client.Client, r client.Object, step string, shared bool) ([]metav1.OwnerReference, error) {
	var out []metav1.OwnerReference
	add := func(name string, want types.UID) error {
		var record v1alpha1.Provenance
		if len(out) == maxOwners || slices.ContainsFunc(out, func(o metav1.OwnerReference) bool { return o.Name == name }) {
			return nil
		}
		err := api.Get(ctx, client.ObjectKey{Namespace: r.GetNamespace(), Name: name}, &record)
		if err == nil && (want == "" || want == record.UID) {
			out = append(out, metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Provenance", Name: record.Name, UID: record.UID})
		}
		return client.IgnoreNotFound(err)
	}
	err := add(step, "")
	if !shared {
		return out, nil // who may publish one need not be able to read its record
	}
	if err != nil {
		return nil, err
	}
	before := r.GetOwnerReferences() // the latest are first; others may have written more
	for _, o := range before[:min(len(before), 2*maxOwners)] {
		if o.APIVersion != v1alpha1.GroupVersion.String() || o.Kind != "Provenance" || o.UID == "" {
			continue
		}
		if err := add(o.Name, o.UID); err != nil || len(out) == maxOwners {
			return out, err
		}
	}
	return out, nil
}
