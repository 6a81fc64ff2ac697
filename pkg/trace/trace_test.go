package trace_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

func digest(c string) artifact.Digest { return artifact.Digest(strings.Repeat(c, 64)) }

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// world has statements by NAMESPACE/POD, and what records say beside them.
type world struct {
	statements map[string]*provenance.Statement
	entries    []trace.Entry
	failures   map[string]error
}

// step adds a step of a workflow that ends at a minute after noon.
func (w *world) step(ns, workflow, pod string, minute int, subjects []provenance.Subject, inputs ...provenance.Input) {
	s := &provenance.Statement{Facts: provenance.Facts{
		Subjects: subjects, Inputs: inputs, Builder: provenance.Builder{Cluster: "c", Level: provenance.LevelIsolated},
		Definition: provenance.Definition{Template: "t-" + pod, TemplateBody: digest("7")}, Mode: "enforce",
		Outcome: provenance.Outcome{Result: provenance.Succeeded}, FinishedAt: noon.Add(time.Duration(minute) * time.Minute),
		Step:   provenance.Step{Namespace: ns, Workflow: provenance.Ref{Name: workflow, UID: workflow}, Pod: provenance.Ref{Name: pod, UID: pod}, NodeName: workflow + "." + pod},
		Images: []provenance.Image{{Container: "main", Ref: "busybox:1", SHA256: digest("8")}},
	}}
	w.statements[ns+"/"+pod] = s
	for _, sub := range subjects {
		w.entries = append(w.entries, trace.Entry{Namespace: ns, Record: pod, WorkflowUID: workflow, PodUID: pod, URI: sub.URI, SHA256: sub.SHA256, Made: s.FinishedAt})
	}
}

func (w *world) read(_ context.Context, ns, record string) (trace.Sealed, error) {
	if err := w.failures[ns+"/"+record]; err != nil {
		return trace.Sealed{}, err
	}
	s, ok := w.statements[ns+"/"+record]
	if !ok {
		return trace.Sealed{}, trace.ErrGone
	}
	return trace.Sealed{Statement: s, LogURL: "http://log", LogIndex: 7}, nil
}

const bucket = "s3://minio:9000/b/"

func made(key string, d artifact.Digest, form content.Form) provenance.Subject {
	return provenance.Subject{URI: bucket + key, Sum: content.Sum{Form: form, SHA256: d, Tree: d, Size: 1}, Output: "o"}
}

func takes(name, key string, d artifact.Digest, ns, workflow, sealed string) provenance.Input {
	l, err := artifact.ParseLocation(bucket + sealed)
	if err != nil {
		panic(err)
	}
	seal := artifact.SealName(l, workflow)
	if ns != "" {
		seal = ns + "/" + seal
	}
	return provenance.Input{Name: name, URI: bucket + key, SHA256: d, Tree: d, Seal: seal}
}

// chain is a release that was made from a library of another namespace, from data that
// a policy admitted, from a part of a directory, and from a commit.
func chain() *world {
	w := &world{statements: map[string]*provenance.Statement{}, failures: map[string]error{}}
	w.step("libs", "lib", "build", 1, []provenance.Subject{made("lib.tgz", digest("1"), content.FormTar)},
		provenance.Input{Name: "src", URI: "git+https://example.com/acme/lib@" + strings.Repeat("a", 40), Policy: "git"})
	w.step("ci", "w", "fetch", 2, []provenance.Subject{made("w/data/", digest("2"), content.FormDirectory)},
		provenance.Input{Name: "raw", URI: "https://example.com/raw.csv", Policy: "downloads"})
	w.step("ci", "w", "release", 5, []provenance.Subject{made("w/app.tgz", digest("3"), content.FormTar), made("w/log.txt", digest("4"), content.FormFile)},
		takes("lib", "lib.tgz", digest("1"), "libs", "lib", "lib.tgz"),
		takes("part", "w/data/one.csv", digest("9"), "", "w", "w/data/"))
	return w
}

func TestWalk(t *testing.T) {
	w := chain()
	g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", digest("3"))
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Steps) != 3 || len(g.Items) != 5 {
		t.Fatalf("%d steps, %d items", len(g.Steps), len(g.Items))
	}
	root := g.ItemByID(g.Root)
	release := g.StepByID(root.By[0])
	if root.URI != bucket+"w/app.tgz" || release.Record != "ci/release" || release.LogIndex != 7 || len(release.Inputs) != 2 {
		t.Errorf("root %+v, step %+v", root, release)
	}
	lib, part := g.ItemByID(release.Inputs[0].Item), g.ItemByID(release.Inputs[1].Item)
	if lib.Kind != trace.KindSealed || g.StepByID(lib.By[0]).Record != "libs/build" {
		t.Errorf("lib %+v", lib)
	}
	if part.Kind != trace.KindSealed || g.StepByID(part.By[0]).Record != "ci/fetch" {
		t.Errorf("part %+v", part)
	}
	source := g.ItemByID(g.StepByID(lib.By[0]).Inputs[0].Item)
	if source.Kind != trace.KindSource || !strings.Contains(source.Why, "policy git") && !strings.Contains(source.Why, "Policy git") {
		t.Errorf("source %+v", source)
	}
	ends := g.Ends()
	if len(ends) != 1 || ends[0].Name != "https://example.com/raw.csv" || !strings.Contains(ends[0].Why, "downloads, with any content") {
		t.Errorf("ends %+v", ends[0])
	}
}

// TestWalkFromAnImageInALayout: whose record says so, and whose statement does.
func TestWalkFromAnImageInALayout(t *testing.T) {
	w := chain()
	image := digest("e")
	w.entries[2].Images = []artifact.Digest{image}
	if g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", image); reason.Of(err) != reason.SubjectMismatch {
		t.Errorf("the record alone says so: %+v, %v", g, err)
	}
	w.statements["ci/release"].Measured = []provenance.Measured{{Output: "o", Image: oci.Image{Digest: image, Kind: oci.KindManifest}}}
	g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", image)
	if err != nil || g.Steps[0].Record != "ci/release" || len(g.Steps) != 3 {
		t.Errorf("%+v, %v", g, err)
	}
	var text strings.Builder
	if err := g.Text(&text); err != nil || !strings.HasPrefix(text.String(), "image sha256:"+string(image)+" lay in it:\n") {
		t.Errorf("%v:\n%s", err, text.String())
	}
	// The manifest itself comes first, though it is older.
	w.step("ci", "w", "manifest", 1, []provenance.Subject{made("w/manifest.json", image, content.FormFile)})
	g, err = trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", image)
	if err != nil || g.Steps[0].Record != "ci/manifest" || g.Image != "" {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestWalkByLocationTakesTheLast(t *testing.T) {
	w := chain()
	w.step("ci", "w2", "again", 9, []provenance.Subject{made("w/app.tgz", digest("5"), content.FormTar)})
	g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, bucket+"w/app.tgz", "")
	if err != nil || g.Steps[0].Record != "ci/again" {
		t.Fatalf("%+v, %v", g, err)
	}
	g, err = trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, bucket+"w/app.tgz", digest("3"))
	if err != nil || g.Steps[0].Record != "ci/release" {
		t.Fatalf("%+v, %v", g, err)
	}
}

// TestWhereChainsBreak: what does not hold is told, and never passed over.
func TestWhereChainsBreak(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*world)
		why    string
		code   reason.Code
		err    error
	}{
		"a record that is gone":         {func(w *world) { delete(w.statements, "libs/build") }, "does not exist any more", "", nil},
		"a bundle that does not hold":   {func(w *world) { w.failures["libs/build"] = reason.New(reason.SignatureInvalid, "forged") }, "forged", "", nil},
		"the bundle of another pod":     {func(w *world) { w.statements["libs/build"] = w.statements["ci/fetch"] }, "seal of another pod", "", nil},
		"made anew since":               {func(w *world) { w.statements["libs/build"].Subjects[0].SHA256 = digest("f") }, "another digest", "", nil},
		"made after it was taken":       {func(w *world) { w.entries[0].Made = noon.Add(time.Hour) }, "does not exist any more", "", nil},
		"no such location in the seal":  {func(w *world) { w.statements["libs/build"].Subjects[0].URI = bucket + "x" }, "does not exist any more", "", nil},
		"the record of the artifact":    {func(w *world) { w.failures["ci/release"] = reason.New(reason.LogEntryInvalid, "no log") }, "", reason.LogEntryInvalid, nil},
		"an API server that is away":    {func(w *world) { w.failures["libs/build"] = context.DeadlineExceeded }, "", "", context.DeadlineExceeded},
		"a record with another subject": {func(w *world) { w.statements["ci/release"].Subjects[0].SHA256 = digest("f") }, "", reason.SubjectMismatch, nil},
		"nothing on record":             {func(w *world) { w.entries = nil }, "", reason.NoProvenance, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := chain()
			tt.change(w)
			g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", digest("3"))
			switch {
			case tt.err != nil:
				if !errors.Is(err, tt.err) {
					t.Errorf("error %v", err)
				}
			case tt.code != "":
				var coded *reason.Error
				if !errors.As(err, &coded) || coded.Code != tt.code {
					t.Errorf("error %v, want %s", err, tt.code)
				}
			default:
				if err != nil {
					t.Fatal(err)
				}
				broken := g.Ends()[0]
				if g.ItemByID(broken.ID).Kind != trace.KindBroken || !strings.Contains(broken.Why, tt.why) {
					t.Errorf("%+v, want %q", broken, tt.why)
				}
			}
		})
	}
}

// A step that was read and is not what was looked for, such as another attempt, is no part of the
// graph: nothing leads to it, and it ends no chain. Its twin, which is used, is.
func TestWhatIsNotUsedIsNotInTheGraph(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		want   string
	}{
		"nothing else": {func(*world) {}, "release build fetch"},
		"another attempt at an input": {func(w *world) {
			w.step("libs", "lib", "again", 2, []provenance.Subject{made("lib.tgz", digest("5"), content.FormTar)})
			w.statements["libs/again"].Verdict = reason.NoProvenance
		}, "release build fetch"},
		"another attempt at a directory": {func(w *world) {
			w.step("ci", "w", "again", 3, []provenance.Subject{made("w/data/", digest("6"), content.FormDirectory)})
			w.statements["ci/release"].Inputs[1] = takes("data", "w/data/", digest("2"), "", "w", "w/data/")
		}, "release build fetch"},
		"another who filled the directory": {func(w *world) {
			w.step("ci", "w", "again", 3, []provenance.Subject{made("w/data/", digest("6"), content.FormDirectory)})
		}, "release build again fetch"},
		"a record that claims the bytes": {func(w *world) {
			w.step("ci", "v", "liar", 9, []provenance.Subject{made("w/app.tgz", digest("3"), content.FormTar)})
			w.statements["ci/liar"].Subjects[0].SHA256, w.statements["ci/liar"].Verdict = digest("f"), reason.NoProvenance
		}, "release build fetch"},
	} {
		t.Run(name, func(t *testing.T) {
			w := chain()
			c.change(w)
			g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", digest("3"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, s := range g.Steps {
				_, pod, _ := strings.Cut(s.Record, "/")
				if got = append(got, pod); s.ID != fmt.Sprint("S", i+1) {
					t.Errorf("step %d is %s", i+1, s.ID)
				}
			}
			if strings.Join(got, " ") != c.want || len(g.Ends()) != 1 {
				t.Errorf("steps %q, ends %+v", got, g.Ends())
			}
		})
	}
}

// TestWalkIsBounded: records that refer to each other in a circle end.
func TestWalkIsBounded(t *testing.T) {
	w := &world{statements: map[string]*provenance.Statement{}}
	w.step("ci", "w", "a", 1, []provenance.Subject{made("a", digest("1"), content.FormFile)}, takes("in", "b", digest("2"), "", "w", "b"))
	w.step("ci", "w", "b", 1, []provenance.Subject{made("b", digest("2"), content.FormFile)}, takes("in", "a", digest("1"), "", "w", "a"))
	g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", digest("1"))
	if err != nil || len(g.Steps) != 2 {
		t.Fatalf("%+v, %v", g, err)
	}
	var page bytes.Buffer
	if err := errors.Join(g.HTML(&page), g.Text(&page)); err != nil {
		t.Error(err)
	}
}

// wide is a chain of steps that take 256 things each: what the step before made, and what
// comes from outside.
func wide(t *testing.T, steps int) *trace.Graph {
	t.Helper()
	const inputs = 256
	w := &world{statements: map[string]*provenance.Statement{}}
	key, of := func(i int) string { return fmt.Sprint("s", i) }, func(i int) artifact.Digest { return artifact.DigestOfText(fmt.Sprint(i)) }
	for i := range steps {
		var in []provenance.Input
		for n := range inputs - 1 {
			in = append(in, provenance.Input{Name: key(n), URI: fmt.Sprintf("https://example.com/%d/%d", i, n), Policy: "p"})
		}
		in = append(in, takes("before", key(i+1), of(i+1), "", "w", key(i+1)))
		w.step("ci", "w", key(i), steps-i, []provenance.Subject{made(key(i), of(i), content.FormFile)}, in...)
	}
	g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", of(0))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// However wide a graph is, it is drawn while somebody waits for it.
func TestAWideGraphIsDrawn(t *testing.T) {
	g := wide(t, 200)
	if len(g.Steps) != 200 || len(g.Items) != 200*256+1 {
		t.Fatalf("%d steps, %d items", len(g.Steps), len(g.Items))
	}
	done := make(chan error, 1)
	go func() {
		done <- errors.Join(g.HTML(io.Discard), g.Text(io.Discard), g.DOT(io.Discard), g.Mermaid(io.Discard))
	}()
	for began := worked(t); ; {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		case <-time.After(100 * time.Millisecond):
			if took := worked(t) - began; took > 30*time.Second {
				t.Fatalf("it is not drawn after %s of a processor's work", took)
			}
		}
	}
}

// worked is how long this program has kept processors at work. On a machine that is busy with
// others the time that passes says little.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano())
}

// Nor is a graph of any width: where it ends for that, it says so.
func TestAWidthThatIsTooLargeIsNotFollowed(t *testing.T) {
	g := wide(t, 300)
	inputs := 0
	for _, s := range g.Steps {
		inputs += len(s.Inputs)
	}
	if inputs > trace.MaxInputs || len(g.Steps) != trace.MaxInputs/256 {
		t.Errorf("%d steps, %d inputs", len(g.Steps), inputs)
	}
	if end := g.Ends()[0]; g.ItemByID(end.ID).Kind != trace.KindBroken || !strings.Contains(end.Why, "not followed further") {
		t.Errorf("it ends at %+v", end)
	}
}

func TestWritten(t *testing.T) {
	w := chain()
	w.statements["ci/release"].Inputs[0].Name = "<script>alert(1)</script>\n\x1b[31m"
	g, err := trace.Walk(t.Context(), trace.NewIndex(w.entries), w.read, "", digest("3"))
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"trace.txt":     func(b *bytes.Buffer) error { return g.Text(b) },
		"trace.dot":     func(b *bytes.Buffer) error { return g.DOT(b) },
		"trace.mermaid": func(b *bytes.Buffer) error { return g.Mermaid(b) },
		"trace.html":    func(b *bytes.Buffer) error { return g.HTML(b) },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), "\x1b") && name == "trace.txt" || strings.Contains(b.String(), "<script>") && name == "trace.html" {
				t.Error("what a template calls its input is not quoted")
			}
			if name == "trace.html" && (strings.Count(b.String(), "http-equiv") != 1 || strings.Contains(b.String(), "src=") || strings.Contains(b.String(), "ZgotmplZ")) {
				t.Error("the page needs another file, or could not be written")
			}
			if *update {
				if err := os.WriteFile("testdata/"+name, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile("testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("it is not testdata/%s (-update writes it):\n%s", name, b.String())
			}
		})
	}
}
