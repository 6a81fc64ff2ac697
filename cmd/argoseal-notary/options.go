package main

import (
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/argoseal/argoseal/certs/public" // logs, timestamp authorities and key services of others
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/notary/trusted"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// options are the flags of run.
type options struct {
	namespace      string
	rekorURL       string
	controllers    []string
	executorImages []string
	executorEnv    []string
	additions      []string
	signerImages   []string
	argoNamespaces []string
	quoted         []string
	clusterName    string
	metricsAddress string
	healthAddress  string
	rekorVersion   int
	tilesURL       string
	ownLog         bool
	alsoURL        string
	alsoVersion    int
	stampsURL      string
	stampsRequired bool
	signingKey     string
	fulcioURL      string
	fulcioToken    string
	rotateAfter    time.Duration
	claimDuration  time.Duration
	workers        int
	attest         bool
	queries        int
	bounds         bounds
}

func runCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "run",
		Short: "Seal pods until told to stop",
		Long: `Seal pods until told to stop.

--argo-controller, --executor-image, --executor-env, --executor-addition,
--signer-image and --argo-namespace are those of the webhook. What was given before is
remembered for 30 days, in the ConfigMap argoseal-trusted: pods that were admitted
under it may still run. A pod that was admitted under anything else is not sealed, and
tried again. What Argo runs in each --argo-namespace is looked for when something
changes there, and told to the webhook in the ConfigMap argoseal-argo.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return run(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of Argoseal (env POD_NAMESPACE)")
	f.StringVar(&o.rekorURL, "rekor-url", os.Getenv("ARGOSEAL_REKOR_URL"), "base URL of the log (env ARGOSEAL_REKOR_URL)")
	f.IntVar(&o.rekorVersion, "rekor-version", 2, "version of that log's Rekor: 2, or 1, which promises the time of each entry")
	f.StringVar(&o.alsoURL, "also-rekor-url", "", "base URL of a second log that has to have each seal, too; empty: there is one log")
	f.IntVar(&o.alsoVersion, "also-rekor-version", 1, "version of the second log's Rekor: 1 or 2")
	f.StringVar(&o.stampsURL, "timestamps-url", "", "URL of an RFC 3161 timestamp authority, which is asked about each seal; the trusted root has to have its certificates; empty: none is asked")
	f.BoolVar(&o.stampsRequired, "timestamps-required", true, "with --timestamps-url: a seal waits for its timestamp; else it goes without while the authority is away")
	f.StringArrayVar(&o.controllers, "argo-controller", nil, "NAMESPACE/SERVICEACCOUNT that an Argo controller runs as; repeatable")
	f.StringArrayVar(&o.argoNamespaces, "argo-namespace", nil, "namespace whose Argo is trusted, whatever it runs: its controllers and executors are followed; repeatable")
	f.StringArrayVar(&o.executorImages, "executor-image", nil, "Argo executor image, exactly as pods name it; repeatable")
	f.StringArrayVar(&o.signerImages, "signer-image", nil, "argoseal-signer's image by digest; repeatable")
	f.StringArrayVar(&o.executorEnv, "executor-env", nil, "NAME=VALUE that Argo's configuration gives to its executors (executor.env); repeatable")
	f.StringArrayVar(&o.additions, "executor-addition", nil, "variable:NAME=VALUE, variable:NAME or mount:VOLUME:PATH[:ro] that webhooks of yours add to Argo's containers and to ours; repeatable")
	f.StringArrayVar(&o.quoted, "quoted-parameter", nil, "name of workflow parameters that statements quote, with wildcards (path.Match); all others they show as HMACs; repeatable")
	f.BoolVar(&o.attest, "attest-workflows", false, "state what left each whole workflow, once argoseal-controller says that it has ended")
	f.StringVar(&o.tilesURL, "rekor-tiles-url", "", "base URL below which that log publishes its checkpoint (/api/v2/checkpoint) and tiles: each checkpoint has to extend the one before; empty: nobody looks")
	f.BoolVar(&o.ownLog, "own-rekor", false, "that log is this installation's own, so its checkpoint may be read 20 times a second while entries are added, and a proof is made of its tiles as soon as they have an entry; a Rekor v2 answers only once a second")
	f.StringVar(&o.signingKey, "signing-key", "", "URI of the signing key in a key service: awskms://, azurekms://, gcpkms://, hashivault://, openbao://, or NAME:// of a program sigstore-kms-NAME on the path; empty: the Secret argoseal-signing-key")
	f.StringVar(&o.fulcioURL, "fulcio-url", "", "URL of a Fulcio that certifies the keys that sign, each for some minutes and for this pod's ServiceAccount; the trusted root has to have its certificates; with a Rekor v2 --timestamps-url is needed, too; empty: a signing key")
	f.StringVar(&o.fulcioToken, "fulcio-token", "", "with --fulcio-url: file with a token of the ServiceAccount for Fulcio, which is read each time")
	f.DurationVar(&o.rotateAfter, "rotate-signing-key-after", 0, "age at which the key in the Secret is replaced, 24h at least; 0: only where argoseal trust rotate asks")
	f.StringVar(&o.clusterName, "cluster-name", "", "name of this cluster in builder.id; empty: the UID of the namespace kube-system")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8080", "address of /metrics")
	f.StringVar(&o.healthAddress, "health-address", ":8081", "address of /healthz and /readyz")
	f.DurationVar(&o.claimDuration, "claim-duration", 15*time.Second, "time without a sign of life after which another replica takes a pod over")
	o.bounds.flags(f)
	f.IntVar(&o.workers, "workers", 128, "pods at work at a time; the log takes a fraction of a second for each, however many there are")
	f.IntVar(&o.queries, "queries-per-second", queriesPerSecond, "calls of the API server, on average; for a moment twice as many. A seal takes three")
	return c
}

// check refuses what cannot work, before anything is started.
func (o options) check() error {
	if err := requireFlags(map[string]bool{
		"namespace":       o.namespace != "",
		"rekor-url":       o.rekorURL != "",
		"argo-controller": len(o.controllers)+len(o.argoNamespaces) > 0,
		"executor-image":  len(o.executorImages)+len(o.argoNamespaces) > 0,
		"signer-image":    len(o.signerImages) > 0,
	}); err != nil {
		return err
	}
	for _, image := range o.signerImages {
		if err := (sidecar.Config{Image: image}).Validate(); err != nil {
			return usage("--signer-image: %v", err)
		}
	}
	if _, err := o.bounds.limit(); err != nil {
		return err
	}
	if err := o.checkLogs(); err != nil {
		return err
	}
	if err := (&keyring.Rotation{After: o.rotateAfter}).Check(); err != nil {
		return usage("--rotate-signing-key-after: %v", err)
	}
	if o.rotateAfter != 0 && o.signingKey != "" {
		return usage("--rotate-signing-key-after is for the key in the Secret, not for --signing-key")
	}
	if err := o.checkSigningKey(); err != nil {
		return err
	}
	if err := o.checkFulcio(); err != nil {
		return err
	}
	if err := public.Check(); err != nil {
		return usage("%v", err)
	}
	if slices.Contains(o.argoNamespaces, "") {
		return usage("--argo-namespace is the name of one")
	}
	if o.claimDuration < 3*time.Second || o.workers < 1 || o.queries < 1 {
		return usage("--claim-duration is at least 3s, --workers and --queries-per-second are at least 1")
	}
	return nil
}

// said is what the operator says about their Argo and our signer.
func (o options) said() (trusted.Installation, error) {
	id, err := argo.NewIdentity(o.controllers, o.executorImages, o.executorEnv, nil, o.additions, len(o.argoNamespaces) > 0)
	if err != nil {
		return trusted.Installation{}, usage("--argo-controller, --executor-image, --executor-env: %v", err)
	}
	return trusted.Installation{Identity: id, Signers: o.signerImages}, nil
}
