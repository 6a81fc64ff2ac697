package part

import (
	"context"
	"time"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
)

var scheduler = Host{
	Name:   "kube-scheduler",
	Recipe: kubernetesRecipe,
	After:  []string{"kube-apiserver"},
	Leaves: []pki.Leaf{{
		Name: "scheduler", CommonName: "system:kube-scheduler",
		Hosts: []string{"127.0.0.1", "localhost"},
	}},
	Files: func(l layout.Layout) map[string]string {
		return map[string]string{
			"scheduler.kubeconfig": kubeconfig(l, "scheduler"),
			"scheduler.yaml": `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
clientConnection:
  kubeconfig: ` + l.Conf("scheduler.kubeconfig") + `
  qps: 200
  burst: 400
`,
		}
	},
	Args: func(l layout.Layout) []string {
		config := l.Conf("scheduler.kubeconfig")
		return []string{
			"--config=" + l.Conf("scheduler.yaml"),
			"--authentication-kubeconfig=" + config,
			"--authorization-kubeconfig=" + config,
			"--bind-address=127.0.0.1",
			"--tls-cert-file=" + l.PKI("scheduler.crt"),
			"--tls-private-key-file=" + l.PKI("scheduler.key"),
		}
	},
	Probe: func(ctx context.Context, l layout.Layout) error {
		return answers(ctx, l, "https://127.0.0.1:10259/readyz")
	},
	Grace: 2 * time.Second,
}
