package notary

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// again makes the notary begin with the world's pod once more.
func (w *world) again(t *testing.T, n *Notary, b *breaker) []string {
	t.Helper()
	must(t, w.api.Delete(t.Context(), w.record(t)))
	for _, s := range w.seals(t) {
		must(t, w.api.Delete(t.Context(), &s))
	}
	before := len(b.names)
	settle(t, n, w.key())
	return b.names[before:]
}

func TestAWorkflowIsReadOnce(t *testing.T) {
	w := newWorld(t)
	n, b := w.notary(t, "a")
	settle(t, n, w.key())
	if did := w.again(t, n, b); slices.Contains(did, "get workflow") {
		t.Errorf("for the second pod it did %v", did)
	}
	w.expectSealed(t)
}

// What is remembered counts as long as it is what admission saw. What is not is asked for
// anew, and what is live has the last word.
func TestAWorkflowThatIsNotAsAdmittedIsReadAnew(t *testing.T) {
	step := func(w *world) *definition.Workflow {
		s, err := sidecar.StepOf(w.scene.pod)
		must(t, err)
		other := w.scene.workflow.DeepCopy()
		must(t, unstructured.SetNestedField(other.Object, "other", "spec", "entrypoint"))
		wf, err := definition.Parse(other)
		must(t, err)
		if s.WorkflowUID != wf.UID {
			t.Fatal("it is another workflow")
		}
		return wf
	}
	t.Run("and is honest", func(t *testing.T) {
		w := newWorld(t)
		n, b := w.notary(t, "a")
		n.workflows.put(step(w), 1)
		settle(t, n, w.key())
		w.expectSealed(t)
		if !slices.Contains(b.names, "get workflow") {
			t.Errorf("it did %v", b.names)
		}
	})
	t.Run("and the guards went meanwhile", func(t *testing.T) {
		w := newWorld(t)
		n, b := w.notary(t, "a")
		n.workflows.put(step(w), 1)
		n.Epochs = func(context.Context, string) (epoch.Moment, error) {
			if slices.Contains(b.names, "get workflow") {
				return epoch.Moment{}, reason.New(reason.GuardsNotHeld, "they are gone")
			}
			return w.scene.moment, nil
		}
		settle(t, n, w.key())
		w.expectRefused(t, reason.GuardsNotHeld)
	})
	t.Run("and was changed", func(t *testing.T) {
		w := newWorld(t)
		n, _ := w.notary(t, "a")
		n.workflows.put(step(w), 1)
		changed := w.scene.workflow.DeepCopy()
		must(t, unstructured.SetNestedField(changed.Object, "other", "spec", "entrypoint"))
		changed.SetResourceVersion("")
		must(t, w.api.Delete(t.Context(), w.scene.workflow.DeepCopy()))
		must(t, w.api.Create(t.Context(), changed))
		settle(t, n, w.key())
		w.expectRefused(t, reason.DefinitionChanged)
	})
}

func TestWhatIsRememberedOfWorkflowsIsBounded(t *testing.T) {
	var w workflows
	for i := range 3 * maxWorkflows {
		w.put(&definition.Workflow{UID: fmt.Sprint(i)}, maxWorkflowBytes/100)
		if w.size > maxWorkflowBytes || w.cache.Len() > maxWorkflows {
			t.Fatalf("%d with %d bytes are remembered", w.cache.Len(), w.size)
		}
	}
	w.put(&definition.Workflow{UID: "x"}, 1)
	w.put(&definition.Workflow{UID: "x"}, 2)
	w.put(&definition.Workflow{UID: "huge"}, maxWorkflowBytes)
	if w.size > maxWorkflowBytes || w.cache.Len() < 50 {
		t.Errorf("%d with %d bytes are remembered", w.cache.Len(), w.size)
	}
}

func TestOfAWorkflowItsNodesAreLeftOut(t *testing.T) {
	u := producer(t).workflow
	must(t, unstructured.SetNestedField(u.Object, map[string]any{"n": map[string]any{"id": "n"}}, "status", "nodes"))
	must(t, unstructured.SetNestedField(u.Object, map[string]any{"namespaced/a/b": map[string]any{"name": "b"}}, "status", "storedTemplates"))
	size := bare(u)
	status := u.Object["status"].(map[string]any)
	if _, there := status["storedTemplates"]; !there || status["phase"] != "Running" || len(status) != 2 || size == 0 {
		t.Errorf("its status is %v, and it has %d bytes", status, size)
	}
}

// An answer is for those who asked before the question was put: of a later one it says
// nothing, because guards may have gone meanwhile.
func TestAMomentIsReadAfterItWasAskedFor(t *testing.T) {
	var m moments
	var asked atomic.Int64
	release := make(chan struct{})
	ask := func(context.Context, string) (epoch.Moment, error) {
		n := asked.Add(1)
		if n == 1 {
			<-release
		}
		return epoch.Moment{}, fmt.Errorf("answer %d", n)
	}
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := m.of(t.Context(), "a", ask); err == nil || err.Error() != "answer 1" {
			t.Errorf("the first gets %v", err)
		}
	})
	for asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 50 { // they come while the first question is out
		all.Go(func() {
			if _, err := m.of(t.Context(), "a", ask); err == nil || err.Error() != "answer 2" {
				t.Errorf("a later one gets %v, which was asked before it", err)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	close(release)
	all.Wait()
	if n := asked.Load(); n != 2 {
		t.Errorf("51 pods asked %d times", n)
	}
	time.Sleep(3 * momentPause)
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.spaces) != 0 {
		t.Errorf("%d namespaces are remembered for ever", len(m.spaces))
	}
}
