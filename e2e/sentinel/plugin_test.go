//go:build e2e

package sentinel

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// pluginName stands before each object in etcd.
const pluginName = "argoseal"

// TestSecretEncryptionByAPlugin: three API servers that never stop go over from a key to a
// plugin, to that plugin's next key, and back to a key, while Secrets are read and written
// through each, and the controller is killed whenever it gets to something new. One plugin
// answers all three, as one at one path of each machine would.
func TestSecretEncryptionByAPlugin(t *testing.T) {
	s := set(t)
	k := &keyed{plane: s.plane}
	k.seedService()
	k.startService()
	k.startPlugin(firstKey, secondKey)
	k.usable(true)
	load := start(s.plane)
	s.must(s.operator.Start())

	s.want("secretbox", 0)
	s.until(3*phase, "migration to the key", reason(encryption.Migrating, encryption.Settling))
	// A change of mind waits for what is under way.
	s.wants("kms", 0, k.spec())
	first := s.onward(encryption.Ref{Provider: encryption.Identity})
	if first.Provider != encryption.Secretbox {
		t.Fatalf("the first key is %s", first)
	}
	s.proveStored(first)
	s.until(4*phase, "the plugin is left", s.onlyKey(encryption.KMS))
	s.underPlugin(firstKey)

	// Another key behind the same plugin: what each server is told within a minute.
	k.plugin.Kill()
	k.startPlugin(secondKey, firstKey)
	k.usable(true)
	next := encryption.IDHash("awskms:///" + keyPrefix + secondKey)
	s.until(2*phase, "it is proven under the plugin's next key", func(o *v1alpha1.SecretEncryption, ready *metav1.Condition) error {
		if o.Status.Key == nil || o.Status.Key.IDHash != next {
			return fmt.Errorf("the key is %+v", o.Status.Key)
		}
		return reason(encryption.Proven)(o, ready)
	})
	s.underPlugin(secondKey)

	s.want("secretbox", 1)
	s.until(4*phase, "one key is left", s.onlyKey(encryption.Secretbox))
	s.endsWell(load)
}

// spec is the plugin as a SecretEncryption has it.
func (k *keyed) spec() *v1alpha1.SecretKMS {
	return &v1alpha1.SecretKMS{Name: pluginName, Endpoint: "unix://" + k.socket(), Timeout: metav1.Duration{Duration: 3 * time.Second}}
}

// onlyKey holds once the files have one key, of a provider, and every object lies under it.
func (s *scene) onlyKey(of encryption.Provider) func(*v1alpha1.SecretEncryption, *metav1.Condition) error {
	return func(o *v1alpha1.SecretEncryption, ready *metav1.Condition) error {
		c, err := s.config()
		if err == nil && (len(c.Refs()) != 1 || c.WriteRef().Provider != of) {
			err = fmt.Errorf("the files have %v", c.Refs())
		}
		return errors.Join(err, reason(encryption.Proven)(o, ready))
	}
}

// underPlugin fails unless every object in etcd lies under the plugin, and has the ID of a
// key of the key service, and nothing of what is in it.
func (s *scene) underPlugin(key string) {
	s.t.Helper()
	got, err := s.Etcd.Get(s.t.Context(), folder, clientv3.WithPrefix())
	if err != nil {
		s.t.Fatal(err)
	}
	wrong := 0
	for _, kv := range got.Kvs {
		if !bytes.HasPrefix(kv.Value, []byte(underKMS)) || !bytes.Contains(kv.Value, []byte("awskms:///"+keyPrefix+key)) || bytes.Contains(kv.Value, []byte(canary)) {
			wrong++
			s.t.Errorf("%s lies there as %.60q", kv.Key, kv.Value)
		}
	}
	s.note("etcd: %d of %d objects under key %s of the plugin", len(got.Kvs)-wrong, len(got.Kvs), key)
	if len(got.Kvs) < steady+written {
		s.t.Errorf("there are %d objects", len(got.Kvs))
	}
}
