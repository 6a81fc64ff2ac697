package controller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"filippo.io/age"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/apiserver"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// faults are what fails of every agent.
type faults struct{ write, kept error }

// failing is an agent of which something fails.
type failing struct {
	Files
	faults *faults
}

func (f failing) Write(ctx context.Context, content []byte, replaces string, term int64) error {
	if f.faults.write != nil {
		return f.faults.write
	}
	return f.Files.Write(ctx, content, replaces, term)
}

func (f failing) Kept(ctx context.Context, term int64) (map[string][]byte, error) {
	if f.faults.kept != nil {
		return nil, f.faults.kept
	}
	return f.Files.Kept(ctx, term)
}

// fail lets agents fail.
func (p *place) fail() *faults {
	f := &faults{}
	for i := range p.r.Servers {
		p.r.Servers[i].File = failing{p.r.Servers[i].File, f}
	}
	return f
}

// A write that fails again and again, and a controller that is killed each time, cost no
// key that something may lie under its place in escrow.
func TestFailedWritesEvictNothing(t *testing.T) {
	p := newPlace(t)
	p.run(encryption.Proven)
	first := p.config(0).Write()
	agents := p.fail()
	agents.write = errors.New("the disk is full")
	p.rotate()
	for range 20 {
		p.step()
	}
	if n := len(p.object().Status.Escrow); n != 2 {
		t.Errorf("%d keys are in escrow after one controller's attempts, not two", n)
	}
	for range 2 * maxEscrow {
		p.r.memory = memory{}
		for range 3 {
			p.step()
		}
	}
	if n := len(p.object().Status.Escrow); n != maxEscrow {
		t.Errorf("%d keys are in escrow", n)
	}
	if !p.escrowed(first) {
		t.Fatal("what every object lies under is not in escrow any more")
	}
	agents.write = nil
	p.run(encryption.OldKeyRemoved)
	p.load()
	p.run(encryption.Proven)
	if second := p.config(0).Write(); second.Equal(first) || !p.escrowed(first) || !p.escrowed(second) {
		t.Errorf("%s and %s are not both in escrow", first, second)
	}
}

// Where every key in escrow may be what a snapshot of etcd lies under, none is made until
// somebody takes one out.
func TestAFullEscrowMakesNoKey(t *testing.T) {
	p := newPlace(t)
	p.run(encryption.Proven)
	o := p.object()
	for i := len(o.Status.Escrow); i < maxEscrow; i++ {
		o.Status.Escrow = append(o.Status.Escrow, v1alpha1.EscrowedKey{Key: fmt.Sprintf("secretbox/r0-20200101t%06dz-00", i), Data: "…"})
	}
	if err := p.r.Client.Status().Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	p.rotate()
	p.run(escrowFull)
	for range 20 {
		p.step()
		p.load()
	}
	if got := p.object().Status.Escrow; len(got) != maxEscrow || len(p.config(0).Refs()) != 1 {
		t.Errorf("%d keys are in escrow, the file has %v", len(got), p.config(0))
	}
	o = p.object()
	o.Status.Escrow = o.Status.Escrow[:maxEscrow-1]
	if err := p.r.Client.Status().Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	p.run(encryption.OldKeyRemoved)
}

// A file that is lost is put back whatever becomes of the escrow: without it no server
// starts. A key that is new is not used.
func TestAnEscrowThatFailsKeepsNoFileFromBeingPutBack(t *testing.T) {
	p := newPlace(t)
	p.run(encryption.Proven)
	want := p.content(1)
	p.ask(func(s *v1alpha1.SecretEncryptionSpec) {
		s.Escrow.Recipients = []string{"age1nobody"}
		s.Rotation++
	})
	if err := os.Remove(p.files[1].Path); err != nil {
		t.Fatal(err)
	}
	if _, err := p.r.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if got := p.content(1); string(got) != string(want) {
		t.Error("it is another file")
	}
	c := meta.FindStatusCondition(p.object().Status.Conditions, v1alpha1.ConditionReady)
	if c == nil || c.Reason != string(escrowFailed) || !strings.Contains(c.Message, "recipients") {
		t.Errorf("it says %+v", c)
	}
	for range 20 {
		p.step()
		p.load()
	}
	for i := range p.files {
		if refs := p.config(i).Refs(); len(refs) != 1 || refs[0].Rotation() != 0 {
			t.Errorf("server %d has %v", i, refs)
		}
	}
	// Where neither can be done, both are said.
	agents := p.fail()
	agents.write = errors.New("the disk is full")
	if err := os.Remove(p.files[1].Path); err != nil {
		t.Fatal(err)
	}
	if _, err := p.r.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	c = meta.FindStatusCondition(p.object().Status.Conditions, v1alpha1.ConditionReady)
	if c == nil || c.Reason != string(escrowFailed) || !strings.Contains(c.Message, "recipients") || !strings.Contains(c.Message, "the disk is full") {
		t.Errorf("it says %+v", c)
	}
}

// Whoever swaps the recipients gets every key, so that is told, once, and nothing else is.
func TestOtherRecipientsAreTold(t *testing.T) {
	p := newPlace(t)
	told := p.r.Events.(*events.FakeRecorder).Events
	recipients := func() (all []string) {
		for {
			select {
			case e := <-told:
				if strings.Contains(e, reasonRecipientsChanged) {
					all = append(all, e)
				}
			default:
				return all
			}
		}
	}
	p.run(encryption.Proven)
	p.rotate()
	p.run(encryption.OldKeyRemoved)
	p.load()
	p.run(encryption.Proven)
	if all := recipients(); len(all) != 0 {
		t.Errorf("while nobody changed them: %q", all)
	}
	theirs, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	p.ask(func(s *v1alpha1.SecretEncryptionSpec) { s.Escrow.Recipients = []string{theirs.Recipient().String()} })
	p.identity = theirs
	for range 5 {
		p.step()
		p.load()
	}
	key, to := p.config(0).WriteRef().String(), p.object().Status.Escrow[len(p.object().Status.Escrow)-1].Recipients
	if all := recipients(); len(all) != 1 || !strings.HasPrefix(all[0], "Warning ") || !strings.Contains(all[0], key) || !strings.Contains(all[0], to) {
		t.Errorf("it tells %q, not of %s for %s", all, key, to)
	}
}

// What nodes keep is put in escrow before they forget it, or nothing goes on.
func TestWhatIsKeptIsNotForgottenUnescrowed(t *testing.T) {
	p := newPlace(t)
	agents := p.fail()
	agents.kept = errors.New("it cannot be read")
	for range 20 {
		p.step()
		p.load()
	}
	if p.ready() != string(escrowFailed) || len(p.config(0).Refs()) != 1 {
		t.Errorf("it goes on: %s, %v", p.ready(), p.config(0))
	}
	agents.kept = nil
	p.run(encryption.Proven)
}

// A name behind which there are several servers is none of them, even where each look
// finds three.
func TestALoadBalancerIsNoServer(t *testing.T) {
	p := newPlace(t)
	p.run(encryption.Proven)
	own, balanced, looks := p.r.Servers[2].Loaded, true, 0
	p.registered["another"] = "apiserver-another"
	p.r.Servers[2].Loaded = func(ctx context.Context) (apiserver.Loaded, error) {
		loaded, err := own(ctx)
		if looks++; balanced && looks%2 == 1 {
			loaded.ID = "another" // which runs with the same file
		}
		return loaded, err
	}
	p.rotate()
	for range 10 {
		p.step()
		p.load()
	}
	if p.ready() != string(encryption.ServerUnseen) || len(p.config(0).Refs()) != 1 {
		t.Errorf("it goes on: %s, %v", p.ready(), p.config(0))
	}
	// It gets an address of its own, and the other one is taken away.
	balanced = false
	delete(p.registered, "another")
	p.run(encryption.OldKeyRemoved)
}
