package part

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
)

// containerdRecipe builds the container runtime. Debian's own is too old for
// this kubelet; runc and the CNI plugins from Debian will do.
var containerdRecipe = gobuild.Recipe{
	Name:    "containerd",
	Module:  "github.com/containerd/containerd/v2",
	Version: "v2.4.2",
	Sum:     "h1:p6Qg+xbEz8lvwdhHDx0U469xENvp4LgGBx+E7djXkGw=",
	Targets: []gobuild.Target{
		{Name: "containerd", Package: "./cmd/containerd"},
		{Name: "containerd-shim-runc-v2", Package: "./cmd/containerd-shim-runc-v2"},
		{Name: "ctr", Package: "./cmd/ctr"},
	},
	// Snapshotters that need C libraries or kernel features nobody uses here.
	Tags:    []string{"no_btrfs", "no_devmapper", "no_zfs"},
	LDFlags: []string{"-X github.com/containerd/containerd/v2/version.Version=v2.4.2"},
}

// containerd keeps everything it makes below the state folder, sockets of
// shims, network namespaces and runc's records included: after `down` nothing
// of it is left under /run, /var or /opt.
var containerd = Host{
	Name:   "containerd",
	Recipe: containerdRecipe,
	Files: func(l layout.Layout) map[string]string {
		return map[string]string{
			"containerd.toml":          containerdConfig(l),
			"cni/10-argoseal.conflist": cniConfig(l),
			// Whether the registry is there or not: it is read with each pull.
			"certs.d/" + RegistryHost + "/hosts.toml": registryTrust(l),
		}
	},
	Args: func(l layout.Layout) []string {
		return []string{"--config", l.Conf("containerd.toml")}
	},
	Probe: func(ctx context.Context, l layout.Layout) error {
		return ctr(ctx, l, "version")
	},
	Grace: 5 * time.Second,
}

// PauseImage holds a pod's namespaces; see images.go.
const PauseImage = "localhost/argoseal/pause"

// ShimSockets is where the shims listen.
func ShimSockets(l layout.Layout) string { return l.Path("s") }

func containerdConfig(l layout.Layout) string {
	return `version = 4
root = '` + l.Path("containerd") + `'
state = '` + l.Path("run", "containerd") + `'
temp = '` + l.Path("tmp") + `'
imports = []
disabled_plugins = ['io.containerd.nri.v1.nri', 'io.containerd.snapshotter.v1.erofs', 'io.containerd.differ.v1.erofs']

[plugins.'io.containerd.server.v1.grpc']
  address = '` + l.ContainerdSocket() + `'
[plugins.'io.containerd.server.v1.ttrpc']
  address = '` + l.ContainerdSocket() + `.ttrpc'
[plugins.'io.containerd.shim.v1.manager']
  socket_dir = '` + ShimSockets(l) + `'
[plugins.'io.containerd.internal.v1.opt']
  path = '` + l.Path("opt") + `'
[plugins.'io.containerd.metadata.v1.bolt']
  no_sync = true

[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '` + PauseImage + `:dev'
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '` + l.Conf("certs.d") + `'

[plugins.'io.containerd.cri.v1.runtime']
  # Virtual machines may lack the right to lower a score; the pause container
  # would not start there.
  restrict_oom_score_adj = true
  # A profile loaded into the kernel would outlive us.
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/usr/lib/cni']
    conf_dir = '` + l.Conf("cni") + `'
    use_internal_loopback = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'runc'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'
      runtime_path = '` + cached(containerdRecipe, "containerd-shim-runc-v2") + `'
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = '/usr/sbin/runc'
        Root = '` + l.Path("run", "runc") + `'
        SystemdCgroup = false
`
}

// cniConfig attaches pods to the bridge. No address translation for traffic
// that leaves the machine: nothing in the cluster has business outside.
func cniConfig(l layout.Layout) string {
	return `{
  "cniVersion": "1.0.0",
  "name": "argoseal",
  "plugins": [{
    "type": "bridge",
    "bridge": "` + layout.Bridge + `",
    "isGateway": true,
    "ipMasq": false,
    "hairpinMode": true,
    "ipam": {
      "type": "host-local",
      "dataDir": "` + l.Path("run", "ipam") + `",
      "ranges": [[{"subnet": "` + layout.PodCIDR + `", "gateway": "` + layout.NodeIP + `"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`
}

// ctr runs containerd's command line client in Kubernetes' namespace.
func ctr(ctx context.Context, l layout.Layout, args ...string) error {
	args = append([]string{"--address", l.ContainerdSocket(), "--namespace", "k8s.io"}, args...)
	out, err := exec.CommandContext(ctx, cached(containerdRecipe, "ctr"), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ctr: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
