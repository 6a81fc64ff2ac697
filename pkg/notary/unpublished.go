package notary

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/memory"
	"github.com/argoseal/argoseal/pkg/seal"
)

// maxUnpublished bounds the seals that are remembered until they are stored, in bytes: some
// 700 of usual ones.
const maxUnpublished = 16 << 20

// unpublished are seals that the log has and the API server has not taken yet: a quota is
// used up, somebody's webhook is away, etcd is full. Without them each attempt would add
// another entry to the log, which nobody can take back. Its zero value is ready.
type unpublished struct {
	once  sync.Once
	seals *memory.Memory[types.UID, loggedSeal]
}

// loggedSeal is one of them.
type loggedSeal struct {
	signed *seal.Signed
	bundle []byte
	noted  []v1alpha1.OutputStatus
	put    *placed
}

// placed are the ArtifactSeals of a pod that are there, by name: the next attempt goes on
// with the others.
type placed struct {
	mu    sync.Mutex
	names map[string]bool
}

func (p *placed) has(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.names[name]
}

func (p *placed) add(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names == nil {
		p.names = map[string]bool{}
	}
	p.names[name] = true
}

func (u *unpublished) all() *memory.Memory[types.UID, loggedSeal] {
	u.once.Do(func() { u.seals = memory.New[types.UID, loggedSeal](maxUnpublished) })
	return u.seals
}

// logged is the verified bundle of the pod, from an attempt before if there was one that came
// so far, and it still counts: then nothing is stated, signed and logged anew.
func (t *task) logged(ctx context.Context) ([]byte, error) {
	if known, is := t.unpublished.all().Get(t.key.UID); is && t.counts(known) {
		// Nothing is set aside of the budget: that was asked before this was logged, and what
		// was stored since is counted already.
		t.signed, t.noted, t.put = known.signed, known.noted, known.put
		return known.bundle, t.roomFor(ctx, len(known.signed.Payload()))
	}
	if err := t.sign(ctx); err != nil {
		return nil, err
	}
	bundle, err := t.entry(ctx)
	if err != nil {
		return nil, err
	}
	t.put = &placed{}
	t.unpublished.all().Add(t.key.UID, loggedSeal{t.signed, bundle, t.noted, t.put}, sizeOfLogged(t.signed, bundle, t.noted))
	return bundle, nil
}

// sizeOfLogged is what one takes, in bytes: beside the bundle and the payload the envelope, and
// the statement that was read of it; what is known of each output; and a name of what was put.
func sizeOfLogged(signed *seal.Signed, bundle []byte, noted []v1alpha1.OutputStatus) int {
	size := 2*len(bundle) + 4*len(signed.Payload())
	for i := range noted {
		size += sizeOfOutput + len(noted[i].Files) + len(noted[i].Location) + sizeOfImage*len(noted[i].Images)
	}
	return size
}

// counts says whether a seal is what the record would go on with, under the keys of now.
func (t *task) counts(known loggedSeal) bool {
	if on := t.record.Status.Envelope; on != "" && on != string(known.signed.Envelope()) {
		return false
	}
	_, err := t.keys.Root.InspectRecorded(known.bundle, t.record.CreationTimestamp.Time)
	return err == nil
}
