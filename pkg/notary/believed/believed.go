// Package believed remembers which controllers, executors and signers the operator
// has named, in a ConfigMap: a pod can end after an upgrade, or after one that was
// rolled back, and is held to what was believed when it was admitted.
//
// It trusts whoever may write ConfigMaps in the namespace of Argoseal.
package believed

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Installation is what the operator says, without the users of executors.
type Installation struct {
	Identity argo.Identity
	// Signers are the images of argoseal-signer, references by digest.
	Signers []string
}

// remembered is how long something counts that is not said any more: as long as
// a pod may take, and not for ever, for what is known can still be used.
const remembered = 30 * 24 * time.Hour

// patience is for replicas that start together.
var patience = wait.Backoff{Steps: 12, Duration: 10 * time.Millisecond, Factor: 1.5, Jitter: 0.5}

// names says since when each is not said any more; those that are have "".
type names map[string]string

// memory is the content of the ConfigMap.
type memory struct {
	Controllers    names `json:"controllers"`
	ExecutorImages names `json:"executorImages"`
	ExecutorEnv    names `json:"executorEnv"`
	Signers        names `json:"signers"`
}

// Remember notes what is said now and gives it together with what was said
// before. A memory that cannot be read is a *reason.Error; any other error may
// pass.
func Remember(ctx context.Context, c client.Client, namespace string, now Installation, at time.Time) (Installation, error) {
	var all Installation
	again := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	err := retry.OnError(patience, again, func() error {
		var err error
		all, err = remember(ctx, c, namespace, now, at)
		return err
	})
	if err != nil {
		return Installation{}, err
	}
	return all, nil
}

func remember(ctx context.Context, c client.Client, namespace string, now Installation, at time.Time) (Installation, error) {
	stored := corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.ConfigMapBelieved}}
	err := c.Get(ctx, client.ObjectKeyFromObject(&stored), &stored)
	found := !apierrors.IsNotFound(err)
	if found && err != nil {
		return Installation{}, fmt.Errorf("configmap %s: %w", stored.Name, err)
	}
	m, err := parse(stored.Data, found)
	if err != nil {
		return Installation{}, reason.Wrap(reason.KeyMismatch, err, "ConfigMap %s is not as the notary writes it: delete it", stored.Name)
	}
	all := m.merge(now, at)
	text, err := json.Marshal(m)
	switch {
	case err != nil:
		return Installation{}, err
	case found && stored.Data[v1alpha1.BelievedKey] == string(text):
		return all, nil
	}
	stored.Data = map[string]string{v1alpha1.BelievedKey: string(text)}
	if found {
		err = c.Update(ctx, &stored)
	} else {
		err = c.Create(ctx, &stored)
	}
	if err != nil {
		return Installation{}, fmt.Errorf("configmap %s: %w", stored.Name, err)
	}
	return all, nil
}

func parse(data map[string]string, found bool) (*memory, error) {
	var m memory
	if !found {
		return &m, nil
	}
	return &m, json.Unmarshal([]byte(data[v1alpha1.BelievedKey]), &m)
}

// merge notes what is said at a time, forgets what has not been for long, and
// gives what is left.
func (m *memory) merge(now Installation, at time.Time) Installation {
	return Installation{
		Identity: argo.Identity{
			Controllers:    merge(&m.Controllers, now.Identity.Controllers, at),
			ExecutorImages: merge(&m.ExecutorImages, now.Identity.ExecutorImages, at),
			ExecutorEnv:    merge(&m.ExecutorEnv, now.Identity.ExecutorEnv, at),
		},
		Signers: merge(&m.Signers, now.Signers, at),
	}
}

func merge(known *names, now []string, at time.Time) []string {
	merged := names{}
	for _, name := range now {
		merged[name] = ""
	}
	for name, since := range *known {
		switch _, said := merged[name]; {
		case said:
		case since == "":
			merged[name] = at.UTC().Format(time.RFC3339)
		default:
			if last, err := time.Parse(time.RFC3339, since); err == nil && at.Sub(last) < remembered {
				merged[name] = since
			}
		}
	}
	*known = merged
	return slices.Sorted(maps.Keys(merged))
}
