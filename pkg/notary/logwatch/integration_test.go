//go:build integration

package logwatch

import (
	"context"
	"crypto"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"google.golang.org/protobuf/encoding/protojson"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/early"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tlog"
	"github.com/argoseal/argoseal/pkg/tlog/tlogtest"
)

// server is a real Rekor v2 with one key and one port, whatever its volume.
type server struct {
	t             *testing.T
	keyFile, port string
	stop          func()
}

func (s *server) start(dir string) {
	s.t.Helper()
	binary := os.Getenv("ARGOSEAL_BIN_REKOR_SERVER_POSIX")
	if binary == "" {
		s.t.Fatal("ARGOSEAL_BIN_REKOR_SERVER_POSIX is not set; run this with make integration")
	}
	ctx, stop := context.WithCancel(context.Background()) // outlives t.Context, which ends before cleanup
	cmd := exec.CommandContext(ctx, binary, "serve",
		"--http-address=127.0.0.1", "--http-port="+s.port, "--grpc-address=127.0.0.1", "--grpc-port="+freePort(s.t),
		"--http-metrics-port="+freePort(s.t), "--hostname=localhost", "--storage-dir="+dir,
		"--signer-filepath="+s.keyFile, "--checkpoint-interval=100ms", "--batch-max-age=50ms")
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	tlogtest.Must(s.t, cmd.Start())
	stopped := false
	s.stop = func() {
		if !stopped {
			stopped = true
			stop()
			_ = cmd.Wait()
		}
	}
	s.t.Cleanup(func() {
		s.stop()
		if s.t.Failed() {
			s.t.Logf("rekor-server said:\n%s", output.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", "127.0.0.1:"+s.port, time.Second); err == nil {
			_ = c.Close()
			return
		}
	}
	s.t.Fatalf("nothing listens on port %s", s.port)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	tlogtest.Must(t, err)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	tlogtest.Must(t, err)
	return port
}

func apiServer(t *testing.T) client.Client {
	t.Helper()
	env := &envtest.Environment{CRDDirectoryPaths: []string{"../../../charts/argoseal/files/crds"}}
	config, err := env.Start()
	tlogtest.Must(t, err)
	t.Cleanup(func() { tlogtest.Must(t, env.Stop()) })
	scheme := runtime.NewScheme()
	tlogtest.Must(t, v1alpha1.AddToScheme(scheme))
	api, err := client.New(config, client.Options{Scheme: scheme})
	tlogtest.Must(t, err)
	return api
}

// envelope is a statement that was signed; each has a signature of its own.
func envelope(t *testing.T, signer *seal.Signer) (*protodsse.Envelope, crypto.PublicKey) {
	t.Helper()
	raw, err := signer.Sign(t.Context(), sealtest.Payload(t, "s3://minio/b/k", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
	tlogtest.Must(t, err)
	e := &protodsse.Envelope{}
	tlogtest.Must(t, protojson.Unmarshal(raw, e))
	public, err := cryptoutils.UnmarshalPEMToPublicKey(signer.PublicKeyPEM())
	tlogtest.Must(t, err)
	return e, public
}

// TestARealRekorIsWatched: a real log, with a real API server to keep its checkpoints. It
// grows; it is restarted; it begins again under its key; it goes on from a backup until it
// is longer than it was; and it is given its volume back.
func TestARealRekorIsWatched(t *testing.T) {
	private, public, err := seal.NewLogKey()
	tlogtest.Must(t, err)
	s := &server{t: t, keyFile: filepath.Join(t.TempDir(), "log.pem"), port: freePort(t)}
	tlogtest.Must(t, os.WriteFile(s.keyFile, private, 0o600))
	url := "http://localhost:" + s.port
	root, err := seal.TrustedRootJSON(url, public, time.Now().Add(-time.Minute))
	tlogtest.Must(t, err)
	plain, err := seal.NewRekorV2(url, 20*time.Second)
	tlogtest.Must(t, err)
	key, err := seal.NewKey()
	tlogtest.Must(t, err)
	signer, err := seal.LoadSigner(key)
	tlogtest.Must(t, err)

	volume := filepath.Join(t.TempDir(), "log")
	served := &tiles{t: t, dir: volume}
	w := &Watcher{
		API: apiServer(t), URL: url, TrustedRoot: func() []byte { return root }, Tiles: served,
		Events: events.NewFakeRecorder(20), Clock: clock.RealClock{}, Log: logr.Discard(),
	}
	guarded := w.Guard(plain)
	look := func(want reason.Code) {
		t.Helper()
		if err := w.Look(t.Context()); reason.Of(err) != want {
			t.Fatalf("a look: %v, want %q", err, want)
		}
	}
	add := func(log seal.Log, want reason.Code) {
		t.Helper()
		e, public := envelope(t, signer)
		if _, err := log.Append(t.Context(), e, public); reason.Of(err) != want {
			t.Fatalf("an entry: %v, want %q", err, want)
		}
	}

	s.start(volume)
	look("")
	for range 3 {
		add(guarded, "")
	}
	look("")
	backup := tlogtest.Copy(t, volume)
	add(guarded, "")
	look("")
	s.stop()
	look("") // its tiles are still there
	s.start(volume)
	add(guarded, "")
	look("")
	s.stop()

	served.dir = filepath.Join(t.TempDir(), "log")
	s.start(served.dir)
	add(guarded, reason.LogRolledBack)
	look(reason.LogRolledBack)
	add(guarded, reason.LogRolledBack)
	s.stop()

	served.dir = backup
	s.start(backup)
	look(reason.LogRolledBack)
	for range 4 {
		add(plain, "")
	}
	look(reason.LogForked)
	add(guarded, reason.LogForked)
	s.stop()

	served.dir = volume
	s.start(volume)
	look("")
	add(guarded, "")
	look("")

	var logs v1alpha1.TransparencyLogList
	tlogtest.Must(t, w.API.List(t.Context(), &logs))
	if len(logs.Items) != 1 {
		t.Fatalf("%d logs are kept", len(logs.Items))
	}
	r := logs.Items[0]
	if r.Status.Size != 6 || r.Status.Contradiction == nil || r.Status.Contradiction.Reason != string(reason.LogForked) ||
		!meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionConsistent) {
		t.Errorf("kept is %+v", r.Status)
	}

	// Over HTTP, as in a cluster.
	folder, err := os.OpenRoot(volume)
	tlogtest.Must(t, err)
	web := httptest.NewServer(tlog.Handler(folder.FS()))
	t.Cleanup(web.Close)
	w.Tiles, err = tlog.NewWeb(web.URL)
	tlogtest.Must(t, err)
	add(guarded, "")
	look("")

	// Two servers with one key: what the notary asks has another history than what it shows.
	w.Tiles = served
	s.stop()
	fork := tlogtest.Copy(t, volume)
	s.start(volume)
	add(guarded, "")
	look("")
	s.stop()
	s.start(fork)
	add(plain, "")
	add(plain, "")
	add(guarded, "")
	s.stop()
	look("") // shorter than what was answered: not known yet
	s.start(volume)
	for range 3 {
		add(plain, "")
	}
	look(reason.LogForked)
	add(guarded, reason.LogForked)
	look(reason.LogForked)
	tlogtest.Must(t, w.API.List(t.Context(), &logs))
	if c := logs.Items[0].Status.Contradiction; c == nil || !c.Answered || c.EntryCount != 1 || len(c.Entries) != 1 || !strings.HasPrefix(c.Entries[0], "entry 9: ") {
		t.Errorf("the contradiction is %+v", c)
	}
	tlogtest.Must(t, w.API.Delete(t.Context(), &logs.Items[0]))
	look("")
	add(guarded, "")
	look("")
}

// TestEarlyProofsOfARealRekorAreWatched: what the tiles of a real log prove, and what it answers
// afterwards, is of one history; nothing of it is left to be compared.
func TestEarlyProofsOfARealRekorAreWatched(t *testing.T) {
	r := sealtest.StartRekor(t)
	folder, err := os.OpenRoot(r.Folder)
	tlogtest.Must(t, err)
	t.Cleanup(func() { _ = folder.Close() })
	web := httptest.NewServer(tlog.Handler(folder.FS()))
	t.Cleanup(web.Close)
	read, err := tlog.NewWeb(web.URL)
	tlogtest.Must(t, err)
	recorder := events.NewFakeRecorder(20)
	w := &Watcher{
		API: apiServer(t), URL: r.URL, TrustedRoot: func() []byte { return r.TrustedRoot }, Tiles: read,
		Events: recorder, Clock: clock.RealClock{}, Log: logr.Discard(),
	}
	tlogtest.Must(t, w.Look(t.Context()))
	go func() { _ = w.Start(t.Context()) }()
	sooner := early.New(r.Log, read, w.Open)
	log := w.GuardEarly(sooner.AppendAfter)
	key, err := seal.NewKey()
	tlogtest.Must(t, err)
	signer, err := seal.LoadSigner(key)
	tlogtest.Must(t, err)
	const entries = 300
	var all sync.WaitGroup
	for range entries {
		e, public := envelope(t, signer)
		all.Go(func() {
			if _, err := log.Append(t.Context(), e, public); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	sooner.Drain(t.Context())
	tlogtest.Must(t, w.Look(t.Context()))
	if n := len(w.waiting()); n != 0 || w.entryCount != 0 {
		t.Errorf("%d answers and %d names are left", n, w.entryCount)
	}
	had, err := w.May()
	tlogtest.Must(t, err)
	if had.size != entries {
		t.Errorf("the log has %d entries", had.size)
	}
	select {
	case e := <-recorder.Events:
		t.Errorf("event %s", e)
	default:
	}
	byTiles := testutil.ToFloat64(sooner.Metrics()[0].(*prometheus.CounterVec).WithLabelValues("tiles"))
	if byTiles < entries/10 {
		t.Errorf("%v of %d entries were proven by tiles", byTiles, entries)
	}
	t.Logf("%v of %d entries were proven by tiles", byTiles, entries)
}
