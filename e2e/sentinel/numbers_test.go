//go:build e2e

package sentinel

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// many is how many Secrets are rotated, filled how long it may take to make them, quiet
// how long reads are measured before.
const (
	many   = 10_000
	filled = 10 * time.Minute
	quiet  = 3 * time.Minute // so long that the rarest reads are among them
)

// TestNumbersOfARotation measures what it costs to bring 10,000 Secrets from one key to
// the next on three API servers: time, requests, and what reads take beside before. It
// fails if a read fails, and not by what it measures: the machine is nobody's alone.
func TestNumbersOfARotation(t *testing.T) {
	s := setWith(t, firstFile(t))
	s.sweeps = false
	s.operator.Metrics = fmt.Sprintf("127.0.0.1:%d", s.Ports.PluginMetrics)
	began := time.Now()
	s.fill()
	s.note("%d Secrets made in %s", many, time.Since(began).Round(time.Second))
	s.must(s.operator.Start())
	s.want("secretbox", 0)
	s.until(3*phase, "all lie under the first key", s.onlyKey(encryption.Secretbox))

	reads := s.reading()
	reads.enter("before")
	time.Sleep(quiet)
	before := s.requests()
	began = time.Now()
	reads.enter("rotation")
	s.want("secretbox", 1)
	s.until(3*phase, "migration", reason(encryption.Migrating))
	migrating := time.Now()
	reads.enter("migration")
	s.until(3*phase, "all are under the next key", reason(encryption.Settling))
	migrated := time.Since(migrating)
	reads.enter("rotation")
	s.until(3*phase, "the next key is the only one", s.onlyKey(encryption.Secretbox))
	took := time.Since(began)
	reads.end(t)
	c, err := s.config()
	if err != nil || c.WriteRef().Rotation() != 1 {
		t.Fatalf("the files have %v, %v", c.Refs(), err)
	}
	s.proveStored(c.WriteRef())

	t.Logf("%d Secrets, %d API servers: rotated in %s, of which migration took %s", many, members, took.Round(time.Second), migrated.Round(100*time.Millisecond))
	after := s.requests()
	for _, verb := range []string{"GET", "PATCH", "PUT", "POST"} {
		t.Logf("%s requests of the controller: %d", verb, after[verb]-before[verb])
	}
	base := reads.p99("before")
	for _, part := range []string{"before", "rotation", "migration"} {
		t.Logf("reads %s: %d, p50 %s, p99 %s, %.1f times that before", part, len(reads.took[part]), reads.at(part, 50), reads.p99(part), float64(reads.p99(part))/float64(base))
	}
}

// firstFile is one as it is once a key is the only one.
func firstFile(t *testing.T) string {
	t.Helper()
	key, err := encryption.NewKey(encryption.Secretbox, 0, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := encryption.NewConfig(key)
	if err != nil {
		t.Fatal(err)
	}
	content, err := c.Render(resources)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// fill makes the Secrets.
func (s *scene) fill() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), filled)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(12)
	for i := range many {
		g.Go(func() error {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name("many", i)}, Data: value("many", i, 0)}
			for {
				_, err := s.Clients[i%members].CoreV1().Secrets(space).Create(ctx, secret, metav1.CreateOptions{})
				if err == nil || apierrors.IsAlreadyExists(err) {
					return nil
				}
				if ctx.Err() != nil {
					return err
				}
				pause(ctx) // on a busy machine an answer may not come in time
			}
		})
	}
	if err := g.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

// readings are what reads took, by the part of the test that they were in.
type readings struct {
	mu     sync.Mutex
	part   string
	took   map[string][]time.Duration
	errors []error
	stop   context.CancelFunc
	all    sync.WaitGroup
}

// reading reads one Secret after the other through each server.
func (s *scene) reading() *readings {
	ctx, cancel := context.WithCancel(s.t.Context())
	r := &readings{took: map[string][]time.Duration{}, stop: cancel}
	for server := range members {
		r.all.Go(func() {
			for i := server; ctx.Err() == nil; i += 7 {
				began := time.Now()
				_, err := s.Clients[server].CoreV1().Secrets(space).Get(ctx, name("many", i%many), metav1.GetOptions{})
				r.add(ctx, time.Since(began), err)
				pause(ctx)
			}
		})
	}
	return r
}

func (r *readings) add(ctx context.Context, took time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		r.errors = append(r.errors, err)
	}
	r.took[r.part] = append(r.took[r.part], took)
}

func (r *readings) enter(part string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.part = part
}

func (r *readings) end(t *testing.T) {
	t.Helper()
	r.stop()
	r.all.Wait()
	for _, err := range r.errors {
		t.Error(err)
	}
	for _, part := range r.took {
		slices.Sort(part)
	}
}

func (r *readings) at(part string, percent int) time.Duration {
	took := r.took[part]
	if len(took) == 0 {
		return 0
	}
	return took[len(took)*percent/100].Round(100 * time.Microsecond)
}

func (r *readings) p99(part string) time.Duration { return r.at(part, 99) }

var sent = regexp.MustCompile(`(?m)^rest_client_requests_total\{.*method="([A-Z]+)".*\} (\d+)$`)

// requests are those that the controller has sent to API servers, by their method.
func (s *scene) requests() map[string]int {
	s.t.Helper()
	raw, err := get(s.t.Context(), "http://"+s.operator.Metrics+"/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	counts := map[string]int{}
	for _, m := range sent.FindAllStringSubmatch(string(raw), -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			s.t.Fatal(err)
		}
		counts[m[1]] += n
	}
	return counts
}
