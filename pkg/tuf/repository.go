package tuf

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// Bounds of one reading, in bytes and in numbers. The public repository's metadata has some
// 10 KiB each, and its trusted_root.json 7 KiB. What is kept of it has to fit into a ConfigMap
// beside the trusted root.
const (
	maxRoot      = 128 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 64 << 10
	// maxFile bounds every other file, whatever length is signed for it.
	maxFile        = 256 << 10
	maxRotations   = 256
	maxDelegations = 8
	maxHeader      = 16 << 10
	readTimeout    = 20 * time.Second
)

// ErrAway is in the chain of an error that says nothing against the repository: it could not
// be asked.
var ErrAway = errors.New("the TUF repository cannot be asked")

// Repository is one repository, and one file in it. It is safe for concurrent use.
type Repository struct {
	url, target string
	root        []byte
	anchor      string
	client      *http.Client
}

// New makes a reader of a target file of the repository at a URL, of which root is a root.json
// that is trusted because somebody says so. anchor names that root: a state counts for one
// anchor only. Empty: the root's digest.
func New(baseURL string, root []byte, anchor, target string) (*Repository, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("URL of the TUF repository: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("URL of the TUF repository %.200q is not http(s)://HOST[:PORT][/PATH]", baseURL)
	}
	if target == "" {
		return nil, errors.New("the target in the TUF repository has no name")
	}
	if len(root) > maxRoot {
		return nil, fmt.Errorf("root.json has %d bytes, at most %d are allowed", len(root), maxRoot)
	}
	if _, err := metadata.Root().FromBytes(root); err != nil {
		return nil, fmt.Errorf("root.json cannot be read: %w", err)
	}
	if anchor == "" {
		anchor = fmt.Sprintf("sha256:%x", sha256.Sum256(root))
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the operator named this host, and no other
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxHeader}
	return &Repository{
		url: baseURL, target: target, root: root, anchor: anchor,
		client: &http.Client{Transport: transport, CheckRedirect: stay, Timeout: readTimeout},
	}, nil
}

// URL is where it is read.
func (r *Repository) URL() string { return r.url }

// Read gives the target as the repository has it now, and the state that the next reading has
// to be given. The times at which what is signed ends are compared with now. On an error the
// state may be newer all the same: what had verified until then counts from now on.
func (r *Repository) Read(ctx context.Context, before State, now time.Time) (State, []byte, error) {
	after := before
	if before.Anchor != r.anchor {
		// Somebody trusts another root.json. What is known of the repository belongs to the
		// one before, and may not even verify.
		after = State{Anchor: r.anchor, Root: r.root}
	}
	dir, err := os.MkdirTemp("", "argoseal-tuf-")
	if err != nil {
		return before, nil, fmt.Errorf("folder for TUF metadata: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := after.write(dir); err != nil {
		return before, nil, err
	}
	u, err := r.updater(ctx, after.Root, dir)
	if err != nil {
		return before, nil, err
	}
	u.UnsafeSetRefTime(now) // one time for all that is compared: not that of the node
	err = safely(u.Refresh)
	// Before roles are read that others may have named: one called timestamp has a file of
	// that name.
	if kept := after.read(dir); kept != nil {
		return before, nil, errors.Join(err, kept)
	}
	var target []byte
	if err == nil {
		err = safely(func() error {
			info, err := u.GetTargetInfo(r.target)
			if err == nil {
				_, target, err = u.DownloadTarget(info, "", "")
			}
			return err
		})
	}
	after.see(u.GetTrustedMetadataSet())
	if err != nil {
		return after, nil, err
	}
	return after, target, nil
}

// safely has hostile metadata end in an error, not in a panic.
func safely(read func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("TUF metadata made its reader panic: %.200v", p)
		}
	}()
	return read()
}

func (r *Repository) updater(ctx context.Context, root []byte, dir string) (*updater.Updater, error) {
	c, err := config.New(r.url, root)
	if err != nil {
		return nil, fmt.Errorf("TUF client: %w", err)
	}
	c.LocalMetadataDir, c.LocalTargetsDir = dir, filepath.Join(dir, "targets")
	c.MaxRootRotations, c.MaxDelegations = maxRotations, maxDelegations
	c.RootMaxLength, c.TimestampMaxLength, c.SnapshotMaxLength, c.TargetsMaxLength = maxRoot, maxTimestamp, maxSnapshot, maxFile
	download := fetcher.NewDefaultFetcher()
	download.SetHTTPUserAgent("argoseal")
	download.SetHTTPClient(within{ctx, r.client})
	c.Fetcher = bounded{download}
	u, err := updater.New(c)
	if err != nil {
		return nil, fmt.Errorf("TUF client: %w", err)
	}
	return u, nil
}

// within asks within a context, which go-tuf does not take.
type within struct {
	ctx    context.Context //nolint:containedctx // of one reading
	client *http.Client
}

// Do implements go-tuf's client of HTTP.
func (w within) Do(request *http.Request) (*http.Response, error) {
	return w.client.Do(request.WithContext(w.ctx)) //nolint:gosec // the operator names the host, and nobody sends us elsewhere
}

// bounded downloads no more than we read, whatever length somebody has signed. It tells a
// repository that is away from one that shows what does not hold.
type bounded struct{ *fetcher.DefaultFetcher }

// DownloadFile implements fetcher.Fetcher.
func (b bounded) DownloadFile(from string, length int64, timeout time.Duration) ([]byte, error) {
	content, err := b.DefaultFetcher.DownloadFile(from, min(length, maxFile), timeout)
	if err == nil {
		return content, nil
	}
	if large := (*metadata.ErrDownloadLengthMismatch)(nil); errors.As(err, &large) {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ErrAway, err)
}
