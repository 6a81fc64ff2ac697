package workflow

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/memory"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
)

// maxUnstored bounds the bundles that are remembered until they are stored, in bytes.
const maxUnstored = 16 << 20

// unstored are bundles that the log has and no record has yet: the log did not take the
// second one, a quota is used up, or the record was written to meanwhile. Without them each
// attempt would add other entries to the log, which nobody can take back. Its zero value is
// ready.
type unstored struct {
	once    sync.Once
	bundles *memory.Memory[types.UID, logged]
}

// logged is what of a statement, by its digest, and of its summary is in the log.
type logged struct {
	statement      artifact.Digest
	bundle, summed []byte
}

func (u *unstored) all() *memory.Memory[types.UID, logged] {
	u.once.Do(func() { u.bundles = memory.New[types.UID, logged](maxUnstored) })
	return u.bundles
}

// of is what is in the log of a statement about a workflow, as far as it counts under the keys
// of now. The summary says when it was made, so it is another one each time; the first of
// them is as good.
func (u *unstored) of(workflow types.UID, payload []byte, keys *keyring.Material) logged {
	statement := digestOf(payload)
	known, is := u.all().Get(workflow)
	if !is || known.statement != statement {
		return logged{statement: statement}
	}
	for _, bundle := range [][]byte{known.bundle, known.summed} {
		if len(bundle) == 0 {
			continue
		}
		if _, err := keys.Root.Payload(bundle); err != nil {
			return logged{statement: statement}
		}
	}
	return known
}

// log records a payload, if that is not there yet, and remembers it.
func (u *unstored) log(ctx context.Context, workflow types.UID, keys *keyring.Material, l *logged, bundle *[]byte, payload []byte) error {
	if len(*bundle) > 0 {
		return nil
	}
	made, err := record(ctx, keys, payload)
	if err != nil {
		return err
	}
	*bundle = made
	u.all().Add(workflow, *l, len(l.bundle)+len(l.summed))
	return nil
}
