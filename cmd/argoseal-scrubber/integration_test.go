//go:build integration

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	scrubber "github.com/argoseal/argoseal/pkg/scrub/controller"
)

const (
	bucket    = "artifacts"
	accessKey = "reader"
	secretKey = "not-a-secret-of-anybody"
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// built is the path that one of the variables has.
func built(tb testing.TB, names ...string) string {
	tb.Helper()
	for _, name := range names {
		if path := os.Getenv(name); path != "" {
			return path
		}
	}
	tb.Fatalf("none of %v says where the program is: make integration", names)
	return ""
}

// startStore runs an S3 store of its own.
func startStore(tb testing.TB) (endpoint string, s3 *minio.Client) {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	must(tb, err)
	endpoint = l.Addr().String()
	must(tb, l.Close())
	dir := tb.TempDir()
	must(tb, errors.Join(os.Mkdir(filepath.Join(dir, "objects"), 0o755), os.Mkdir(filepath.Join(dir, "meta"), 0o755)))
	ctx, stop := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, built(tb, "ARGOSEAL_BIN_VERSITYGW"), "--port", endpoint, "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "objects"))
	server.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+accessKey, "ROOT_SECRET_ACCESS_KEY="+secretKey)
	var said bytes.Buffer
	server.Stdout, server.Stderr = &said, &said
	must(tb, server.Start())
	tb.Cleanup(func() {
		stop()
		_ = server.Wait()
		if tb.Failed() {
			tb.Logf("the store said:\n%s", said.String())
		}
	})
	s3, err = minio.New(endpoint, &minio.Options{Creds: credentials.NewStaticV4(accessKey, secretKey, ""), Region: "us-east-1"})
	must(tb, err)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err = s3.MakeBucket(tb.Context(), bucket, minio.MakeBucketOptions{}); err == nil {
			return endpoint, s3
		}
		if time.Now().After(deadline) {
			tb.Fatal(err)
		}
	}
}

// scene is a store and an API server, with the scrubber between them.
type scene struct {
	*testing.T
	endpoint string
	s3       *minio.Client
	api      client.Client
	scrubber *scrubber.Scrubber
	events   chan string
}

// startAPI runs an API server of its own.
func startAPI(tb testing.TB) (client.Client, *rest.Config) {
	tb.Helper()
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{"../../charts/argoseal/files/crds"}, ErrorIfCRDPathMissing: true,
		ControlPlane: envtest.ControlPlane{
			APIServer: &envtest.APIServer{Path: built(tb, "TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")},
			Etcd:      &envtest.Etcd{Path: built(tb, "TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")},
		},
	}
	config, err := env.Start()
	must(tb, err)
	tb.Cleanup(func() { must(tb, env.Stop()) })
	config.QPS = -1 // as fast as the API server takes it
	scheme := runtime.NewScheme()
	must(tb, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	api, err := client.New(config, client.Options{Scheme: scheme})
	must(tb, err)
	return api, config
}

func startScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: t}
	s.endpoint, s.s3 = startStore(t)
	s.api, _ = startAPI(t)
	must(t, s.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}))

	keys := t.TempDir()
	must(t, os.WriteFile(filepath.Join(keys, "accessKey"), []byte(accessKey+"\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(keys, "secretKey"), []byte(secretKey), 0o600))
	list := filepath.Join(t.TempDir(), "stores.yaml")
	must(t, os.WriteFile(list, fmt.Appendf(nil, "stores:\n- {endpoint: %q, region: us-east-1, insecure: true, credentials: %q, compare: [{namespaces: [team], under: [%s/]}]}\n", s.endpoint, keys, bucket), 0o600))
	limit, err := options{bytes: "64Mi"}.limit()
	must(t, err)
	stores, err := readStores(list, limit)
	must(t, err)
	counts, err := scrubber.NewMetrics(prometheus.NewRegistry())
	must(t, err)
	recorder := events.NewFakeRecorder(100)
	s.events = recorder.Events
	s.scrubber = &scrubber.Scrubber{
		Options: scrubber.Options{Every: time.Hour, Sample: 1, Settle: 10 * time.Millisecond},
		API:     s.api, Stores: stores, Events: recorder, Metrics: counts, Clock: clock.RealClock{}, Log: logr.Discard(),
	}
	return s
}

func (s *scene) put(key, text string) {
	s.Helper()
	_, err := s.s3.PutObject(s.Context(), bucket, key, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
	must(s.T, err)
}

// seals stores the seal of what lies at a key: a text, or a directory's files.
func (s *scene) seals(name, key, text string, files map[string]string) {
	s.Helper()
	l, err := artifact.InS3(s.endpoint, bucket).At(key)
	must(s.T, err)
	seal := &v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name},
		Spec: v1alpha1.ArtifactSealSpec{
			Location:   v1alpha1.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)},
			Workflow:   v1alpha1.ObjectRef{Name: "w", UID: "w"},
			SHA256:     string(artifact.DigestOfText(text)),
			Size:       int64(len(text)),
			Provenance: name,
			Producer: v1alpha1.Producer{
				Pod: v1alpha1.ObjectRef{Name: "p", UID: "p"}, NodeID: "n", Template: "t", Output: "o", FinishedAt: metav1.Now(), RecordedAt: metav1.Now(),
			},
		},
	}
	if files != nil {
		var list []content.File
		for path, text := range files {
			seal.Spec.Size += int64(len(text))
			list = append(list, content.File{Path: path, SHA256: artifact.DigestOfText(text)})
		}
		sorted, err := content.NewFiles(list)
		must(s.T, err)
		seal.Spec.SHA256, seal.Spec.TreeDigest = string(sorted.Tree()), string(sorted.Tree())
		record := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name}, Spec: v1alpha1.ProvenanceSpec{
			Pod: seal.Spec.Producer.Pod, Workflow: seal.Spec.Workflow, NodeID: "n",
		}}
		must(s.T, s.api.Create(s.Context(), record))
		record.Status.Outputs = []v1alpha1.OutputStatus{{Name: "o", Location: l.URI(), SHA256: seal.Spec.SHA256, Files: sorted.String()}}
		must(s.T, s.api.Status().Update(s.Context(), record))
	}
	must(s.T, s.api.Create(s.Context(), seal))
}

// passes runs a pass and wants what it counts.
func (s *scene) passes(want scrubber.Report) {
	s.Helper()
	got, err := s.scrubber.Pass(s.Context())
	if err != nil || got != want {
		s.Fatalf("want %+v, got %+v, %v", want, got, err)
	}
}

// condition is that of a seal, as STATUS REASON; empty without one.
func (s *scene) condition(name string) string {
	s.Helper()
	var seal v1alpha1.ArtifactSeal
	must(s.T, s.api.Get(s.Context(), client.ObjectKey{Namespace: "team", Name: name}, &seal))
	c := meta.FindStatusCondition(seal.Status.Conditions, v1alpha1.ConditionIntact)
	if c == nil {
		return ""
	}
	return string(c.Status) + " " + c.Reason
}

// event is the next event; empty if there is none.
func (s *scene) event() string {
	select {
	case e := <-s.events:
		return e
	default:
		return ""
	}
}

// TestAlteredArtifactsAreFoundInARealStore: objects and directories in a real S3 store, and
// what the API server keeps of them.
func TestAlteredArtifactsAreFoundInARealStore(t *testing.T) {
	s := startScene(t)
	s.put("file", "sealed")
	s.put("dir/a", "1")
	s.put("dir/b/c", "2")
	s.put("gone", "sealed")
	s.seals("file", "file", "sealed", nil)
	s.seals("dir", "dir/", "", map[string]string{"a": "1", "b/c": "2"})
	s.seals("gone", "gone", "sealed", nil)
	var before v1alpha1.ArtifactSeal
	must(t, s.api.Get(t.Context(), client.ObjectKey{Namespace: "team", Name: "file"}, &before))

	// What is intact costs no write.
	s.passes(scrubber.Report{Intact: 3})
	var after v1alpha1.ArtifactSeal
	must(t, s.api.Get(t.Context(), client.ObjectKey{Namespace: "team", Name: "file"}, &after))
	if after.ResourceVersion != before.ResourceVersion || s.event() != "" {
		t.Errorf("it was written: %+v", after.Status)
	}

	s.put("file", "forged")
	s.put("dir/b/c", "3")
	must(t, s.s3.RemoveObject(t.Context(), bucket, "gone", minio.RemoveObjectOptions{}))
	s.passes(scrubber.Report{Altered: 3})
	for name, want := range map[string]string{"file": "False Changed", "dir": "False Changed", "gone": "False Missing"} {
		if got := s.condition(name); got != want {
			t.Errorf("%s: want %s, got %q", name, want, got)
		}
		if s.event() == "" {
			t.Error("an event is missing")
		}
	}
	// The same again is told once.
	s.passes(scrubber.Report{Altered: 3})
	if e := s.event(); e != "" {
		t.Errorf("it is told again: %s", e)
	}

	// It is there again.
	s.put("file", "sealed")
	s.passes(scrubber.Report{Intact: 1, Altered: 2})
	if got := s.condition("file"); got != "True Intact" {
		t.Errorf("want True Intact, got %q", got)
	}
	if e := s.event(); !strings.Contains(e, "Intact") {
		t.Errorf("want an event, got %q", e)
	}
	// Another step stores something else there: its seal counts. Put back, what was there
	// before is no longer what has to be there.
	time.Sleep(1100 * time.Millisecond) // the API server's times are whole seconds
	s.put("file", "newer")
	s.seals("file-newer", "file", "newer", nil)
	s.passes(scrubber.Report{Intact: 1, Altered: 2})
	s.put("file", "sealed")
	s.passes(scrubber.Report{Altered: 3})
	if got := s.condition("file-newer"); got != "False RolledBack" {
		t.Errorf("want False RolledBack, got %q", got)
	}
}

// A store that nobody listed is not asked, and one that does not answer says nothing about
// what lies there.
func TestAStoreThatDoesNotAnswerAccusesNobody(t *testing.T) {
	s := startScene(t)
	s.put("file", "sealed")
	s.seals("file", "file", "sealed", nil)
	known := s.scrubber.Stores
	s.scrubber.Stores = nil
	s.passes(scrubber.Report{Unknown: 1})
	s.scrubber.Stores = map[string]scrubber.Store{s.endpoint: {Store: silent{}, Scope: known[s.endpoint].Scope}}
	s.passes(scrubber.Report{Unreadable: 1})
	if got, seen := s.condition("file"), s.event(); got != "" || seen != "" {
		t.Errorf("got %q, %q", got, seen)
	}
	s.scrubber.Stores = known
	s.passes(scrubber.Report{Intact: 1})
}

type silent struct{}

func (silent) Open(context.Context, string, string) (io.ReadCloser, int64, error) {
	return nil, 0, errors.New("no answer")
}

func (silent) List(context.Context, string, string, int) ([]string, error) {
	return nil, errors.New("no answer")
}
