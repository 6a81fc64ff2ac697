//go:build e2e

package sentinel

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/argoseal/argoseal/e2e/cluster/pki"
	"github.com/argoseal/argoseal/pkg/sentinel/agent"
	"github.com/argoseal/argoseal/pkg/sentinel/lease"
)

const (
	members = 3
	// requestTimeout is the API servers'; settle is what the controller waits.
	requestTimeout = 20 * time.Second
	settle         = 21 * time.Second
	// compaction is how often the API servers have etcd forget what is older than that.
	compaction = 10 * time.Second
	// stagger is how far apart the API servers start, at least.
	stagger = 8 * time.Second
	// started is how long one may take to be ready where others have most of the machine:
	// with 30 compilers beside it the third took more than three minutes.
	started = 10 * time.Minute
	// off is a file that stores as is.
	off = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n" +
		"resources: [{resources: [secrets], providers: [{identity: {}}]}]\n"
)

// plane is the control plane. All its processes end with the test.
type plane struct {
	t       *testing.T
	dir     string
	program string
	ports   struct {
		etcd, peer, api, agent [members]int
		// service is the key service's; the others are the KMS plugin's.
		service, pluginMetrics, pluginHealth int
	}
	// clients speak to one API server each, as an administrator.
	clients [members]*kubernetes.Clientset
	etcd    *clientv3.Client
	// stores are the addresses of etcd's members, cluster is how they find each other.
	stores                 []string
	cluster                string
	peers, servers, agents [members]*exec.Cmd
}

func (p *plane) path(names ...string) string {
	return filepath.Join(append([]string{p.dir}, names...)...)
}

func (p *plane) file(i int) string { return p.path(fmt.Sprint("encryption-", i), "config.yaml") }

func (p *plane) url(i int) string { return fmt.Sprintf("https://127.0.0.1:%d", p.ports.api[i]) }

// raise starts all of it; the servers start with a file.
func raise(t *testing.T, file string) *plane {
	t.Helper()
	p := prepare(t)
	var cluster []string
	for i := range members {
		cluster = append(cluster, fmt.Sprintf("m%d=http://127.0.0.1:%d", i, p.ports.peer[i]))
		p.stores = append(p.stores, fmt.Sprintf("https://127.0.0.1:%d", p.ports.etcd[i]))
	}
	p.cluster = strings.Join(cluster, ",")
	for i := range members {
		p.startMember(i)
	}
	for i := range members {
		if err := os.MkdirAll(filepath.Dir(p.file(i)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p.file(i), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		p.startServer(i)
		p.admin(i)
		// One after another: where two cores run all of this, three that start at once take
		// longer than three in turn, and each waits for what the others make. They also look
		// at their files one after another, as files are written: a change at all of them
		// takes as long as at one.
		p.awaitReady(i)
		time.Sleep(time.Until(began.Add(stagger)))
		p.agents[i] = p.start(fmt.Sprint("agent-", i), p.program, "agent", "--file="+p.file(i),
			fmt.Sprintf("--listen=127.0.0.1:%d", p.ports.agent[i]),
			"--tls-cert="+p.path("server.crt"), "--tls-key="+p.path("server.key"), "--client-ca="+p.path("ca.crt"))
	}
	p.openEtcd(p.stores)
	return p
}

// startMember starts a member of etcd, for the first time or anew.
func (p *plane) startMember(i int) {
	p.peers[i] = p.start(fmt.Sprint("etcd-", i), binary(p.t, "ARGOSEAL_BIN_ETCD"), p.etcdArgs(i, p.cluster)...)
}

// startServer starts an API server, for the first time or anew.
func (p *plane) startServer(i int) {
	p.servers[i] = p.startOn(fmt.Sprint("cp", i), fmt.Sprint("apiserver-", i), binary(p.t, "ARGOSEAL_BIN_KUBE_APISERVER"), p.apiserverArgs(i, strings.Join(p.stores, ","))...)
}

func (p *plane) awaitReady(i int) {
	p.t.Helper()
	await(p.t, started, fmt.Sprintf("API server %d is ready", i), func(ctx context.Context) error { return p.ready(ctx, i) })
}

// prepare makes what a plane has before anything runs.
func prepare(t *testing.T) *plane {
	t.Helper()
	p := &plane{t: t, dir: t.TempDir()}
	p.program = p.path("argoseal-sentinel")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", p.program, "../../cmd/argoseal-sentinel")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	p.findPorts()
	p.makeKeys()
	return p
}

func binary(t *testing.T, name string) string {
	t.Helper()
	path := os.Getenv(name)
	if path == "" {
		t.Fatalf("%s is not set: `make sentinel` sets it", name)
	}
	return path
}

func (p *plane) findPorts() {
	var held []net.Listener
	find := func(port *int) {
		l, err := (&net.ListenConfig{}).Listen(p.t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			p.t.Fatal(err)
		}
		held = append(held, l)
		*port = l.Addr().(*net.TCPAddr).Port
	}
	for i := range members {
		for _, ports := range []*[members]int{&p.ports.etcd, &p.ports.peer, &p.ports.api, &p.ports.agent} {
			find(&ports[i])
		}
	}
	for _, port := range []*int{&p.ports.service, &p.ports.pluginMetrics, &p.ports.pluginHealth} {
		find(port)
	}
	for _, l := range held {
		_ = l.Close()
	}
}

func (p *plane) makeKeys() {
	authority, err := pki.New(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, leaf := range []pki.Leaf{
		{Name: "server", CommonName: "server", Hosts: []string{"127.0.0.1"}},
		{Name: "admin", CommonName: "admin", Groups: []string{"system:masters"}},
		{Name: "sentinel", CommonName: "argoseal-sentinel"},
	} {
		if err := authority.Issue(leaf); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := authority.WriteTokenKey("serviceaccount"); err != nil {
		p.t.Fatal(err)
	}
	p.kubeconfig("sentinel", p.url(0))
	p.kubeconfig("admin", p.url(0))
}

// kubeconfig writes one for the owner of a certificate: operators have it from their next
// start.
func (p *plane) kubeconfig(owner, url string) {
	p.t.Helper()
	content := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: u, user: {client-certificate: %q, client-key: %q}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, url, p.path("ca.crt"), p.path(owner+".crt"), p.path(owner+".key"))
	if err := os.WriteFile(p.path(owner+".kubeconfig"), []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plane) etcdArgs(i int, cluster string) []string {
	client, peer := fmt.Sprintf("https://127.0.0.1:%d", p.ports.etcd[i]), fmt.Sprintf("http://127.0.0.1:%d", p.ports.peer[i])
	return []string{
		fmt.Sprintf("--name=m%d", i), "--data-dir=" + p.path(fmt.Sprint("data-", i)),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + cluster,
		"--client-cert-auth=true", "--trusted-ca-file=" + p.path("ca.crt"),
		"--cert-file=" + p.path("server.crt"), "--key-file=" + p.path("server.key"),
		"--log-level=warn", "--unsafe-no-fsync=true",
		// Two cores run all of this: a leader that is late is no leader that is lost.
		"--heartbeat-interval=500", "--election-timeout=5000",
	}
}

func (p *plane) apiserverArgs(i int, stores string) []string {
	return []string{
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", p.ports.api[i]),
		fmt.Sprintf("--advertise-address=192.0.2.%d", i+1), // nothing calls it
		"--cert-dir=" + p.path(fmt.Sprint("certs-", i)),
		"--tls-cert-file=" + p.path("server.crt"), "--tls-private-key-file=" + p.path("server.key"),
		"--client-ca-file=" + p.path("ca.crt"),
		"--etcd-servers=" + stores, "--etcd-cafile=" + p.path("ca.crt"),
		"--etcd-certfile=" + p.path("admin.crt"), "--etcd-keyfile=" + p.path("admin.key"),
		"--service-cluster-ip-range=10.97.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.path("serviceaccount.pub"),
		"--service-account-signing-key-file=" + p.path("serviceaccount.key"),
		"--authorization-mode=RBAC",
		"--request-timeout=" + requestTimeout.String(),
		"--etcd-compaction-interval=" + compaction.String(),
		"--encryption-provider-config=" + p.file(i), "--encryption-provider-config-automatic-reload=true",
	}
}

// startOn is start on a machine of another name: an API server knows itself by its
// host's.
func (p *plane) startOn(host, name, program string, args ...string) *exec.Cmd {
	p.t.Helper()
	inner := `echo "$0" >/proc/sys/kernel/hostname && exec "$@"`
	return p.startWith(func(a *syscall.SysProcAttr) {
		a.Cloneflags = syscall.CLONE_NEWUTS
		if os.Geteuid() != 0 {
			a.Cloneflags |= syscall.CLONE_NEWUSER
			a.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
			a.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
		}
	}, name, "/bin/sh", append([]string{"-c", inner, host, program}, args...)...)
}

// start starts a process that ends with the test; its output is shown if the
// test fails.
func (p *plane) start(name, program string, args ...string) *exec.Cmd {
	p.t.Helper()
	return p.startWith(func(*syscall.SysProcAttr) {}, name, program, args...)
}

func (p *plane) startWith(change func(*syscall.SysProcAttr), name, program string, args ...string) *exec.Cmd {
	p.t.Helper()
	logs, err := os.OpenFile(p.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = logs, logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	change(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		_ = logs.Close()
		if p.t.Failed() {
			p.t.Logf("%s:\n%s", name, tail(p.path(name+".log")))
		}
	})
	return cmd
}

func tail(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-3000):])
}

// admin makes the client of an API server.
func (p *plane) admin(i int) {
	config := &rest.Config{Host: p.url(i), QPS: 1000, Burst: 1000, Timeout: requestTimeout, TLSClientConfig: rest.TLSClientConfig{
		CAFile: p.path("ca.crt"), CertFile: p.path("admin.crt"), KeyFile: p.path("admin.key"),
	}}
	var err error
	if p.clients[i], err = kubernetes.NewForConfig(config); err != nil {
		p.t.Fatal(err)
	}
}

// ready says why an API server is not.
func (p *plane) ready(ctx context.Context, i int) error {
	var code int
	err := p.clients[i].RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&code).Error()
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("it answers %d", code)
	}
	return err
}

func (p *plane) openEtcd(stores []string) {
	config, err := p.tls("admin").Config()
	if err != nil {
		p.t.Fatal(err)
	}
	p.etcd, err = clientv3.New(clientv3.Config{Context: p.t.Context(), Endpoints: stores, TLS: config})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = p.etcd.Close() })
}

func (p *plane) tls(name string) agent.TLS {
	return agent.TLS{CA: p.path("ca.crt"), Cert: p.path(name + ".crt"), Key: p.path(name + ".key")}
}

// await asks until there is no error.
func await(t *testing.T, limit time.Duration, what string, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s: %v", limit, what, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// operator is a replica of the controller; it can be killed and started.
type operator struct {
	p *plane
	// log is what its log is called.
	log string
	// metrics is where it tells them; 0 is nowhere.
	metrics string
	cmd     *exec.Cmd
	// ended is closed once the process is gone.
	ended chan struct{}
}

func (o *operator) start() {
	args := []string{
		"controller", "--metrics-address=" + cmp.Or(o.metrics, "0"), "--health-address=0", "--settle=" + settle.String(),
		"--agent-ca=" + o.p.path("ca.crt"), "--agent-cert=" + o.p.path("sentinel.crt"), "--agent-key=" + o.p.path("sentinel.key"),
		"--etcd-ca=" + o.p.path("ca.crt"), "--etcd-cert=" + o.p.path("sentinel.crt"), "--etcd-key=" + o.p.path("sentinel.key"),
	}
	for i := range members {
		args = append(args,
			fmt.Sprintf("--server=cp%d,https://127.0.0.1:%d,%s", i, o.p.ports.agent[i], o.p.url(i)),
			fmt.Sprintf("--etcd-endpoint=https://127.0.0.1:%d", o.p.ports.etcd[i]))
	}
	o.p.t.Setenv("KUBECONFIG", o.p.path("sentinel.kubeconfig"))
	o.cmd = o.p.start(o.log, o.p.program, args...)
	cmd, ended := o.cmd, make(chan struct{})
	o.ended = ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed, or has lost its lease
	}()
}

// hasEnded says whether it was started and has ended.
func (o *operator) hasEnded() bool {
	select {
	case <-o.ended:
		return true
	default:
		return false
	}
}

// restart kills the controller in the middle of whatever it does. Its lease goes with
// it, so that the next need not wait until that has run out.
func (o *operator) restart() {
	_ = o.cmd.Process.Kill()
	<-o.ended
	err := o.p.clients[0].CoordinationV1().Leases(lease.Name).Delete(o.p.t.Context(), lease.Name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		o.p.t.Fatal(err)
	}
	o.start()
}
