package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
)

// trustOptions are the flags of all trust commands.
type trustOptions struct {
	kubeconfig, context    string
	namespace, clusterName string
	// connect makes the client; tests have another.
	connect func(kubeconfig, context string) (client.Client, error)
}

func trustCommand() *cobra.Command { return trustCommandWith(&trustOptions{connect: connect}) }

func trustCommandWith(o *trustOptions) *cobra.Command {
	c := &cobra.Command{
		Use:   "trust",
		Short: "Show and change whose seals count in a cluster",
		Long: `Show and change whose seals count in a cluster.

A trust domain says who signs, for which builders they may speak, which logs have to
have the seal, and when each of these counts. The domain "installed" is that of the
installation; others lie in ConfigMaps argoseal-trust-NAME beside it, and count as
soon as they are there.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := c.PersistentFlags()
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "file that says how to reach the cluster (default: $KUBECONFIG, or ~/.kube/config)")
	f.StringVar(&o.context, "context", "", "its context (default: the current one)")
	f.StringVarP(&o.namespace, "namespace", "n", "argoseal-system", "namespace of Argoseal")
	f.StringVar(&o.clusterName, "cluster-name", "", "name of the cluster in builder.id (default: what the notary is told, else the UID of the namespace kube-system)")
	c.AddCommand(o.showCommand(), o.exportCommand(), o.addCommand(), o.rotateCommand(), o.rootCommand(), o.timestampsCommand(), o.certificatesCommand())
	return c
}

// store reads the cluster's domains as its programs do. Where a program would go on
// with the last good state, it fails.
func (o *trustOptions) store(ctx context.Context) (*trust.Store, error) {
	api, err := o.connect(o.kubeconfig, o.context)
	if err != nil {
		return nil, err
	}
	name, err := o.name(ctx, api)
	if err != nil {
		return nil, err
	}
	s := &trust.Store{API: api, Namespace: o.namespace, Builders: verify.BuildersOf(name), Clock: clock.RealClock{}, Log: logr.Discard()}
	return s, s.LoadRoot(ctx)
}

// name is the cluster's in builder.id: the notary writes it.
func (o *trustOptions) name(ctx context.Context, api client.Client) (string, error) {
	if o.clusterName != "" {
		return o.clusterName, nil
	}
	var notary appsv1.Deployment
	err := api.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: "argoseal-notary"}, &notary)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("deployment argoseal-notary, which says the cluster's name: %w; give --cluster-name", err)
	}
	for _, container := range notary.Spec.Template.Spec.Containers {
		for _, arg := range container.Args {
			if name, ok := strings.CutPrefix(arg, "--cluster-name="); ok && name != "" {
				return name, nil
			}
		}
	}
	return cluster.Name(ctx, api, "")
}

func (o *trustOptions) showCommand() *cobra.Command {
	output := "table"
	c := &cobra.Command{
		Use:   "show",
		Short: "Show whose seals count in a cluster, and when each key and log does",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usage(fmt.Errorf("--output is table or json, not %q", output))
			}
			s, err := o.store(cmd.Context())
			if s == nil || s.Root() == nil {
				return err
			}
			domains := s.Root().Domains()
			follows, unread := o.follows(cmd.Context(), s.API, domains)
			if failed := showDomains(cmd.OutOrStdout(), output, domains, follows, errors.Join(err, unread)); failed != nil {
				return failed
			}
			return errors.Join(err, unread) // what is shown is not what lies there
		},
	}
	c.Flags().StringVarP(&output, "output", "o", output, "table or json")
	return c
}

func (o *trustOptions) exportCommand() *cobra.Command {
	to := ""
	if path := configFile("x"); path != "" {
		to = filepath.Dir(path)
	}
	c := &cobra.Command{
		Use:   "export [DOMAIN]",
		Short: "Write a trust domain to files, for argoseal verify or for another cluster",
		Long: `Write a trust domain to files: trusted_root.json, notary.pub and domain.json, by
which argoseal verify verifies offline, and which argoseal trust add takes in another
cluster. Without DOMAIN it is that of the installation. Only do this with a cluster
that you trust, over a connection that you trust.`,
		Example: `  argoseal trust export
  argoseal trust export --to ./from-paris && argoseal trust add paris --context rome --from ./from-paris`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := v1alpha1.DomainInstalled
			if len(args) == 1 {
				name = args[0]
			}
			s, err := o.store(cmd.Context())
			if err != nil {
				return err
			}
			for _, d := range s.Root().Domains() {
				if d.Name == name {
					return exportDomain(cmd.OutOrStdout(), to, d)
				}
			}
			return usage(fmt.Errorf("there is no trust domain %.80q", name))
		},
	}
	c.Flags().StringVar(&to, "to", to, "folder to write to")
	return c
}

func exportDomain(w io.Writer, dir string, d verify.Domain) error {
	from, err := d.Sources()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return usage(err)
	}
	for _, file := range []struct {
		name string
		data []byte
	}{{v1alpha1.TrustedRootKey, from.TrustedRoot}, {v1alpha1.NotaryKeyKey, from.Keys}, {v1alpha1.RulesKey, from.Rules}} {
		path := filepath.Join(dir, file.name)
		if err := os.WriteFile(path, file.data, 0o644); err != nil {
			return usage(err)
		}
		if _, err := fmt.Fprintln(w, printable(path)); err != nil {
			return err
		}
	}
	return nil
}

func (o *trustOptions) addCommand() *cobra.Command {
	var from string
	var replace bool
	c := &cobra.Command{
		Use:   "add NAME --from FOLDER",
		Short: "Trust seals of another trust domain, too",
		Long: `Trust seals of another trust domain, too: what argoseal trust export wrote in
another cluster, or what you wrote in its manner. No key and no builder may be in two
domains. Policies still say whether an artifact of another cluster is admitted.

With --replace a domain that is there gets other keys and logs. Keep the old ones in
it, with the end of their time, as long as there are seals of theirs.`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if from == "" {
				return usage(fmt.Errorf("--from is required"))
			}
			return o.add(cmd.Context(), cmd.OutOrStdout(), args[0], from, replace)
		},
	}
	c.Flags().StringVar(&from, "from", "", "folder with trusted_root.json, notary.pub and domain.json (required)")
	c.Flags().BoolVar(&replace, "replace", false, "replace the domain if it is there")
	return c
}

func (o *trustOptions) add(ctx context.Context, w io.Writer, name, from string, replace bool) error {
	if name == v1alpha1.DomainInstalled {
		return usage(fmt.Errorf("domain %s is the installation's own", name))
	}
	sources, err := readSources(from)
	if err != nil {
		return err
	}
	d, err := verify.ParseDomain(name, sources)
	if err != nil {
		return usage(err)
	}
	s, err := o.store(ctx)
	if err != nil {
		return err
	}
	// Write nothing that the programs would refuse.
	var others []verify.Domain
	for _, other := range s.Root().Domains() {
		if other.Name != name {
			others = append(others, other)
		}
	}
	if _, err := verify.New(append(others, d)...); err != nil {
		return usage(err)
	}
	c := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.namespace, Name: v1alpha1.ConfigMapDomainPrefix + name,
			Labels: map[string]string{"app.kubernetes.io/part-of": "argoseal"},
		},
		Data: map[string]string{
			v1alpha1.TrustedRootKey: string(sources.TrustedRoot), v1alpha1.NotaryKeyKey: string(sources.Keys), v1alpha1.RulesKey: string(sources.Rules),
		},
	}
	err = s.API.Create(ctx, c)
	if apierrors.IsAlreadyExists(err) {
		if !replace {
			return usage(fmt.Errorf("domain %s is there already; --replace replaces it", name))
		}
		err = replaceDomain(ctx, s.API, c)
	}
	if err != nil {
		return reason.Wrap(reason.Internal, err, "%v", err)
	}
	speaks := slices.Concat(d.Builders, d.Attests)
	if d.Reproduces {
		speaks = append(slices.Clone(speaks), "second runs")
	}
	if d.Describes {
		speaks = append(slices.Clone(speaks), "SBOMs")
	}
	_, err = fmt.Fprintf(w, "Trusted: domain %s, with %d keys and %d identities, for %s.\n", name, len(d.Keys), len(d.Identities), printable(strings.Join(speaks, ", ")))
	return err
}

// replaceDomain writes a domain's files over those that are there. What others keep beside
// them stays, such as how far a TUF repository was followed.
func replaceDomain(ctx context.Context, api client.Client, with *corev1.ConfigMap) error {
	var there corev1.ConfigMap
	if err := api.Get(ctx, client.ObjectKeyFromObject(with), &there); err != nil {
		return err
	}
	if there.Data == nil {
		there.Data = map[string]string{}
	}
	maps.Copy(there.Data, with.Data)
	return api.Update(ctx, &there)
}

// readSources reads a domain's files. There may be no public keys.
func readSources(dir string) (verify.Sources, error) {
	var s verify.Sources
	for _, file := range []struct {
		name string
		into *[]byte
	}{{v1alpha1.TrustedRootKey, &s.TrustedRoot}, {v1alpha1.NotaryKeyKey, &s.Keys}, {v1alpha1.RulesKey, &s.Rules}} {
		path := filepath.Join(dir, file.name)
		if _, err := os.Stat(path); os.IsNotExist(err) && file.name == v1alpha1.NotaryKeyKey {
			continue
		}
		var err error
		if *file.into, err = readBounded(path, maxTrust); err != nil {
			return verify.Sources{}, err
		}
	}
	return s, nil
}
