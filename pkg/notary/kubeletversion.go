package notary

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// kubeletVersionAge is how long a node's version is remembered: a kubelet
	// that is upgraded under its pods is rare, a read for every pod is not free.
	kubeletVersionAge = 5 * time.Minute
	// maxKubelets bounds the memory; beyond it, all is forgotten.
	maxKubelets = 10_000
	// unknownVersion stands for a node that is gone, as autoscaled ones are.
	unknownVersion = "unknown"
)

// kubelets remembers which version each node's kubelet has. Its zero value is
// empty and ready.
type kubelets struct {
	mu    sync.Mutex
	nodes map[string]kubeletVersion
}

type kubeletVersion struct {
	version string
	read    time.Time
}

func (k *kubelets) version(ctx context.Context, api client.Reader, c clock.PassiveClock, node string) (string, error) {
	k.mu.Lock()
	known, ok := k.nodes[node]
	k.mu.Unlock()
	if ok && c.Since(known.read) < kubeletVersionAge {
		return known.version, nil
	}
	var n corev1.Node
	err := api.Get(ctx, client.ObjectKey{Name: node}, &n)
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("node %s: %w", node, err)
	}
	version := n.Status.NodeInfo.KubeletVersion
	if version == "" {
		version = unknownVersion
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.nodes == nil || len(k.nodes) >= maxKubelets {
		k.nodes = map[string]kubeletVersion{}
	}
	k.nodes[node] = kubeletVersion{version: version, read: c.Now()}
	return version, nil
}
