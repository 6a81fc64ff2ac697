package tlog_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tlog"
	"github.com/argoseal/argoseal/pkg/tlog/tlogtest"
)

// Sizes around what a tile has (256), and powers of two.
func TestALogThatGrowsExtendsItself(t *testing.T) {
	k, dir := tlogtest.NewKey(t), t.TempDir()
	before := []*tlog.Checkpoint{{Size: 0}}
	at := 0
	for _, size := range []int{1, 2, 3, 255, 256, 257, 512, 700} {
		k.Grow(t, dir, "entry", at, size)
		at = size
		now := k.Checkpoint(t, dir)
		if now.Size != uint64(size) {
			t.Fatalf("the log has %d entries, want %d", now.Size, size)
		}
		before = append(before, now)
		for _, b := range before {
			if err := tlog.Extends(t.Context(), tlogtest.Folder(t, dir), b, now); err != nil {
				t.Errorf("%d to %d: %v", b.Size, now.Size, err)
			}
		}
	}
}

// Two logs under one key are what a fork is.
func TestAForkIsProven(t *testing.T) {
	k := tlogtest.NewKey(t)
	for _, size := range []int{1, 2, 3, 256, 300} { // of a power of two the proof begins with the root before
		dir, other := t.TempDir(), t.TempDir()
		k.Grow(t, dir, "entry", 0, size)
		before := k.Checkpoint(t, dir)
		k.Grow(t, other, "other", 0, size)
		same := k.Checkpoint(t, other)
		k.Grow(t, other, "other", size, size+5)
		longer := k.Checkpoint(t, other)
		for name, now := range map[string]*tlog.Checkpoint{"as long": same, "longer": longer} {
			if err := tlog.Extends(t.Context(), tlogtest.Folder(t, other), before, now); reason.Of(err) != reason.LogForked {
				t.Errorf("%d entries, %s: got %v, want %s", size, name, err, reason.LogForked)
			}
		}
	}
}

func TestARollbackIsProven(t *testing.T) {
	k, dir := tlogtest.NewKey(t), t.TempDir()
	k.Grow(t, dir, "entry", 0, 10)
	backup := tlogtest.Copy(t, dir)
	k.Grow(t, dir, "entry", 10, 12)
	before := k.Checkpoint(t, dir)
	if err := tlog.Extends(t.Context(), tlogtest.Folder(t, backup), before, k.Checkpoint(t, backup)); reason.Of(err) != reason.LogRolledBack {
		t.Errorf("an older volume: got %v, want %s", err, reason.LogRolledBack)
	}
	empty := t.TempDir()
	k.Grow(t, empty, "other", 0, 1)
	if err := tlog.Extends(t.Context(), tlogtest.Folder(t, empty), before, k.Checkpoint(t, empty)); reason.Of(err) != reason.LogRolledBack {
		t.Errorf("an empty volume: got %v, want %s", err, reason.LogRolledBack)
	}
	// One that has caught up again with other entries is a fork.
	k.Grow(t, backup, "other", 10, 20)
	if err := tlog.Extends(t.Context(), tlogtest.Folder(t, backup), before, k.Checkpoint(t, backup)); reason.Of(err) != reason.LogForked {
		t.Errorf("an older volume that went on: got %v, want %s", err, reason.LogForked)
	}
}

// Who serves tiles that are spoilt or lost has not forked the log.
func TestSpoiltTilesAreNoFork(t *testing.T) {
	k, dir := tlogtest.NewKey(t), t.TempDir()
	k.Grow(t, dir, "entry", 0, 300)
	before := k.Checkpoint(t, dir)
	k.Grow(t, dir, "entry", 300, 600)
	now := k.Checkpoint(t, dir)
	for name, spoil := range map[string]func(path string) error{
		"lost":   os.Remove,
		"short":  func(path string) error { return os.Truncate(path, 31) },
		"empty":  func(path string) error { return os.Truncate(path, 0) },
		"others": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{7}, 256*32), 0o600) },
		"large":  func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{7}, 256*32+1), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			spoilt := tlogtest.Copy(t, dir)
			tlogtest.Must(t, spoil(filepath.Join(spoilt, "tile/0/001")))
			err := tlog.Extends(t.Context(), tlogtest.Folder(t, spoilt), before, now)
			var refusal *reason.Error
			if err == nil || errors.As(err, &refusal) {
				t.Errorf("got %v, want an error that says that nothing is known", err)
			}
		})
	}
}

func TestCheckpointsOfOthersAreNotOpened(t *testing.T) {
	k, dir := tlogtest.NewKey(t), t.TempDir()
	k.Grow(t, dir, "entry", 0, 3)
	good := k.Checkpoint(t, dir).Text
	_, signature, _ := strings.Cut(good, "\n\n")
	signature = "\n\n" + signature
	for name, text := range map[string]string{
		"nothing":           "",
		"no signature":      strings.TrimSuffix(good, signature) + "\n",
		"another size":      strings.Replace(good, "\n3\n", "\n4\n", 1),
		"another origin":    strings.Replace(good, "localhost\n", "elsewhere\n", 1),
		"endless":           good + strings.Repeat(" ", 16<<10),
		"with another line": strings.Replace(good, "\n\n", "\nmore\n\n", 1),
	} {
		if c, err := k.Log(t).Open([]byte(text)); reason.Of(err) != reason.LogEntryInvalid {
			t.Errorf("%s: got %+v, %v, want %s", name, c, err, reason.LogEntryInvalid)
		}
	}
	// What is signed is held to be of a tree, too.
	root := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	for text, opens := range map[string]bool{
		"localhost\n3\n" + root + "\n":                   true,
		"localhost\n9223372036854775807\n" + root + "\n": true,
		"localhost\n9223372036854775808\n" + root + "\n": false,
		"localhost\n-1\n" + root + "\n":                  false,
		"localhost\n3\nAAAA\n":                           false,
		"localhost\n3\n" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 33)) + "\n": false,
	} {
		c, err := k.Log(t).Open(k.Signed(t, text))
		if (err == nil) != opens || err != nil && reason.Of(err) != reason.LogEntryInvalid {
			t.Errorf("signed %q: %+v, %v", text, c, err)
		}
	}
	if _, err := tlogtest.NewKey(t).Log(t).Open([]byte(good)); reason.Of(err) != reason.LogEntryInvalid {
		t.Errorf("under another key: got %v", err)
	}
	if _, err := (tlog.Log{}).Open([]byte(good)); err == nil {
		t.Error("no log opens it")
	}
	all, err := tlog.Logs(k.TrustedRoot)
	tlogtest.Must(t, err)
	if _, err := tlog.Live(all, "http://elsewhere", time.Now()); err == nil {
		t.Error("a log that the trusted root does not know is found")
	}
}

// Of one URL a few logs are asked for, whose time is not over, the newest first.
func TestLogsOfAURLThatAreLive(t *testing.T) {
	ended := func(k tlogtest.Key, start, end string) tlogtest.Key {
		var root map[string]any
		tlogtest.Must(t, json.Unmarshal(k.TrustedRoot, &root))
		period := map[string]any{"start": start}
		if end != "" {
			period["end"] = end
		}
		root["tlogs"].([]any)[0].(map[string]any)["publicKey"].(map[string]any)["validFor"] = period
		raw, err := json.Marshal(root)
		tlogtest.Must(t, err)
		return tlogtest.Key{Private: k.Private, TrustedRoot: raw}
	}
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	old := ended(tlogtest.NewKey(t), "2026-01-01T00:00:00Z", "2026-11-29T00:00:00Z")
	first := ended(tlogtest.NewKey(t), "2026-02-01T00:00:00Z", "2026-12-01T00:00:00Z")
	second := ended(tlogtest.NewKey(t), "2026-03-01T00:00:00Z", "")
	for _, pair := range [][2]tlogtest.Key{{first, second}, {second, first}, {old, second}, {second, old}} {
		all, err := tlog.Logs(tlogtest.Both(t, pair[0], pair[1]))
		tlogtest.Must(t, err)
		live, err := tlog.Live(all, tlogtest.URL, now)
		tlogtest.Must(t, err)
		want := 2
		if bytes.Equal(pair[0].Private, old.Private) || bytes.Equal(pair[1].Private, old.Private) {
			want = 1
		}
		theirs, err := tlog.Logs(second.TrustedRoot)
		tlogtest.Must(t, err)
		if len(live) != want || live[0].ID != theirs[0].ID {
			t.Errorf("%d are live, first %s, want %d, first %s", len(live), live[0].ID, want, theirs[0].ID)
		}
		many := slices.Repeat(live[:1], 8)
		if _, err := tlog.Live(many, tlogtest.URL, now); err != nil {
			t.Errorf("eight: %v", err)
		}
		if _, err := tlog.Live(append(many, live[0]), tlogtest.URL, now); err == nil {
			t.Error("nine are asked for")
		}
	}
}

func TestACopyAddsUpOrIsRefused(t *testing.T) {
	k, dir := tlogtest.NewKey(t), t.TempDir()
	k.Grow(t, dir, "entry", 0, 600)
	c := k.Checkpoint(t, dir)
	audit := func(dir string, visit func(uint64, []byte) error) error {
		return tlog.Audit(t.Context(), tlogtest.Folder(t, dir), c, visit)
	}
	seen := uint64(0)
	if err := audit(dir, func(i uint64, entry []byte) error {
		if i != seen || !bytes.HasPrefix(entry, []byte("entry ")) {
			t.Errorf("entry %d is %q", i, entry)
		}
		seen++
		return nil
	}); err != nil || seen != 600 {
		t.Errorf("%d entries, %v", seen, err)
	}
	stop := errors.New("stop")
	if err := audit(dir, func(uint64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("what a visitor says is lost: %v", err)
	}
	flip := func(path string) error {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		raw[len(raw)-1] ^= 1
		return os.WriteFile(path, raw, 0o600)
	}
	for _, path := range []string{"tile/entries/000", "tile/entries/002.p/88", "tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2"} {
		for name, spoil := range map[string]func(string) error{"flipped": flip, "gone": os.Remove, "short": func(p string) error { return os.Truncate(p, 1) }} {
			spoilt := tlogtest.Copy(t, dir)
			tlogtest.Must(t, spoil(filepath.Join(spoilt, path)))
			if err := audit(spoilt, func(uint64, []byte) error { return nil }); reason.Of(err) != reason.LogCopyInvalid {
				t.Errorf("%s %s: got %v, want %s", path, name, err, reason.LogCopyInvalid)
			}
		}
	}
	// A link that leads out of the copy is not followed.
	linked := tlogtest.Copy(t, dir)
	outside := filepath.Join(t.TempDir(), "000")
	tlogtest.Must(t, os.Rename(filepath.Join(linked, "tile/0/000"), outside))
	tlogtest.Must(t, os.Symlink(outside, filepath.Join(linked, "tile/0/000")))
	if err := audit(linked, func(uint64, []byte) error { return nil }); err == nil {
		t.Error("a link out of the copy is followed")
	}
}

// TestAnEmptyFileIsNone: a power cut can leave a name without content, which would make an
// honest log look false for ever. What else is there stays, so that a copy can be held to it.
func TestAnEmptyFileIsNone(t *testing.T) {
	k, dir := tlogtest.NewKey(t), t.TempDir()
	k.Grow(t, dir, "entry", 0, 600)
	c := k.Checkpoint(t, dir)
	copied := t.TempDir()
	again := func() error {
		tlogtest.Must(t, tlog.Copy(t.Context(), tlogtest.Folder(t, dir), c, copied))
		return tlog.Audit(t.Context(), tlogtest.Folder(t, copied), c, func(uint64, []byte) error { return nil })
	}
	tlogtest.Must(t, again())
	for _, path := range []string{"tile/entries/000", "tile/0/002.p/88", "tile/1/000.p/2"} {
		tlogtest.Must(t, os.Truncate(filepath.Join(copied, path), 0))
	}
	tlogtest.Must(t, again())
	tlogtest.Must(t, os.Truncate(filepath.Join(copied, "tile/0/000"), 1))
	if err := again(); reason.Of(err) != reason.LogCopyInvalid {
		t.Errorf("what was there was replaced: %v", err)
	}
}

// What serves the tiles of a log serves nothing else of its volume.
func TestTheLogIsServedAndNothingElse(t *testing.T) {
	k, dir := tlogtest.NewKey(t), t.TempDir()
	k.Grow(t, dir, "entry", 0, 300)
	before := k.Checkpoint(t, dir)
	k.Grow(t, dir, "entry", 300, 600)
	tlogtest.Must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600))
	outside := filepath.Join(t.TempDir(), "outside")
	tlogtest.Must(t, os.WriteFile(outside, []byte("secret"), 0o600))
	tlogtest.Must(t, os.Symlink(outside, filepath.Join(dir, "tile/0/999")))
	root, err := os.OpenRoot(dir)
	tlogtest.Must(t, err)
	server := httptest.NewServer(tlog.Handler(root.FS()))
	t.Cleanup(server.Close)

	web, err := tlog.NewWeb(server.URL)
	tlogtest.Must(t, err)
	raw, err := tlog.ReadCheckpoint(t.Context(), web)
	tlogtest.Must(t, err)
	now, err := k.Log(t).Open(raw)
	tlogtest.Must(t, err)
	if err := tlog.Extends(t.Context(), web, before, now); err != nil {
		t.Error(err)
	}
	if err := tlog.Audit(t.Context(), web, now, func(uint64, []byte) error { return nil }); err != nil {
		t.Error(err)
	}
	for _, path := range []string{
		"/", "/secret", "/api/v2/secret", "/api/v2/.state/treeState", "/api/v2/tile/", "/api/v2/tile/0/", "/api/v2/tile/0/999", "/api/v2/tile/../secret",
		"/api/v2/tile/0/../../secret", "/api/v2/tile/0/%2e%2e/%2e%2e/secret", "/api/v2/tile/0/000.p/0", "/api/v2/log/entries",
	} {
		if got := status(t, http.MethodGet, server.URL+path); got == http.StatusOK {
			t.Errorf("GET %s: %d", path, got)
		}
	}
	if got := status(t, http.MethodPost, server.URL+"/api/v2/checkpoint"); got != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got)
	}
	for _, bad := range []string{"", "ftp://log", "http://user@log", "http://log?x=1", "log:80"} {
		if _, err := tlog.NewWeb(bad); err == nil {
			t.Errorf("%q is a URL of tiles", bad)
		}
	}
}

func TestAnswersOfALogAreBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v2/checkpoint":
			_, _ = fmt.Fprint(w, strings.Repeat("x", 16<<10+1))
		default:
			http.Redirect(w, r, "/api/v2/checkpoint", http.StatusFound)
		}
	}))
	t.Cleanup(server.Close)
	web, err := tlog.NewWeb(server.URL)
	tlogtest.Must(t, err)
	if _, err := tlog.ReadCheckpoint(t.Context(), web); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("an endless checkpoint: %v", err)
	}
	if _, err := web.Read(t.Context(), "elsewhere", 10); err == nil || !strings.Contains(err.Error(), "302") {
		t.Errorf("a redirect: %v", err)
	}
}

func status(t *testing.T, method, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	tlogtest.Must(t, err)
	response, err := http.DefaultClient.Do(request)
	tlogtest.Must(t, err)
	tlogtest.Must(t, response.Body.Close())
	return response.StatusCode
}
