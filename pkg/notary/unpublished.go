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
// 2,000 of usual ones.
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
}

func (u *unpublished) all() *memory.Memory[types.UID, loggedSeal] {
	u.once.Do(func() { u.seals = memory.New[types.UID, loggedSeal](maxUnpublished) })
	return u.seals
}

// logged is the verified bundle of the pod, from an attempt before if there was one that came
// so far, and it still counts: then nothing is stated, signed and logged anew.
func (t *task) logged(ctx context.Context) ([]byte, error) {
	if known, is := t.unpublished.all().Get(t.key.UID); is && t.counts(known) {
		t.signed, t.noted = known.signed, known.noted
		return known.bundle, t.room(len(known.signed.Statement().Subjects), len(known.signed.Payload()))
	}
	if err := t.sign(ctx); err != nil {
		return nil, err
	}
	bundle, err := t.entry(ctx)
	if err != nil {
		return nil, err
	}
	size := 2*len(bundle) + len(t.signed.Payload())
	t.unpublished.all().Add(t.key.UID, loggedSeal{t.signed, bundle, t.noted}, size)
	return bundle, nil
}

// counts says whether a seal is what the record would go on with, under the keys of now.
func (t *task) counts(known loggedSeal) bool {
	if on := t.record.Status.Envelope; on != "" && on != string(known.signed.Envelope()) {
		return false
	}
	_, err := t.keys.Root.InspectRecorded(known.bundle, t.record.CreationTimestamp.Time)
	return err == nil
}
