package logwatch

import (
	"context"
	"crypto"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/argoseal/argoseal/pkg/seal"
)

// Guard is a log that is added to only while it holds to what it has signed.
func (w *Watcher) Guard(log seal.Log) seal.Log {
	return guarded{w, func(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey, _ uint64, _ Late) (*protorekor.TransparencyLogEntry, error) {
		return log.Append(ctx, envelope, key)
	}}
}

// Late takes what a log answers after it has proven the entry otherwise.
type Late = func(*protorekor.TransparencyLogEntry)

// AppendAfter appends to a log that is known to have so many entries, of which the new one
// is none. It may give the entry before the log answers.
type AppendAfter func(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey, had uint64, late Late) (*protorekor.TransparencyLogEntry, error)

// GuardEarly is Guard of a log that may prove an entry before it answers. What it answers
// late is compared with what it shows, too.
func (w *Watcher) GuardEarly(add AppendAfter) seal.Log { return guarded{w, add} }

type guarded struct {
	watcher *Watcher
	add     AppendAfter
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
	// A late answer keeps the name alone: it may come long after, and an envelope is large.
	name, proven := nameOf(envelope), make(chan int64, 1)
	defer close(proven)
	entry, err := g.add(ctx, envelope, key, had.size, func(entry *protorekor.TransparencyLogEntry) {
		name := name
		if index, is := <-proven; is && index == entry.GetLogIndex() {
			name = "" // that entry is known by name
		}
		if err := g.heard(had, entry, name); err != nil {
			g.watcher.Log.Error(err, "The transparency log's late answer does not hold")
		}
	})
	if err != nil {
		return nil, err
	}
	proven <- entry.GetLogIndex()
	if err := g.heard(had, entry, name); err != nil {
		return nil, err
	}
	return entry, nil
}

// heard takes an answer in, and has the log looked at if it does not hold, or there are many.
func (g guarded) heard(had standing, entry *protorekor.TransparencyLogEntry, name string) error {
	err := g.watcher.answered(had, entry, name)
	if err != nil || g.watcher.crowded() {
		g.watcher.wake()
	}
	return err
}
