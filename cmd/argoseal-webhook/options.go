package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/argoseal/argoseal/certs"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// options are the flags.
type options struct {
	namespace      string
	signerImage    string
	controllers    []string
	executorImages []string
	executorEnv    []string
	additions      []string
	executorUsers  []string
	plainStores    []string
	argoNamespaces []string
	nonroot        int64
	requeues       []time.Duration
	workers        int
	replicas       int
	clusterName    string
	service        string
	mutating       string
	validating     string
	port           int
	metricsAddress string
	healthAddress  string
	pprofAddress   string
	maxInFlight    int
	timeout        time.Duration
	shutdownDelay  time.Duration
	sealLogs       bool

	// names that the API server calls us by, and how long certificates live.
	names     []string
	lifetimes certs.Lifetimes
}

// defaultRequeue is Argo's own (GetRequeueTime in its rate_limiters.go).
const defaultRequeue = 10 * time.Second

// defaultWorkers is Argo's own (--workflow-workers of workflow-controller).
const defaultWorkers = 32

// longestTimeout is the longest that a webhook configuration can give.
const longestTimeout = 30 * time.Second

func command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:           "argoseal-webhook",
		Short:         "Admits workflow pods whose artifacts can prove where they come from",
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			o.names = []string{o.service + "." + o.namespace + ".svc", o.service + "." + o.namespace + ".svc.cluster.local"}
			o.lifetimes = certs.DefaultLifetimes
			config, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("finding the API server: %w", err)
			}
			return run(c.Context(), config, metrics.Registry, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of Argoseal (env POD_NAMESPACE)")
	f.StringVar(&o.signerImage, "signer-image", os.Getenv("ARGOSEAL_SIGNER_IMAGE"), "argoseal-signer's image by digest (env ARGOSEAL_SIGNER_IMAGE)")
	f.StringArrayVar(&o.controllers, "argo-controller", nil, "NAMESPACE/SERVICEACCOUNT that an Argo controller runs as; repeatable")
	f.StringArrayVar(&o.executorImages, "executor-image", nil, "Argo executor image, exactly as pods name it; repeatable")
	f.StringArrayVar(&o.executorEnv, "executor-env", nil, "NAME=VALUE that Argo's configuration gives to its executors (executor.env); repeatable")
	f.StringArrayVar(&o.additions, "executor-addition", nil, "variable:NAME=VALUE, variable:NAME or mount:VOLUME:PATH[:ro] that webhooks of yours add to Argo's containers and to ours; repeatable")
	f.StringArrayVar(&o.executorUsers, "executor-user", nil, "IMAGE=USER: the number of the user that an executor image names for itself, if not root; repeatable")
	f.StringArrayVar(&o.plainStores, "plain-store", nil, "HOST or HOST:PORT of an S3 store that Argo's configuration speaks to without TLS; repeatable")
	f.StringArrayVar(&o.argoNamespaces, "argo-namespace", nil, "namespace whose Argo is trusted, whatever it runs, as the notary finds it; repeatable")
	f.Int64Var(&o.nonroot, "nonroot-executor-user", 0, "with --argo-namespace: number of the user that executor images called -nonroot name, unless --executor-user says; 0: they name none")
	f.DurationSliceVar(&o.requeues, "argo-requeue-time", []time.Duration{defaultRequeue}, "DEFAULT_REQUEUE_TIME of an Argo controller; repeatable, the longest counts")
	f.IntVar(&o.workers, "argo-workflow-workers", defaultWorkers, "--workflow-workers of the Argo controller that has the fewest: a quarter of them may be kept by tries in place")
	f.IntVar(&o.replicas, "replicas", 1, "how many of us share that quarter")
	f.StringVar(&o.clusterName, "cluster-name", "", "name of this cluster in builder.id; empty: the UID of the namespace kube-system")
	f.StringVar(&o.service, "service", "argoseal-webhook", "name of our Service")
	f.StringVar(&o.mutating, "mutating-configuration", "", "MutatingWebhookConfiguration whose caBundle is kept; empty: none")
	f.StringVar(&o.validating, "validating-configuration", "", "ValidatingWebhookConfiguration whose caBundle is kept; empty: none")
	f.IntVar(&o.port, "port", 8443, "port of the webhook")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8080", "address of /metrics")
	f.StringVar(&o.healthAddress, "health-address", ":8081", "address of /healthz and /readyz")
	f.StringVar(&o.pprofAddress, "pprof-address", "", "loopback address of /debug/pprof, such as 127.0.0.1:6060, for kubectl port-forward; empty: there is none")
	f.IntVar(&o.maxInFlight, "max-in-flight", 64, "requests at work at a time; more are told to come again")
	f.DurationVar(&o.timeout, "timeout", longestTimeout, "timeoutSeconds of our webhook configurations: who asks us has no more time, whatever the request says")
	f.DurationVar(&o.shutdownDelay, "shutdown-delay", 10*time.Second, "time to go on serving after the order to stop")
	f.BoolVar(&o.sealLogs, "seal-logs", false, "seal the logs that Argo archives (archiveLogs), as outputs of their steps")
	return c
}

// check refuses what cannot work, before anything is started.
func (o options) check() error {
	var missing []string
	for flag, given := range map[string]bool{
		"namespace":       o.namespace != "",
		"signer-image":    o.signerImage != "",
		"argo-controller": len(o.controllers)+len(o.argoNamespaces) > 0,
		"executor-image":  len(o.executorImages)+len(o.argoNamespaces) > 0 && !slices.Contains(o.executorImages, ""),
		"service":         o.service != "",
	} {
		if !given {
			missing = append(missing, "--"+flag)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return usage("missing %s", strings.Join(missing, ", "))
	}
	if err := (sidecar.Config{Image: o.signerImage}).Validate(); err != nil {
		return usage("--signer-image: %v", err)
	}
	if slices.Contains(o.argoNamespaces, "") || o.nonroot < 0 {
		return usage("--argo-namespace is the name of one, --nonroot-executor-user at least 0")
	}
	if o.workers < 1 || o.replicas < 1 {
		return usage("--argo-workflow-workers and --replicas are at least 1")
	}
	if o.maxInFlight < 1 || o.shutdownDelay < 0 || o.port < 1 || o.port > 65535 {
		return usage("--max-in-flight is at least 1, --shutdown-delay at least 0, --port 1 to 65535")
	}
	if o.timeout < time.Second || o.timeout > longestTimeout {
		return usage("--timeout is 1s to %s", longestTimeout)
	}
	if o.pprofAddress != "" {
		// Profiles have what the memory has: keys and tenants' parameters.
		host, _, err := net.SplitHostPort(o.pprofAddress)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			return usage("--pprof-address is a loopback address and a port, such as 127.0.0.1:6060")
		}
	}
	return nil
}

// identity is what the operator says about their Argo.
func (o options) identity() (argo.Identity, error) {
	id, err := argo.NewIdentity(o.controllers, o.executorImages, o.executorEnv, o.executorUsers, o.additions, len(o.argoNamespaces) > 0)
	if err != nil {
		return id, usage("--argo-controller, --executor-image, --executor-env, --executor-user: %v", err)
	}
	for _, s := range o.plainStores {
		if s == "" || s != strings.ToLower(s) || strings.ContainsAny(s, "/ ") {
			return id, usage("--plain-store is HOST or HOST:PORT in lower case")
		}
	}
	id.PlainStores = o.plainStores
	return id, nil
}

func usage(format string, args ...any) error { return reason.New(reason.UsageInvalid, format, args...) }
