package tlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/transparency-dev/tessera/api/layout"
)

const (
	// maxTile is a full tile of hashes, in bytes.
	maxTile = layout.TileWidth * hashSize
	// maxEntries is a full bundle of entries: each has two bytes of length before it.
	maxEntries = layout.EntryBundleWidth * (2 + 1<<16 - 1)
	// base is where Rekor v2 has what can be read of it.
	base = "/api/v2/"
	// readTimeout bounds one read: a bundle of entries is some 200 KiB.
	readTimeout = 10 * time.Second
)

// Reader reads what a log has published, by its path in the layout of tlog-tiles. What is
// not there is fs.ErrNotExist; what has more than limit bytes is an error.
type Reader interface {
	Read(ctx context.Context, path string, limit int64) ([]byte, error)
}

// ReadCheckpoint is the log's newest checkpoint, not verified.
func ReadCheckpoint(ctx context.Context, r Reader) ([]byte, error) {
	raw, err := r.Read(ctx, layout.CheckpointPath, maxCheckpoint)
	if err != nil {
		return nil, fmt.Errorf("the log's checkpoint: %w", err)
	}
	return raw, nil
}

// tile reads a tile of width hashes (0: of all it can have), or the full one where that
// has taken its place.
func tile(ctx context.Context, r Reader, level, index uint64, width uint8) ([]byte, error) {
	return partialOrFull(width, func(width uint8) ([]byte, error) {
		return r.Read(ctx, layout.TilePath(level, index, width), maxTile)
	})
}

// entryBundle reads a bundle of entries; see tile.
func entryBundle(ctx context.Context, r Reader, index uint64, width uint8) ([]byte, error) {
	return partialOrFull(width, func(width uint8) ([]byte, error) {
		return r.Read(ctx, layout.EntriesPath(index, width), maxEntries)
	})
}

func partialOrFull(width uint8, read func(uint8) ([]byte, error)) ([]byte, error) {
	raw, err := read(width)
	if width != 0 && errors.Is(err, fs.ErrNotExist) {
		return read(0)
	}
	return raw, err
}

// Folder reads a copy of a log. Give it the file system of an os.Root: a link that leads
// out of the folder is not followed then.
type Folder struct{ FS fs.FS }

// Read implements Reader.
func (f Folder) Read(_ context.Context, path string, limit int64) ([]byte, error) {
	file, err := f.FS.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() { // a pipe would have us wait
		return nil, fmt.Errorf("%s is no file", path)
	}
	return readAll(file, path, limit)
}

// Web reads a log over HTTP.
type Web struct {
	client *http.Client
	base   *url.URL
}

// NewWeb reads the log at a URL, below which it is as Rekor v2 has it (/api/v2/checkpoint).
func NewWeb(baseURL string) (*Web, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("URL of the log's tiles: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("URL of the log's tiles %.200q is not http(s)://HOST[:PORT][/PATH]", baseURL)
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}
	return &Web{client: &http.Client{Transport: transport, CheckRedirect: stay, Timeout: readTimeout}, base: u}, nil
}

// Read implements Reader.
func (w *Web) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base.JoinPath(base, path).String(), nil)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	request.Header.Set("User-Agent", "argoseal")
	request.Header.Set("Cache-Control", "no-cache") // a copy that is older would look like a log that is
	response, err := w.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
		return readAll(response.Body, path, limit)
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	default:
		return nil, fmt.Errorf("%s: the answer is %d", path, response.StatusCode)
	}
}

func readAll(r io.Reader, path string, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case int64(len(raw)) > limit:
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return raw, nil
}
