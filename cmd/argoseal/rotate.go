package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
)

// rotateOptions are the flags of trust rotate.
type rotateOptions struct {
	key  string
	from string
}

func (o *trustOptions) rotateCommand() *cobra.Command {
	var r rotateOptions
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Have the notary replace its signing key",
		Long: `Have the notary replace its signing key, which lies in a Secret. It makes a
successor, publishes it, and signs under it once every webhook knows it, after 15
minutes. What the old key signed goes on to count, by the age of its record.

With --from the key is in other hands since then: its successor signs after a minute,
and of what the old key signed only that counts which a timestamp authority or the
promise of a Rekor v1 proves to be older. Rekor v2 proves no time: with it alone no
seal of the key counts any more, and its steps have to run again. A key that lay in one
Secret with it since then, which it replaced or which replaced it, is taken for stolen,
too.

A key in a key service is replaced by giving the notary another --signing-key; --from
with --key says here that the old one is in other hands.`,
		Example: `  argoseal trust rotate
  argoseal trust rotate --from 2026-11-30T08:00:00Z`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.rotate(cmd.Context(), cmd.OutOrStdout(), r)
		},
	}
	c.Flags().StringVar(&r.from, "from", "", "since when the key may be in other hands (RFC 3339)")
	c.Flags().StringVar(&r.key, "key", "", "hint of the key that is in other hands, as trust show prints it (default: the one that signs)")
	return c
}

func (o *trustOptions) rotate(ctx context.Context, w io.Writer, r rotateOptions) error {
	var from time.Time
	if r.from != "" {
		var err error
		if from, err = time.Parse(time.RFC3339, r.from); err != nil {
			return usage(fmt.Errorf("--from: %w", err))
		}
	} else if r.key != "" {
		return usage(fmt.Errorf("--key is for --from"))
	}
	// A domain beside it that is wrong keeps nobody from saying that a key is stolen.
	s, problem := o.store(ctx)
	if s == nil || s.Root() == nil {
		return problem
	}
	if err := o.askToRotate(ctx, w, r, s, from); err != nil || problem == nil {
		return err
	}
	_, err := fmt.Fprintf(w, "Beside that, not used: %s\n", printable(strings.ReplaceAll(problem.Error(), "\n", "; ")))
	return err
}

// askToRotate tells the notary, and limits the key from a time on, if there is one.
func (o *trustOptions) askToRotate(ctx context.Context, w io.Writer, r rotateOptions, s *trust.Store, from time.Time) error {
	var public corev1.ConfigMap
	if err := s.API.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: v1alpha1.ConfigMapNotaryKey}, &public); err != nil {
		return reason.Wrap(reason.Internal, err, "%v", err)
	}
	rules, err := verify.ParseRules([]byte(public.Data[v1alpha1.RulesKey]))
	if err != nil {
		return usage(err)
	}
	installed := s.Root().Domains()[0]
	key := ""
	if from.IsZero() && len(installed.Identities) > 0 && !slices.ContainsFunc(installed.Keys, func(k verify.Key) bool { return k.End.IsZero() }) {
		return usage(errors.New("no key signs, but an identity, whose keys live for minutes: there is nothing to replace. If somebody else can speak for it, give the notary another ServiceAccount, and end the identity by validUntil in domain.json"))
	}
	if !from.IsZero() {
		if key, err = keyToLimit(installed, r.key); err != nil {
			return err
		}
		rules.Keys = compromise(rules.Keys, key, from.UTC())
		raw, err := rules.JSON()
		if err != nil {
			return err
		}
		public.Data[v1alpha1.RulesKey] = string(raw)
	}
	public.Data[v1alpha1.RotateKey] = time.Now().UTC().Format(time.RFC3339)
	if err := s.API.Update(ctx, &public); err != nil {
		return reason.Wrap(reason.Internal, err, "%v", err)
	}
	if from.IsZero() {
		_, err = fmt.Fprintln(w, "Asked for: the notary publishes a new signing key, and signs under it in some 20 minutes. Run argoseal trust export again then.")
		return err
	}
	_, err = fmt.Fprintf(w, "Key %s counts only for what is proven to be older than %s, by a timestamp authority or the promise of a Rekor v1.\n"+
		"A Rekor v2 proves no time: what it alone has recorded under this key is refused from now on, however old it is. Run its steps again.\n"+
		"A key that lay in one Secret with it since then is taken for stolen, too, by the notary, within a minute or two: argoseal trust show lists it.\n", key, from.UTC().Format(time.RFC3339))
	return err
}

// keyToLimit is the key that a flag names. Without the flag it is the key that
// signs now, which has no end yet.
func keyToLimit(d verify.Domain, named string) (string, error) {
	var open []string
	for _, k := range d.Keys {
		switch {
		case k.Hint == named:
			return named, nil
		case k.End.IsZero() && k.Compromised.IsZero():
			open = append(open, k.Hint)
		}
	}
	if named != "" {
		return "", usage(fmt.Errorf("there is no key %.80q; argoseal trust show lists them", named))
	}
	if len(open) != 1 {
		return "", usage(fmt.Errorf("%d keys count now: say which by --key; argoseal trust show lists them", len(open)))
	}
	return open[0], nil
}

// compromise limits a key, at the earlier time if it was limited before.
func compromise(rules []verify.KeyRule, hint string, from time.Time) []verify.KeyRule {
	i := slices.IndexFunc(rules, func(k verify.KeyRule) bool { return k.Hint == hint })
	if i < 0 {
		return append(rules, verify.KeyRule{Hint: hint, CompromisedFrom: &from})
	}
	if before := rules[i].CompromisedFrom; before == nil || from.Before(*before) {
		rules[i].CompromisedFrom = &from
	}
	return rules
}
