package notary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
)

// fakeLogs is a kubelet that says what it is told to.
type fakeLogs struct {
	read  func(context.Context) (io.ReadCloser, error)
	asked []string
}

// Read implements ContainerLogs.
func (f *fakeLogs) Read(ctx context.Context, namespace, pod, container string, limit int64) (io.ReadCloser, error) {
	f.asked = append(f.asked, fmt.Sprintf("%s/%s %s %d", namespace, pod, container, limit))
	return f.read(ctx)
}

// says makes the log be a text.
func (f *fakeLogs) says(text string) {
	f.read = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}

// fails makes every read fail.
func (f *fakeLogs) fails(err error) {
	f.read = func(context.Context) (io.ReadCloser, error) { return nil, err }
}

const declared = `{"name":"hello-art","path":"/tmp/hello_world.txt"}`

// manyOutputs is a world whose pod has so many outputs.
func manyOutputs(t testing.TB, n int) *world {
	w := newWorld(t)
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"name":"output-%d","path":"/tmp/%d"}`, i, i)
	}
	w.scene.template(declared, strings.Join(list, ","))
	w.scene.inject(t)
	w.update(t)
	return w
}

// directory is a world whose pod has stored a directory of so many files, which
// its message has no room for.
func largeDirectory(t testing.TB, files int) *world {
	w := newWorld(t)
	w.scene.template(declared, `{"name":"hello-art","path":"/tmp/hello","archive":{"none":{}}}`)
	w.scene.inject(t)
	var list content.Files
	for i := range files {
		list = append(list, content.File{Path: fmt.Sprintf("file-%05d", i), SHA256: artifact.Digest(strings.Repeat("a", 64))})
	}
	tree := list.Tree()
	w.scene.measure(t, measurement.Measurement{{Output: helloOutput, Found: measurement.Bytes{Sum: content.Sum{Form: content.FormDirectory, SHA256: tree, Tree: tree}, Files: list}}})
	w.update(t)
	return w
}

func (w *world) condition(tb testing.TB) (bool, string) {
	tb.Helper()
	p := w.record(tb)
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed)
	if c == nil {
		return Final(p), ""
	}
	return Final(p), c.Message
}

func TestManyOutputsAreSealedFromTheLog(t *testing.T) {
	for _, n := range []int{60, 300} {
		w := manyOutputs(t, n)
		notary, _ := w.notary(t, "a")
		settle(t, notary, w.key())
		p := w.record(t)
		st, err := w.root.Verify([]byte(p.Status.Bundle))
		if err != nil || len(st.Subjects) != n || len(p.Status.Outputs) != n || len(w.seals(t)) != n {
			t.Fatalf("%d outputs: %+v, %v", n, p.Status.Conditions, err)
		}
		want := fmt.Sprintf("%s/%s argoseal-signer %d", w.scene.pod.Namespace, w.scene.pod.Name, measurement.MaxLog+1)
		if len(w.logs.asked) != 1 || w.logs.asked[0] != want {
			t.Errorf("asked for %q, want %q once", w.logs.asked, want)
		}
	}
}

func TestALargeDirectoryIsListed(t *testing.T) {
	w := largeDirectory(t, 2000)
	n, _ := w.notary(t, "a")
	settle(t, n, w.key())
	w.expectSealed(t)
	o := w.record(t).Status.Outputs[0]
	files, err := content.ParseFiles(o.Files)
	if err != nil || len(files) != 2000 || string(files.Tree()) != o.SHA256 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

func TestACrashWithALogLosesNothing(t *testing.T) {
	crashes(t, func(tb testing.TB) *world { return largeDirectory(tb, 200) })
}

func TestALogIsReadOnlyIfItIsNeeded(t *testing.T) {
	for name, change := range map[string]func(*world){
		"all is in the message": func(w *world) { *w = *newWorld(t) },
		"the tag is forged": func(w *world) {
			w.scene.keys = producer(t).keys
			w.scene.retag(t)
			w.update(t)
		},
		"the sidecar is not ours": func(w *world) {
			w.scene.signerStatus().ImageID = strings.Replace(testSigner, "1111", "2222", 1)
			w.update(t)
		},
		"the sidecar was restarted": func(w *world) { w.scene.signerStatus().RestartCount = 1; w.update(t) },
		"the upload failed":         func(w *world) { w.scene.status("wait").State.Terminated.ExitCode = 1; w.update(t) },
	} {
		t.Run(name, func(t *testing.T) {
			w := manyOutputs(t, 60)
			change(w)
			n, _ := w.notary(t, "a")
			settle(t, n, w.key())
			if len(w.logs.asked) != 0 {
				t.Errorf("asked for %q", w.logs.asked)
			}
		})
	}
}

// lies are logs that are there and never become what was measured.
func lies(log string) map[string]string {
	begin := strings.Index(log, "argoseal-log/1 1 ")
	second := strings.Index(log, "argoseal-log/1 2 ")
	end := second + strings.Index(log[second:], "\n") + 1
	return map[string]string{
		"without its first frame": log[:begin] + log[second:],
		"in another order":        log[second:end] + log[begin:second],
		"with a frame twice":      log[:second] + log[begin:],
		"with more frames":        log + "argoseal-log/1 3 QUFB\n",
		"with another content":    strings.Replace(log, log[begin+17:begin+21], "QUFB", 1),
		"of another measurement":  strings.ReplaceAll(log[:begin]+"argoseal-log/1 1 QUFB\n", "x", "y"),
		"that is too long":        log + strings.Repeat(strings.Repeat("x", 1000)+"\n", measurement.MaxLog/1000),
		"without any end of line": strings.Repeat("x", measurement.MaxLog+1),
	}
}

func TestALogThatLiesIsTheLastWord(t *testing.T) {
	w := manyOutputs(t, 60)
	for name, text := range lies(w.scene.log) {
		t.Run(name, func(t *testing.T) {
			w := manyOutputs(t, 60)
			w.logs.says(text)
			n, _ := w.notary(t, "a")
			settle(t, n, w.key())
			w.expectRefused(t, reason.MeasurementIncomplete)
			if len(w.logs.asked) != 1 {
				t.Errorf("it was read %d times", len(w.logs.asked))
			}
		})
	}
}

// What the message itself says is sealed, whatever the log says.
func TestALogThatLiesAboutADirectoryLeavesItsFilesUnknown(t *testing.T) {
	w := largeDirectory(t, 200)
	for name, text := range lies(w.scene.log) {
		t.Run(name, func(t *testing.T) {
			w := largeDirectory(t, 200)
			w.logs.says(text)
			n, _ := w.notary(t, "a")
			settle(t, n, w.key())
			w.expectSealed(t)
			if files := w.record(t).Status.Outputs[0].Files; files != "" {
				t.Errorf("files are listed:\n%s", files)
			}
		})
	}
}

// silent is a log that comes when the reader has gone.
type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }
func (s silent) Close() error             { return nil }

func TestALogThatIsNotThereYetIsWaitedFor(t *testing.T) {
	gone := apierrors.NewGenericServerResponse(http.StatusNotFound, "", corev1.Resource("pods/log"), "x", "pod does not exist", 0, false)
	half := func(w *world) string { return w.scene.log[:len(w.scene.log)/2] }
	for name, c := range map[string]struct {
		now   func(*world)
		limit time.Duration
	}{
		"nothing is in it":             {func(w *world) { w.logs.says("") }, maxAnswered},
		"only half is in it":           {func(w *world) { w.logs.says(half(w)) }, maxAnswered},
		"the kubelet has none":         {func(w *world) { w.logs.fails(apierrors.NewBadRequest("unable to retrieve container logs")) }, maxAnswered},
		"the kubelet knows no pod yet": {func(w *world) { w.logs.fails(gone) }, maxAnswered},
		"the API server is down":       {func(w *world) { w.logs.fails(errors.New("connection refused")) }, maxUnanswered},
		"the kubelet is down":          {func(w *world) { w.logs.fails(apierrors.NewInternalError(errors.New("dial tcp"))) }, maxUnanswered},
		"it is forbidden":              {func(w *world) { w.logs.fails(apierrors.NewForbidden(corev1.Resource("pods/log"), "x", nil)) }, maxUnanswered},
		"there is too much to do":      {func(w *world) { w.logs.fails(apierrors.NewTooManyRequests("later", 1)) }, maxUnanswered},
		"it breaks off": {func(w *world) {
			w.logs.read = func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader(half(w)), iotest.ErrReader(io.ErrUnexpectedEOF))), nil
			}
		}, maxUnanswered},
		"it does not come": {func(w *world) {
			w.logs.read = func(ctx context.Context) (io.ReadCloser, error) {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return silent{ctx}, nil
			}
		}, maxUnanswered},
	} {
		t.Run(name, func(t *testing.T) {
			w := manyOutputs(t, 60)
			n, _ := w.notary(t, "a")
			c.now(w)
			for _, waited := range []time.Duration{0, c.limit} {
				w.clock.SetTime(w.clock.Now().Truncate(time.Second).Add(waited)) // as the record's own time
				if _, err := n.Reconcile(t.Context(), w.key()); err == nil {
					t.Fatalf("after %s nothing says that it has to be tried again", waited)
				}
				if final, message := w.condition(t); final || !strings.Contains(message, "log of argoseal-signer") {
					t.Fatalf("after %s: final: %t, %q", waited, final, message)
				}
			}
			w.clock.SetTime(w.clock.Now().Add(time.Second))
			settle(t, n, w.key())
			w.expectRefused(t, reason.MeasurementIncomplete)
		})
	}
}

func TestALogThatComesLateIsRead(t *testing.T) {
	w := manyOutputs(t, 60)
	n, _ := w.notary(t, "a")
	whole := w.logs.read
	w.logs.says(w.scene.log[:len(w.scene.log)/2])
	if _, err := n.Reconcile(t.Context(), w.key()); err == nil {
		t.Error("half a log will do")
	}
	w.logs.read = whole
	settle(t, n, w.key())
	if final, message := w.condition(t); !final || message != "60 of 60 outputs sealed" {
		t.Errorf("final: %t, %q", final, message)
	}
}

func TestThePodIsGoneBeforeItsLogIsRead(t *testing.T) {
	gone := func(w *world) {
		w.logs.read = func(ctx context.Context) (io.ReadCloser, error) {
			must(t, w.api.Delete(ctx, w.scene.pod.DeepCopy()))
			return nil, apierrors.NewNotFound(corev1.Resource("pods"), w.scene.pod.Name)
		}
		n, _ := w.notary(t, "a")
		settle(t, n, w.key())
	}
	w := manyOutputs(t, 60)
	gone(w)
	w.expectRefused(t, reason.PodGone)
	w = largeDirectory(t, 200)
	gone(w)
	w.expectSealed(t)
}

func TestFewLogsAreReadAtATime(t *testing.T) {
	for name, c := range map[string]struct {
		readers int
		of      func(own string, i int) string
	}{
		"of all namespaces": {maxReaders, func(_ string, i int) string { return fmt.Sprintf("other-%d", i/maxReadersEach) }},
		"of one":            {maxReadersEach, func(own string, _ int) string { return own }},
	} {
		t.Run(name, func(t *testing.T) {
			w := manyOutputs(t, 60)
			n, _ := w.notary(t, "a")
			for i := range c.readers {
				if !n.readers.acquire(c.of(w.key().Namespace, i)) {
					t.Fatal("there is no room")
				}
			}
			for range 3 { // however long: that others read says nothing of this log
				if _, err := n.Reconcile(t.Context(), w.key()); err == nil || len(w.logs.asked) != 0 {
					t.Errorf("%v, asked for %q", err, w.logs.asked)
				}
				w.clock.SetTime(w.clock.Now().Add(maxUnanswered))
			}
			n.readers.release(c.of(w.key().Namespace, 0))
			settle(t, n, w.key())
			if final, message := w.condition(t); !final || !strings.HasPrefix(message, "60 of 60") || n.readers.all != c.readers-1 {
				t.Errorf("final: %t, %q, %d readers", final, message, n.readers.all)
			}
		})
	}
}

// One tenant's kubelets that do not answer leave room for the others.
func TestOneNamespaceDoesNotTakeAllReaders(t *testing.T) {
	w := manyOutputs(t, 60)
	n, _ := w.notary(t, "a")
	for range maxReaders {
		n.readers.acquire("another")
	}
	settle(t, n, w.key())
	w.expectAllSealed(t)
}

// The record may be old when its log is first read in vain.
func TestAnOutageBeforeTheLogIsReadCostsNothing(t *testing.T) {
	w := manyOutputs(t, 60)
	whole := w.logs.read
	n, _ := w.notary(t, "a")
	n.readers.all = maxReaders // the record is made, and nothing is read
	_, _ = n.Reconcile(t.Context(), w.key())
	n.readers.all = 0
	w.clock.SetTime(w.clock.Now().Add(2 * maxUnanswered))
	w.logs.fails(errors.New("connection refused"))
	_, _ = n.Reconcile(t.Context(), w.key())
	w.logs.read = whole
	settle(t, n, w.key())
	w.expectAllSealed(t)
	if len(n.readers.failing) != 0 {
		t.Errorf("%d are remembered", len(n.readers.failing))
	}
}

// expectAllSealed wants all 60 outputs to be sealed.
func (w *world) expectAllSealed(tb testing.TB) {
	tb.Helper()
	if final, message := w.condition(tb); !final || !strings.HasPrefix(message, "60 of 60") {
		tb.Errorf("final: %t, %q", final, message)
	}
}

func TestALogIsReadThroughTheAPIServer(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.String()
		_, _ = io.WriteString(w, "said\n")
	}))
	defer server.Close()
	pods, err := corev1client.NewForConfig(&rest.Config{Host: server.URL})
	must(t, err)
	stream, err := PodLogs{Pods: pods}.Read(t.Context(), "demo", "pod", containerSigner, 17)
	must(t, err)
	defer stream.Close()
	said, err := io.ReadAll(stream)
	if want := "GET /api/v1/namespaces/demo/pods/pod/log?container=argoseal-signer&limitBytes=17"; err != nil || asked != want || string(said) != "said\n" {
		t.Errorf("asked %q, want %q; %q, %v", asked, want, said, err)
	}
}

func TestARecordListsWhatItHasRoomFor(t *testing.T) {
	long := strings.Repeat("x", content.MaxListing)
	list := func(texts ...string) (noted []v1alpha1.OutputStatus) {
		for _, text := range texts {
			noted = append(noted, v1alpha1.OutputStatus{Name: "o", Files: text})
		}
		return noted
	}
	for name, c := range map[string]struct {
		files []string
		room  int
		want  []int
	}{
		"all":                        {[]string{"a", long, ""}, maxRecord, []int{1, len(long), 0}},
		"the first that fit":         {[]string{long, long, long, long, "a"}, 3*len(long) + 1000, []int{len(long), len(long), len(long), 0, 1}},
		"nothing beside the rest":    {[]string{"a"}, 10, []int{0}},
		"what is not longer as JSON": {[]string{strings.Repeat("<", len(long))}, 3 * len(long), []int{0}},
		"what may be read":           {[]string{strings.Repeat("x", content.MaxListing+1)}, maxRecord, []int{0}},
	} {
		noted := list(c.files...)
		got := fitting(noted, c.room)
		for i := range got {
			if len(got[i].Files) != c.want[i] || got[i].Name != "o" || noted[i].Files != c.files[i] {
				t.Errorf("%s: list %d has %d bytes, want %d", name, i, len(got[i].Files), c.want[i])
			}
		}
	}
}
