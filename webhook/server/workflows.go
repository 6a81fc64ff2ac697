package server

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/memory"
	"github.com/argoseal/argoseal/webhook/gate"
)

const (
	// rememberedWorkflow is how long a Workflow that was read may admit pods: the two
	// calls for one pod, and those that Argo makes together, read it once. A guard
	// keeps everybody but Argo's controllers from changing what a Workflow runs, and
	// what others may change, its parameters, is no reason to refuse.
	rememberedWorkflow = 2 * time.Second
	// rememberedDefinitions bounds the definitions that are kept, in bytes.
	rememberedDefinitions = 64 << 20
)

// Workflows reads Workflows, and remembers what they say: by what it was read from, so
// that the same is read once, and for a moment by their names.
type Workflows struct {
	Live
	clock  clock.PassiveClock
	parsed *memory.Memory[[sha256.Size]byte, *definition.Workflow]

	mu     sync.Mutex
	recent map[types.NamespacedName]seenWorkflow
}

type seenWorkflow struct {
	workflow *definition.Workflow
	at       time.Time
}

var _ gate.Definitions = (*Workflows)(nil)

// NewWorkflows remembers nothing yet.
func NewWorkflows(live Live, c clock.PassiveClock) *Workflows {
	return &Workflows{
		Live: live, clock: c, recent: map[types.NamespacedName]seenWorkflow{},
		parsed: memory.New[[sha256.Size]byte, *definition.Workflow](rememberedDefinitions),
	}
}

// Workflow gets a live Workflow: nil if there is none.
func (w *Workflows) Workflow(ctx context.Context, namespace, name string) (*definition.Workflow, error) {
	now := w.clock.Now() // before it is read
	wf, err := w.read(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	w.remember(types.NamespacedName{Namespace: namespace, Name: name}, wf, now)
	return wf, nil
}

// Recent is the Workflow of that name and UID if it was read just now; nil if not.
func (w *Workflows) Recent(namespace, name, uid string) *definition.Workflow {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.recent[types.NamespacedName{Namespace: namespace, Name: name}]
	if seen.workflow == nil || seen.workflow.UID != uid || w.clock.Since(seen.at) > rememberedWorkflow {
		return nil
	}
	return seen.workflow
}

// sweepAt is how many are remembered by name when old ones are looked for.
const sweepAt = 256

func (w *Workflows) remember(name types.NamespacedName, wf *definition.Workflow, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wf == nil {
		delete(w.recent, name)
		return
	}
	if len(w.recent) >= sweepAt {
		for other, seen := range w.recent {
			if at.Sub(seen.at) > rememberedWorkflow {
				delete(w.recent, other)
			}
		}
	}
	if len(w.recent) < 4*sweepAt {
		w.recent[name] = seenWorkflow{wf, at}
	}
}

// read gets a Workflow's JSON and reads what counts of it, unless it has just that.
func (w *Workflows) read(ctx context.Context, namespace, name string) (*definition.Workflow, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	raw, err := w.Pods.CoreV1().RESTClient().Get().
		AbsPath("/apis", layout.Group, layout.Version).Namespace(namespace).Resource("workflows").Name(name).Do(ctx).Raw()
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	essence, err := definition.ReadEssence(raw)
	if err != nil {
		// Nobody stores such a one but for mischief: as ever, then.
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON(raw); err != nil {
			return nil, err
		}
		return definition.Parse(o)
	}
	key, err := essence.Digest()
	if err != nil {
		return nil, err
	}
	if known, ok := w.parsed.Get(key); ok {
		return known, nil
	}
	wf, err := essence.Parse()
	if err != nil {
		return nil, err
	}
	w.parsed.Add(key, wf, parsedSize*essence.Size())
	return wf, nil
}

// parsedSize is how many bytes a byte of a definition takes, read, and once more as a
// graph: a text of some bytes is a string, an interface and an entry of a map.
const parsedSize = 10
