package kms_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"
)

// Status asks nobody, and says what the last probe found. That of a while ago says nothing.
func TestStatusIsThatOfTheLastProbe(t *testing.T) {
	write, service := key(t, "write")
	s := serve(t, logr.Discard(), write)
	if says := s.health(t); says == "ok" {
		t.Error("before the first probe it is well")
	}
	s.ProbeOnce(t.Context())
	asked := service.count()
	for range 100 {
		if says := s.health(t); says != "ok" {
			t.Fatalf("it says %q", says)
		}
	}
	if asked != 2 || service.count() != asked {
		t.Errorf("the service is asked %d times by a probe, and %d by Status", asked, service.count()-asked)
	}
	service.set(errors.New("the key is disabled"))
	if says := s.health(t); says != "ok" {
		t.Errorf("before the next probe it says %q", says)
	}
	s.ProbeOnce(t.Context())
	s.ProbeOnce(t.Context())
	if says := s.health(t); !strings.Contains(says, "the key is disabled") {
		t.Errorf("it says %q", says)
	}
	_, err := s.KeyManagementServiceClient.Encrypt(t.Context(), &kmsapi.EncryptRequest{Plaintext: seed})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("meanwhile a write gives %v", err)
	}
	service.set(nil)
	s.ProbeOnce(t.Context())
	if says := s.health(t); says != "ok" {
		t.Errorf("when it is back it says %q", says)
	}
	s.clock.Step(every + time.Minute)
	if says := s.health(t); says == "ok" {
		t.Error("it is well by a probe of long ago")
	}
}

// A probe that failed is repeated sooner, and one alone changes nothing.
func TestProbesGoOn(t *testing.T) {
	write, service := key(t, "write")
	s := serve(t, logr.Discard(), write)
	ctx, cancel := context.WithCancel(t.Context())
	s.ProbeOnce(ctx)
	ended := make(chan struct{})
	go func() { s.Probe(ctx); close(ended) }()
	waits := func() {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !s.clock.HasWaiters(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("it does not wait")
			}
		}
	}
	waits()
	service.set(errors.New("gone"))
	s.clock.Step(every)
	waits()
	if err := s.Usable(); err != nil {
		t.Errorf("one probe that failed is enough: %v", err)
	}
	s.clock.Step(10 * time.Second)
	waits()
	if s.Usable() == nil {
		t.Error("it does not notice that the service is gone")
	}
	service.set(nil)
	s.clock.Step(10 * time.Second)
	waits()
	if err := s.Usable(); err != nil {
		t.Errorf("it does not notice that the service is back: %v", err)
	}
	cancel()
	<-ended
}

// Only two failures in a row count, but a key that was never usable is not by one.
func TestOneFailureIsNone(t *testing.T) {
	write, service := key(t, "write")
	s := serve(t, logr.Discard(), write)
	gone := errors.New("gone")
	for i, step := range []struct {
		fails error
		ok    bool
	}{{gone, false}, {nil, true}, {gone, true}, {nil, true}, {gone, true}, {gone, false}, {gone, false}, {nil, true}} {
		service.set(step.fails)
		s.ProbeOnce(t.Context())
		if says := s.health(t); (says == "ok") != step.ok {
			t.Errorf("after probe %d it says %q", i, says)
		}
	}
}

// Every key is tried. Without one that is only read with the plugin is not ready, but the
// API server is.
func TestEveryKeyIsProbed(t *testing.T) {
	write, _ := key(t, "write")
	read, service := key(t, "read")
	service.set(errors.New("access denied"))
	s := serve(t, logr.Discard(), write, read)
	s.ProbeOnce(t.Context())
	if err := s.Usable(); err == nil || !strings.Contains(err.Error(), "key read: the key service: access denied") {
		t.Errorf("with a key that cannot be used it says %v", err)
	}
	if says := s.health(t); says != "ok" {
		t.Errorf("its health is %q", says)
	}
	s.usable(t, 1, 0)
	service.set(nil)
	s.ProbeOnce(t.Context())
	if err := s.Usable(); err != nil {
		t.Errorf("with both keys it says %v", err)
	}
	s.usable(t, 1, 1)
}

// usable compares the metric.
func (s *served) usable(t *testing.T, write, read int) {
	t.Helper()
	want := fmt.Sprintf(`
# HELP argoseal_sentinel_kms_key_usable 1 if a key of the KMS plugin can be used; 0 if it never could, or two probes in a row failed. By its ID, and by whether it is written with (role write) or only read with (read).
# TYPE argoseal_sentinel_kms_key_usable gauge
argoseal_sentinel_kms_key_usable{key="read",role="read"} %d
argoseal_sentinel_kms_key_usable{key="write",role="write"} %d
`, read, write)
	if err := testutil.GatherAndCompare(s.registry, strings.NewReader(want), "argoseal_sentinel_kms_key_usable"); err != nil {
		t.Error(err)
	}
}

// What takes longer than the API server waits is no use to it, and no probe calls it so.
func TestAServiceThatIsSlowIsNoKey(t *testing.T) {
	write, _ := key(t, "write")
	write.Keeper = slow{}
	s := serve(t, logr.Discard(), write)
	began := time.Now()
	s.ProbeOnce(t.Context())
	if took := time.Since(began); took >= 3*time.Second {
		t.Errorf("a probe waits %s", took)
	}
	if err := s.Usable(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it says %v", err)
	}
}

// slow answers when nobody waits any more.
type slow struct{}

// Encrypt implements kms.Keeper.
func (slow) Encrypt(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Decrypt implements kms.Keeper.
func (s slow) Decrypt(ctx context.Context, data []byte) ([]byte, error) { return s.Encrypt(ctx, data) }

// A service that gives back something else cannot be used, whatever it answers.
func TestAServiceThatForgetsIsNoKey(t *testing.T) {
	write, service := key(t, "write")
	_, other := key(t, "other")
	write.Keeper = mixed{service, other}
	s := serve(t, logr.Discard(), write)
	s.ProbeOnce(t.Context())
	if s.Usable() == nil {
		t.Error("a key that does not decrypt can be used")
	}
	write.Keeper = plain{}
	if s = serve(t, logr.Discard(), write); s.Usable() == nil {
		t.Error("before a probe it can be used")
	}
	s.ProbeOnce(t.Context())
	if s.Usable() == nil {
		t.Error("a key that gives back something else can be used")
	}
}

// mixed encrypts with one key, and decrypts with another.
type mixed struct{ encrypts, decrypts *remote }

// Encrypt implements kms.Keeper.
func (m mixed) Encrypt(ctx context.Context, data []byte) ([]byte, error) {
	return m.encrypts.Encrypt(ctx, data)
}

// Decrypt implements kms.Keeper.
func (m mixed) Decrypt(ctx context.Context, data []byte) ([]byte, error) {
	return m.decrypts.Decrypt(ctx, data)
}

// plain answers the same to everything.
type plain struct{}

// Encrypt implements kms.Keeper.
func (plain) Encrypt(context.Context, []byte) ([]byte, error) { return []byte("x"), nil }

// Decrypt implements kms.Keeper.
func (plain) Decrypt(context.Context, []byte) ([]byte, error) { return []byte("x"), nil }
