package part

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
)

// Host is a part that runs as a process of this machine.
type Host struct {
	// Name is the process's, and the program's.
	Name string
	// Recipe builds the program.
	Recipe gobuild.Recipe
	// After names the hosts that must answer before this one is started.
	After []string
	// Leaves are the certificates it needs.
	Leaves []pki.Leaf
	// Files are configuration files to write, by name below conf/.
	Files func(l layout.Layout) map[string]string
	// Args are the command line.
	Args func(l layout.Layout) []string
	// Probe asks once whether it is ready.
	Probe func(ctx context.Context, l layout.Layout) error
	// Grace is how long it gets to end by itself when it is restarted.
	Grace time.Duration
}

// Hosts lists the host parts, in the order in which they are shown.
func Hosts() []Host {
	return []Host{etcd, apiserver, controllerManager, scheduler, containerd, kubelet, kubeProxy}
}

// Command is the host's command line, beginning with the path of its program
// in the cache.
func (h Host) Command(l layout.Layout) []string {
	return append([]string{cached(h.Recipe, h.Name)}, h.Args(l)...)
}

// WriteFiles writes the host's configuration files.
func (h Host) WriteFiles(l layout.Layout) error {
	if h.Files == nil {
		return nil
	}
	for name, content := range h.Files(l) {
		path := l.Conf(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Current tells whether the configuration files are on disk as they would be
// written now.
func (h Host) Current(l layout.Layout) bool {
	if h.Files == nil {
		return true
	}
	for name, content := range h.Files(l) {
		if data, err := os.ReadFile(l.Conf(name)); err != nil || string(data) != content {
			return false
		}
	}
	return true
}

// kubeconfig is a file with which an identity talks to the API server. Its
// certificate is named by path, so nothing secret is in the file.
func kubeconfig(l layout.Layout, leaf string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: argoseal
clusters:
- name: argoseal
  cluster:
    server: %s
    certificate-authority: %s
users:
- name: %[3]s
  user:
    client-certificate: %[4]s
    client-key: %[5]s
contexts:
- name: argoseal
  context:
    cluster: argoseal
    user: %[3]s
`, l.APIServer(), l.PKI("ca.crt"), leaf, l.PKI(leaf+".crt"), l.PKI(leaf+".key"))
}

// Admin is the cluster administrator's certificate.
var Admin = pki.Leaf{Name: "admin", CommonName: "admin", Groups: []string{"system:masters"}}

// AdminKubeconfig is the content of the file `make kubeconfig` points to.
func AdminKubeconfig(l layout.Layout) string { return kubeconfig(l, Admin.Name) }

// answers asks a URL once, as the administrator, and wants a 200.
func answers(ctx context.Context, l layout.Layout, url string) error {
	client, err := probeClient(l)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	err = errors.Join(err, resp.Body.Close())
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return err
}

func probeClient(l layout.Layout) (*http.Client, error) {
	ca, err := os.ReadFile(l.PKI("ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", l.PKI("ca.crt"))
	}
	cert, err := tls.LoadX509KeyPair(l.PKI(Admin.Name+".crt"), l.PKI(Admin.Name+".key"))
	if err != nil {
		return nil, err
	}
	// No proxy: every address asked is this machine's own.
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}}, nil
}
