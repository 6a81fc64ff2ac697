// Package layout says where the development cluster keeps its files and which
// addresses it uses. It holds no logic: everything else under e2e/cluster, and
// tests that look into the cluster from the host, share it.
package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// DirEnv names the environment variable that moves the state folder.
const DirEnv = "ARGOSEAL_CLUSTER_DIR"

// defaultDir is short on purpose: paths of Unix sockets below it must stay
// under 108 bytes.
const defaultDir = "/var/lib/argoseal-cluster"

// maxDir is what containerd's limit for shim sockets leaves for the folder.
const maxDir = 36

// Names and addresses. Nothing listens on an address of the machine's own
// network: only on loopback and on the bridge.
const (
	// Bridge is the interface pods are attached to.
	Bridge = "argoseal0"
	// NodeName is the one node.
	NodeName = "argoseal"
	// NodeIP is the bridge's address: the node's, and the API server's. It
	// may not be a loopback address.
	NodeIP = "10.244.0.1"
	// PodCIDR is where pods get addresses.
	PodCIDR = "10.244.0.0/16"
	// BridgeCIDR is NodeIP with the length of PodCIDR.
	BridgeCIDR = "10.244.0.1/16"
	// ServiceCIDR is where services get addresses.
	ServiceCIDR = "10.96.0.0/16"
	// KubernetesIP is the service of the API server.
	KubernetesIP = "10.96.0.1"
	// DNSIP is the service of CoreDNS.
	DNSIP = "10.96.0.10"
	// S3IP is the service of the S3 store, fixed so that tests on the host
	// need not look it up.
	S3IP = "10.96.0.20"
	// GCSIP is the service of what stands for Google Cloud Storage, if there is one.
	GCSIP = "10.96.0.21"
	// RegistryIP is the service of the container registry, if there is one. The node has
	// no names of services, and pulls images from it by this.
	RegistryIP = "10.96.0.22"
	// Domain is the cluster's DNS domain.
	Domain = "cluster.local"
	// APIPort is the API server's port on NodeIP.
	APIPort = 6443
	// EtcdPort and EtcdPeerPort are on loopback, away from etcd's usual
	// ones, which may be taken.
	EtcdPort, EtcdPeerPort = 12379, 12380
)

// Layout is the folder of one cluster.
type Layout struct {
	Dir string
}

// Default is the folder that the environment names, or the usual one.
func Default() (Layout, error) {
	dir := os.Getenv(DirEnv)
	if dir == "" {
		dir = defaultDir
	}
	l := Layout{Dir: filepath.Clean(dir)}
	switch {
	case !filepath.IsAbs(l.Dir) || l.Dir == "/":
		return l, fmt.Errorf("%s=%s is not an absolute path of a folder", DirEnv, dir)
	case len(l.Dir) > maxDir:
		return l, fmt.Errorf("%s=%s is too long for the sockets below it (at most %d bytes)", DirEnv, dir, maxDir)
	}
	return l, nil
}

// Path joins names to the state folder.
func (l Layout) Path(names ...string) string {
	return filepath.Join(append([]string{l.Dir}, names...)...)
}

// Cgroup is the name of the cgroup, in each hierarchy, below which all of this
// cluster runs. Another folder has another one: whoever removes what is in it
// cannot hit the processes of a cluster elsewhere.
func (l Layout) Cgroup() string {
	if l.Dir == defaultDir {
		return "argoseal"
	}
	sum := sha256.Sum256([]byte(l.Dir))
	return "argoseal-" + hex.EncodeToString(sum[:4])
}

// Kubeconfig is the cluster administrator's.
func (l Layout) Kubeconfig() string { return l.Path("kubeconfig") }

// PKI is the path of a key or certificate, such as "ca.crt".
func (l Layout) PKI(name string) string { return l.Path("pki", name) }

// Conf is the path of a component's configuration file.
func (l Layout) Conf(name string) string { return l.Path("conf", name) }

// Log is the path of a process's log.
func (l Layout) Log(name string) string { return l.Path("logs", name+".log") }

// ContainerdSocket is where containerd listens.
func (l Layout) ContainerdSocket() string { return l.Path("run", "containerd.sock") }

// Volumes holds the folders behind persistent volumes.
func (l Layout) Volumes() string { return l.Path("volumes") }

// APIServer is the URL of the API server.
func (l Layout) APIServer() string { return fmt.Sprintf("https://%s:%d", NodeIP, APIPort) }

// EtcdURL is the URL of etcd.
func (l Layout) EtcdURL() string { return fmt.Sprintf("https://127.0.0.1:%d", EtcdPort) }

// GCSEndpoint is what stands for Google Cloud Storage, as the host reaches it.
func (l Layout) GCSEndpoint() string { return fmt.Sprintf("http://%s:4443", GCSIP) }

// S3Endpoint is the S3 store as the host reaches it.
func (l Layout) S3Endpoint() string { return fmt.Sprintf("http://%s:7070", S3IP) }
