package controller

import (
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// ask changes what is wanted.
func (p *place) ask(change func(*v1alpha1.SecretEncryptionSpec)) {
	p.t.Helper()
	o := p.object()
	change(&o.Spec)
	o.Generation++
	if err := p.r.Client.Update(p.t.Context(), o); err != nil {
		p.t.Fatal(err)
	}
}

// askPlugin wants the plugin of a name.
func (p *place) askPlugin(name string) {
	p.t.Helper()
	p.ask(func(s *v1alpha1.SecretEncryptionSpec) {
		s.Provider = "kms"
		s.KMS = &v1alpha1.SecretKMS{Name: name, Endpoint: "unix:///run/" + name + ".sock", Timeout: metav1.Duration{Duration: 3 * time.Second}}
	})
}

// onlyPlugin fails unless each file has the plugin of a name alone.
func (p *place) onlyPlugin(name string) {
	p.t.Helper()
	for i := range p.files {
		if refs := p.config(i).Refs(); len(refs) != 1 || refs[0] != (encryption.Ref{Provider: encryption.KMS, Name: name}) {
			p.t.Errorf("server %d has %v", i, refs)
		}
	}
}

// From a key to a plugin, on to that plugin's next key, to another plugin, and back to a
// key. Each is proven, and nothing of a plugin is said to be in escrow.
func TestAPluginIsSetUpRotatedAndLeft(t *testing.T) {
	p := newPlace(t)
	p.keyIDs = [3]string{"first", "first", "first"}
	p.run(encryption.Proven)
	escrowed := len(p.object().Status.Escrow)

	p.askPlugin("one")
	p.run(encryption.WriteKeyChanged)
	p.run(encryption.Proven)
	p.onlyPlugin("one")
	o := p.object()
	first := encryption.IDHash("first")
	if proof := o.Status.Proof; proof == nil || proof.Summary != "5/5" || proof.Key != "kms/one@"+first[:23] || o.Status.Key.IDHash != first || !o.Status.Key.CreatedAt.IsZero() {
		t.Errorf("it says %+v, %+v", o.Status.Proof, o.Status.Key)
	}
	if c := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionEncrypted); c == nil || c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "not in escrow") {
		t.Errorf("it says %+v", c)
	}
	if len(o.Status.Escrow) != escrowed {
		t.Errorf("%d keys are in escrow, of %d that were made", len(o.Status.Escrow), escrowed)
	}

	p.keyIDs = [3]string{"next", "next", "next"}
	p.run(encryption.Migrating) // no file changes for it
	p.run(encryption.Proven)
	if key := p.object().Status.Proof.Key; key != "kms/one@"+encryption.IDHash("next")[:23] {
		t.Errorf("after another key it says %s", key)
	}

	p.askPlugin("two")
	p.run(encryption.WriteKeyChanged)
	p.run(encryption.Proven)
	p.onlyPlugin("two")

	p.ask(func(s *v1alpha1.SecretEncryptionSpec) { s.Provider, s.KMS = "secretbox", nil })
	p.run(encryption.WriteKeyChanged)
	p.run(encryption.Proven)
	if write := p.config(2).WriteRef(); write.Provider != encryption.Secretbox || len(p.config(2).Refs()) != 1 {
		t.Errorf("in the end the files have %v", p.config(2))
	}
}

// A server that cannot use the plugin, or whose plugin writes with another key than the
// others', lets nobody write with it: what one wrote another might not read.
func TestNobodyWritesWithAPluginThatOneServerCannotUse(t *testing.T) {
	for what, c := range map[string]struct {
		spoil, mend func(*place)
		reason      encryption.Reason
	}{
		"it is broken": {
			spoil: func(p *place) { p.broken[2] = errors.New("broken") }, mend: func(p *place) { p.broken[2] = nil }, reason: encryption.PluginUnusable,
		},
		"it has another key": {
			spoil: func(p *place) { p.keyIDs[2] = "other" }, mend: func(p *place) { p.keyIDs[2] = "first" }, reason: encryption.PluginKeysDiffer,
		},
		"its server does not load the file": {
			spoil: func(p *place) { p.refuses[2] = true }, mend: func(p *place) { p.refuses[2] = false; p.load() }, reason: encryption.FileRefused,
		},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPlace(t)
			p.keyIDs = [3]string{"first", "first", "first"}
			p.run(encryption.Proven)
			c.spoil(p)
			p.askPlugin("one")
			p.run(c.reason)
			for range 20 {
				p.step()
				p.load()
			}
			for i := range p.files {
				if write := p.config(i).WriteRef(); write.Provider != encryption.Secretbox {
					t.Errorf("server %d writes with %s", i, write)
				}
			}
			if c := meta.FindStatusCondition(p.object().Status.Conditions, v1alpha1.ConditionStalled); c == nil || c.Status != metav1.ConditionTrue {
				t.Errorf("it says %+v", c)
			}
			c.mend(p)
			p.run(encryption.Proven)
			p.onlyPlugin("one")
		})
	}
}
