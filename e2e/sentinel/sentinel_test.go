//go:build e2e

package sentinel

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// phase is what one change of all files may take: the API server looks at its
// file once a minute, and one file is written after another.
const phase = 4 * time.Minute

// TestSecretEncryption: from encryption that is off to secretbox, to another
// key, and off again, on three API servers that never stop. All the while
// Secrets are read and written through every server, and the controller is
// killed whenever it gets to something new. A change of mind waits for what is
// under way, so each of the three ways begins before the last has ended.
func TestSecretEncryption(t *testing.T) {
	s := set(t)
	load := start(s.plane)
	victim := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "victim"}, Data: map[string][]byte{"value": []byte(canary)}}
	if _, err := s.Clients[0].CoreV1().Secrets(space).Create(t.Context(), victim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	identity := encryption.Ref{Provider: encryption.Identity}
	s.proveStored(identity)
	s.must(s.operator.Start())

	s.want("secretbox", 0)
	s.until(phase, "every server is to read the first key", reason(encryption.Loading))
	s.haltsUnseen(2)
	s.haltsUnnamed()
	s.until(2*phase, "migration to the first key", reason(encryption.Migrating, encryption.Settling))
	s.want("secretbox", 1)
	first := s.onward(identity)
	if first.Provider != encryption.Secretbox || first.Rotation() != 0 {
		t.Fatalf("the first key is %s", first)
	}
	s.proveStored(first)

	remove := s.plant("victim")
	s.until(2*phase, "migration to the second key", reason(encryption.Migrating))
	s.want("identity", 1)
	s.blocked(first, 2*settle)
	remove()
	second := s.onward(first)
	if second.Provider != encryption.Secretbox || second.Rotation() != 1 {
		t.Fatalf("the second key is %s", second)
	}
	s.proveStored(second)

	s.until(3*phase, "encryption is off", func(o *v1alpha1.SecretEncryption, ready *metav1.Condition) error {
		c, err := s.config()
		if err == nil && !c.Equal(encryption.Off()) {
			err = fmt.Errorf("the files have %v", c.Refs())
		}
		return errors.Join(err, reason(encryption.Proven)(o, ready))
	})
	s.proveStored(identity)
	load.finish(t)
	s.showsNoKey()
	s.escrowHasAll()
	t.Logf("the controller was killed at %d boundaries: %s", len(s.reasons), strings.Join(s.reasons, ", "))
}

// onward waits until the files have lost a key and got the next for reading, and
// returns the key that is written with in between.
func (s *scene) onward(old encryption.Ref) encryption.Ref {
	s.t.Helper()
	var write encryption.Ref
	s.until(2*phase, fmt.Sprintf("%s has left", old), func(*v1alpha1.SecretEncryption, *metav1.Condition) error {
		c, err := s.config()
		if err == nil && (c.Reads(old) || len(c.Refs()) != 2) {
			err = fmt.Errorf("the files have %v", c.Refs())
		}
		write = c.WriteRef()
		return err
	})
	return write
}

// haltsUnseen freezes an agent: until it is back, nothing may happen.
func (s *scene) haltsUnseen(i int) {
	s.t.Helper()
	s.signal(s.Agents[i], syscall.SIGSTOP)
	time.Sleep(time.Second) // what was decided before is written
	before := s.files()
	s.until(time.Minute, "a server that cannot be seen holds all back", reason(encryption.ServerUnseen))
	if s.files() != before {
		s.t.Error("the files changed meanwhile")
	}
	s.signal(s.Agents[i], syscall.SIGCONT)
}

// haltsUnnamed has one more API server say that it is there: until it is gone, or named,
// nothing may happen.
func (s *scene) haltsUnnamed() {
	s.t.Helper()
	leases := s.Clients[0].CoordinationV1().Leases(metav1.NamespaceSystem)
	unnamed := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "apiserver-unnamed", Labels: map[string]string{"apiserver.kubernetes.io/identity": "kube-apiserver"}},
		Spec:       coordinationv1.LeaseSpec{RenewTime: new(metav1.NowMicro()), LeaseDurationSeconds: new(int32(3600))},
	}
	if _, err := leases.Create(s.t.Context(), unnamed, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(time.Second) // what was decided before is written
	before := s.files()
	s.until(time.Minute, "a server that has no name holds all back", reason(encryption.ServerUnnamed))
	if s.files() != before {
		s.t.Error("the files changed meanwhile")
	}
	if err := leases.Delete(s.t.Context(), unnamed.Name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// blocked fails if a key leaves any file within a time, or if the resource does
// not name what holds it.
func (s *scene) blocked(key encryption.Ref, during time.Duration) {
	s.t.Helper()
	named := false
	end := time.Now().Add(during)
	s.until(during+time.Minute, fmt.Sprintf("%s stays while an object lies under it", key), func(_ *v1alpha1.SecretEncryption, ready *metav1.Condition) error {
		if c, err := s.config(); err != nil || !c.Reads(key) {
			s.t.Fatalf("it left: the files have %v, %v", c.Refs(), err)
		}
		named = named || strings.Contains(ready.Message, "planted")
		if time.Now().Before(end) {
			return errors.New("too early to tell")
		}
		return nil
	})
	if !named {
		s.t.Error("no message names the object")
	}
}
