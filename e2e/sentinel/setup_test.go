//go:build e2e

package sentinel

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// TestEncryptionIsSetUp is the part of TestSecretEncryption that each change has to
// pass: from encryption that is off to one key, through which what was stored before is
// held back by an object that nothing can rewrite, an agent that is frozen, an API server
// that nobody named, and a controller that is killed.
func TestEncryptionIsSetUp(t *testing.T) {
	s := set(t)
	load := start(s.plane)
	victim := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "victim"}, Data: map[string][]byte{"value": []byte(canary)}}
	if _, err := s.Clients[0].CoreV1().Secrets(space).Create(t.Context(), victim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	identity := encryption.Ref{Provider: encryption.Identity}
	s.proveStored(identity)
	remove := s.plant("victim")
	s.must(s.operator.Start())

	s.want("secretbox", 0)
	s.until(phase, "every server is to read the key", reason(encryption.Loading))
	s.haltsUnseen(2)
	s.haltsUnnamed()
	s.until(2*phase, "migration to the key", reason(encryption.Migrating))
	s.blocked(identity, 2*settle)
	remove()
	s.until(2*phase, "one key is left", s.onlyKey(encryption.Secretbox))
	s.endsWell(load)
}
