package part

import (
	"context"
	"time"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
)

// kubelet has a real node identity, held to its own node by the Node
// authorizer and NodeRestriction: guards that let only nodes do something are
// tested against the real thing.
var kubelet = Host{
	Name:   "kubelet",
	Recipe: kubernetesRecipe,
	After:  []string{"kube-apiserver", "containerd"},
	Leaves: []pki.Leaf{{
		Name: "kubelet", CommonName: "system:node:" + layout.NodeName,
		Groups: []string{"system:nodes"}, Hosts: []string{layout.NodeIP, layout.NodeName},
	}},
	Files: func(l layout.Layout) map[string]string {
		return map[string]string{
			"kubelet.kubeconfig": kubeconfig(l, "kubelet"),
			"kubelet.yaml":       kubeletConfig(l),
			// For pods that ask for the node's resolver.
			"resolv.conf": "nameserver " + layout.DNSIP + "\n",
		}
	},
	Args: func(l layout.Layout) []string {
		return []string{
			"--config=" + l.Conf("kubelet.yaml"),
			"--kubeconfig=" + l.Conf("kubelet.kubeconfig"),
			"--root-dir=" + l.Path("kubelet"),
			"--cert-dir=" + l.Path("kubelet", "pki"),
			"--hostname-override=" + layout.NodeName,
			"--node-ip=" + layout.NodeIP,
		}
	},
	Probe: func(ctx context.Context, l layout.Layout) error {
		return answers(ctx, l, "http://127.0.0.1:10248/healthz")
	},
	Grace: 2 * time.Second,
}

func kubeletConfig(l layout.Layout) string {
	return `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: ` + layout.NodeIP + `
healthzBindAddress: 127.0.0.1
tlsCertFile: ` + l.PKI("kubelet.crt") + `
tlsPrivateKeyFile: ` + l.PKI("kubelet.key") + `
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: ` + l.PKI("ca.crt") + `}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://` + l.ContainerdSocket() + `
clusterDNS: [` + layout.DNSIP + `]
clusterDomain: ` + layout.Domain + `
resolvConf: ` + l.Conf("resolv.conf") + `
podLogsDir: ` + l.Path("pod-logs") + `
volumePluginDir: ` + l.Path("kubelet", "volumeplugins") + `

# Everything below one cgroup of ours, so that all of it can be found again.
cgroupDriver: cgroupfs
cgroupRoot: /` + l.Cgroup() + `
failCgroupV1: false
enforceNodeAllocatable: []
failSwapOn: false
# Development machines have full disks; do not evict for it.
evictionHard: {}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
# kube-proxy needs none of the kubelet's chains.
makeIPTablesUtilChains: false

# Quick to notice, quick to tell: tests wait for every one of these.
syncFrequency: 5s
nodeStatusUpdateFrequency: 4s
volumeStatsAggPeriod: 1h
serializeImagePulls: false
kubeAPIQPS: 200
kubeAPIBurst: 400
eventRecordQPS: 0
maxPods: 110
`
}
