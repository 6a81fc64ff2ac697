// Package tlogtest makes transparency logs in folders for tests, with what Rekor v2 writes
// them with.
package tlogtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/tlog"
)

// URL is the base URL of every log here, and Host the origin of its checkpoints.
const (
	Host = "localhost"
	URL  = "http://" + Host + ":3003"
)

// Key is the key of a log. Two logs with one key are one log that has forked.
type Key struct {
	// Private is the key, PEM, and TrustedRoot the trusted_root.json that has it.
	Private, TrustedRoot []byte
}

// NewKey makes a key.
func NewKey(t testing.TB) Key {
	t.Helper()
	private, public, err := seal.NewLogKey()
	Must(t, err)
	root, err := seal.TrustedRootJSON(URL, public, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	Must(t, err)
	return Key{private, root}
}

// Both is a trusted root that has the logs of two keys.
func Both(t testing.TB, a, b Key) []byte {
	t.Helper()
	var first, second map[string]any
	Must(t, json.Unmarshal(a.TrustedRoot, &first))
	Must(t, json.Unmarshal(b.TrustedRoot, &second))
	first["tlogs"] = append(first["tlogs"].([]any), second["tlogs"].([]any)...)
	raw, err := json.Marshal(first)
	Must(t, err)
	return raw
}

// Log is the log of that key.
func (k Key) Log(t testing.TB) tlog.Log {
	t.Helper()
	all, err := tlog.Logs(k.TrustedRoot)
	Must(t, err)
	live, err := tlog.Live(all, URL+"/", time.Now())
	Must(t, err)
	return live[0]
}

func (k Key) signer(ctx context.Context, t testing.TB) note.Signer {
	t.Helper()
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(k.Private, cryptoutils.SkipPassword)
	Must(t, err)
	signer, err := signature.LoadDefaultSignerVerifier(private)
	Must(t, err)
	signs, err := rekornote.NewNoteSigner(ctx, Host, signer)
	Must(t, err)
	return signs
}

// Signed is a note of any text that the log signed.
func (k Key) Signed(t testing.TB, text string) []byte {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: text}, k.signer(t.Context(), t))
	Must(t, err)
	return signed
}

// Grow adds entries, named and numbered, to the log in a folder, which may be empty, and
// waits until they are published.
func (k Key) Grow(t testing.TB, dir, name string, from, to int) {
	t.Helper()
	var bodies [][]byte
	for i := from; i < to; i++ {
		bodies = append(bodies, []byte(fmt.Sprintf("%s %d", name, i)))
	}
	k.Add(t, dir, bodies...)
}

// Add is Grow with entries of these bodies.
func (k Key) Add(t testing.TB, dir string, bodies ...[]byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	signs := k.signer(ctx, t)
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	Must(t, err)
	appender, stop, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signs).WithCheckpointInterval(100*time.Millisecond).WithBatching(256, 10*time.Millisecond))
	Must(t, err)
	await := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 10*time.Millisecond)
	var added []tessera.IndexFuture
	for _, body := range bodies {
		added = append(added, appender.Add(ctx, tessera.NewEntry(body)))
	}
	for _, a := range added {
		_, _, err := await.Await(ctx, a)
		Must(t, err)
	}
	Must(t, stop(ctx))
}

// Checkpoint is the newest one in a folder.
func (k Key) Checkpoint(t testing.TB, dir string) *tlog.Checkpoint {
	t.Helper()
	raw, err := tlog.ReadCheckpoint(t.Context(), Folder(t, dir))
	Must(t, err)
	c, err := k.Log(t).Open(raw)
	Must(t, err)
	return c
}

// Folder reads the log in a folder.
func Folder(t testing.TB, dir string) tlog.Folder {
	t.Helper()
	root, err := os.OpenRoot(dir)
	Must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return tlog.Folder{FS: root.FS()}
}

// Copy is a folder with what another has now.
func Copy(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	Must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// Must ends the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
