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

// Append implements seal.Log. If the new entry has a place among those that the log
// had before, the log has begun again, and nobody gets its proof. The next look
// compares the checkpoint that came with the entry with what the log shows.
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
