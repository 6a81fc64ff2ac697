//go:build e2e

package sentinel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/e2e/sentinel/control"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/agent"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/lease"
)

// TestSecretEncryptionUnderChaos: on the way from encryption that is off to a key, the
// operator is paused past its lease and goes on when another has taken over, the network
// between it and its API server is cut, an API server is killed and comes back, and etcd
// loses its quorum and gets it back. Secrets are read and written all the while through
// whatever is there.
func TestSecretEncryptionUnderChaos(t *testing.T) {
	s := set(t)
	s.sweeps = false // each operator lives until the test ends it, or it ends by itself
	load := start(s.plane)
	victim := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "victim"}, Data: map[string][]byte{"value": []byte(canary)}}
	if _, err := s.Clients[0].CoreV1().Secrets(space).Create(t.Context(), victim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	identity := encryption.Ref{Provider: encryption.Identity}
	s.proveStored(identity)
	remove := s.plant("victim") // migration does not end while it is there
	w := connect(t, s.URL(0))
	s.must(s.WriteKubeconfig("sentinel", w.url()))
	s.must(s.operator.Start())

	s.want("secretbox", 0)
	s.until(phase, "every server is to read the key", reason(encryption.Loading))
	s.paused()
	s.until(2*phase, "migration to the key", reason(encryption.Migrating))
	s.cutsOff(w)
	s.loses(load, 2)
	s.losesQuorum(load, 1, 2)
	if c, err := s.config(); err != nil || !c.Reads(identity) {
		t.Errorf("an object lies under %s, and the files have %v, %v", identity, c.Refs(), err)
	}
	remove()
	s.until(4*phase, "one key is left", s.onlyKey(encryption.Secretbox))
	s.endsWell(load)
	if len(s.secrets) != 1 {
		t.Errorf("the files had %d keys, one after the other", len(s.secrets))
	}
}

// turn says whose turn it is, and its number.
func (s *scene) turn(ctx context.Context) (holder string, term int64, err error) {
	var l *coordinationv1.Lease
	if l, err = s.Clients[0].CoordinationV1().Leases(lease.Name).Get(ctx, lease.Name, metav1.GetOptions{}); err != nil {
		return "", 0, err
	}
	if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "" {
		return "", 0, errors.New("nobody has the lease")
	}
	term, err = strconv.ParseInt(l.ResourceVersion, 10, 64)
	return *l.Spec.HolderIdentity, term, err
}

// paused stops the operator whose turn it is. Another goes on, and from then on agents
// take nothing for the turn of the first. When that goes on, too, it writes nothing, and
// ends.
func (s *scene) paused() {
	s.t.Helper()
	first := s.operator
	s.operator = &control.Operator{Plane: s.Plane, Log: "controller-1"}
	s.must(s.operator.Start())
	holder, _, err := s.turn(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.signal(first.Process, syscall.SIGSTOP)
	s.note("the first operator is paused")
	time.Sleep(time.Second) // what it had sent is done
	_, term, err := s.turn(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	before, wrote := s.files(), s.wrote(first)
	s.until(2*phase, "another operator goes on", func(*v1alpha1.SecretEncryption, *metav1.Condition) error {
		if now, _, err := s.turn(s.t.Context()); err != nil || now == holder {
			return fmt.Errorf("it is the turn of %s, %w", now, errors.Join(err, errors.New("not of another")))
		}
		if s.files() == before {
			return errors.New("no file has changed")
		}
		return nil
	})

	for i := range members {
		s.refuses(i, term)
	}
	s.signal(first.Process, syscall.SIGCONT)
	s.ends(first)
	if n := s.wrote(first) - wrote; n != 0 {
		s.t.Errorf("the operator that was paused has written %d files since", n)
	}
}

// refuses fails unless an agent takes nothing for a turn that is over, and takes what is
// sent for the one of now. Both times it is sent what is there.
func (s *scene) refuses(i int, term int64) {
	s.t.Helper()
	config, err := s.TLS("sentinel").Config()
	if err != nil {
		s.t.Fatal(err)
	}
	client := agent.NewClient(fmt.Sprintf("https://127.0.0.1:%d", s.Ports.Agent[i]), config)
	content, err := os.ReadFile(s.File(i))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := client.Write(s.t.Context(), content, encryption.Hash(content), term); !errors.Is(err, agent.ErrOutdated) {
		s.t.Errorf("agent %d takes a file for a turn that is over: %v", i, err)
	}
	await(s.t, phase, fmt.Sprintf("agent %d takes a file for the turn of now", i), func(ctx context.Context) error {
		_, term, err := s.turn(ctx)
		if err != nil {
			return err
		}
		content, hash, err := client.Read(ctx, term)
		if err != nil {
			return err
		}
		return client.Write(ctx, content, hash, term)
	})
}

// wrote is how many files an operator has written, by its log.
func (s *scene) wrote(o *control.Operator) int {
	s.t.Helper()
	raw, err := os.ReadFile(s.Path(o.Log + ".log"))
	if err != nil {
		s.t.Fatal(err)
	}
	return bytes.Count(raw, []byte("Wrote a file"))
}

// ends waits until an operator has ended by itself, as who has lost its lease does.
func (s *scene) ends(o *control.Operator) {
	s.t.Helper()
	select {
	case <-o.Ended():
		s.note("%s has ended", o.Log)
	case <-time.After(phase):
		s.t.Fatalf("%s has lost its lease, and goes on", o.Log)
	}
}

// cutsOff cuts the network between the operator and its API server. It still reaches all
// agents, the API servers' metrics and etcd, and may do nothing with them: it ends, and
// whoever runs it starts it anew.
func (s *scene) cutsOff(w *wire) {
	s.t.Helper()
	w.cut()
	cut := time.Now()
	s.note("the network to the API server is cut")
	time.Sleep(time.Second) // what was decided before is written
	before := s.files()
	s.ends(s.operator)
	s.note("it went on for %s", time.Since(cut).Round(100*time.Millisecond))
	if s.files() != before {
		s.t.Error("the files changed meanwhile")
	}
	w.mend()
	s.note("the network is whole again")
	s.must(s.operator.Start())
	s.until(phase, "migration goes on after the network was cut", migratingSince(time.Now()))
}

// migratingSince holds once objects are brought under the key, and etcd was read after a
// time: what a condition says may be from before.
func migratingSince(since time.Time) func(*v1alpha1.SecretEncryption, *metav1.Condition) error {
	return func(o *v1alpha1.SecretEncryption, ready *metav1.Condition) error {
		if o.Status.Proof == nil || !o.Status.Proof.Time.After(since) {
			return errors.New("etcd was not read yet")
		}
		return reason(encryption.Migrating)(o, ready)
	}
}

// loses kills an API server: until it is back, nothing may happen.
func (s *scene) loses(load *traffic, i int) {
	s.t.Helper()
	load.away(i)
	s.Servers[i].Kill()
	s.note("API server %d is killed", i)
	time.Sleep(time.Second) // what was decided before is written
	before := s.files()
	s.until(phase, "a server that is gone holds all back", reason(encryption.ServerUnseen))
	if s.files() != before {
		s.t.Error("the files changed meanwhile")
	}
	s.must(s.StartServer(i))
	s.awaitReady(i)
	load.back(i)
	s.note("API server %d is back", i)
	s.until(phase, "migration goes on after an API server was gone", migratingSince(time.Now()))
}

// losesQuorum kills members of etcd, so many that nothing can be stored. The operator
// cannot renew its lease and ends; whoever runs it starts it anew.
func (s *scene) losesQuorum(load *traffic, gone ...int) {
	s.t.Helper()
	load.away(0, 1, 2)
	for _, i := range gone {
		s.Peers[i].Kill()
	}
	s.note("etcd has lost its quorum")
	time.Sleep(time.Second) // what was decided before is written
	before := s.files()
	s.ends(s.operator)
	if s.files() != before {
		s.t.Error("the files changed meanwhile")
	}
	for _, i := range gone {
		s.must(s.StartMember(i))
	}
	for i := range members {
		s.awaitReady(i)
		await(s.t, phase, fmt.Sprintf("a Secret is written through API server %d", i), func(ctx context.Context) error {
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{"touched":"%d"}}}`, i)
			_, err := s.Clients[i].CoreV1().Secrets(space).Patch(ctx, name("steady", i), types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		})
	}
	load.back(0, 1, 2)
	s.note("etcd has its quorum again")
	s.must(s.operator.Start())
	s.until(phase, "migration goes on after etcd had no quorum", migratingSince(time.Now()))
}
