package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tlog"
	"github.com/argoseal/argoseal/pkg/tlog/tlogtest"
)

// entryOf is a bundle that says which entry it is in the log of a key.
func entryOf(t *testing.T, k tlogtest.Key, index int64, body string) []byte {
	t.Helper()
	id := make([]byte, 0, 32)
	for i := 0; i < len(k.Log(t).ID); i += 2 {
		var b byte
		for _, c := range k.Log(t).ID[i : i+2] {
			b = b<<4 | byte(strings.IndexRune("0123456789abcdef", c))
		}
		id = append(id, b)
	}
	return sealtest.JSON(t, &protobundle.Bundle{VerificationMaterial: &protobundle.VerificationMaterial{TlogEntries: []*protorekor.TransparencyLogEntry{
		{LogIndex: index, LogId: &protocommon.LogId{KeyId: id}, CanonicalizedBody: []byte(body)},
	}}})
}

func TestALogIsCopiedAndAudited(t *testing.T) {
	k, dir := tlogtest.NewKey(t), t.TempDir()
	k.Grow(t, dir, "entry", 0, 300)
	server := httptest.NewServer(tlog.Handler(os.DirFS(dir)))
	t.Cleanup(server.Close)
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	tlogtest.Must(t, os.WriteFile(root, k.TrustedRoot, 0o600))
	copied := filepath.Join(t.TempDir(), "copy")

	code, out, stderr := command(t, "", "log", "copy", server.URL, copied, "--trusted-root", root)
	if code != 0 || !strings.Contains(out, "has 300 entries") {
		t.Fatalf("%d: %s%s", code, out, stderr)
	}
	k.Grow(t, dir, "entry", 300, 700)
	if code, out, stderr = command(t, "", "log", "copy", server.URL, copied, "--trusted-root", root); code != 0 || !strings.Contains(out, "has 700 entries") {
		t.Fatalf("a copy that goes on: %d: %s%s", code, out, stderr)
	}

	if !strings.Contains(out, "(id "+k.Log(t).ID+")") {
		t.Errorf("it does not say which log it is: %s", out)
	}

	at := func(index int) string {
		var entry string
		tlogtest.Must(t, tlog.Audit(t.Context(), tlogtest.Folder(t, dir), k.Checkpoint(t, dir), func(i uint64, e []byte) error {
			if i == uint64(index) {
				entry = string(e)
			}
			return nil
		}))
		return entry
	}
	for name, c := range map[string]struct {
		bundle []byte
		code   int
		says   string
	}{
		"in it":          {entryOf(t, k, 299, at(299)), 0, "1 seals are in it"},
		"at the end":     {entryOf(t, k, 699, at(699)), 0, "1 seals are in it"},
		"of another log": {entryOf(t, tlogtest.NewKey(t), 1, "x"), 5, "none of the 1 seals"},
		"another entry":  {entryOf(t, k, 298, at(299)), 5, "LogEntryInvalid"},
		"beyond the end": {entryOf(t, k, 700, "x"), 5, "LogEntryInvalid"},
		"without a body": {entryOf(t, k, 1, ""), 5, "LogEntryInvalid"},
		"no entry":       {[]byte("{}"), 5, "LogEntryInvalid"},
		"no bundle":      {[]byte("seal"), 3, "BundleInvalid"},
	} {
		t.Run(name, func(t *testing.T) {
			seals := t.TempDir()
			tlogtest.Must(t, os.MkdirAll(filepath.Join(seals, "ns"), 0o700))
			tlogtest.Must(t, os.WriteFile(filepath.Join(seals, "ns", "uid.sigstore.json"), c.bundle, 0o600))
			if code, out, stderr := command(t, "", "log", "audit", copied, "--bundles", seals, "--trusted-root", root); code != c.code || !strings.Contains(out+stderr, c.says) {
				t.Errorf("%d: %s%s", code, out, stderr)
			}
		})
	}

	// One of several may be of another log; and a log whose time is over says so.
	seals := t.TempDir()
	tlogtest.Must(t, os.WriteFile(filepath.Join(seals, "a.json"), entryOf(t, k, 299, at(299)), 0o600))
	tlogtest.Must(t, os.WriteFile(filepath.Join(seals, "b.json"), entryOf(t, tlogtest.NewKey(t), 1, "x"), 0o600))
	over := filepath.Join(t.TempDir(), "trusted_root.json")
	tlogtest.Must(t, os.WriteFile(over, bytes.Replace(k.TrustedRoot, []byte(`"start":`), []byte(`"end": "2026-11-30T00:00:00Z", "start":`), 1), 0o600))
	code, out, stderr = command(t, "", "log", "audit", copied, "--bundles", seals, "--trusted-root", over)
	if code != 0 || !strings.Contains(out, "1 seals are in it; 1 are of other logs") || !strings.Contains(out, "whose time ends at 2026-11-30T00:00:00Z") {
		t.Errorf("%d: %s%s", code, out, stderr)
	}

	tlogtest.Must(t, os.Truncate(filepath.Join(copied, "tile/entries/001"), 100))
	if code, out, stderr := command(t, "", "log", "audit", copied, "--trusted-root", root); code != 26 {
		t.Errorf("a spoilt copy: %d: %s%s", code, out, stderr)
	}
	other := filepath.Join(t.TempDir(), "trusted_root.json")
	tlogtest.Must(t, os.WriteFile(other, tlogtest.NewKey(t).TrustedRoot, 0o600))
	for name, args := range map[string][]string{
		"under another root": {copied, "--trusted-root", other},
		"without a folder":   {filepath.Join(copied, "none"), "--trusted-root", root},
		"without seals":      {copied, "--trusted-root", root, "--bundles", t.TempDir()},
		"without a root":     {copied, "--trusted-root", filepath.Join(copied, "none")},
	} {
		if code, out, _ := command(t, "", append([]string{"log", "audit"}, args...)...); code == 0 {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// A copy goes on only where the log has what it had. Else what was signed before stays, and
// both are there to prove it.
func TestACopyKeepsWhatTheLogHasSignedBefore(t *testing.T) {
	k := tlogtest.NewKey(t)
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	for name, c := range map[string]struct {
		entry       string
		from, to    int
		other       bool // of another key
		code        int
		says, saved string
	}{
		"rolled back":           {"entry", 0, 290, false, 25, "LogRolledBack", "checkpoint.290-*"},
		"forked, and longer":    {"other", 0, 320, false, 24, "LogForked", "checkpoint.320-*"},
		"forked, and as long":   {"other", 0, 300, false, 24, "LogForked", "checkpoint.300-*"},
		"under another key":     {"entry", 0, 320, true, reason.UsageInvalid.ExitCode(), "another folder", ""},
		"as it was":             {"entry", 0, 300, false, 0, "has 300 entries", ""},
		"longer, the same tree": {"entry", 0, 320, false, 0, "has 320 entries", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, now, copied, key := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "copy"), k
			k.Grow(t, dir, "entry", 0, 300)
			if c.other {
				key = tlogtest.NewKey(t)
			}
			key.Grow(t, now, c.entry, c.from, c.to)
			tlogtest.Must(t, os.WriteFile(root, tlogtest.Both(t, k, key), 0o600))
			if !c.other {
				tlogtest.Must(t, os.WriteFile(root, k.TrustedRoot, 0o600))
			}
			served := dir
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tlog.Handler(os.DirFS(served)).ServeHTTP(w, r) }))
			t.Cleanup(server.Close)
			if code, out, stderr := command(t, "", "log", "copy", server.URL, copied, "--trusted-root", root); code != 0 {
				t.Fatalf("%d: %s%s", code, out, stderr)
			}
			had, err := os.ReadFile(filepath.Join(copied, "checkpoint"))
			tlogtest.Must(t, err)
			served = now
			code, out, stderr := command(t, "", "log", "copy", server.URL, copied, "--trusted-root", root)
			if code != c.code || !strings.Contains(out+stderr, c.says) {
				t.Errorf("%d: %s%s", code, out, stderr)
			}
			is, err := os.ReadFile(filepath.Join(copied, "checkpoint"))
			tlogtest.Must(t, err)
			if c.code != 0 && !bytes.Equal(is, had) {
				t.Error("the checkpoint from before is written over")
			}
			saved, err := filepath.Glob(filepath.Join(copied, "checkpoint.*-*"))
			tlogtest.Must(t, err)
			if c.saved == "" {
				if len(saved) != 0 {
					t.Errorf("there is %q", saved)
				}
				return
			}
			if len(saved) != 1 {
				t.Fatalf("there is %q", saved)
			}
			if ok, _ := filepath.Match(c.saved, filepath.Base(saved[0])); !ok {
				t.Errorf("there is %q, want %s", saved, c.saved)
			}
			raw, err := os.ReadFile(saved[0])
			tlogtest.Must(t, err)
			if raw := string(raw); raw != k.Checkpoint(t, now).Text {
				t.Errorf("what is kept is not what the log shows: %s", raw)
			}
		})
	}
}
