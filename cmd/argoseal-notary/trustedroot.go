package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	sigstore "github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/argoseal/argoseal/certs/public" // repositories of others
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/program"
	"github.com/argoseal/argoseal/pkg/tuf"
	"github.com/argoseal/argoseal/pkg/tuf/keeper"
)

const (
	// maxRootFile is what of a root.json is read, in bytes.
	maxRootFile = 1 << 20
	// publicAnchor names the root.json of the public repository that this program was made
	// with. A later release has a later one of the same repository.
	publicAnchor = "sigstore-public"
)

// rootOptions are the flags of trusted-root.
type rootOptions struct {
	program.Beside
	url, root, target, domain string
	every, warnBefore         time.Duration
	create                    bool
}

func trustedRootCommand() *cobra.Command {
	var o rootOptions
	c := &cobra.Command{
		Use:   "trusted-root",
		Short: "Have the trusted root follow a TUF repository, until told to stop",
		Long: `Have the trusted root of a domain follow a TUF repository, until told to stop: Sigstore's
public one, or one of your own. It needs no key and no secret, and runs beside the notary
under a ServiceAccount that may write this one ConfigMap.

What does not verify as TUF says changes nothing. What the repository has no longer ends,
and stays for the seals that there are; what you have added yourself stays as it is.`,
		Example: `  argoseal-notary trusted-root --tuf-url https://tuf-repo-cdn.sigstore.dev
  argoseal-notary trusted-root --tuf-url https://tuf.example.com --tuf-root /etc/argoseal/root.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of Argoseal (env POD_NAMESPACE)")
	f.StringVar(&o.url, "tuf-url", "", "URL of the TUF repository")
	f.StringVar(&o.root, "tuf-root", "", "file with a root.json of it that you trust; empty: Sigstore's public repository, of which this program has one")
	f.StringVar(&o.target, "tuf-target", v1alpha1.TrustedRootKey, "name of the trusted root in it")
	f.StringVar(&o.domain, "domain", v1alpha1.DomainInstalled, "trust domain whose trusted root follows it")
	f.BoolVar(&o.create, "create", false, "make the ConfigMap "+v1alpha1.ConfigMapTrustedRoot+" if it is not there; where a log runs beside the notary, that makes it")
	f.DurationVar(&o.every, "every", 6*time.Hour, "time from one reading to the next")
	f.DurationVar(&o.warnBefore, "warn-before", 14*24*time.Hour, "how long before its end metadata that people sign is told of (root and targets; the others at most a day before)")
	o.Addresses(f)
	return c
}

// repository is the one that the flags name.
func (o rootOptions) repository() (*tuf.Repository, error) {
	root, anchor := sigstore.DefaultRoot(), publicAnchor
	switch {
	case o.root != "":
		var err error
		if root, err = readRoot(o.root); err != nil {
			return nil, usage("--tuf-root: %v", err)
		}
		anchor = ""
	case o.url != sigstore.DefaultMirror:
		return nil, usage("--tuf-root is missing: only of %s this program has a root.json", sigstore.DefaultMirror)
	}
	r, err := tuf.New(o.url, root, anchor, o.target)
	if err != nil {
		return nil, usage("%v", err)
	}
	return r, nil
}

func readRoot(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, maxRootFile+1))
	if err == nil && len(raw) > maxRootFile {
		err = errors.New("it is too large")
	}
	return raw, err
}

func (o rootOptions) run(ctx context.Context) error {
	if err := requireFlags(map[string]bool{"namespace": o.Namespace != "", "tuf-url": o.url != "", "tuf-target": o.target != "", "domain": o.domain != ""}); err != nil {
		return err
	}
	repository, err := o.repository()
	if err != nil {
		return err
	}
	if err := public.Check(); err != nil {
		return usage("%v", err)
	}
	k := &keeper.Keeper{
		Namespace: o.Namespace, Domain: o.domain, Create: o.create, Repository: repository, Every: o.every, WarnBefore: o.warnBefore,
		Log: ctrl.Log.WithName("tuf"),
	}
	if err := k.Check(); err != nil {
		return usage("--every, --warn-before: %v", err)
	}
	config, scheme, err := connect()
	if err != nil {
		return err
	}
	mgr, err := o.Manager(ctx, config, o.Options(scheme, ""))
	if err != nil {
		return err
	}
	if k.API, err = program.Client(mgr); err != nil {
		return err
	}
	k.Events = mgr.GetEventRecorder("argoseal-notary")
	if err := metrics.Registry.Register(k.Metrics()); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if err := mgr.Add(k); err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	ctrl.Log.Info("Following a TUF repository", "version", version, "url", o.url, "domain", o.domain)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	return nil
}
