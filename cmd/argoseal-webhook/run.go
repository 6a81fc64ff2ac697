package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/argoseal/argoseal/certs"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/connections"
	"github.com/argoseal/argoseal/pkg/epoch/keeper"
	"github.com/argoseal/argoseal/pkg/followed"
	"github.com/argoseal/argoseal/pkg/program"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
	"github.com/argoseal/argoseal/webhook/evidence"
	"github.com/argoseal/argoseal/webhook/gate"
	"github.com/argoseal/argoseal/webhook/images"
	"github.com/argoseal/argoseal/webhook/server"
)

const (
	// The limits of our own client, for all kinds of objects together; they are
	// shared out by host and namespace. A decision makes a handful of GETs, and one
	// that waits for a seal makes ten a second. They are high, because a request
	// that the client holds back is an admission that fails. The API server has its
	// own limits for each client.
	queriesPerSecond = 1000
	queriesBurst     = 2000
	// rememberedBundles is how many bytes of verified bundles are remembered, some
	// kilobytes each where nobody makes them large.
	rememberedBundles = 32 << 20
)

// run serves until ctx ends, and then until it is drained.
func run(ctx context.Context, config *rest.Config, registry prometheus.Registerer, o options) error {
	w, err := wire(ctx, config, registry, o)
	if err != nil {
		return err
	}
	// The watches have to outlive the drain: what still comes in is decided.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- w.manager.Start(background) }()
	served := make(chan error, 1)
	go func() { served <- w.https.Run(ctx) }()
	select {
	case err = <-served:
		stop()
		return errors.Join(err, <-failed)
	case err = <-failed:
		return fmt.Errorf("stopped: %w", err)
	}
}

// webhook is the program, put together.
type webhook struct {
	manager manager.Manager
	https   *server.HTTPS
}

func wire(ctx context.Context, config *rest.Config, registry prometheus.Registerer, o options) (*webhook, error) {
	mgr, err := newManager(config, o)
	if err != nil {
		return nil, err
	}
	api, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	serving, err := keepCertificate(ctx, mgr, api, o)
	if err != nil {
		return nil, err
	}
	live := server.NewLive(mgr.GetAPIReader(), api)
	name, err := clusterName(ctx, live, o)
	if err != nil {
		return nil, err
	}
	trusted, err := keepTrust(ctx, mgr, name, o)
	if err != nil {
		return nil, err
	}
	if _, err := mgr.GetCache().GetInformer(ctx, server.NamespaceMetadata(), cache.BlockUntilSynced(false)); err != nil {
		return nil, fmt.Errorf("watch namespaces: %w", err)
	}
	quick, err := watchRecords(mgr, live, registry)
	if err != nil {
		return nil, err
	}
	policies, err := watchPolicies(ctx, mgr)
	if err != nil {
		return nil, err
	}
	decides, err := newGate(quick, mgr.GetClient(), policies, live, name, o)
	if err != nil {
		return nil, err
	}
	if err := policies.Report(mgr, mgr.GetClient(), attests(decides.Verified, trusted)); err != nil {
		return nil, err
	}
	if err := registry.Register(trusted.Metrics()); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	measures, err := server.NewMetrics(registry, serving.Expiry, func() bool { return trusted.Root() != nil })
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	identity, argoReady, err := follow(ctx, mgr, decides.Identity, o)
	if err != nil {
		return nil, err
	}
	handlers := &server.Handlers{
		Gate:        decides,
		Identity:    identity,
		Trust:       current(trusted),
		Pod:         live.Pod,
		Namespaces:  server.NewNamespaces(mgr.GetClient(), mgr.GetAPIReader(), clock.RealClock{}),
		Events:      recorder(mgr, api),
		Metrics:     measures,
		Log:         ctrl.Log.WithName("admission"),
		MaxInFlight: o.maxInFlight,
		Timeout:     o.timeout,
		SealLogs:    o.sealLogs,
		Looked:      images.NewLooked(),
		InPlace:     server.NewInPlace(o.workers, o.replicas, clock.RealClock{}),
	}
	https := &server.HTTPS{
		Address:        ":" + strconv.Itoa(o.port),
		Handler:        handlers.Mux(),
		GetCertificate: serving.GetCertificate,
		ShutdownDelay:  o.shutdownDelay,
		Log:            ctrl.Log.WithName("https"),
	}
	ctrl.Log.Info("starting", "version", version, "cluster", decides.Cluster)
	ctrl.Log.Info("trusting these as Argo; to pin them, set argo.controllers and argo.executorImages of the chart",
		"controllers", decides.Identity.Controllers, "executorImages", decides.Identity.ExecutorImages, "namespaces", o.argoNamespaces)
	ready := map[string]healthz.Checker{
		"serving": https.Ready, "certificate": serving.Ready, "tag-key": trusted.Ready,
		"pods": quick.Pods.Ready, "records": quick.Records.Ready, "policies": policies.Ready,
	}
	if argoReady != nil {
		ready["argo"] = argoReady
	}
	return &webhook{manager: mgr, https: https}, connections.Sides{
		Metrics: o.metricsAddress, Probes: o.healthAddress, Alive: map[string]healthz.Checker{"ping": healthz.Ping}, Ready: ready,
	}.Serve(ctx, mgr, ctrl.Log)
}

// follow keeps up with what Argo runs in the namespaces that are named; nil if none are.
func follow(ctx context.Context, mgr manager.Manager, given argo.Identity, o options) (func() argo.Identity, healthz.Checker, error) {
	if len(o.argoNamespaces) == 0 {
		return nil, nil, nil
	}
	r := &followed.Reader{
		API: mgr.GetAPIReader(), Namespace: o.namespace, Given: given, Of: o.argoNamespaces, NonRoot: o.nonroot,
		Clock: clock.RealClock{}, Log: ctrl.Log.WithName("argo"),
	}
	return r.Identity, r.Ready, r.SetupWithManager(ctx, mgr)
}

// watchRecords begins to watch what decisions look at first: pods and records, as far as there is room.
func watchRecords(mgr manager.Manager, live server.Live, registry prometheus.Registerer) (server.Watched, error) {
	quick := server.NewWatched(live, server.DefaultRoom, clock.RealClock{})
	api, err := program.Client(mgr)
	if err != nil {
		return quick, err
	}
	for _, feed := range quick.Feeds(api) {
		if err := mgr.Add(feed); err != nil {
			return quick, fmt.Errorf("watch: %w", err)
		}
	}
	if err := registry.Register(quick.Metrics()); err != nil {
		return quick, fmt.Errorf("metrics: %w", err)
	}
	return quick, nil
}

// watchPolicies begins to watch policies and revocations. Where the CRDs of this release
// are not there yet, they are waited for.
func watchPolicies(ctx context.Context, mgr manager.Manager) (*server.Policies, error) {
	caches, err := cluster.NewCache(mgr, cache.Options{ByObject: server.PolicyCaches()})
	if err != nil {
		return nil, err
	}
	policies := server.NewPolicies(mgr.GetAPIReader(), clock.RealClock{})
	if err := cluster.Await(ctx, ctrl.Log, func(ctx context.Context) error { return policies.Watch(ctx, caches) }); err != nil {
		return nil, err
	}
	return policies, nil
}

// attests verifies what others attest under what is trusted now.
func attests(verified *evidence.Verified, store *trust.Store) func(v1alpha1.Attested) *reason.Error {
	return func(of v1alpha1.Attested) *reason.Error {
		_, no := verified.Attested(evidence.VerifierOf(store.Root()), of, time.Now())
		return no
	}
}

// clusterName is this cluster's name in builder.id.
func clusterName(ctx context.Context, live server.Live, o options) (name string, err error) {
	err = cluster.Await(ctx, ctrl.Log, func(ctx context.Context) (err error) {
		name, err = cluster.Name(ctx, live.API, o.clusterName)
		return err
	})
	return name, err
}

func newGate(quick server.Watched, watched client.Reader, policies *server.Policies, live server.Live, name string, o options) (*gate.Gate, error) {
	identity, err := o.identity()
	if err != nil {
		return nil, err
	}
	workflows := server.NewWorkflows(live, clock.RealClock{})
	return &gate.Gate{
		Identity: identity,
		Sidecar:  sidecar.Config{Image: o.signerImage, ExecutorUsers: identity.ExecutorUsers, Additions: identity.Additions},
		Cluster:  name,
		Quick:    quick,
		Live:     server.Confirmed{Live: live, Watched: quick},

		Definitions: workflows,
		Policies:    policies,
		Epochs:      keeper.NewRecent(keeper.Reader{API: live.API, Namespace: o.namespace}, watched, clock.RealClock{}),

		Verified: evidence.NewVerified(rememberedBundles),
		Clock:    clock.RealClock{},
		Requeue:  slices.Max(append(o.requeues, 0)),
	}, nil
}

func newManager(config *rest.Config, o options) (manager.Manager, error) {
	config = rest.CopyConfig(config)
	config.RateLimiter = server.NewThrottle(queriesPerSecond, queriesBurst)
	config.UserAgent = "argoseal-webhook/" + version
	config.Wrap(server.Bounded)
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("types: %w", err)
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		// The cache watches only what it was told to, and fails readers of anything
		// else.
		Cache: cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ReaderFailOnMissingInformer: true},
		// Package connections serves these two instead, with bounds: everybody
		// reaches them.
		Metrics:                metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress: "0",
		PprofBindAddress:       o.pprofAddress,
	})
	if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	return mgr, nil
}

// keepCertificate keeps the serving certificate.
func keepCertificate(ctx context.Context, mgr manager.Manager, api kubernetes.Interface, o options) (*certs.Serving, error) {
	changed := make(chan struct{}, 1)
	err := cluster.Watch(ctx, mgr, &corev1.Secret{}, o.namespace, v1alpha1.SecretServingCertificate, changed)
	if o.mutating != "" {
		err = errors.Join(err, cluster.Watch(ctx, mgr, &admissionv1.MutatingWebhookConfiguration{}, "", o.mutating, changed))
	}
	if o.validating != "" {
		err = errors.Join(err, cluster.Watch(ctx, mgr, &admissionv1.ValidatingWebhookConfiguration{}, "", o.validating, changed))
	}
	serving := &certs.Serving{}
	return serving, errors.Join(err, mgr.Add(&certs.Keeper{
		Client:     api,
		Namespace:  o.namespace,
		Secret:     v1alpha1.SecretServingCertificate,
		Names:      o.names,
		Mutating:   o.mutating,
		Validating: o.validating,
		Lifetimes:  o.lifetimes,
		Serving:    serving,
		Clock:      clock.RealClock{},
		Log:        ctrl.Log.WithName("certs"),
		Changed:    changed,
	}))
}

// keepTrust keeps tag keys and trust domains.
func keepTrust(ctx context.Context, mgr manager.Manager, name string, o options) (*trust.Store, error) {
	api, err := program.Client(mgr)
	if err != nil {
		return nil, err
	}
	store := &trust.Store{
		API: api, Namespace: o.namespace, MakesTagKey: true, Builders: verify.BuildersOf(name), Clock: clock.RealClock{}, Log: ctrl.Log.WithName("trust"),
	}
	return store, store.SetupWithManager(ctx, mgr)
}

// current is what a decision rests on.
func current(store *trust.Store) func() (evidence.Trust, error) {
	return func() (evidence.Trust, error) {
		keys, err := store.Tags()
		if err != nil {
			return evidence.Trust{}, err
		}
		return evidence.Trust{Keys: keys, Root: evidence.VerifierOf(store.Root())}, nil
	}
}

// recorder writes events of the old kind: it joins equal ones and limits the
// others, 25 for a Workflow at once and one in five minutes after that.
func recorder(mgr manager.Manager, api kubernetes.Interface) record.EventRecorder {
	events := record.NewBroadcaster()
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: api.CoreV1().Events("")})
	return events.NewRecorder(mgr.GetScheme(), corev1.EventSource{Component: "argoseal-webhook"})
}
