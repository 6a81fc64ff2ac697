// Package tuftest makes TUF repositories that are real but for their keys: go-tuf signs them,
// and a server of this process serves them. Tests change what is served as a hostile mirror
// would.
package tuftest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Target is the name of the file that repositories have.
const Target = "trusted_root.json"

// threshold is how many of the keys of root have to sign it.
const threshold = 2

// Repository is one.
type Repository struct {
	// URL is where it is served.
	URL string
	// Root is the root.json that it began with.
	Root []byte
	// Until is when each role's next metadata ends.
	Until map[string]time.Time
	// Delegate, if set, names a role that has the targets from the next Publish on.
	Delegate string
	// Length, if set, is what the next Publish claims for the target.
	Length int64

	tb       testing.TB
	keys     map[string][]signature.Signer
	versions map[string]int64
	targets  map[string][]byte

	mu     sync.Mutex
	files  map[string][]byte
	asked  []string
	answer http.HandlerFunc
}

// New makes a repository with a target, and serves it until the test ends.
func New(tb testing.TB, target []byte) *Repository {
	tb.Helper()
	r := &Repository{
		tb: tb, keys: map[string][]signature.Signer{}, versions: map[string]int64{}, files: map[string][]byte{},
		targets: map[string][]byte{Target: target}, Until: map[string]time.Time{},
	}
	now := time.Now().UTC().Truncate(time.Second)
	for role, life := range map[string]time.Duration{
		metadata.ROOT: 180 * 24 * time.Hour, metadata.TARGETS: 180 * 24 * time.Hour, metadata.SNAPSHOT: 21 * 24 * time.Hour, metadata.TIMESTAMP: 7 * 24 * time.Hour,
	} {
		r.Until[role] = now.Add(life)
		r.keys[role] = []signature.Signer{key(tb)}
	}
	r.keys[metadata.ROOT] = append(r.keys[metadata.ROOT], key(tb), key(tb))
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	tb.Cleanup(server.Close)
	r.URL = server.URL
	r.Root = r.PublishRoot(r.keys[metadata.ROOT]...)
	r.Publish()
	return r
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func key(tb testing.TB) signature.Signer {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	s, err := signature.LoadSigner(private, crypto.SHA256)
	must(tb, err)
	return s
}

// Keys are those of a role.
func (r *Repository) Keys(role string) []signature.Signer { return r.keys[role] }

// Rotate gives roles new keys; PublishRoot says so.
func (r *Repository) Rotate(roles ...string) {
	r.tb.Helper()
	for _, role := range roles {
		for i := range r.keys[role] {
			r.keys[role][i] = key(r.tb)
		}
	}
}

// PublishRoot publishes the next version of root.json, with the keys that there are now. They
// sign it, and all others that are given: those of the version before.
func (r *Repository) PublishRoot(signers ...signature.Signer) []byte {
	r.tb.Helper()
	root := metadata.Root(r.Until[metadata.ROOT])
	root.Signed.ConsistentSnapshot = true
	r.versions[metadata.ROOT]++
	root.Signed.Version = r.versions[metadata.ROOT]
	for role, keys := range r.keys {
		if _, top := r.Until[role]; !top {
			continue
		}
		for _, signer := range keys {
			must(r.tb, root.Signed.AddKey(public(r.tb, signer), role))
		}
	}
	root.Signed.Roles[metadata.ROOT].Threshold = threshold
	raw := signed(r.tb, root, signers...)
	r.Put(fmt.Sprintf("%d.root.json", root.Signed.Version), raw)
	return raw
}

// Publish publishes the next version of all but root.json.
func (r *Repository) Publish() {
	r.tb.Helper()
	targets := metadata.Targets(r.Until[metadata.TARGETS])
	snapshot := metadata.Snapshot(r.Until[metadata.SNAPSHOT])
	timestamp := metadata.Timestamp(r.Until[metadata.TIMESTAMP])
	for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		r.versions[role]++
	}
	targets.Signed.Version, snapshot.Signed.Version, timestamp.Signed.Version = r.versions[metadata.TARGETS], r.versions[metadata.SNAPSHOT], r.versions[metadata.TIMESTAMP]
	for name, content := range r.targets {
		file, err := metadata.TargetFile().FromBytes(name, content, "sha256")
		must(r.tb, err)
		if r.Length != 0 {
			file.Length = r.Length
		}
		targets.Signed.Targets[name] = file
		sum := sha256.Sum256(content)
		r.Put("targets/"+hex.EncodeToString(sum[:])+"."+name, content)
	}
	meta := map[string][]byte{}
	if r.Delegate != "" {
		r.delegate(targets, meta)
	}
	meta["targets.json"] = signed(r.tb, targets, r.keys[metadata.TARGETS]...)
	for name, raw := range meta {
		snapshot.Signed.Meta[name] = file(raw, targets.Signed.Version)
		r.Put(fmt.Sprintf("%d.%s", targets.Signed.Version, name), raw)
	}
	raw := signed(r.tb, snapshot, r.keys[metadata.SNAPSHOT]...)
	r.Put(fmt.Sprintf("%d.snapshot.json", snapshot.Signed.Version), raw)
	timestamp.Signed.Meta["snapshot.json"] = file(raw, snapshot.Signed.Version)
	r.Put("timestamp.json", signed(r.tb, timestamp, r.keys[metadata.TIMESTAMP]...))
}

// delegate moves the targets to a role below.
func (r *Repository) delegate(targets *metadata.Metadata[metadata.TargetsType], meta map[string][]byte) {
	signer := key(r.tb)
	below := metadata.Targets(r.Until[metadata.TARGETS])
	below.Signed.Version = targets.Signed.Version
	below.Signed.Targets, targets.Signed.Targets = targets.Signed.Targets, below.Signed.Targets
	id, err := public(r.tb, signer).ID()
	must(r.tb, err)
	targets.Signed.Delegations = &metadata.Delegations{
		Keys:  map[string]*metadata.Key{id: public(r.tb, signer)},
		Roles: []metadata.DelegatedRole{{Name: r.Delegate, KeyIDs: []string{id}, Threshold: 1, Paths: []string{"*"}}},
	}
	meta[r.Delegate+".json"] = signed(r.tb, below, signer)
}

// SetTarget has the next Publish publish another content.
func (r *Repository) SetTarget(content []byte) { r.targets[Target] = content }

func file(raw []byte, version int64) *metadata.MetaFiles {
	m := metadata.MetaFile(version)
	m.Length = int64(len(raw))
	sum := sha256.Sum256(raw)
	m.Hashes = metadata.Hashes{"sha256": sum[:]}
	return m
}

func public(tb testing.TB, signer signature.Signer) *metadata.Key {
	tb.Helper()
	pub, err := signer.PublicKey()
	must(tb, err)
	k, err := metadata.KeyFromPublicKey(pub)
	must(tb, err)
	return k
}

func signed[T metadata.Roles](tb testing.TB, m *metadata.Metadata[T], signers ...signature.Signer) []byte {
	tb.Helper()
	m.ClearSignatures()
	done := map[string]bool{}
	for _, s := range signers {
		id, err := public(tb, s).ID()
		must(tb, err)
		if done[id] {
			continue
		}
		done[id] = true
		_, err = m.Sign(s)
		must(tb, err)
	}
	raw, err := m.ToBytes(false)
	must(tb, err)
	return raw
}

// Put serves a file; nil is none.
func (r *Repository) Put(name string, content []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if content == nil {
		delete(r.files, name)
		return
	}
	r.files[name] = content
}

// Files are all that is served now.
func (r *Repository) Files() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.files)
}

// Serve serves these files and no others: an older repository, say.
func (r *Repository) Serve(files map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = maps.Clone(files)
}

// Answer has somebody else answer; nil ends that.
func (r *Repository) Answer(by http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = by
}

// Asked are the names of files that were asked for since the last call.
func (r *Repository) Asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}

func (r *Repository) serve(w http.ResponseWriter, request *http.Request) {
	name := strings.TrimPrefix(request.URL.Path, "/")
	r.mu.Lock()
	content, there := r.files[name]
	answer := r.answer
	r.asked = append(r.asked, name)
	r.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, request)
	case !there:
		http.NotFound(w, request)
	default:
		_, _ = w.Write(content)
	}
}
