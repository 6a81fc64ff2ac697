// Package lease says whose turn it is to operate, and numbers the turns, so that
// others can refuse one whose turn is over: who is paused does not notice.
//
// It trusts the API server, whose revisions only go up.
package lease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Name is that of the lease.
const Name = "argoseal-sentinel"

// ErrNotOurs says that it is another's turn.
var ErrNotOurs = errors.New("it is another operator's turn")

// Lease is the one of a namespace, as one candidate sees it.
type Lease struct {
	client    coordination.CoordinationV1Interface
	namespace string
	identity  string
}

// New is for a candidate of its own: no two processes are the same.
func New(config *rest.Config, namespace string) (*Lease, error) {
	client, err := coordination.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return &Lease{client: client, namespace: namespace, identity: host + "_" + string(uuid.NewUUID())}, nil
}

// Lock is what candidates are elected with.
func (l *Lease) Lock() resourcelock.Interface {
	return &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: l.namespace, Name: Name},
		Client:     l.client,
		LockConfig: resourcelock.ResourceLockConfig{Identity: l.identity},
	}
}

// Term asks the API server whether it is this candidate's turn, and returns a number
// that is higher than any that a candidate before it was given, and no higher than
// any that one after it will be.
func (l *Lease) Term(ctx context.Context) (int64, error) {
	_, term, err := l.Seen(ctx)
	return term, err
}

// Seen is the lease's UID, and the revision at which the API server's etcd has it: where
// another etcd is read, it is not there, or not as new.
func (l *Lease) Seen(ctx context.Context) (uid string, revision int64, err error) {
	lease, err := l.client.Leases(l.namespace).Get(ctx, Name, metav1.GetOptions{})
	if err != nil {
		return "", 0, fmt.Errorf("whose turn is it: %w", err)
	}
	if holder := lease.Spec.HolderIdentity; holder == nil || *holder != l.identity {
		return "", 0, ErrNotOurs
	}
	revision, err = strconv.ParseInt(lease.ResourceVersion, 10, 64)
	if err != nil || revision <= 0 || lease.UID == "" {
		return "", 0, fmt.Errorf("the lease's revision is %q, which is no number, or it has no UID", lease.ResourceVersion)
	}
	return string(lease.UID), revision, nil
}

// Path is where the lease lies in etcd, below the API servers' prefix.
func (l *Lease) Path() string { return "leases/" + l.namespace + "/" + Name }
