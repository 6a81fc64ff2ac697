package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/argoseal/argoseal/certs/public" // logs, timestamp authorities and key services of others
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/connections"
	"github.com/argoseal/argoseal/pkg/epoch/keeper"
	"github.com/argoseal/argoseal/pkg/followed"
	"github.com/argoseal/argoseal/pkg/notary"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/notary/trusted"
	"github.com/argoseal/argoseal/pkg/notary/workflow"
	"github.com/argoseal/argoseal/pkg/pages"
	"github.com/argoseal/argoseal/pkg/program"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/early"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
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

// garbagePercent is how much garbage may wait, of what is in use: a seal makes some 300 KiB,
// and looking for it after every few megabytes is a fifth of all work.
const garbagePercent = 400

func run(ctx context.Context, o options) error {
	if err := o.check(); err != nil {
		return err
	}
	said, err := o.said()
	if err != nil {
		return err
	}
	config, scheme, err := connect()
	if err != nil {
		return err
	}
	program.SpendMemory(garbagePercent)
	config.Wrap(pages.Bound)
	// One for all: of QPS and Burst each kind of object would have its own.
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(float32(o.queries), 2*o.queries)
	watched := notary.NewWatched()
	mgr, err := newManager(config, scheme, o, watched)
	if err != nil {
		return err
	}
	api, err := program.Client(mgr)
	if err != nil {
		return err
	}
	pods, err := corev1client.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("client of logs: %w", err)
	}
	var p prepared
	watch, err := watchLog(mgr, api, o, func() *trust.Store { return p.trust })
	if err != nil {
		return err
	}
	recorders, own, err := o.recorders(watch)
	if err != nil {
		return err
	}
	stamps, err := o.timestamps()
	if err != nil {
		return err
	}
	if err := cluster.Await(ctx, ctrl.Log, func(ctx context.Context) (err error) {
		p, err = prepare(ctx, api, o, said, recorders, stamps)
		return err
	}); err != nil {
		return err
	}
	var identity atomic.Pointer[argo.Identity]
	identity.Store(&p.trusted.Identity)
	set, err := kubernetes.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("client of leases and workflows: %w", err)
	}
	n := &notary.Notary{
		API:           api,
		Stored:        stored.NewReader(stored.FromAPI(set.CoreV1().RESTClient())),
		ContainerLogs: notary.PodLogs{Pods: pods},
		Epochs:        keeper.Reader{API: api, Namespace: o.namespace}.At,
		Keyring:       p.keyring,
		Events:        mgr.GetEventRecorder("argoseal-notary"),
		Backlog:       &notary.Backlog{},
		Clock:         clock.RealClock{},
		ClaimDuration: o.claimDuration,
		Identity:      func() argo.Identity { return *identity.Load() },
		SignerImages:  p.trusted.Signers,
		Redaction:     p.redaction,
		Cluster:       p.clusterName,
		Version:       version,
	}
	if o.signingKey == "" && o.fulcioURL == "" {
		rotation := &keyring.Rotation{API: api, Namespace: o.namespace, After: o.rotateAfter, Use: n.Keyring.Use, Known: n.Keyring.Knows, Log: ctrl.Log.WithName("rotation")}
		if err := mgr.Add(rotation); err != nil {
			return err
		}
	}
	if n.Holder, err = holder(); err != nil {
		return err
	}
	n.Shards = &notary.Shards{Self: n.Holder, Namespace: o.namespace}
	if err := mgr.Add(notary.Alive(set, o.namespace, n.Holder, o.claimDuration)); err != nil {
		return err
	}
	if err := mgr.Add(&keeper.Keeper{API: api, Namespaces: pods.Namespaces(), Namespace: o.namespace, Log: ctrl.Log.WithName("epochs")}); err != nil {
		return err
	}
	if err := follow(ctx, mgr, api, o, said, &identity); err != nil {
		return err
	}
	n.Metrics = notary.NewMetrics(metrics.Registry, n.Backlog, n.Clock)
	if p.fulcio != nil {
		if err := metrics.Registry.Register(p.fulcio.Metrics()); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	if err := metrics.Registry.Register(p.trust.Metrics()); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if err := p.trust.SetupWithManager(ctx, mgr); err != nil {
		return err
	}
	if err := bound(ctx, mgr, api, n, o); err != nil {
		return err
	}
	if o.attest {
		whole := &workflow.Attestor{
			Cache: mgr.GetClient(), API: api, Stored: n.Stored, Keys: n.Keyring.Current, Clock: n.Clock, Holder: n.Holder, Cluster: n.Cluster, Version: version,
		}
		if err := whole.SetupWithManager(mgr); err != nil {
			return err
		}
	}
	return serve(ctx, mgr, n, watched, own, o)
}

// follow keeps up with what Argo runs in the namespaces that are named, if any are.
func follow(ctx context.Context, mgr manager.Manager, api client.Client, o options, said trusted.Installation, identity *atomic.Pointer[argo.Identity]) error {
	if len(o.argoNamespaces) == 0 {
		return nil
	}
	k := &followed.Keeper{
		API: api, Namespace: o.namespace, Of: o.argoNamespaces,
		Events: mgr.GetEventRecorder("argoseal-notary"), Clock: clock.RealClock{}, Log: ctrl.Log.WithName("argo"),
		Remember: func(ctx context.Context, now followed.Record) error {
			at := time.Now()
			said := trusted.Installation{Identity: now.Identity(said.Identity, o.argoNamespaces, 0, at), Signers: said.Signers}
			all, err := trusted.Remember(ctx, api, o.namespace, said, at)
			if err == nil {
				identity.Store(&all.Identity)
			}
			return err
		},
	}
	if err := metrics.Registry.Register(k.Metrics()); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return k.SetupWithManager(ctx, mgr)
}

// prepared is what the cluster has for us.
type prepared struct {
	trust       *trust.Store
	keyring     *keyring.Keyring
	fulcio      *seal.Fulcio // nil: a key signs
	clusterName string
	trusted     trusted.Installation
	redaction   provenance.Redaction
}

// prepare reads, or makes, what has to be there before anything else. Of the trusted
// root it only refuses one under which nothing could ever be sealed; one that is not
// there yet is waited for.
func prepare(ctx context.Context, api client.Client, o options, said trusted.Installation, recorders []*seal.Recorder, stamps *seal.Timestamps) (p prepared, err error) {
	signer, fulcio, err := signsOf(ctx, api, o)
	if err != nil {
		return p, err
	}
	key, err := keyring.ParameterKey(ctx, api, o.namespace)
	if err != nil {
		return p, err
	}
	p.redaction = provenance.Redaction{Quoted: o.quoted, Key: key}
	if err := p.redaction.Validate(); err != nil {
		return p, usage("--quoted-parameter: %v", err)
	}
	if p.clusterName, err = cluster.Name(ctx, api, o.clusterName); err != nil {
		return p, err
	}
	p.trust = &trust.Store{
		API: api, Namespace: o.namespace, Builders: verify.BuildersOf(p.clusterName), Clock: clock.RealClock{}, Log: ctrl.Log.WithName("trust"),
	}
	p.keyring = keyring.New(p.trust, signer, recorders[0], recorders[1:]...)
	urls := o.logURLs()
	p.trust.Usable = o.usable(p.keyring.Usable(urls[0], urls[1:]...))
	p.keyring.Timestamped(stamps)
	p.keyring.Certified(fulcio)
	p.fulcio = fulcio
	var refusal *reason.Error
	if errors.As(p.trust.Load(ctx), &refusal) {
		return p, refusal
	}
	p.trusted, err = trusted.Remember(ctx, api, o.namespace, said, time.Now())
	return p, err
}

// holder is this replica's name: the pod's, so that a container that was
// restarted goes on with its own claims at once.
func holder() (string, error) {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name of this replica: %w", err)
	}
	return name, nil
}

func newManager(config *rest.Config, scheme *runtime.Scheme, o options, watched *notary.Watched) (manager.Manager, error) {
	objects, err := watched.Caches()
	if err != nil {
		return nil, err
	}
	objects[&v1alpha1.WorkflowProvenance{}] = cache.ByObject{Transform: workflow.Slim}
	maps.Copy(objects, notary.LeaseCache(o.namespace))
	// What was begun is finished; then the claims that are left are released.
	grace := o.claimDuration + 2*time.Second
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		Cache:  cache.Options{ByObject: objects, NewInformer: notary.Informers(objects)},
		// These are served beside, with bounds: everybody reaches them.
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:  "0",
		GracefulShutdownTimeout: &grace,
	})
	if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	return mgr, nil
}

// releaseTimeout bounds how long giving up claims may hold up a shutdown.
const releaseTimeout = 5 * time.Second

// serve seals until ctx ends. Then its own log may answer what it was asked: requests that are
// cancelled could fail those of other replicas.
func serve(ctx context.Context, mgr manager.Manager, n *notary.Notary, watched *notary.Watched, own *early.Log, o options) error {
	ready := func(*http.Request) error {
		if n.Keyring.Current() == nil {
			return errors.New("no tag key or no trusted root yet")
		}
		return nil
	}
	if err := errors.Join(
		n.SetupWithManager(ctx, mgr, watched, o.workers),
		connections.Sides{
			Metrics: o.metricsAddress, Probes: o.healthAddress,
			Alive: map[string]healthz.Checker{"ping": healthz.Ping}, Ready: map[string]healthz.Checker{"keys": ready},
		}.Serve(ctx, mgr, ctrl.Log),
	); err != nil {
		return err
	}
	ctrl.Log.Info("Starting", "version", version, "replica", n.Holder, "cluster", n.Cluster, "logs", o.logURLs())
	err := mgr.Start(ctx)
	free := context.WithoutCancel(ctx)
	release, cancel := context.WithTimeout(free, releaseTimeout)
	defer cancel()
	n.Release(release)
	own.Drain(free)
	if err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	return nil
}

func usage(format string, args ...any) error { return reason.New(reason.UsageInvalid, format, args...) }

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
