package controller

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// As long as it is not certain that every API server of the cluster is asked, nothing is
// done: one that is left out could not read what the others write.
func TestAnAPIServerThatIsLeftOutHoldsEverythingBack(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*place)
		mend   func(*place)
		reason encryption.Reason
		says   string
	}{
		"one that nobody named": {
			change: func(p *place) { p.registered["3"] = "apiserver-3" },
			mend:   func(p *place) { delete(p.registered, "3") },
			reason: encryption.ServerUnnamed, says: "apiserver-3",
		},
		"one of another cluster in its place": {
			change: func(p *place) { delete(p.registered, "2"); p.registered["3"] = "apiserver-3" },
			mend:   func(p *place) { delete(p.registered, "3"); p.registered["2"] = "apiserver-2" },
			reason: encryption.ServerUnseen, says: "another cluster's",
		},
		"nobody can tell": {
			change: func(p *place) { p.uncounted = errors.New("leases are forbidden") },
			mend:   func(p *place) { p.uncounted = nil },
			reason: encryption.ServerUnseen, says: "leases are forbidden",
		},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPlace(t)
			c.change(p)
			for range 20 {
				p.step()
				p.load()
			}
			ready := meta.FindStatusCondition(p.object().Status.Conditions, v1alpha1.ConditionReady)
			if ready == nil || ready.Reason != string(c.reason) || !strings.Contains(ready.Message, c.says) || !p.config(0).Equal(encryption.Off()) {
				t.Fatalf("it says %+v, and the file is %v", ready, p.config(0))
			}
			c.mend(p)
			p.run(encryption.Proven)
		})
	}
}

// While a list of an old revision can still be read from etcd, the key that it lies under
// stays, however long nothing new has lain under it.
func TestOldRevisionsHoldTheKey(t *testing.T) {
	p := newPlace(t)
	p.run(encryption.Proven)
	first := p.config(0).WriteRef()
	p.rotate()
	p.history, p.asked = true, 0
	p.run(encryption.Settling)
	for range 40 { // twenty minutes
		p.step()
		p.load()
	}
	if p.ready() != string(encryption.Settling) || !p.config(0).Reads(first) || p.asked != reading(nil).Revision() {
		t.Fatalf("it says %s, asked for what is before %d, and the file is %v", p.ready(), p.asked, p.config(0))
	}
	for i := range p.files {
		if p.kept(i) < 3 {
			t.Errorf("server %d has forgotten files while their keys are needed", i)
		}
	}
	p.history = false
	p.run(encryption.OldKeyRemoved)
}
