//go:build e2e

package suite

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/pki"
	"github.com/argoseal/argoseal/e2e/lab"
)

// site gives out files and git repositories.
type site struct {
	git string // the program
	// root holds the repositories acme/app, acme/closed and other/app, and acme/empty.
	root string
	// first is the first commit of each, but of the empty one.
	first string
	mux   *http.ServeMux
}

func newSite(t *testing.T) *site {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatalf("this test needs git on this machine: %v", err)
	}
	s := &site{git: git, root: t.TempDir(), mux: http.NewServeMux()}
	for _, name := range []string{"acme/app", "acme/closed", "other/app"} {
		s.first = repository(t, filepath.Join(s.root, name))
	}
	gitIn(t, filepath.Join(s.root, "acme", "app"), "update-ref", "refs/heads/"+nowhere, "ready")
	gitIn(t, s.root, "init", "-q", filepath.Join("acme", "empty"))
	for path, word := range map[string]string{"/lists/a.txt": "listed", "/other/a.txt": "other"} {
		s.mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, word) })
	}
	s.mux.HandleFunc("/lists/a.tgz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(packed("listed")) })
	s.mux.Handle("/lists/moved.txt", http.RedirectHandler("/other/a.txt", http.StatusFound))
	repositories := &cgi.Handler{Path: git, Args: []string{"http-backend"}, Env: append(hermetic, "GIT_PROJECT_ROOT="+s.root, "GIT_HTTP_EXPORT_ALL=")}
	s.mux.Handle("/", repositories)
	s.mux.HandleFunc("/acme/closed/", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != reader || password != readersPassword {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		repositories.ServeHTTP(w, r)
	})
	return s
}

// packed is an archive of a file with a word.
func packed(word string) []byte { return lab.Tarball("a.txt", word+"\n") }

// nowhere is a commit id that nothing has.
var nowhere = strings.Repeat("a", 40)

// Who may read acme/closed.
const (
	reader          = "reader"
	readersPassword = "not-a-secret"
)

// serve does so over http, where pods reach it, until the test ends. It gives
// what replaces SITE by the URL, FIRST by the first commit and NOWHERE by one that
// no repository has, but a branch of that name.
func (s *site) serve(t *testing.T) *strings.Replacer {
	t.Helper()
	server := httptest.NewUnstartedServer(s.mux)
	server.Listener = listen(t)
	server.Start()
	t.Cleanup(server.Close)
	return strings.NewReplacer("SITE", server.URL, "FIRST", s.first, "NOWHERE", nowhere)
}

// secured is a site behind TLS and ssh.
type secured struct {
	*strings.Replacer
	// knownHosts and authority are by what its servers are known.
	knownHosts, authority string
	// key is that of the only user of ssh, in PEM.
	key string
}

// serveSecurely is serve over TLS and ssh, at the ports that are theirs, of a
// Service. It gives what replaces HOST by its name, FIRST by the first commit
// and PASSWORD by the password that acme/closed wants.
func (s *site) serveSecurely(t *testing.T) *secured {
	t.Helper()
	ns := namespace(t, "site", plain)
	host := "site." + ns + ".svc"
	out := &secured{Replacer: strings.NewReplacer("HOST", host, "FIRST", s.first, "PASSWORD", readersPassword)}

	dir := t.TempDir()
	authority, err := pki.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Issue(pki.Leaf{Name: "site", CommonName: host, Hosts: []string{host}}); err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	out.authority = string(known)
	web := listen(t)
	server := &http.Server{Handler: s.mux}
	t.Cleanup(func() { server.Close() })
	go server.ServeTLS(web, filepath.Join(dir, "site.crt"), filepath.Join(dir, "site.key"))

	hostKey, _ := newKey(t)
	userKey, userPEM := newKey(t)
	out.key, out.knownHosts = userPEM, knownhosts.Line([]string{host}, hostKey.PublicKey())+"\n"
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), userKey.PublicKey().Marshal()) {
			return nil, errors.New("nobody's key")
		}
		return nil, nil
	}}
	config.AddHostKey(hostKey)
	shell := listen(t)
	go func() {
		for {
			conn, err := shell.Accept()
			if err != nil {
				return
			}
			go s.serveSSH(conn, config)
		}
	}()

	port := func(name string, number int32) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: number}
	}
	create(t, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "site"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{port("https", 443), port("ssh", 22)}},
	})
	behind := func(name string, l net.Listener) discoveryv1.EndpointPort {
		number := int32(l.Addr().(*net.TCPAddr).Port)
		return discoveryv1.EndpointPort{Name: &name, Port: &number}
	}
	create(t, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: ns, Name: "site", Labels: map[string]string{discoveryv1.LabelServiceName: "site"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{layout.NodeIP}}},
		Ports:       []discoveryv1.EndpointPort{behind("https", web), behind("ssh", shell)},
	})
	return out
}

// trust gives a namespace what it takes to know the servers, and to be let in:
// the ConfigMap trusted, where [part.ExecutorEnv] looks for it, and the Secret git.
func (s *secured) trust(t *testing.T, ns string) {
	t.Helper()
	create(t, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "trusted"},
		Data:       map[string]string{"known_hosts": s.knownHosts, "ca.crt": s.authority},
	})
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "git"},
		StringData: map[string]string{"username": reader, "password": readersPassword, "key": s.key},
	})
}

// serveSSH serves a connection of somebody who fetches from the repositories.
func (s *site) serveSSH(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		if c.ChannelType() != "session" {
			c.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		session, requests, err := c.Accept()
		if err != nil {
			return
		}
		go s.serveSession(session, requests)
	}
}

// serveSession runs the git-upload-pack that a session asks for (RFC 4254, 6.5).
func (s *site) serveSession(session ssh.Channel, requests <-chan *ssh.Request) {
	defer session.Close()
	for r := range requests {
		var asked struct{ Command string }
		repository := ""
		if r.Type == "exec" && ssh.Unmarshal(r.Payload, &asked) == nil {
			repository, _ = strings.CutPrefix(asked.Command, "git-upload-pack ")
		}
		if r.WantReply {
			r.Reply(repository != "", nil)
		}
		if repository == "" {
			continue
		}
		cmd := exec.Command(s.git, "upload-pack", filepath.Join(s.root, strings.Trim(repository, "'")))
		cmd.Env = append(os.Environ(), hermetic...)
		cmd.Stdout, cmd.Stderr = session, session.Stderr()
		// Not cmd.Stdin: Run would wait for the client to end it.
		in, err := cmd.StdinPipe()
		if err != nil {
			return
		}
		go func() {
			io.Copy(in, session)
			in.Close()
		}()
		var ended struct{ Status uint32 }
		if cmd.Run() != nil {
			ended.Status = 1
		}
		session.SendRequest("exit-status", false, ssh.Marshal(ended))
		return
	}
}

// newKey makes a key for ssh, and spells it in PEM.
func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, string(pem.EncodeToMemory(block))
}

// listen listens where pods reach it, until the test ends.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(layout.NodeIP, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
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
	git := func(args ...string) string { t.Helper(); return gitIn(t, dir, args...) }
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

// gitIn runs git in a folder, and gives its output.
func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(os.Environ(), hermetic...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}
