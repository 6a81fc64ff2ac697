package notary

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/fairshare"
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
	step := func(w *world) *stored.Definition {
		s, err := sidecar.StepOf(w.scene.pod)
		must(t, err)
		other := w.scene.workflow.DeepCopy()
		must(t, unstructured.SetNestedField(other.Object, "other", "spec", "entrypoint"))
		d := definitionOf(t, other)
		if s.WorkflowUID != d.Workflow.UID {
			t.Fatal("it is another workflow")
		}
		return d
	}
	t.Run("and is honest", func(t *testing.T) {
		w := newWorld(t)
		n, b := w.notary(t, "a")
		n.workflows.put(&readWorkflow{Definition: step(w)})
		settle(t, n, w.key())
		w.expectSealed(t)
		if !slices.Contains(b.names, "get workflow") {
			t.Errorf("it did %v", b.names)
		}
	})
	t.Run("and the guards went meanwhile", func(t *testing.T) {
		w := newWorld(t)
		n, b := w.notary(t, "a")
		n.workflows.put(&readWorkflow{Definition: step(w)})
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
		n.workflows.put(&readWorkflow{Definition: step(w)})
		changed := w.scene.workflow.DeepCopy()
		must(t, unstructured.SetNestedField(changed.Object, "other", "spec", "entrypoint"))
		changed.SetResourceVersion("")
		must(t, w.api.Delete(t.Context(), w.scene.workflow.DeepCopy()))
		must(t, w.api.Create(t.Context(), changed))
		settle(t, n, w.key())
		w.expectRefused(t, reason.DefinitionChanged)
	})
}

// Hundreds of pods may end before Argo stores their Workflow, at the end of the round in which
// it makes them. It is read again for all of them, once a second.
func TestAWorkflowThatArgoHasNotStoredIsReadOnceASecond(t *testing.T) {
	w := newWorld(t)
	delete(w.scene.workflow.Object, "status")
	w.scene.define(t)
	w.scene.retag(t)
	w.update(t)
	n, b := w.notary(t, "a")
	for range 20 {
		if _, err := n.Reconcile(t.Context(), w.key()); reason.Of(err) != reason.DefinitionIncomplete || Final(w.record(t)) {
			t.Fatalf("got %v, and the record says %+v", err, w.record(t).Status.Conditions)
		}
		w.clock.SetTime(w.clock.Now().Add(200 * time.Millisecond))
	}
	read := 0
	for _, did := range b.names {
		if did == "get workflow" {
			read++
		}
	}
	if read < 3 || read > 5 {
		t.Errorf("within four seconds it was read %d times", read)
	}
	// The twin: what Argo stores is seen.
	u := w.scene.workflow.DeepCopy()
	must(t, w.api.Get(t.Context(), client.ObjectKeyFromObject(u), u))
	must(t, unstructured.SetNestedField(u.Object, "Running", "status", "phase"))
	must(t, w.api.Update(t.Context(), u))
	w.clock.SetTime(w.clock.Now().Add(time.Second))
	if _, err := n.Reconcile(t.Context(), w.key()); err != nil { // what was read then and there is used
		t.Error(err)
	}
	w.expectSealed(t)
}

// definitionOf is a Workflow as it is read from where it is stored.
func definitionOf(t *testing.T, u *unstructured.Unstructured) *stored.Definition {
	t.Helper()
	raw, err := json.Marshal(u)
	must(t, err)
	d, err := parsed(t.Context(), stored.NewReader(func(context.Context, string, string, string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(raw)), nil
	}))
	must(t, err)
	return d
}

func parsed(ctx context.Context, r *stored.Reader) (*stored.Definition, error) {
	e, err := r.Essence(ctx, fairshare.Party{}, "n", "w")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return e.Parse(ctx)
}

func TestWhatIsRememberedOfWorkflowsIsBounded(t *testing.T) {
	var w workflows
	put := func(uid string, size int64) {
		w.put(&readWorkflow{Definition: &stored.Definition{Workflow: &definition.Workflow{UID: uid}, Size: size}})
	}
	for i := range 3 * maxWorkflows {
		put(fmt.Sprint(i), maxWorkflowBytes/100)
		if w.size > maxWorkflowBytes || w.cache.Len() > maxWorkflows {
			t.Fatalf("%d with %d bytes are remembered", w.cache.Len(), w.size)
		}
	}
	put("x", 1)
	put("x", 2)
	put("huge", maxWorkflowBytes)
	if w.size > maxWorkflowBytes || w.cache.Len() < 50 {
		t.Errorf("%d with %d bytes are remembered", w.cache.Len(), w.size)
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

// Where an answer takes long the pause is longer, so that the API server is left to others, and
// what was learnt holds while the next question is out.
func TestABusyAPIServerIsAskedLessOften(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: momentPause, 20 * time.Millisecond: momentPause, 60 * time.Millisecond: 300 * time.Millisecond, time.Hour: momentLongest,
	} {
		if got := pauseAfter(took); got != want {
			t.Errorf("after an answer that took %s the pause is %s, want %s", took, got, want)
		}
	}
	var m moments
	var asked []time.Time
	ask := func(context.Context, string) (epoch.Moment, error) {
		asked = append(asked, time.Now())
		time.Sleep(60 * time.Millisecond)
		return epoch.Moment{}, nil
	}
	for range 2 {
		if _, err := m.of(t.Context(), "a", ask); err != nil {
			t.Fatal(err)
		}
	}
	if least := pauseAfter(60 * time.Millisecond); asked[1].Sub(asked[0]) < least {
		t.Errorf("the second question came after %s, want %s at least", asked[1].Sub(asked[0]), least)
	}
}

// A tenant chooses what the Workflow unpacks to that the notary reads. It is counted before,
// refused by name, and others are sealed.
func TestAWorkflowThatUnpacksToTooMuchIsRefusedByName(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	honest := n.Stored
	raw, err := json.Marshal(w.scene.workflow)
	must(t, err)
	many := bytes.Replace(raw, []byte(`"spec":{`), []byte(`"spec":{"x":[`+strings.Repeat(`{"":0},`, 150_000)+`{}],`), 1)
	n.Stored = stored.NewReader(func(context.Context, string, string, string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(many)), nil
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	settle(t, n, w.key())
	runtime.ReadMemStats(&after)
	w.expectRefused(t, reason.DefinitionTooLarge)
	if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("%d KiB take %d MiB", len(many)>>10, took>>20)
	}
	// Twin: as it is, it is sealed.
	n.Stored = honest
	w.again(t, n, &breaker{})
	w.expectSealed(t)
}

// Where there is no room for a Workflow its pod waits, which is no last word.
func TestWhereThereIsNoRoomAPodWaits(t *testing.T) {
	w := newWorld(t)
	n, b := w.notary(t, "a")
	honest := n.Stored
	n.Stored = stored.NewReader(func(context.Context, string, string, string) (io.ReadCloser, error) {
		return nil, reason.New(reason.Overloaded, "no room")
	})
	if _, err := n.Reconcile(t.Context(), w.key()); err == nil || Final(w.record(t)) {
		t.Errorf("it does not wait: %v", err)
	}
	n.Stored = honest
	settle(t, n, w.key())
	w.expectSealed(t)
	if !slices.Contains(b.names, "get workflow") {
		t.Errorf("it did %v", b.names)
	}
}
