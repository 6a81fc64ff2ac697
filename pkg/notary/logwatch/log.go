package logwatch

import (
	"context"
	"crypto"
	"fmt"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
)

// Guard is a log that is added to only while it holds to what it has signed.
func (w *Watcher) Guard(log seal.Log) seal.Log { return guarded{w, log} }

type guarded struct {
	watcher *Watcher
	log     seal.Log
}

// Append implements seal.Log. An entry among those that the log is known to have had
// before it was asked is of a log that began again: nobody gets its proof.
func (g guarded) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	had, err := g.watcher.May()
	if err != nil {
		g.watcher.wake() // somebody waits
		return nil, fmt.Errorf("%w: %w", seal.ErrNotLogged, err)
	}
	entry, err := g.log.Append(ctx, envelope, key)
	if err != nil {
		return nil, err
	}
	if index := entry.GetLogIndex(); index < 0 || uint64(index) < had {
		g.watcher.wake()
		return nil, reason.New(reason.LogRolledBack, "the log had %d entries, and gives a new one the index %d", had, index)
	}
	return entry, nil
}
