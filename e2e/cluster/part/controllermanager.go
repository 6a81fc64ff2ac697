package part

import (
	"context"
	"time"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
)

var controllerManager = Host{
	Name:   "kube-controller-manager",
	Recipe: kubernetesRecipe,
	After:  []string{"kube-apiserver"},
	Leaves: []pki.Leaf{{
		Name: "controller-manager", CommonName: "system:kube-controller-manager",
		Hosts: []string{"127.0.0.1", "localhost"},
	}},
	Files: func(l layout.Layout) map[string]string {
		return map[string]string{
			"controller-manager.kubeconfig": kubeconfig(l, "controller-manager"),
			"recycler.yaml":                 recyclerPod,
		}
	},
	Args: func(l layout.Layout) []string {
		config := l.Conf("controller-manager.kubeconfig")
		return []string{
			"--kubeconfig=" + config,
			"--authentication-kubeconfig=" + config,
			"--authorization-kubeconfig=" + config,
			"--bind-address=127.0.0.1",
			"--tls-cert-file=" + l.PKI("controller-manager.crt"),
			"--tls-private-key-file=" + l.PKI("controller-manager.key"),
			"--root-ca-file=" + l.PKI("ca.crt"),
			"--service-account-private-key-file=" + l.PKI("serviceaccount.key"),
			"--use-service-account-credentials=true",
			"--cluster-signing-cert-file=" + l.PKI("ca.crt"),
			"--cluster-signing-key-file=" + l.PKI("ca.key"),
			"--flex-volume-plugin-dir=" + l.Path("kubelet", "volumeplugins"),
			"--pv-recycler-pod-template-filepath-hostpath=" + l.Conf("recycler.yaml"),
			"--leader-elect=false",
			// Tests create and delete namespaces all the time.
			"--kube-api-qps=200",
			"--kube-api-burst=400",
			"--concurrent-namespace-syncs=20",
			"--concurrent-gc-syncs=20",
		}
	},
	Probe: func(ctx context.Context, l layout.Layout) error {
		return answers(ctx, l, "https://127.0.0.1:10257/healthz")
	},
	Grace: 2 * time.Second,
}
