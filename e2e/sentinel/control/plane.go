//go:build linux

package control

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/argoseal/argoseal/e2e/cluster/kube"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
	"github.com/argoseal/argoseal/pkg/sentinel/agent"
)

const (
	// Members is how many servers there are, and members of etcd.
	Members = 3
	// Settle is what the controller waits: longer than a request may take.
	Settle = 21 * time.Second
	// Started is how long an API server may take to be ready where others have most of the
	// machine: with 30 compilers beside it the third took more than three minutes.
	Started = 10 * time.Minute
	// Off is a file that stores as is.
	Off = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n" +
		"resources: [{resources: [secrets], providers: [{identity: {}}]}]\n"

	requestTimeout = 20 * time.Second
	// compaction is how often the API servers have etcd forget what is older than that.
	compaction = 10 * time.Second
	// stagger is how far apart the API servers start, at least.
	stagger = 8 * time.Second
)

//go:embed role.yaml
var role string

// Plane is the control plane. All its processes end when it is closed.
type Plane struct {
	// Dir has its files, Root is the folder of the checkout.
	Dir, Root string
	// Program is argoseal-sentinel.
	Program string
	Ports   struct {
		Etcd, Peer, API, Agent [Members]int
		// Service is the key service's; the others are the KMS plugin's.
		Service, PluginMetrics, PluginHealth int
	}
	// Clients speak to one API server each, as an administrator.
	Clients [Members]*kubernetes.Clientset
	Etcd    *clientv3.Client
	// Peers are etcd's members.
	Peers, Servers, Agents [Members]*Process

	processes []*Process
}

// Prepare makes what a plane has before anything runs: argoseal-sentinel, built from the
// checkout, certificates, and ports.
func Prepare(ctx context.Context, dir, root string) (*Plane, error) {
	p := &Plane{Dir: dir, Root: root, Program: filepath.Join(dir, "argoseal-sentinel")}
	build := exec.CommandContext(ctx, "go", "build", "-o", p.Program, "./cmd/argoseal-sentinel")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return p, errors.Join(p.findPorts(ctx), p.makeKeys())
}

// Raise starts all of it; the servers start with a file. It calls started, if that is
// set, for each server that is ready.
func (p *Plane) Raise(ctx context.Context, file string, started func(server int, took time.Duration)) error {
	for i := range Members {
		if err := p.StartMember(i); err != nil {
			return err
		}
	}
	for i := range Members {
		if err := os.MkdirAll(filepath.Dir(p.File(i)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(p.File(i), []byte(file), 0o600); err != nil {
			return err
		}
		began := time.Now()
		// One after another: where two cores run all of this, three that start at once take
		// longer than three in turn, and each waits for what the others make. They also look
		// at their files one after another, as files are written: a change at all of them
		// takes as long as at one.
		if err := errors.Join(p.StartServer(i), p.Connect(i)); err != nil {
			return err
		}
		if err := p.AwaitReady(ctx, i); err != nil {
			return err
		}
		if started != nil {
			started(i, time.Since(began))
		}
		time.Sleep(time.Until(began.Add(stagger)))
		var err error
		if p.Agents[i], err = p.Start(Spec{
			Name: fmt.Sprint("agent-", i), Program: p.Program, Args: []string{
				"agent", "--file=" + p.File(i), fmt.Sprintf("--listen=127.0.0.1:%d", p.Ports.Agent[i]),
				"--tls-cert=" + p.Path("server.crt"), "--tls-key=" + p.Path("server.key"), "--client-ca=" + p.Path("ca.crt"),
			},
		}); err != nil {
			return err
		}
	}
	return p.OpenEtcd(ctx, p.stores()...)
}

// Install applies the definition of SecretEncryption and what the controller may do.
func (p *Plane) Install(ctx context.Context) error {
	crd, err := os.ReadFile(filepath.Join(p.Root, "charts/argoseal-sentinel/files/crds/argoseal.dev_secretencryptions.yaml"))
	if err != nil {
		return err
	}
	applier, err := kube.NewApplier(p.Admin(0))
	if err != nil {
		return err
	}
	return applier.Apply(ctx, string(crd)+"\n---\n"+role)
}

// Path is that of a file in the plane's folder.
func (p *Plane) Path(names ...string) string {
	return filepath.Join(append([]string{p.Dir}, names...)...)
}

// File is a server's encryption file.
func (p *Plane) File(i int) string { return p.Path(fmt.Sprint("encryption-", i), "config.yaml") }

// URL is a server's.
func (p *Plane) URL(i int) string { return fmt.Sprintf("https://127.0.0.1:%d", p.Ports.API[i]) }

// StartMember starts a member of etcd, for the first time or anew.
func (p *Plane) StartMember(i int) error {
	program, err := Binary("ARGOSEAL_BIN_ETCD")
	if err != nil {
		return err
	}
	var cluster []string
	for i := range Members {
		cluster = append(cluster, fmt.Sprintf("m%d=http://127.0.0.1:%d", i, p.Ports.Peer[i]))
	}
	p.Peers[i], err = p.Start(Spec{Name: fmt.Sprint("etcd-", i), Program: program, Args: p.EtcdArgs(i, strings.Join(cluster, ","))})
	return err
}

// StartServer starts an API server, for the first time or anew. It is on a machine of a
// name of its own: it knows itself by that.
func (p *Plane) StartServer(i int) error {
	program, err := Binary("ARGOSEAL_BIN_KUBE_APISERVER")
	if err != nil {
		return err
	}
	p.Servers[i], err = p.Start(Spec{
		Name: fmt.Sprint("apiserver-", i), Program: program, Args: p.ServerArgs(i, strings.Join(p.stores(), ",")), Host: fmt.Sprint("cp", i),
	})
	return err
}

// AwaitReady waits until an API server is ready.
func (p *Plane) AwaitReady(ctx context.Context, i int) error {
	return Await(ctx, Started, fmt.Sprintf("API server %d is ready", i), func(ctx context.Context) error { return p.Ready(ctx, i) })
}

// Ready says why an API server is not.
func (p *Plane) Ready(ctx context.Context, i int) error {
	var code int
	err := p.Clients[i].RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&code).Error()
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("it answers %d", code)
	}
	return err
}

// Admin is how an administrator reaches an API server.
func (p *Plane) Admin(i int) *rest.Config {
	return &rest.Config{Host: p.URL(i), QPS: 1000, Burst: 1000, Timeout: requestTimeout, TLSClientConfig: rest.TLSClientConfig{
		CAFile: p.Path("ca.crt"), CertFile: p.Path("admin.crt"), KeyFile: p.Path("admin.key"),
	}}
}

// Connect makes the client of an API server.
func (p *Plane) Connect(i int) (err error) {
	p.Clients[i], err = kubernetes.NewForConfig(p.Admin(i))
	return err
}

// OpenEtcd makes the client of etcd, which may do everything, too.
func (p *Plane) OpenEtcd(ctx context.Context, stores ...string) error {
	config, err := p.TLS("admin").Config()
	if err != nil {
		return err
	}
	p.Etcd, err = clientv3.New(clientv3.Config{Context: ctx, Endpoints: stores, TLS: config})
	return err
}

// stores are the addresses of etcd's members.
func (p *Plane) stores() (all []string) {
	for i := range Members {
		all = append(all, fmt.Sprintf("https://127.0.0.1:%d", p.Ports.Etcd[i]))
	}
	return all
}

// TLS is what the owner of a certificate connects with.
func (p *Plane) TLS(name string) agent.TLS {
	return agent.TLS{CA: p.Path("ca.crt"), Cert: p.Path(name + ".crt"), Key: p.Path(name + ".key")}
}

// Close ends all processes.
func (p *Plane) Close() {
	if p.Etcd != nil {
		_ = p.Etcd.Close()
	}
	for _, one := range p.processes {
		one.Kill()
	}
}

func (p *Plane) findPorts(ctx context.Context) error {
	all := []*int{&p.Ports.Service, &p.Ports.PluginMetrics, &p.Ports.PluginHealth}
	for i := range Members {
		all = append(all, &p.Ports.Etcd[i], &p.Ports.Peer[i], &p.Ports.API[i], &p.Ports.Agent[i])
	}
	for _, port := range all {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close() // held until all are found, or one would be found twice
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return nil
}

func (p *Plane) makeKeys() error {
	authority, err := pki.New(p.Dir)
	if err != nil {
		return err
	}
	for _, leaf := range []pki.Leaf{
		{Name: "server", CommonName: "server", Hosts: []string{"127.0.0.1"}},
		{Name: "admin", CommonName: "admin", Groups: []string{"system:masters"}},
		{Name: "sentinel", CommonName: "argoseal-sentinel"},
		{Name: "access", CommonName: "argoseal-sentinel-access"},
	} {
		if err := authority.Issue(leaf); err != nil {
			return err
		}
	}
	return errors.Join(authority.WriteTokenKey("serviceaccount"),
		p.WriteKubeconfig("sentinel", p.URL(0)), p.WriteKubeconfig("access", p.URL(0)), p.WriteKubeconfig("admin", p.URL(0)))
}

// Kubeconfig is that of a certificate's owner.
func (p *Plane) Kubeconfig(owner string) string { return p.Path(owner + ".kubeconfig") }

// WriteKubeconfig has an owner of a certificate reach the API server by a URL: operators
// have it from their next start.
func (p *Plane) WriteKubeconfig(owner, url string) error {
	return os.WriteFile(p.Kubeconfig(owner), fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: u, user: {client-certificate: %q, client-key: %q}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, url, p.Path("ca.crt"), p.Path(owner+".crt"), p.Path(owner+".key")), 0o600)
}

// EtcdArgs are those of a member, of a cluster.
func (p *Plane) EtcdArgs(i int, cluster string) []string {
	client, peer := fmt.Sprintf("https://127.0.0.1:%d", p.Ports.Etcd[i]), fmt.Sprintf("http://127.0.0.1:%d", p.Ports.Peer[i])
	return []string{
		fmt.Sprintf("--name=m%d", i), "--data-dir=" + p.Path(fmt.Sprint("data-", i)),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + cluster,
		"--client-cert-auth=true", "--trusted-ca-file=" + p.Path("ca.crt"),
		"--cert-file=" + p.Path("server.crt"), "--key-file=" + p.Path("server.key"),
		"--log-level=warn", "--unsafe-no-fsync=true",
		// Two cores run all of this: a leader that is late is no leader that is lost.
		"--heartbeat-interval=500", "--election-timeout=5000",
	}
}

// ServerArgs are those of an API server.
func (p *Plane) ServerArgs(i int, stores string) []string {
	return []string{
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", p.Ports.API[i]),
		fmt.Sprintf("--advertise-address=192.0.2.%d", i+1), // nothing calls it
		"--cert-dir=" + p.Path(fmt.Sprint("certs-", i)),
		"--tls-cert-file=" + p.Path("server.crt"), "--tls-private-key-file=" + p.Path("server.key"),
		"--client-ca-file=" + p.Path("ca.crt"),
		"--etcd-servers=" + stores, "--etcd-cafile=" + p.Path("ca.crt"),
		"--etcd-certfile=" + p.Path("admin.crt"), "--etcd-keyfile=" + p.Path("admin.key"),
		"--service-cluster-ip-range=10.97.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.Path("serviceaccount.pub"),
		"--service-account-signing-key-file=" + p.Path("serviceaccount.key"),
		"--authorization-mode=RBAC",
		"--request-timeout=" + requestTimeout.String(),
		"--etcd-compaction-interval=" + compaction.String(),
		"--encryption-provider-config=" + p.File(i), "--encryption-provider-config-automatic-reload=true",
	}
}
