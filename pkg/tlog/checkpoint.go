package tlog

import (
	"cmp"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	formats "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"

	"github.com/argoseal/argoseal/pkg/reason"
)

// Bounds of what is parsed, in bytes.
const (
	maxCheckpoint  = 16 << 10
	maxTrustedRoot = 1 << 20
	hashSize       = 32
)

// Log is a log by its key and the origin of its checkpoints.
type Log struct {
	// URL is the log's base URL, as the trusted root has it.
	URL string
	// Origin is the first line of its checkpoints: the URL's host.
	Origin string
	// ID is what Rekor v2 calls the log, in hex: made of origin and key.
	ID         string
	start, end time.Time
	verifier   note.Verifier
}

// Logs are the logs of a trusted_root.json that can sign checkpoints in the manner of
// Rekor v2, in the order of their ids. Those whose key or id is of another kind are left
// out: no checkpoint opens under them.
func Logs(trustedRootJSON []byte) ([]Log, error) {
	if len(trustedRootJSON) > maxTrustedRoot {
		return nil, fmt.Errorf("trusted root has %d bytes, at most %d are allowed", len(trustedRootJSON), maxTrustedRoot)
	}
	parsed, err := root.NewTrustedRootFromJSON(trustedRootJSON)
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	var logs []Log
	for id, l := range parsed.RekorLogs() {
		made, err := newLog(l.BaseURL, l.PublicKey)
		if err != nil || made.ID != id {
			continue
		}
		made.start, made.end = l.ValidityPeriodStart, l.ValidityPeriodEnd
		logs = append(logs, made)
	}
	slices.SortFunc(logs, func(a, b Log) int { return cmp.Compare(a.ID, b.ID) })
	return logs, nil
}

// maxLive bounds how many logs of one base URL are asked for.
const maxLive = 8

// Live are the logs with this base URL whose time is not over, the one that began
// last first. A log that gets another key is there under both keys for as long as
// both are published. A checkpoint's signature says under which it is: see OpenAny.
func Live(logs []Log, baseURL string, now time.Time) ([]Log, error) {
	live := slices.DeleteFunc(slices.Clone(logs), func(l Log) bool {
		over := !l.end.IsZero() && now.After(l.end)
		return over || strings.TrimRight(l.URL, "/") != strings.TrimRight(baseURL, "/")
	})
	if len(live) == 0 || len(live) > maxLive {
		return nil, fmt.Errorf("the trusted root has %d logs at %.200s whose time is not over and that sign checkpoints as Rekor v2 does, want 1 to %d", len(live), baseURL, maxLive)
	}
	slices.SortFunc(live, func(a, b Log) int { return cmp.Or(b.start.Compare(a.start), cmp.Compare(a.ID, b.ID)) })
	return live, nil
}

// End is the end of the log's time, as the trusted root has it; zero: there is none.
func (l Log) End() time.Time { return l.end }

func newLog(baseURL string, key crypto.PublicKey) (Log, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return Log{}, fmt.Errorf("base URL: %w", err)
	}
	_, id, err := rekornote.KeyHash(u.Hostname(), key)
	if err != nil {
		return Log{}, fmt.Errorf("id: %w", err)
	}
	check, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return Log{}, fmt.Errorf("key: %w", err)
	}
	verifier, err := rekornote.NewNoteVerifier(u.Hostname(), check)
	if err != nil {
		return Log{}, fmt.Errorf("key: %w", err)
	}
	return Log{URL: baseURL, Origin: u.Hostname(), ID: hex.EncodeToString(id), verifier: verifier}, nil
}

// Checkpoint is what a log signed of itself: how many entries it has, and the root of
// the tree of them.
type Checkpoint struct {
	Size uint64
	Root []byte
	// Text is the signed note.
	Text string
}

// Open reads a checkpoint that this log signed; any other is LogEntryInvalid.
func (l Log) Open(text []byte) (*Checkpoint, error) {
	switch {
	case l.verifier == nil:
		return nil, errors.New("no log is given")
	case len(text) > maxCheckpoint:
		return nil, reason.New(reason.LogEntryInvalid, "a checkpoint has at most %d bytes", maxCheckpoint)
	}
	c, _, _, err := formats.ParseCheckpoint(text, l.Origin, l.verifier)
	switch {
	case err != nil:
		return nil, reason.Wrap(reason.LogEntryInvalid, err, "it is no checkpoint that the log %.200s signed: %.200v", l.Origin, err)
	case c.Size > math.MaxInt64 || len(c.Hash) != hashSize:
		return nil, reason.New(reason.LogEntryInvalid, "the log %.200s signed a checkpoint of no tree: %d entries, a root of %d bytes", l.Origin, c.Size, len(c.Hash))
	}
	return &Checkpoint{Size: c.Size, Root: c.Hash, Text: string(text)}, nil
}

// OpenAny reads a checkpoint that one of the logs signed, and says which: the first of
// those that did.
func OpenAny(logs []Log, text []byte) (Log, *Checkpoint, error) {
	var err error = reason.New(reason.LogEntryInvalid, "the trusted root has no log that signs checkpoints as Rekor v2 does")
	for _, l := range logs {
		var c *Checkpoint
		if c, err = l.Open(text); err == nil {
			return l, c, nil
		}
	}
	return Log{}, nil, err
}
