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
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
)

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
	ready := map[string]healthz.Checker{
		"keys": unless(func() bool { return n.Keyring.Current() != nil }, "no tag key or no trusted root yet"),
		// Else a rollout would end the one before, which knows them.
		"caches": unless(n.Filled, "pods and records are not listed yet"),
	}
	if err := errors.Join(
		n.SetupWithManager(ctx, mgr, watched, o.workers),
		connections.Sides{
			Metrics: o.metricsAddress, Probes: o.healthAddress,
			Alive: map[string]healthz.Checker{"ping": healthz.Ping}, Ready: ready,
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

// unless is a check that fails with that word until something is so.
func unless(so func() bool, word string) healthz.Checker {
	return func(*http.Request) error {
		if !so() {
			return errors.New(word)
		}
		return nil
	}
}

func usage(format string, args ...any) error { return reason.New(reason.UsageInvalid, format, args...) }

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
