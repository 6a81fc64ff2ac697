//go:build linux

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/cluster/kube"
	"github.com/argoseal/argoseal/e2e/sentinel/control"
	"github.com/argoseal/argoseal/pkg/reason"
)

// before is what is there before the Secret is guarded, and what the access controller
// may do.
//
//go:embed before.yaml
var before string

const guarded = `apiVersion: argoseal.dev/v1alpha1
kind: SecretAccess
metadata: {name: db, namespace: shop}
spec:
  secrets:
    - name: db
      mount: [{serviceAccount: api}]
`

// pod is one that mounts the Secret.
const pod = `apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: shop}
spec:
  serviceAccountName: %[1]s
  containers: [{name: main, image: busybox, volumeMounts: [{name: db, mountPath: /db}]}]
  volumes: [{name: db, secret: {secretName: db}}]
`

// applied is how long what was applied may take to be in force.
const applied = 2 * time.Minute

// refused guards the Secret, and has pods take it.
func (s *story) refused(ctx context.Context) (string, error) {
	s.sayf("Before that, another key is asked for. The servers take some three minutes, and nobody waits:")
	if err := s.rotate(ctx); err != nil {
		return "", err
	}
	if err := s.goesBefore(ctx); err != nil {
		return "", err
	}
	s.sayf("Deployment web has a pod that mounts Secret db, by ServiceAccount web. Now the Secret is guarded:")
	if _, err := s.shown(ctx, guarded, s.kubectl, "apply", "-f", "-"); err != nil {
		return "", err
	}
	if err := s.inForce(ctx); err != nil {
		return "", err
	}
	s.sayf("A pod of ServiceAccount web, to begin with. An administrator makes it:")
	if err := s.refusal(ctx, string(reason.SecretNotGranted), fmt.Sprintf(pod, "web"), s.kubectl, "apply", "-f", "-"); err != nil {
		return "", err
	}
	s.sayf("The same pod, of ServiceAccount api, which has a grant (it does not start: there is no node):")
	if _, err := s.shown(ctx, fmt.Sprintf(pod, "api"), s.kubectl, "apply", "-f", "-"); err != nil {
		return "", err
	}
	s.sayf("The next pod of Deployment web is made by Kubernetes. It is refused as well, and an event says why:")
	if _, err := s.shown(ctx, "", s.kubectl, "scale", "deployment", "web", "-n", space, "--replicas=2"); err != nil {
		return "", err
	}
	if err := control.Await(ctx, applied, "there is an event", func(ctx context.Context) error {
		events, err := s.Clients[0].CoreV1().Events(space).List(ctx, metav1.ListOptions{FieldSelector: "reason=FailedCreate"})
		if err != nil {
			return err
		}
		for _, e := range events.Items {
			if strings.Contains(e.Message, string(reason.SecretNotGranted)) {
				return nil
			}
		}
		return fmt.Errorf("%d events say something else", len(events.Items))
	}); err != nil {
		return "", err
	}
	_, err := s.shown(ctx, "", s.kubectl, "get", "events", "-n", space, "--field-selector=reason=FailedCreate")
	if err == nil {
		_, err = s.shown(ctx, "", s.kubectl, "get", "secretaccesses", "-n", space)
	}
	return "refused: " + string(reason.SecretNotGranted), err
}

// goesBefore has a Deployment take the Secret before it is guarded, and all be there that
// guards Secrets.
func (s *story) goesBefore(ctx context.Context) error {
	const files = "charts/argoseal-sentinel/files/"
	s.sayf("Meanwhile: who may take a Secret? The chart's policies are applied, and its controller started.")
	if _, err := s.run(ctx, "", s.kubectl, "apply", "--server-side", "-f", files+"crds/argoseal.dev_secretaccesses.yaml", "-f", files+"access"); err != nil {
		return err
	}
	applier, err := kube.NewApplier(s.Admin(0))
	if err != nil {
		return err
	}
	if err := applier.Apply(ctx, before); err != nil {
		return err
	}
	manager, err := control.Binary("ARGOSEAL_BIN_KUBE_CONTROLLER_MANAGER")
	if err != nil {
		return err
	}
	for _, spec := range []control.Spec{{
		Name: "access", Program: s.Program, Env: []string{"KUBECONFIG=" + s.Kubeconfig("access")},
		Args: []string{"access", "--metrics-address=0", "--health-address=0"},
	}, {
		Name: "controller-manager", Program: manager,
		Args: []string{
			"--kubeconfig=" + s.Kubeconfig("admin"), "--secure-port=0", "--leader-elect=false",
			"--controllers=deployment-controller,replicaset-controller",
		},
	}} {
		if _, err := s.Start(spec); err != nil {
			return err
		}
	}
	return control.Await(ctx, applied, "Deployment web has a pod", func(ctx context.Context) error {
		pods, err := s.Clients[0].CoreV1().Pods(space).List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err == nil && len(pods.Items) == 0 {
			err = errors.New("it has none")
		}
		return err
	})
}

// inForce waits until the controller has seen the SecretAccess, and the API server goes by
// it: a moment after it was written.
func (s *story) inForce(ctx context.Context) error {
	if _, err := s.shown(ctx, "", s.kubectl, "wait", "--for=condition=Ready", "secretaccess/db", "-n", space, "--timeout="+applied.String()); err != nil {
		return err
	}
	var tried corev1.Pod
	if err := yaml.Unmarshal(fmt.Appendf(nil, pod, "web"), &tried); err != nil {
		return err
	}
	return control.Await(ctx, applied, "the policies are in force", func(ctx context.Context) error {
		_, err := s.Clients[0].CoreV1().Pods(space).Create(ctx, tried.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("a pod without a grant is let through")
		}
		if !strings.Contains(err.Error(), string(reason.SecretNotGranted)) {
			return err
		}
		return nil
	})
}

// audited has somebody list all Secrets, and finds it.
func (s *story) audited(ctx context.Context) (string, error) {
	s.sayf("ServiceAccount ci may list the Secrets of the whole cluster, as so often:")
	for _, args := range [][]string{
		{"create", "clusterrole", "ci", "--verb=get,list", "--resource=secrets"},
		{"create", "clusterrolebinding", "ci", "--clusterrole=ci", "--serviceaccount=" + space + ":ci"},
	} {
		if _, err := s.shown(ctx, "", s.kubectl, args...); err != nil {
			return "", err
		}
	}
	said, err := s.shown(ctx, "", s.argoseal, "secrets", "audit", "--namespace", space)
	if err != nil {
		return "", err
	}
	for kind, who := range map[string]string{"ListsSecrets": space + "/ci", "TakesWithoutGrant": space + "/web"} {
		if !names(said, kind, who) {
			return "", fmt.Errorf("no finding %s about %s", kind, who)
		}
	}
	s.sayf("It found ci, and the pod that took Secret db before that was guarded.")
	return "names ServiceAccount ci, and the pod of web", nil
}

// names says whether one line has both.
func names(text, kind, who string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, kind) && strings.Contains(line, who+" ") {
			return true
		}
	}
	return false
}
