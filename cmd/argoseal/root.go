package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// replacedAfter is for how long what is replaced goes on to take seals, unless it is said.
const replacedAfter = time.Hour

// rootOptions are the flags of trust root.
type rootOptions struct {
	from, before, until string
	without             []string
}

func (o *trustOptions) rootCommand() *cobra.Command {
	var r rootOptions
	c := &cobra.Command{
		Use:   "root [--from FILE] [--before FILE]",
		Short: "Replace the trusted root, and keep what was sealed under the one before",
		Long: `Replace the trusted root: logs, certificate and timestamp authorities. What only the
one before has stays in it, with the end of its time, so that what was sealed under it
goes on to count. What both have is as the new one says, but no end moves to a later
time: nothing that has ended, or that the new one ends, comes back.

--from names the new one, --before the one that it replaces. Where one of them is not
given, it is what the cluster has, and the cluster gets what comes of both. With both no
cluster is asked, and the result is printed: for other domains, and for values of the
chart.

Do not keep a log or an authority whose key is in other hands: leave it out with
--without, or have the new root name it with the end of its time.`,
		Example: `  argoseal trust root --from trusted_root.json
  argoseal trust root --before saved.json --until 2026-11-30T08:00:00Z
  argoseal trust root --from new.json --before old.json > trusted_root.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.root(cmd.Context(), cmd.OutOrStdout(), r)
		},
	}
	f := c.Flags()
	f.StringVar(&r.from, "from", "", "the new trusted_root.json (default: the cluster's)")
	f.StringVar(&r.before, "before", "", "the trusted_root.json that it replaces (default: the cluster's)")
	f.StringVar(&r.until, "until", "", "until when what only the one before has takes seals (RFC 3339; default: in an hour)")
	f.StringArrayVar(&r.without, "without", nil, "id or URL of a log, or URL of an authority, of the one before that is not kept; repeatable")
	return c
}

func (o *trustOptions) root(ctx context.Context, w io.Writer, r rootOptions) error {
	with := verify.Replacement{Until: time.Now().Add(replacedAfter).UTC().Truncate(time.Second), Without: r.without}
	if r.until != "" {
		var err error
		if with.Until, err = time.Parse(time.RFC3339, r.until); err != nil {
			return usage(fmt.Errorf("--until: %w", err))
		}
	}
	if r.from == "" && r.before == "" {
		return usage(errors.New("--from or --before is required"))
	}
	for _, file := range []struct {
		path string
		into *[]byte
	}{{r.from, &with.Next}, {r.before, &with.Before}} {
		if file.path == "" {
			continue
		}
		var err error
		if *file.into, err = readBounded(file.path, maxTrust); err != nil {
			return err
		}
	}
	if r.from != "" && r.before != "" {
		made, err := with.Root()
		if err != nil {
			return usage(err)
		}
		_, err = w.Write(made)
		return err
	}
	return o.replaceRoot(ctx, w, with)
}

// replaceRoot replaces the installation's trusted root. What is not given is the cluster's.
func (o *trustOptions) replaceRoot(ctx context.Context, w io.Writer, with verify.Replacement) error {
	s, err := o.store(ctx)
	if err != nil {
		return err
	}
	var trusted corev1.ConfigMap
	if err := s.API.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: v1alpha1.ConfigMapTrustedRoot}, &trusted); err != nil {
		return reason.Wrap(reason.Internal, err, "%v", err)
	}
	for _, given := range []*[]byte{&with.Next, &with.Before} {
		if *given == nil {
			*given = []byte(trusted.Data[v1alpha1.TrustedRootKey])
		}
	}
	made, err := with.Root()
	if err != nil {
		return usage(err)
	}
	// Write nothing that the programs would refuse.
	domains := s.Root().Domains()
	domains[0].TrustedRoot = made
	if _, err := verify.New(domains...); err != nil {
		return usage(err)
	}
	trusted.Data[v1alpha1.TrustedRootKey] = string(made)
	if err := s.API.Update(ctx, &trusted); err != nil {
		return reason.Wrap(reason.Internal, err, "%v", err)
	}
	if err := warnHelm(w, &trusted); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "Trusted: the new root. What only the one before has takes seals until %s. Run argoseal trust export again.\n", with.Until.UTC().Format(time.RFC3339)); err != nil {
		return err
	}
	return showDomains(w, "table", domains[:1], nil, nil)
}

// warnHelm says of a trusted root that the chart's value has made that Helm will write the
// value over it.
func warnHelm(w io.Writer, trusted *corev1.ConfigMap) error {
	if trusted.Labels["app.kubernetes.io/managed-by"] != "Helm" {
		return nil
	}
	_, err := fmt.Fprintf(w, "Warning: ConfigMap %s is the chart's. The next helm upgrade writes the value rekor.trustedRoot over it, also one that has not changed: put there what argoseal trust export gives now.\n", trusted.Name)
	return err
}
