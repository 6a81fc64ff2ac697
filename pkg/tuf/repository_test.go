package tuf_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/argoseal/argoseal/pkg/tuf"
	"github.com/argoseal/argoseal/pkg/tuf/tuftest"
)

// reader reads a repository again and again, as a program does.
type reader struct {
	*testing.T
	*tuf.Repository
	state tuf.State
	now   time.Time
}

func reading(t *testing.T, r *tuftest.Repository, root []byte) *reader {
	t.Helper()
	repository, err := tuf.New(r.URL, root, "", tuftest.Target)
	must(t, err)
	return &reader{T: t, Repository: repository, now: time.Now()}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (r *reader) read() ([]byte, error) {
	r.Helper()
	state, target, err := r.Read(r.Context(), r.state, r.now)
	r.state = state
	return target, err
}

// gives wants this content.
func (r *reader) gives(want string) {
	r.Helper()
	if got, err := r.read(); err != nil || string(got) != want {
		r.Errorf("it gives %q, %v; want %q", got, err, want)
	}
}

// refuses wants an error that says something against the repository.
func (r *reader) refuses(what string) error {
	r.Helper()
	got, err := r.read()
	if err == nil || errors.Is(err, tuf.ErrAway) || got != nil {
		r.Errorf("%s: it gives %q, %v", what, got, err)
	}
	return err
}

func TestATargetIsReadAsItsRepositoryHasIt(t *testing.T) {
	repository := tuftest.New(t, []byte("one"))
	r := reading(t, repository, repository.Root)
	r.gives("one")
	r.gives("one")
	repository.SetTarget([]byte("two"))
	repository.Publish()
	r.gives("two")
	if got := r.state.Roles[tuf.RoleTimestamp]; got.Version != 2 || !got.Until.Equal(repository.Until[metadata.TIMESTAMP]) {
		t.Errorf("of the timestamp it knows %+v", got)
	}
	for range 3 { // with new keys each time
		before := slices.Clone(repository.Keys(metadata.ROOT))
		repository.Rotate(metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP)
		repository.PublishRoot(append(before, repository.Keys(metadata.ROOT)...)...)
		repository.SetTarget([]byte("three"))
		repository.Publish()
	}
	r.gives("three")
	if got := r.state.Roles[tuf.RoleRoot].Version; got != 4 {
		t.Errorf("it trusts version %d of root.json", got)
	}
	first := reading(t, repository, repository.Root)
	first.gives("three")

	// Another target.
	other, err := tuf.New(repository.URL, repository.Root, "", "another.json")
	must(t, err)
	if _, _, err := other.Read(t.Context(), tuf.State{}, time.Now()); err == nil {
		t.Error("it has a target that is not there")
	}
}

// An older repository is not the newest. What tells them apart is the state.
func TestAnOlderRepositoryIsRefused(t *testing.T) {
	repository := tuftest.New(t, []byte("one"))
	old := repository.Files()
	repository.SetTarget([]byte("two"))
	repository.Publish()
	r := reading(t, repository, repository.Root)
	r.gives("two")
	latest := repository.Files()
	repository.Serve(old)
	state := r.state
	r.refuses("an older repository")
	if !bytes.Equal(r.state.Timestamp, state.Timestamp) || !bytes.Equal(r.state.Snapshot, state.Snapshot) {
		t.Error("the state is older than it was")
	}
	repository.Serve(latest)
	r.gives("two")

	// Of what it shows, an older part.
	for _, name := range []string{"2.snapshot.json", "2.targets.json"} {
		repository.Serve(latest)
		repository.Put(name, old[strings.Replace(name, "2", "1", 1)])
		fresh := reading(t, repository, repository.Root)
		fresh.refuses("an older " + name)
	}
	repository.Serve(old)
	reading(t, repository, repository.Root).gives("one") // who knows of nothing newer
}

// Keys that a root.json has taken out do not count again because a mirror hides it.
func TestARootThatIsHiddenCounts(t *testing.T) {
	repository := tuftest.New(t, []byte("one"))
	old := repository.Files()
	before := repository.Keys(metadata.ROOT)
	repository.Rotate(metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS)
	repository.PublishRoot(before...)
	repository.SetTarget([]byte("two"))
	repository.Publish()
	r := reading(t, repository, repository.Root)
	r.gives("two")

	repository.Serve(old)
	err := r.refuses("keys of before")
	if err != nil && !strings.Contains(err.Error(), "sign") {
		t.Errorf("it is refused for something else: %v", err)
	}
	reading(t, repository, repository.Root).gives("one") // who has not seen the second root
}

// What ended does not count, and what holds until then does.
func TestAFrozenRepositoryEnds(t *testing.T) {
	for _, role := range []string{metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS, metadata.ROOT} {
		repository := tuftest.New(t, []byte("one"))
		end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		repository.Until[role] = end
		repository.PublishRoot(repository.Keys(metadata.ROOT)...)
		repository.Publish()
		r := reading(t, repository, repository.Root)
		r.now = end.Add(-time.Second)
		r.gives("one")
		r.now = end.Add(time.Second)
		if err := r.refuses(role + " has ended"); err != nil && !strings.Contains(err.Error(), "expired") {
			t.Errorf("%s: it is refused for something else: %v", role, err)
		}
		if got := r.state.Roles[tuf.Role(role)].Until; !got.Equal(end) {
			t.Errorf("%s: its end is %s, want %s", role, got, end)
		}
		repository.Until[role] = end.Add(24 * time.Hour)
		repository.PublishRoot(repository.Keys(metadata.ROOT)...)
		repository.Publish()
		r.gives("one")
	}
}

func TestSignaturesThatAreMissingAreMissed(t *testing.T) {
	repository := tuftest.New(t, []byte("one"))
	r := reading(t, repository, repository.Root)
	r.gives("one")
	keys := slices.Clone(repository.Keys(metadata.ROOT))
	honest := repository.Files()

	repository.PublishRoot(keys[0])
	r.refuses("a root.json with one signature of two")
	repository.Serve(honest)
	r.gives("one")

	other := tuftest.New(t, []byte("two"))
	repository.Serve(other.Files())
	r.refuses("another repository")
	repository.Serve(honest)
	repository.Put("timestamp.json", other.Files()["timestamp.json"])
	r.refuses("another's timestamp")
	repository.Serve(honest)
	r.gives("one")
}

// A target is read if it is what was signed, and not larger than we read, whatever was signed.
func TestWhatIsReadIsBounded(t *testing.T) {
	const most = 256 << 10
	fits := strings.Repeat("x", most)
	repository := tuftest.New(t, []byte(fits))
	r := reading(t, repository, repository.Root)
	r.gives(fits)

	repository.SetTarget([]byte(fits + "x"))
	repository.Publish()
	r.refuses("a target with one byte more")

	// What never ends.
	var sent atomic.Int64
	endless := func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte{'x'}, 64<<10)
		for {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil || sent.Load() > 1<<30 {
				return
			}
		}
	}
	repository.SetTarget([]byte("one"))
	repository.Length = 1 << 40
	repository.Publish()
	files := repository.Files()
	repository.Answer(func(w http.ResponseWriter, request *http.Request) {
		if name := strings.TrimPrefix(request.URL.Path, "/"); !strings.HasPrefix(name, "targets/") {
			if content, ok := files[name]; ok {
				_, _ = w.Write(content)
			} else {
				http.NotFound(w, request)
			}
			return
		}
		endless(w, request)
	})
	r.refuses("a target that never ends, for which a length was signed")
	repository.Answer(endless)
	r.refuses("metadata that never ends")
	if got := sent.Load(); got > 64<<20 { // what lies in sockets' buffers is sent, too
		t.Errorf("%d bytes were sent", got)
	}
	repository.Answer(nil)
	repository.Length = 0
	repository.Publish()
	r.gives("one")

	for name := range repository.Files() {
		if strings.HasPrefix(name, "targets/") {
			repository.Put(name, []byte("two"))
		}
	}
	r.refuses("another target than was signed")
}

// The operator named one host. Nobody sends us elsewhere.
func TestARepositorySendsNobodyElsewhere(t *testing.T) {
	repository := tuftest.New(t, []byte("one"))
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		asked.Add(1)
		content, ok := repository.Files()[strings.TrimPrefix(request.URL.Path, "/")]
		if !ok {
			http.NotFound(w, request)
			return
		}
		_, _ = w.Write(content)
	}))
	defer elsewhere.Close()
	repository.Answer(func(w http.ResponseWriter, request *http.Request) {
		http.Redirect(w, request, elsewhere.URL+request.URL.Path, http.StatusFound)
	})
	r := reading(t, repository, repository.Root)
	if _, err := r.read(); !errors.Is(err, tuf.ErrAway) || asked.Load() != 0 {
		t.Errorf("got %v, and elsewhere it asked %d times", err, asked.Load())
	}
	repository.Answer(nil)
	r.gives("one")
}

func TestARepositoryThatIsAwaySaysNothing(t *testing.T) {
	repository := tuftest.New(t, []byte("one"))
	r := reading(t, repository, repository.Root)
	r.gives("one")
	state := r.state
	for name, answer := range map[string]http.HandlerFunc{
		"an error":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"nothing":      http.NotFound,
		"cut short":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a long while": func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() },
	} {
		repository.Answer(answer)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		after, got, err := r.Read(ctx, r.state, r.now)
		cancel()
		if !errors.Is(err, tuf.ErrAway) || got != nil || !bytes.Equal(after.Timestamp, state.Timestamp) {
			t.Errorf("%s: it gives %q, %v", name, got, err)
		}
	}
	repository.Answer(nil)
	r.gives("one")
}

// A role that others named has a file of that name, which is not ours.
func TestARolesNameSpoilsNothing(t *testing.T) {
	for _, name := range []string{"below", "timestamp", "../timestamp"} {
		repository := tuftest.New(t, []byte("one"))
		repository.Delegate = name
		repository.Publish()
		r := reading(t, repository, repository.Root)
		r.gives("one")
		old := repository.Files()
		repository.SetTarget([]byte("two"))
		repository.Publish()
		r.gives("two")
		repository.Serve(old)
		r.refuses("an older repository that has a role " + name)
	}
}

// Who trusts another root.json begins anew; what was known of the one before is no hindrance.
func TestAnotherAnchorBeginsAnew(t *testing.T) {
	repository := tuftest.New(t, []byte("one"))
	repository.Publish()
	r := reading(t, repository, repository.Root)
	r.gives("one")
	again := tuftest.New(t, []byte("two"))
	repository.Serve(again.Files())
	r.refuses("another repository in its place")
	fresh := reading(t, repository, again.Root)
	fresh.state = r.state
	fresh.gives("two")

	// A later release of ours has a later root.json of the same repository: what is known stays.
	named := func(root []byte) *reader {
		repository, err := tuf.New(again.URL, root, "public", tuftest.Target)
		must(t, err)
		return &reader{T: t, Repository: repository, now: time.Now()}
	}
	old := again.Files()
	first := named(again.Root)
	again.SetTarget([]byte("three"))
	again.Publish()
	first.gives("three")
	second := named(again.PublishRoot(again.Keys(metadata.ROOT)...))
	second.state = first.state
	again.Serve(old)
	second.refuses("an older repository, after an upgrade")
}

func TestWhatNamesNoRepositoryIsRefused(t *testing.T) {
	repository := tuftest.New(t, []byte("one"))
	for _, url := range []string{"", "repository", "ftp://host", "http://", "http://user@host", "http://host?x", "http://host#x", "http://ho st"} {
		if _, err := tuf.New(url, repository.Root, "", tuftest.Target); err == nil {
			t.Errorf("%q names a repository", url)
		}
	}
	for name, root := range map[string][]byte{"none": nil, "no JSON": []byte("x"), "another role": repository.Files()["timestamp.json"], "a large one": bytes.Repeat([]byte(" "), 1<<20)} {
		if _, err := tuf.New(repository.URL, root, "", tuftest.Target); err == nil {
			t.Errorf("%s: a root.json", name)
		}
	}
	if _, err := tuf.New(repository.URL, repository.Root, "", ""); err == nil {
		t.Error("a target without a name")
	}
	if _, err := tuf.ParseRecord([]byte(`{"anchor":"x","rot":"eA=="}`)); err == nil {
		t.Error("a record with something unknown")
	}
	if _, err := tuf.ParseRecord(bytes.Repeat([]byte(" "), 1<<21)); err == nil {
		t.Error("a large record")
	}
}
