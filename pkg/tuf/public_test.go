package tuf_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
	"time"

	sigstore "github.com/sigstore/sigstore-go/pkg/tuf"

	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tuf"
	"github.com/argoseal/argoseal/pkg/verify"
)

const publicVariable = "ARGOSEAL_ROOT_SIGNING"

// Sigstore's public repository, as its maintainers sign it, is followed from the root that is
// built in, and from the very first one, to the trusted_root.json that they have; and not once
// its time is over.
func TestThePublicRepositoryIsFollowed(t *testing.T) {
	dir := os.Getenv(publicVariable)
	if dir == "" {
		t.Skipf("%s is not set: to a git repository of sigstore/root-signing", publicVariable)
	}
	show := func(name string) []byte {
		out, err := exec.CommandContext(t.Context(), "git", "-C", dir, "show", "HEAD:"+name).Output()
		must(t, err)
		return out
	}
	version := func(name string) string {
		var m struct {
			Signed struct{ Version int }
		}
		must(t, json.Unmarshal(show("metadata/"+name+".json"), &m))
		return fmt.Sprint(m.Signed.Version)
	}
	var timestamp struct {
		Signed struct{ Expires time.Time }
	}
	must(t, json.Unmarshal(show("metadata/timestamp.json"), &timestamp))
	target := show("targets/trusted_root.json")
	files := map[string][]byte{
		"/timestamp.json": show("metadata/timestamp.json"),
		"/" + version("snapshot") + ".snapshot.json":                        show("metadata/snapshot.json"),
		"/" + version("targets") + ".targets.json":                          show("metadata/targets.json"),
		fmt.Sprintf("/targets/%x.trusted_root.json", sha256.Sum256(target)): target,
	}
	history, err := exec.CommandContext(t.Context(), "git", "-C", dir, "ls-tree", "--name-only", "HEAD", "metadata/root_history/").Output()
	must(t, err)
	for _, name := range strings.Fields(string(history)) {
		files["/"+path.Base(name)] = show(name)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(server.Close)
	then := timestamp.Signed.Expires.Add(-time.Hour)
	for name, root := range map[string][]byte{"the root that is built in": sigstore.DefaultRoot(), "the fifth": show("metadata/root_history/5.root.json")} {
		r, err := tuf.New(server.URL, root, "", "trusted_root.json")
		must(t, err)
		state, got, err := r.Read(t.Context(), tuf.State{}, then)
		if err != nil || string(got) != string(target) {
			t.Errorf("from %s it gives %d bytes: %v", name, len(got), err)
		}
		for _, role := range tuf.Roles() {
			t.Logf("%s: %s version %d until %s", name, role, state.Roles[role].Version, state.Roles[role].Until)
		}
		if _, _, err := r.Read(t.Context(), state, timestamp.Signed.Expires.Add(time.Second)); err == nil || errors.Is(err, tuf.ErrAway) {
			t.Errorf("after its end it says %v", err)
		}
	}
	rules, err := verify.Rules{
		Attests:    []string{sealtest.GitHubBuilder},
		Identities: []verify.IdentityRule{{Issuer: sealtest.GitHubIssuer, Subject: sealtest.GitHubBuilder}},
	}.JSON()
	must(t, err)
	d, err := verify.ParseDomain("github", verify.Sources{TrustedRoot: target, Rules: rules})
	must(t, err)
	if _, err := verify.New(d); err != nil {
		t.Errorf("as a domain it is %v", err)
	}
}
