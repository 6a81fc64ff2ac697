package part

import (
	"context"
	"time"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
)

// kubeProxy makes services reachable, from pods and from this machine. In
// nftables mode all its rules are in two tables of its own, which `down`
// removes whole; no chain of anybody else is touched.
var kubeProxy = Host{
	Name:   "kube-proxy",
	Recipe: kubernetesRecipe,
	After:  []string{"kube-apiserver"},
	Leaves: []pki.Leaf{{Name: "kube-proxy", CommonName: "system:kube-proxy"}},
	Files: func(l layout.Layout) map[string]string {
		return map[string]string{
			"kube-proxy.kubeconfig": kubeconfig(l, "kube-proxy"),
			"kube-proxy.yaml":       kubeProxyConfig(l),
		}
	},
	Args: func(l layout.Layout) []string {
		return []string{"--config=" + l.Conf("kube-proxy.yaml")}
	},
	Probe: func(ctx context.Context, l layout.Layout) error {
		return answers(ctx, l, "http://127.0.0.1:10256/healthz")
	},
	Grace: 2 * time.Second,
}

// ProxyTables are the nftables tables kube-proxy makes: family and name.
func ProxyTables() [][2]string {
	return [][2]string{{"ip", "kube-proxy"}, {"ip6", "kube-proxy"}}
}

func kubeProxyConfig(l layout.Layout) string {
	return `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection:
  kubeconfig: ` + l.Conf("kube-proxy.kubeconfig") + `
  qps: 100
  burst: 200
hostnameOverride: ` + layout.NodeName + `
clusterCIDR: ` + layout.PodCIDR + `
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
# Node ports on the bridge, not on the machine's own network.
nodePortAddresses: [` + layout.NodeIP + `/32]
# The machine's settings stay as they are.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables:
  # Pods of one bridge answer each other directly, past the translation, unless
  # the kernel shows bridged packets to netfilter, which not every one does.
  # With the node as sender the answer has to come back here.
  masqueradeAll: true
  minSyncPeriod: 100ms
  syncPeriod: 30s
`
}
