package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/program"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sentinel/agent"
	"github.com/argoseal/argoseal/pkg/sentinel/apiserver"
	"github.com/argoseal/argoseal/pkg/sentinel/controller"
	"github.com/argoseal/argoseal/pkg/sentinel/etcd"
	"github.com/argoseal/argoseal/pkg/sentinel/lease"
	"github.com/argoseal/argoseal/pkg/sentinel/migration"
)

// options are the flags of controller.
type options struct {
	program.Beside
	servers       []string
	agents, etcd  agent.TLS
	etcdEndpoints []string
	etcdPrefix    string
	settle        time.Duration
}

func controllerCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "controller",
		Short: "Bring the API servers to what the SecretEncryption says",
		Long: `Bring the API servers to what the SecretEncryption named cluster says.

Name every API server of the cluster: one that is left out is not asked whether
it can read a key before the others write with it. Each is named with the address
of its agent and its own address, never that of a load balancer; its metrics are
read with the rights of the controller.`,
		Example: `  argoseal-sentinel controller \
    --server cp1,https://10.0.0.1:9440,https://10.0.0.1:6443 \
    --server cp2,https://10.0.0.2:9440,https://10.0.0.2:6443 \
    --server cp3,https://10.0.0.3:9440,https://10.0.0.3:6443 \
    --agent-ca ca.crt --agent-cert sentinel.crt --agent-key sentinel.key \
    --etcd-endpoint https://10.0.0.1:2379 \
    --etcd-ca etcd/ca.crt --etcd-cert etcd/client.crt --etcd-key etcd/client.key`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return run(c.Context(), o) },
	}
	f := c.Flags()
	f.StringArrayVar(&o.servers, "server", nil, "NAME,AGENT-URL,SERVER-URL of an API server; repeatable")
	f.StringVar(&o.agents.CA, "agent-ca", "", "certificates of who signs the agents'")
	f.StringVar(&o.agents.Cert, "agent-cert", "", "certificate shown to the agents; its common name is "+clientName)
	f.StringVar(&o.agents.Key, "agent-key", "", "its key")
	f.StringArrayVar(&o.etcdEndpoints, "etcd-endpoint", nil, "URL of an etcd member; repeatable")
	f.StringVar(&o.etcd.CA, "etcd-ca", "", "certificates of who signs etcd's")
	f.StringVar(&o.etcd.Cert, "etcd-cert", "", "certificate shown to etcd; reading is all that it needs to be allowed")
	f.StringVar(&o.etcd.Key, "etcd-key", "", "its key")
	f.StringVar(&o.etcdPrefix, "etcd-prefix", "/registry", "--etcd-prefix of the API servers")
	f.DurationVar(&o.settle, "settle", 2*time.Minute, "how long nothing has to lie under an earlier key before it leaves: more than --request-timeout of the API servers. Then it stays until etcd has forgotten the revisions before")
	f.StringVar(&o.Namespace, "namespace", "argoseal-sentinel", "namespace of the lease by which one replica works at a time; it has to exist")
	o.Addresses(f)
	require(c, "server", "agent-ca", "agent-cert", "agent-key", "etcd-endpoint", "etcd-ca", "etcd-cert", "etcd-key")
	return c
}

// leastSettle is the shortest wait that is one: no API server ends its requests sooner.
const leastSettle = 10 * time.Second

func run(ctx context.Context, o options) error {
	if o.settle < leastSettle {
		return reason.New(reason.UsageInvalid, "--settle %s: want %s at least, and more than --request-timeout of the API servers", o.settle, leastSettle)
	}
	config, scheme, err := program.Connect("argoseal-sentinel", version, clientgoscheme.AddToScheme, v1alpha1.AddToScheme)
	if err != nil {
		return err
	}
	// Migration is bounded by its workers, and by the API server for each client.
	config.QPS, config.Burst = 500, 1000
	leases, err := coordination.NewForConfig(config)
	if err != nil {
		return err
	}
	renewed, err := o.renewals() // before they are read for the clients
	if err != nil {
		return err
	}
	servers, err := o.connect(config)
	if err != nil {
		return err
	}
	store, err := o.openEtcd(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	turns, err := lease.New(config, o.Namespace)
	if err != nil {
		return err
	}
	beside := o.Options(scheme, "")
	beside.LeaderElection, beside.LeaderElectionResourceLockInterface = true, turns.Lock()
	beside.LeaderElectionReleaseOnCancel = true // the process ends with it, so that nothing is done afterwards
	mgr, err := o.Manager(ctx, config, beside)
	if err != nil {
		return err
	}
	for _, r := range renewed {
		if err := mgr.Add(r); err != nil {
			return err
		}
	}
	migrator := migration.Migrator{Client: objects}
	scanner := etcd.Scanner{KV: store, Prefix: o.etcdPrefix, For: 10 * time.Second, Witness: etcd.Witness{Path: turns.Path()}}
	r := &controller.Reconciler{
		Client:  mgr.GetClient(),
		Mapper:  mgr.GetRESTMapper(),
		Events:  mgr.GetEventRecorder("argoseal-sentinel"),
		Metrics: controller.NewMetrics(metrics.Registry),
		Clock:   clock.RealClock{},
		Random:  rand.Reader,
		Servers: servers,
		Registered: func(ctx context.Context) (map[string]string, error) {
			return apiserver.Registered(ctx, leases)
		},
		Term: turns.Term,
		Scan: func(ctx context.Context, resources []string) (controller.Reading, error) {
			uid, revision, err := turns.Seen(ctx)
			if err != nil {
				return nil, err
			}
			s := scanner
			s.Witness.UID, s.Witness.Revision = uid, revision
			return s.Begin(resources), nil
		},
		Compacted: scanner.Compacted,
		Migrator:  migrator,
		Serves:    migrator.Serves,
		Settle:    o.settle,
	}
	if err := r.SetupWithManager(mgr); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// renewal ends the program when certificates of its clients are renewed, on each replica:
// whoever runs it starts it anew, with those of then.
type renewal func(ctx context.Context, every time.Duration) error

// Start waits for it.
func (r renewal) Start(ctx context.Context) error { return r(ctx, time.Minute) }

// NeedLeaderElection is false: those that wait for their turn have clients, too.
func (renewal) NeedLeaderElection() bool { return false }

// renewals are those of the certificates for agents and for etcd.
func (o options) renewals() ([]renewal, error) {
	agents, err := o.agents.Renewed()
	if err != nil {
		return nil, fmt.Errorf("--agent-*: %w", err)
	}
	etcd, err := o.etcd.Renewed()
	if err != nil {
		return nil, fmt.Errorf("--etcd-*: %w", err)
	}
	return []renewal{agents, etcd}, nil
}

// connect makes the clients of each server and of its agent.
func (o options) connect(config *rest.Config) ([]controller.Server, error) {
	agents, err := o.agents.Config()
	if err != nil {
		return nil, fmt.Errorf("--agent-*: %w", err)
	}
	seen := map[string]bool{}
	var servers []controller.Server
	for _, given := range o.servers {
		parts := strings.Split(given, ",")
		if len(parts) != 3 || parts[0] == "" {
			return nil, fmt.Errorf("--server %q is not NAME,AGENT-URL,SERVER-URL", given)
		}
		for _, part := range parts[1:] {
			if !strings.HasPrefix(part, "https://") {
				return nil, fmt.Errorf("--server %q: %s does not begin with https://", given, part)
			}
		}
		for _, part := range parts {
			if seen[part] {
				return nil, fmt.Errorf("--server %q: %s is given twice", given, part)
			}
			seen[part] = true
		}
		client, err := direct(config, parts[2])
		if err != nil {
			return nil, fmt.Errorf("--server %q: %w", given, err)
		}
		servers = append(servers, server(parts[0], agent.NewClient(parts[1], agents), client, parts[2]))
	}
	return servers, nil
}

// direct is a client of one server. It has a dialer of its own, because clients that have
// none share connections: one that others opened before would answer for the address.
func direct(config *rest.Config, url string) (*http.Client, error) {
	config = rest.CopyConfig(config)
	config.Host = url
	config.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	return rest.HTTPClientFor(config)
}

func server(name string, file *agent.Client, client *http.Client, url string) controller.Server {
	url = strings.TrimSuffix(url, "/")
	return controller.Server{
		Name: name, File: file,
		Loaded:  func(ctx context.Context) (apiserver.Loaded, error) { return apiserver.Ask(ctx, client, url) },
		Plugins: func(ctx context.Context) error { return apiserver.Plugins(ctx, client, url) },
	}
}

func (o options) openEtcd(ctx context.Context) (*clientv3.Client, error) {
	config, err := o.etcd.Config()
	if err != nil {
		return nil, fmt.Errorf("--etcd-*: %w", err)
	}
	return clientv3.New(clientv3.Config{
		Context: ctx, Endpoints: o.etcdEndpoints, TLS: config, DialTimeout: 10 * time.Second,
		MaxCallRecvMsgSize: 64 << 20, // a larger page is asked for in parts
	})
}
