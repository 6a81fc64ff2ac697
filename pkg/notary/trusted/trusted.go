// Package trusted remembers in a ConfigMap which controllers, executors and signers
// the operator has named. A pod may end after an upgrade, or after a rollback. It
// is held to what was trusted when it was admitted.
//
// It trusts whoever may write ConfigMaps in the namespace of Argoseal.
package trusted

import (
	"context"
	"encoding/json"
	"fmt"
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
	"github.com/argoseal/argoseal/pkg/followed"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Installation is what the operator says, without the users of executors.
type Installation struct {
	Identity argo.Identity
	// Signers are the images of argoseal-signer, references by digest.
	Signers []string
}

// remembered is how long a name counts that the operator does not give any more.
// That is as long as a pod may take. It is not for ever, because a name that still
// counts can still be used.
const remembered = 30 * 24 * time.Hour

// patience is for replicas that start together.
var patience = wait.Backoff{Steps: 12, Duration: 10 * time.Millisecond, Factor: 1.5, Jitter: 0.5}

// memory is the content of the ConfigMap.
type memory struct {
	Controllers    followed.Names `json:"controllers"`
	ExecutorImages followed.Names `json:"executorImages"`
	ExecutorEnv    followed.Names `json:"executorEnv"`
	Additions      followed.Names `json:"executorAdditions,omitempty"`
	Signers        followed.Names `json:"signers"`
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
	ours, err := read(ctx, c, namespace, v1alpha1.ConfigMapTrusted, v1alpha1.TrustedKey)
	if err != nil {
		return Installation{}, err
	}
	// If this release is rolled back, the one before starts again, with its own
	// memory. So what that wrote counts here, and what this release was told is
	// written there. An installation that began with this release has no such
	// memory.
	before, err := read(ctx, c, namespace, v1alpha1.ConfigMapBelieved, v1alpha1.BelievedKey)
	if err != nil {
		return Installation{}, err
	}
	ours.memory.join(before.memory)
	all := ours.memory.merge(now, at)
	text, err := json.Marshal(ours.memory)
	if err != nil {
		return Installation{}, err
	}
	for _, m := range []stored{ours, before} {
		if m.of == before.of && !before.found {
			continue
		}
		if err := m.write(ctx, c, string(text)); err != nil {
			return Installation{}, fmt.Errorf("configmap %s: %w", m.Name, err)
		}
	}
	return all, nil
}

// stored is a memory as it is stored.
type stored struct {
	corev1.ConfigMap
	found bool
	// of is the one key that it has.
	of     string
	memory memory
}

func read(ctx context.Context, c client.Client, namespace, name, key string) (stored, error) {
	s := stored{of: key, ConfigMap: corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}}
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &s.ConfigMap)
	switch {
	case apierrors.IsNotFound(err):
		return s, nil
	case err != nil:
		return s, fmt.Errorf("configmap %s: %w", name, err)
	}
	s.found = true
	if err := json.Unmarshal([]byte(s.Data[key]), &s.memory); err != nil {
		return s, reason.Wrap(reason.KeyMismatch, err, "ConfigMap %s is not as the notary writes it: delete it", name)
	}
	return s, nil
}

func (s *stored) write(ctx context.Context, c client.Client, text string) error {
	if s.found && s.Data[s.of] == text {
		return nil
	}
	s.Data = map[string]string{s.of: text}
	if s.found {
		return c.Update(ctx, &s.ConfigMap)
	}
	return c.Create(ctx, &s.ConfigMap)
}

// join adds what another memory has.
func (m *memory) join(other memory) {
	for ours, theirs := range map[*followed.Names]followed.Names{
		&m.Controllers: other.Controllers, &m.ExecutorImages: other.ExecutorImages,
		&m.ExecutorEnv: other.ExecutorEnv, &m.Additions: other.Additions, &m.Signers: other.Signers,
	} {
		for name, since := range theirs {
			if *ours == nil {
				*ours = followed.Names{}
			}
			if have, known := (*ours)[name]; !known || have != "" && (since == "" || since > have) {
				(*ours)[name] = since
			}
		}
	}
}

// merge notes what is said at a time, forgets what has not been for long, and
// gives what is left.
func (m *memory) merge(now Installation, at time.Time) Installation {
	return Installation{
		Identity: argo.Identity{
			Controllers:    m.Controllers.Merge(now.Identity.Controllers, at, remembered),
			ExecutorImages: m.ExecutorImages.Merge(now.Identity.ExecutorImages, at, remembered),
			ExecutorEnv:    m.ExecutorEnv.Merge(now.Identity.ExecutorEnv, at, remembered),
			Additions:      additions(m.Additions.Merge(now.Identity.Additions.Texts(), at, remembered)),
		},
		Signers: m.Signers.Merge(now.Signers, at, remembered),
	}
}

// additions are those that this release takes for some.
func additions(texts []string) argo.Additions {
	texts = slices.DeleteFunc(texts, func(text string) bool {
		_, err := argo.ParseAdditions([]string{text})
		return err != nil
	})
	all, _ := argo.ParseAdditions(texts) // each of them is one
	return all
}
