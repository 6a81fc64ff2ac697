package stored

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/fairshare"
	"github.com/argoseal/argoseal/pkg/reason"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// of is a list of so many members.
func of(n int, member string) string {
	return "[" + strings.Repeat(member+",", n-1) + member + "]"
}

// workflow has this beside what it runs, and in its status.
func workflow(spec, status string) []byte {
	return []byte(`{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"name":"w","namespace":"n","uid":"u","resourceVersion":"1"},` +
		`"spec":{"entrypoint":"main","templates":[{"name":"main","container":{"image":"i"}}],"x":` + spec + `},"status":` + status + `}`)
}

// steps is a Workflow of so many, each with what honest ones have.
func steps(n int) []byte {
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, `,{"name":"s%d","template":"make","arguments":{"parameters":[{"name":"word","value":"word-%d"}],"artifacts":[{"name":"in","from":"{{steps.s%d.outputs.artifacts.art}}"}]},"when":"{{item}} == 1, which is some text"}`, i, i, i)
	}
	return []byte(`{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"name":"w","namespace":"n","uid":"u"},` +
		`"spec":{"entrypoint":"main","templates":[{"name":"main","steps":[[` + list.String()[1:] + `]]},{"name":"make","container":{"image":"i"}}]}}`)
}

// nodes is a status of so many.
func nodes(n int) string {
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, `,"w-%d":{"id":"w-%d","name":"w[0].s%d","type":"Pod","phase":"Succeeded","outputs":{"exitCode":"0","artifacts":[{"name":"a","s3":{"key":"k/%d"},"archive":{"none":{}}}]},"resourcesDuration":{"cpu":1,"memory":2}}`, i, i, i, i)
	}
	return `{"phase":"Running","nodes":{` + list.String()[1:] + `}}`
}

// says is a reader of an API server that says one thing.
func says(raw []byte) *Reader {
	return NewReader(func(context.Context, string, string, string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(raw)), nil
	})
}

// parse reads a Workflow and what it is to run.
func parse(ctx context.Context, r *Reader, namespace string) (*Definition, error) {
	e, err := r.Essence(ctx, fairshare.Party{Namespace: namespace}, namespace, "w")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return e.Parse(ctx)
}

// allocated is how many bytes somebody asks for.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// A list of a million small objects takes hundreds of MiB once it is decoded. It is refused
// before.
func TestAWorkflowThatUnpacksToTooMuchIsNotDecoded(t *testing.T) {
	for name, raw := range map[string][]byte{
		"empty objects": workflow(of(500_000, `{}`), `{}`),
		"small objects": workflow(of(150_000, `{"":0}`), `{}`),
		"lists":         workflow(of(200_000, `[[]]`), `{}`),
		"numbers":       workflow(of(500_000, `0`), `{}`),
		"copies":        workflow(`0`, `{"storedTemplates":{"namespaced/a/b":{"x":`+of(150_000, `{"":0}`)+`}}}`),
	} {
		r := says(raw)
		var err error
		took := allocated(func() { _, err = parse(t.Context(), r, "n") })
		if reason.Of(err) != reason.DefinitionTooLarge || took > 6*int64(len(raw)) {
			t.Errorf("%s: %d KiB take %d KiB, and it is answered %v", name, len(raw)>>10, took>>10, err)
		}
		if left := r.room.Taken(); left != 0 {
			t.Errorf("%s: %d bytes of room are not given back", name, left)
		}
		template := says(bytes.Replace(raw, []byte(`"spec"`), []byte(`"spec":{"y":`+of(500_000, `{}`)+`},"was"`), 1))
		took = allocated(func() {
			_, err = template.Template(t.Context(), fairshare.Party{Namespace: "n"}, "n", graph.Ref{Name: "t"})
		})
		if reason.Of(err) != reason.DefinitionTooLarge || took > 12<<20+6*int64(len(raw)) {
			t.Errorf("a template of %s takes %d KiB, and it is answered %v", name, took>>10, err)
		}
	}
	long := says(workflow(`"`+strings.Repeat("x", maxText)+`"`, `{}`))
	if _, err := parse(t.Context(), long, "n"); reason.Of(err) != reason.DefinitionTooLarge {
		t.Errorf("one of more than %d MiB: %v", maxText>>20, err)
	}
}

// Twin: what is large for honest reasons is read, and what its status says of its nodes is
// of no matter.
func TestLargeHonestWorkflowsAreRead(t *testing.T) {
	for name, raw := range map[string][]byte{
		"3,000 steps":                 steps(3000),
		"as many as etcd stores":      steps(7000),
		"5,000 nodes":                 workflow("0", nodes(5000)),
		"a script of a MiB in braces": workflow(`"`+strings.Repeat(`{{a}},[null]`, 90_000)+`"`, `{}`),
		"20,000 items":                workflow(of(20_000, `{"name":"a","value":"b"}`), `{}`),
	} {
		r := says(raw)
		ctx, end := Begin(t.Context())
		d, err := parse(ctx, r, "n")
		if err != nil {
			t.Errorf("%s, of %d KiB: %v", name, len(raw)>>10, err)
			continue
		}
		t.Logf("%s, of %d KiB, takes %d KiB", name, len(raw)>>10, d.Size>>10)
		if taken := r.room.Taken(); taken != d.Size {
			t.Errorf("%s has %d bytes of room, and takes %d", name, taken, d.Size)
		}
		end()
		if left := r.room.Taken(); left != 0 {
			t.Errorf("%s: %d bytes of room are not given back", name, left)
		}
	}
}

// inUse is what is in use.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What something is counted by is what it takes, as it is kept and while it is read.
func TestWhatIsDecodedTakesNoMore(t *testing.T) {
	keys := func(n int, value string) string {
		var list strings.Builder
		for i := range n {
			fmt.Fprintf(&list, `,"%x":%s`, i, value)
		}
		return "{" + list.String()[1:] + "}"
	}
	templates := func(list string) []byte {
		return []byte(`{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"name":"w","namespace":"n","uid":"u"},"spec":{"entrypoint":"main","templates":` + list + `}}`)
	}
	for name, raw := range map[string][]byte{
		"empty objects":     workflow(of(10_000, `{}`), `{}`),
		"small objects":     workflow(of(10_000, `{"":0}`), `{}`),
		"objects of a text": workflow(of(10_000, `{"a":"b"}`), `{}`),
		"nested objects":    workflow(of(5_000, `{"a":{"":0}}`), `{}`),
		"numbers":           workflow(of(25_000, `1000`), `{}`),
		"texts":             workflow(of(25_000, `"a"`), `{}`),
		"lists":             workflow(of(20_000, `[0]`), `{}`),
		"nested lists":      workflow(of(10_000, `[[[[0]]]]`), `{}`),
		"a large object":    workflow(keys(25_000, `0`), `{}`),
		"one of texts":      workflow(keys(25_000, `"a"`), `{}`),
		"objects of nine":   workflow(of(2_500, keys(9, `0`)), `{}`),
		"steps":             steps(1000),
		"empty steps":       templates(`[{"name":"main","steps":[` + of(10_000, `{}`) + `]}]`),
		"empty groups":      templates(`[{"name":"main","steps":` + of(25_000, `[]`) + `}]`),
		"empty tasks":       templates(`[{"name":"main","dag":{"tasks":` + of(10_000, `{}`) + `}}]`),
		"empty templates":   templates(of(10_000, `{}`)),
		"artifacts":         templates(`[{"name":"main","inputs":{"artifacts":` + of(10_000, `{}`) + `}}]`),
		"parameters":        templates(`[{"name":"main","inputs":{"parameters":` + of(10_000, `{}`) + `}}]`),
	} {
		r := says(raw)
		before := inUse()
		var d *Definition
		var err error
		took := allocated(func() { d, err = parse(t.Context(), r, "n") })
		check(t, err)
		kept := inUse() - before
		_, _ = d.Workflow.Graph()
		graphed := inUse() - before
		t.Logf("%-18s counted %6d KiB, takes %6d KiB (with its graph %6d), and %6d in all", name, d.Size>>10, kept>>10, graphed>>10, took>>10)
		if kept > d.Size || graphed > d.Size+d.Size/4 {
			t.Errorf("%s: it takes %d KiB, with its graph %d, and is counted by %d", name, kept>>10, graphed>>10, d.Size>>10)
		}
		// Of what is asked for while it is read some is garbage before the rest is there.
		if most := copies * d.Size * 3 / 2; took > most {
			t.Errorf("%s: to read it takes up to %d KiB, and there is room for %d", name, took>>10, copies*d.Size>>10)
		}
		runtime.KeepAlive(d)
	}
}

// However many large Workflows are read at once, what they take together is bounded, and
// another namespace's goes on.
func TestFewLargeWorkflowsAreDecodedAtATime(t *testing.T) {
	large, small := steps(7000), steps(100)
	var together, most atomic.Int64
	r := NewReader(func(_ context.Context, _, namespace, _ string) (io.ReadCloser, error) {
		raw := large
		if namespace == "team" {
			raw = small
		}
		return io.NopCloser(bytes.NewReader(raw)), nil
	})
	flood, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var read atomic.Int64
	for range 64 {
		all.Go(func() {
			for flood.Err() == nil {
				ctx, end := Begin(flood)
				if d, err := parse(ctx, r, "flood"); err == nil {
					if now := together.Add(d.Size); now > most.Load() {
						most.Store(now)
					}
					read.Add(1)
					time.Sleep(500 * time.Millisecond)
					together.Add(-d.Size)
				} else if reason.Of(err) != reason.Overloaded {
					t.Error(err)
				}
				end()
			}
		})
	}
	for read.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 5 {
		start := time.Now()
		ctx, end := Begin(t.Context())
		_, err := parse(ctx, r, "team")
		end()
		if took := time.Since(start); err != nil || took > 10*time.Second {
			t.Errorf("another namespace's: %v, after %s", err, took)
		}
	}
	stop()
	all.Wait()
	if most.Load() > room+MaxDefinition {
		t.Errorf("%d MiB are decoded at a time", most.Load()>>20)
	}
	if left := r.room.Taken(); left != 0 {
		t.Errorf("%d bytes of room are not given back", left)
	}
}

// What is remembered and used again has room once, however many use it, and none is left when
// nobody does.
func TestThoseWhoUseOneDefinitionShareItsRoom(t *testing.T) {
	r := says(steps(3000))
	first, end := Begin(t.Context())
	d, err := parse(first, r, "n")
	check(t, err)
	second, endSecond := Begin(t.Context())
	for range 3 {
		if !d.Use(second) || r.room.Taken() != d.Size {
			t.Errorf("it has %d bytes of room, and takes %d", r.room.Taken(), d.Size)
		}
	}
	end()
	if r.room.Taken() != d.Size {
		t.Error("one that is in use has no room")
	}
	endSecond()
	if r.room.Taken() != 0 {
		t.Error("one that is not in use has room")
	}
	// Where there is no room it is not used.
	release, err := r.room.Acquire(t.Context(), fairshare.Party{Namespace: "other"}, room-d.Size/2)
	check(t, err)
	third, endThird := Begin(t.Context())
	defer endThird()
	if d.Use(third) {
		t.Error("it is used without room")
	}
	release()
	if !d.Use(third) {
		t.Error("it is not used though there is room")
	}
}

// All templates that one piece of work reads are bounded together, and have their room until
// it ends.
func TestTheTemplatesOfOneDecisionAreBounded(t *testing.T) {
	r := says(workflow(of(50_000, `{}`), `{}`))
	ctx, end := Begin(t.Context())
	read := 0
	var err error
	for ; err == nil && read < 100; read++ {
		_, err = r.Template(ctx, fairshare.Party{Namespace: "n"}, "n", graph.Ref{Name: fmt.Sprint("t", read)})
	}
	if reason.Of(err) != reason.DefinitionTooLarge || read < 2 || read > 10 {
		t.Errorf("after %d templates: %v", read, err)
	}
	if r.room.Taken() == 0 && begun(ctx).hold.Taken() == 0 {
		t.Error("they have no room")
	}
	end()
	if left := r.room.Taken(); left != 0 {
		t.Errorf("%d bytes of room are not given back", left)
	}
	// Twin: small ones.
	small := says(steps(10))
	ctx, end = Begin(t.Context())
	defer end()
	for range 50 {
		template, err := small.Template(ctx, fairshare.Party{Namespace: "n"}, "n", graph.Ref{Name: "t"})
		check(t, err)
		if spec, _ := template["spec"].(map[string]any); spec["entrypoint"] != "main" {
			t.Fatalf("it is %v", template)
		}
	}
}

func TestWhatTheAPIServerSaysIsSaid(t *testing.T) {
	gone := apierrors.NewNotFound(schema.GroupResource{Resource: "workflows"}, "w")
	down := errors.New("down")
	for _, want := range []error{gone, down} {
		r := NewReader(func(context.Context, string, string, string) (io.ReadCloser, error) { return nil, want })
		if _, err := parse(t.Context(), r, "n"); !errors.Is(err, want) || r.room.Taken() != 0 {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if _, err := parse(t.Context(), says([]byte(`{"status":"x"}`)), "n"); reason.Of(err) != reason.OwnerMismatch {
		t.Errorf("what is no Workflow: %v", err)
	}
}

// BenchmarkRead says what an ordinary and a large one cost.
func BenchmarkRead(b *testing.B) {
	for name, raw := range map[string][]byte{"10 steps": steps(10), "3,000 steps": steps(3000), "5,000 nodes": workflow("0", nodes(5000))} {
		b.Run(name, func(b *testing.B) {
			r := says(raw)
			b.ReportAllocs()
			for b.Loop() {
				_, err := parse(b.Context(), r, "n")
				check(b, err)
			}
		})
	}
}

// One decision may be made several times, while a seal is waited for: what it reads again it
// has once. (A template weighs some 1.4 MiB here.)
func TestATemplateThatIsReadAgainCountsOnce(t *testing.T) {
	r := says(workflow(of(5000, `{}`), `{}`))
	ctx, end := Begin(t.Context())
	defer end()
	for range 100 {
		_, err := r.Template(ctx, Of("n"), "n", graph.Ref{Name: "t"})
		check(t, err)
	}
	if kept, once := begun(ctx).kept, begun(ctx).sizes[graph.Ref{Name: "t"}]; kept != once || once < 1<<20 {
		t.Errorf("it takes %d bytes, and is counted as %d", once, kept)
	}
}

// Those of one piece of work may use a definition at once.
func TestADefinitionIsUsedByManyAtOnce(t *testing.T) {
	r := says(steps(10))
	first, endFirst := Begin(t.Context())
	d, err := parse(first, r, "n")
	check(t, err)
	for range 200 {
		ctx, end := Begin(t.Context())
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { d.Use(ctx) })
		}
		all.Wait()
		end()
	}
	endFirst()
	if left := r.room.Taken(); left != 0 {
		t.Errorf("%d bytes of room are not given back", left)
	}
}

// However much two namespaces hold, a third one goes on.
func TestTwoNamespacesLeaveRoomForAThird(t *testing.T) {
	r := says(steps(100))
	for _, namespace := range []string{"a", "b"} {
		for {
			hold := r.room.Enter(Of(namespace), nil)
			if !hold.Try(1 << 20) {
				break
			}
		}
	}
	ctx, end := Begin(t.Context())
	defer end()
	began := time.Now()
	if _, err := r.Essence(ctx, Of("team"), "team", "w"); err != nil || time.Since(began) > time.Second {
		t.Errorf("%v, after %s", err, time.Since(began))
	}
}
