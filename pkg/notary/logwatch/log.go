package logwatch

import (
	"context"
	"crypto"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/argoseal/argoseal/pkg/seal"
)

// Guard is a log that is added to only while it holds to what it has signed.
func (w *Watcher) Guard(log seal.Log) seal.Log { return guarded{w, log} }

type guarded struct {
	watcher *Watcher
	log     seal.Log
}

// Append implements seal.Log. An entry among those that the log is known to have had
// before it was asked is of a log that began again: nobody gets its proof. The checkpoint
// that comes with it is compared with what the log shows, by the next look.
func (g guarded) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	had, err := g.watcher.May()
	if err != nil {
		g.watcher.wake() // somebody waits
		return nil, notLogged(err)
	}
	entry, err := g.log.Append(ctx, envelope, key)
	if err != nil {
		return nil, err
	}
	err = g.watcher.answered(had, entry, envelope)
	if err != nil || g.watcher.crowded() {
		g.watcher.wake()
	}
	if err != nil {
		return nil, err
	}
	return entry, nil
}
