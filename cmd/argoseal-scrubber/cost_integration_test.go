//go:build integration

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
)

// artifacts of one size, in a namespace of that name.
type artifacts struct {
	name  string
	count int
	size  int64
}

// What each artifact costs shows in many small ones, what each MiB costs in large ones.
var (
	small = artifacts{"small", 2_000, 4 << 10}
	large = artifacts{"large", 32, 10 << 20}
)

func (a artifacts) bytes() int64 { return int64(a.count) * a.size }

func (a artifacts) key(i int) string { return fmt.Sprintf("%s/%05d", a.name, i) }

// far says how far it is, to `make bench`.
func far(format string, args ...any) { fmt.Printf("progress: "+format+"\n", args...) }

// BenchmarkScrub has the program compare sealed artifacts in a real S3 store, and says what
// that costs it; beside it, what it costs to read and hash the same objects, and no more.
// docs/performance.md has what it said. It is run by
//
//	go test -tags integration ./cmd/argoseal-scrubber -run '^$' -bench Scrub -benchtime 1x
//
// It needs half a GiB of disk.
func BenchmarkScrub(b *testing.B) {
	endpoint, s3 := startStore(b)
	api, config := startAPI(b)
	transport, err := rest.TransportFor(config)
	must(b, err)
	server := relay(b, "https://"+strings.TrimPrefix(config.Host, "https://"), transport)
	store := relay(b, "http://"+endpoint, http.DefaultTransport)
	for _, a := range []artifacts{large, small} {
		far("%d artifacts of %d KiB each are stored and sealed", a.count, a.size>>10)
		a.seal(b, s3, api, store.host)
	}
	dir := b.TempDir()
	binary, kubeconfig := filepath.Join(dir, "argoseal-scrubber"), filepath.Join(dir, "kubeconfig")
	must(b, os.WriteFile(kubeconfig, fmt.Appendf(nil, "{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: %q}}], contexts: [{name: a, context: {cluster: a}}]}", "http://"+server.host), 0o600))
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	pass := func(compared artifacts) cost {
		far("a pass over %d artifacts of %d KiB, beside %d that it does not read", compared.count, compared.size>>10, small.count+large.count-compared.count)
		server.reset()
		store.reset()
		p := exec.CommandContext(b.Context(), binary, "run", "--once", "--stores", compared.list(b, store.host))
		p.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
		var said bytes.Buffer
		p.Stderr = &said
		began := time.Now()
		out, err := p.Output()
		if want := fmt.Sprintf("%d intact, 0 altered, %d that cannot", compared.count, small.count+large.count-compared.count); err != nil || !strings.HasPrefix(string(out), want) {
			b.Fatalf("want %s, got %s: %v\n%s", want, out, err, said.String())
		}
		c := cost{took: time.Since(began), cpu: p.ProcessState.UserTime() + p.ProcessState.SystemTime(), calls: server.calls.Load(), reads: store.calls.Load(), bytes: store.bytes.Load()}
		if used, ok := p.ProcessState.SysUsage().(*syscall.Rusage); ok {
			c.peak = used.Maxrss << 10
		}
		return c
	}
	for b.Loop() {
		idle, little, much := pass(artifacts{name: "nothing"}), pass(small), pass(large)
		far("the same objects are read and hashed, and no more")
		bareSmall, bareLarge := small.bare(b, s3), large.bare(b, s3)
		each := func(d time.Duration, n float64) float64 { return d.Seconds() * 1000 / n }
		n, mib := float64(small.count), float64(large.bytes()>>20)
		b.ReportMetric(each(little.cpu, n), "cpu-ms/artifact")
		b.ReportMetric(each(bareSmall, n), "bare-cpu-ms/artifact")
		b.ReportMetric(each(much.cpu-idle.cpu, mib), "cpu-ms/MiB")
		b.ReportMetric(each(bareLarge, mib), "bare-cpu-ms/MiB")
		b.ReportMetric(float64(little.calls)/n, "api-calls/artifact")
		b.ReportMetric(float64(little.reads)/n, "store-calls/artifact")
		b.ReportMetric(float64(little.bytes+much.bytes)/float64(small.bytes()+large.bytes()), "read/sealed")
		b.ReportMetric(float64(max(idle.peak, little.peak, much.peak))/(1<<20), "peak-MiB")
		b.ReportMetric(n/little.took.Seconds(), "artifacts/s")
		b.Logf("a pass that reads nothing: %v, CPU %v, %d API calls; small ones: %v, CPU %v; large ones: %v, CPU %v", idle.took, idle.cpu, idle.calls, little.took, little.cpu, much.took, much.cpu)
	}
}

// cost is that of a pass.
type cost struct {
	took, cpu time.Duration
	// calls of the API server, and of the store, of which bytes were read.
	calls, reads, bytes int64
	// peak is the most memory that was resident.
	peak int64
}

// seal stores them, as random bytes, each with a seal.
func (a artifacts) seal(b *testing.B, s3 *minio.Client, api client.Client, endpoint string) {
	b.Helper()
	must(b, api.Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.name}}))
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(8)
	for i := range a.count {
		g.Go(func() error {
			text := make([]byte, a.size)
			_, _ = rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(a.size >> 10)}).Read(text) // it always reads all
			if _, err := s3.PutObject(ctx, bucket, a.key(i), bytes.NewReader(text), a.size, minio.PutObjectOptions{}); err != nil {
				return err
			}
			l, err := artifact.InS3(endpoint, bucket).At(a.key(i))
			if err != nil {
				return err
			}
			sum := sha256.Sum256(text)
			name := fmt.Sprintf("%s-%05d", a.name, i)
			pod := v1alpha1.ObjectRef{Name: name, UID: "u"}
			return api.Create(ctx, &v1alpha1.ArtifactSeal{
				ObjectMeta: metav1.ObjectMeta{Namespace: a.name, Name: name},
				Spec: v1alpha1.ArtifactSealSpec{
					Location: v1alpha1.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)}, Workflow: pod,
					SHA256: hex.EncodeToString(sum[:]), Size: a.size, Provenance: name,
					Producer: v1alpha1.Producer{Pod: pod, NodeID: "n", Template: "t", Output: "o", FinishedAt: metav1.Now(), RecordedAt: metav1.Now()},
				},
			})
		})
	}
	must(b, g.Wait())
}

// list is a file of stores by which these are compared, and no others.
func (a artifacts) list(b *testing.B, endpoint string) string {
	b.Helper()
	keys := b.TempDir()
	must(b, os.WriteFile(filepath.Join(keys, "accessKey"), []byte(accessKey), 0o600))
	must(b, os.WriteFile(filepath.Join(keys, "secretKey"), []byte(secretKey), 0o600))
	file := filepath.Join(keys, "stores.yaml")
	must(b, os.WriteFile(file, fmt.Appendf(nil, "stores:\n- {endpoint: %q, region: us-east-1, insecure: true, credentials: %q, compare: [{namespaces: [%s], under: [%s/]}]}\n", endpoint, keys, a.name, bucket), 0o600))
	return file
}

// bare is the CPU time that it takes to read and hash each of them.
func (a artifacts) bare(b *testing.B, s3 *minio.Client) time.Duration {
	b.Helper()
	before := used(b)
	for i := range a.count {
		o, err := s3.GetObject(b.Context(), bucket, a.key(i), minio.GetObjectOptions{})
		must(b, err)
		n, err := io.Copy(sha256.New(), o)
		must(b, err)
		must(b, o.Close())
		if n != a.size {
			b.Fatalf("%s has %d bytes", a.key(i), n)
		}
	}
	return used(b) - before
}

// used is the CPU time of this process.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// relayed counts what a server is asked.
type relayed struct {
	host         string
	calls, bytes atomic.Int64
}

func (r *relayed) reset() {
	r.calls.Store(0)
	r.bytes.Store(0)
}

// relay passes on what it is asked to a server, in this process.
func relay(b *testing.B, target string, transport http.RoundTripper) *relayed {
	b.Helper()
	to, err := url.Parse(target)
	must(b, err)
	r := &relayed{}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host // a store's requests are signed with it
		},
		ModifyResponse: func(answer *http.Response) error {
			r.calls.Add(1)
			answer.Body = &counting{answer.Body, &r.bytes}
			return nil
		},
	})
	b.Cleanup(proxy.Close)
	r.host = proxy.Listener.Addr().String()
	return r
}

// counting counts what is read.
type counting struct {
	io.ReadCloser
	n *atomic.Int64
}

// Read implements io.Reader.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}
