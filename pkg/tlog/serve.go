package tlog

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/transparency-dev/tessera/api/layout"
)

// published are the paths of what a log publishes: its checkpoint, its tiles and bundles
// of entries.
var published = regexp.MustCompile(`^(checkpoint|tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/(x[0-9]{3}/)*[0-9]{3}(\.p/[1-9][0-9]{0,2})?)$`)

// Handler serves what a log has published in a folder, to everybody, at the paths
// of Rekor v2 (/api/v2/checkpoint). It serves nothing else of the folder, and no
// list. Nothing in it is a secret: entries are digests, signatures and public keys.
func Handler(folder fs.FS) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this log is read here", http.StatusMethodNotAllowed)
			return
		}
		path, under := strings.CutPrefix(r.URL.Path, base)
		if !under || !published.MatchString(path) {
			http.NotFound(w, r)
			return
		}
		file, err := folder.Open(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			http.NotFound(w, r)
			return
		case err != nil: // a link out of the folder, or a volume that fails
			http.Error(w, "it cannot be read", http.StatusInternalServerError)
			return
		}
		defer func() { _ = file.Close() }()
		seeker, seeks := file.(io.ReadSeeker)
		if info, err := file.Stat(); err != nil || !seeks || !info.Mode().IsRegular() {
			http.Error(w, "it cannot be read", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		if path == layout.CheckpointPath {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
		}
		http.ServeContent(w, r, "", time.Time{}, seeker)
	})
}
