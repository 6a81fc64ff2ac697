//go:build linux

package control

import (
	"cmp"
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/sentinel/lease"
)

// Operator is a replica of the controller; it can be killed and started.
type Operator struct {
	Plane *Plane
	// Log is what its log is called.
	Log string
	// Metrics is where it tells them; empty is nowhere.
	Metrics string
	*Process
}

// Start starts it, for the first time or anew.
func (o *Operator) Start() (err error) {
	p := o.Plane
	args := []string{
		"controller", "--metrics-address=" + cmp.Or(o.Metrics, "0"), "--health-address=0", "--settle=" + Settle.String(),
		"--agent-ca=" + p.Path("ca.crt"), "--agent-cert=" + p.Path("sentinel.crt"), "--agent-key=" + p.Path("sentinel.key"),
		"--etcd-ca=" + p.Path("ca.crt"), "--etcd-cert=" + p.Path("sentinel.crt"), "--etcd-key=" + p.Path("sentinel.key"),
	}
	for i := range Members {
		args = append(args,
			fmt.Sprintf("--server=cp%d,https://127.0.0.1:%d,%s", i, p.Ports.Agent[i], p.URL(i)),
			fmt.Sprintf("--etcd-endpoint=https://127.0.0.1:%d", p.Ports.Etcd[i]))
	}
	o.Process, err = p.Start(Spec{Name: o.Log, Program: p.Program, Args: args, Env: []string{"KUBECONFIG=" + p.Kubeconfig("sentinel")}})
	return err
}

// HasEnded says whether it was started and has ended.
func (o *Operator) HasEnded() bool {
	if o.Process == nil {
		return false
	}
	select {
	case <-o.Ended():
		return true
	default:
		return false
	}
}

// Restart kills the controller in the middle of whatever it does. Its lease goes with
// it, so that the next need not wait until that has run out.
func (o *Operator) Restart(ctx context.Context) error {
	o.Kill()
	err := o.Plane.Clients[0].CoordinationV1().Leases(lease.Name).Delete(ctx, lease.Name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return o.Start()
}
