//go:build e2e

package suite

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// TestConformanceWhatArgoFetchesNeedsAPolicy: inputs by git and http have no seal, and are
// admitted where the cluster's administrators say so: commits, branches that
// they name, and URLs with the content they say.
func TestConformanceWhatArgoFetchesNeedsAPolicy(t *testing.T) {
	t.Parallel()
	site := serve(t)
	const (
		app   = `allow: {git: [{repository: "SITE/acme/*"}]}`
		ready = `allow: {git: [{repository: "SITE/acme/*", branches: [ready]}]}`
		lists = `allow: {http: [{url: "SITE/lists/*.txt", anyContent: true}]}`
	)
	content := func(word string) string {
		return fmt.Sprintf(`allow: {http: [{url: "SITE/lists/*.txt", sha256: %x}]}`, sha256.Sum256([]byte(word+"\n")))
	}
	var all []taken
	for name, c := range map[string]struct {
		cluster string // the rules of the cluster's administrators
		own     string // those of the tenant
		taken   taken
		code    reason.Code
	}{
		"a commit":                            {cluster: app, taken: taken{`git: {repo: SITE/acme/app, revision: FIRST}`, "first"}},
		"a commit without a policy":           {taken: taken{`git: {repo: SITE/acme/app, revision: FIRST}`, "first"}, code: reason.NoProvenance},
		"a commit of another repository":      {cluster: app, taken: taken{`git: {repo: SITE/other/app, revision: FIRST}`, "first"}, code: reason.NoProvenance},
		"a commit let in by the tenant alone": {own: app, taken: taken{`git: {repo: SITE/acme/app, revision: FIRST}`, "first"}, code: reason.NoProvenance},
		"a branch that is named":              {cluster: ready, taken: taken{`git: {repo: SITE/acme/app, revision: ready}`, "ready"}},
		"a branch that is not":                {cluster: ready, taken: taken{`git: {repo: SITE/acme/app, revision: main}`, "second"}, code: reason.NoProvenance},
		"a branch where only commits are":     {cluster: app, taken: taken{`git: {repo: SITE/acme/app, revision: ready}`, "ready"}, code: reason.NoProvenance},
		"a branch by its whole name":          {cluster: `allow: {git: [{repository: "SITE/acme/*", branches: [tagged]}]}`, taken: taken{`git: {repo: SITE/acme/app, revision: refs/heads/tagged}`, "tagged"}},
		"a branch the tenant does not want":   {cluster: ready, own: app, taken: taken{`git: {repo: SITE/acme/app, revision: ready}`, "ready"}, code: reason.PolicyNarrowed},
		"no revision":                         {cluster: ready, taken: taken{`git: {repo: SITE/acme/app}`, "second"}, code: reason.RemoteUnsupported},
		"a revision that is fetched by another name": {
			cluster: ready, taken: taken{`git: {repo: SITE/acme/app, revision: ready, singleBranch: true, branch: main, fetch: ["refs/heads/main:refs/tags/ready"]}`, "second"}, code: reason.RemoteUnsupported,
		},

		"a URL":                              {cluster: lists, taken: taken{`http: {url: SITE/lists/a.txt}`, "listed"}},
		"a URL without a policy":             {taken: taken{`http: {url: SITE/lists/a.txt}`, "listed"}, code: reason.NoProvenance},
		"a URL of another place":             {cluster: lists, taken: taken{`http: {url: SITE/other/a.txt}`, "other"}, code: reason.NoProvenance},
		"a URL with its content":             {cluster: content("listed"), taken: taken{`http: {url: SITE/lists/a.txt}`, "listed"}},
		"a URL with other content":           {cluster: content("other"), taken: taken{`http: {url: SITE/lists/a.txt}`, "listed"}, code: reason.InputAltered},
		"a URL that leads to other content":  {cluster: content("listed"), taken: taken{`http: {url: SITE/lists/moved.txt}`, "other"}, code: reason.InputAltered},
		"a URL the tenant does not want":     {cluster: lists, own: `allow: {}`, taken: taken{`http: {url: SITE/lists/a.txt}`, "listed"}, code: reason.PolicyNarrowed},
		"a URL with a query that nobody has": {cluster: lists, taken: taken{`http: {url: "SITE/lists/a.txt?to=b.txt"}`, "listed"}, code: reason.NoProvenance},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug("fetched", name), v1alpha1.ModeEnforce)
			govern(t, ns, site.Replace(c.cluster), site.Replace(c.own))
			run := finish(t, ns, submit(t, ns, site.Replace(taking(slug(name), c.taken))))
			judged(t, run, c.code)
			if c.code == reason.InputAltered {
				mainNeverStarted(t, run, run.Name)
			}
		})
		all = append(all, c.taken)
	}
	t.Run("all of it without the defence", func(t *testing.T) {
		t.Parallel()
		ns := namespace(t, "fetched", plain)
		judged(t, finish(t, ns, submit(t, ns, site.Replace(taking("all", all...)))), "")
	})
}

// serve gives out files and git repositories, where pods reach them, until the
// test ends. It gives what replaces SITE by its URL and FIRST by the first
// commit of each repository.
func serve(t *testing.T) *strings.Replacer {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatalf("this test needs git on this machine: %v", err)
	}
	root := t.TempDir()
	first := repository(t, filepath.Join(root, "acme", "app"))
	repository(t, filepath.Join(root, "other", "app"))
	mux := http.NewServeMux()
	for path, word := range map[string]string{"/lists/a.txt": "listed", "/other/a.txt": "other"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, word) })
	}
	mux.Handle("/lists/moved.txt", http.RedirectHandler("/other/a.txt", http.StatusFound))
	mux.Handle("/", &cgi.Handler{Path: git, Args: []string{"http-backend"}, Env: append(hermetic, "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=")})
	l, err := net.Listen("tcp", net.JoinHostPort(layout.NodeIP, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(mux)
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return strings.NewReplacer("SITE", s.URL, "FIRST", first)
}

// hermetic keeps git from the configuration of whoever runs the test, and makes
// the same commits of the same content.
var hermetic = []string{
	"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
	"GIT_AUTHOR_NAME=e2e", "GIT_AUTHOR_EMAIL=e2e@example.org", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z",
	"GIT_COMMITTER_NAME=e2e", "GIT_COMMITTER_EMAIL=e2e@example.org", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z",
}

// repository makes one with two commits on its branch main and another one on
// ready and tagged each; the first commit, which it gives, has the tag tagged, too.
// The file that each commit changes says which it is.
func repository(t *testing.T, dir string) string {
	t.Helper()
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...)
		cmd.Env = append(os.Environ(), hermetic...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	commit := func(word string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "word"), []byte(word+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		git("add", "word")
		git("commit", "-q", "-m", word)
		return git("rev-parse", "HEAD")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	git("init", "-q", "-b", "main")
	first := commit("first")
	for _, branch := range []string{"ready", "tagged"} {
		git("checkout", "-q", "-b", branch, first)
		commit(branch)
	}
	git("tag", "tagged", first)
	git("checkout", "-q", "main")
	commit("second")
	return first
}
