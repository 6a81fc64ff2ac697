package part

import (
	"context"
	"fmt"
	"time"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
)

// apiserver listens on the bridge's address only: pods and this machine reach
// it, the network does not.
var apiserver = Host{
	Name:   "kube-apiserver",
	Recipe: kubernetesRecipe,
	After:  []string{"etcd"},
	Leaves: []pki.Leaf{
		{
			Name: "apiserver", CommonName: "kube-apiserver",
			Hosts: []string{
				layout.NodeIP, layout.KubernetesIP, "kubernetes", "kubernetes.default",
				"kubernetes.default.svc", "kubernetes.default.svc." + layout.Domain,
			},
		},
		// How it asks the kubelet for logs.
		{Name: "apiserver-kubelet", CommonName: "kube-apiserver", Groups: []string{"system:masters"}},
		// How it introduces itself to aggregated API servers.
		{Name: "front-proxy", CommonName: "front-proxy"},
	},
	Args: apiserverArgs,
	Probe: func(ctx context.Context, l layout.Layout) error {
		return answers(ctx, l, l.APIServer()+"/readyz")
	},
	Grace: 5 * time.Second,
}

func apiserverArgs(l layout.Layout) []string {
	return []string{
		"--bind-address=" + layout.NodeIP,
		"--advertise-address=" + layout.NodeIP,
		fmt.Sprintf("--secure-port=%d", layout.APIPort),
		"--cert-dir=" + l.Path("run", "apiserver"),
		"--tls-cert-file=" + l.PKI("apiserver.crt"),
		"--tls-private-key-file=" + l.PKI("apiserver.key"),
		"--client-ca-file=" + l.PKI("ca.crt"),
		"--etcd-servers=" + l.EtcdURL(),
		"--etcd-cafile=" + l.PKI("ca.crt"),
		"--etcd-certfile=" + l.PKI("etcd-client.crt"),
		"--etcd-keyfile=" + l.PKI("etcd-client.key"),
		"--service-cluster-ip-range=" + layout.ServiceCIDR,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + l.PKI("serviceaccount.pub"),
		"--service-account-signing-key-file=" + l.PKI("serviceaccount.key"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--kubelet-client-certificate=" + l.PKI("apiserver-kubelet.crt"),
		"--kubelet-client-key=" + l.PKI("apiserver-kubelet.key"),
		"--kubelet-certificate-authority=" + l.PKI("ca.crt"),
		// The node's name resolves nowhere.
		"--kubelet-preferred-address-types=InternalIP",
		"--proxy-client-cert-file=" + l.PKI("front-proxy.crt"),
		"--proxy-client-key-file=" + l.PKI("front-proxy.key"),
		"--requestheader-client-ca-file=" + l.PKI("ca.crt"),
		"--requestheader-allowed-names=front-proxy",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--profiling=false",
	}
}
