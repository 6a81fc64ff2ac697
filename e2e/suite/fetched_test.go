//go:build e2e

package suite

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// TestConformanceWhatArgoFetchesNeedsAPolicy: inputs by git and http have no seal, and are
// admitted where the cluster's administrators say so: commits, branches that
// they name, and URLs with the content they say.
func TestConformanceWhatArgoFetchesNeedsAPolicy(t *testing.T) {
	t.Parallel()
	site := newSite(t).serve(t)
	const (
		app   = `allow: {git: [{repository: "SITE/acme/*"}]}`
		ready = `allow: {git: [{repository: "SITE/acme/*", branches: [ready]}]}`
		tags  = `allow: {git: [{repository: "SITE/acme/*", tags: [tagged]}]}`
		lists = `allow: {http: [{url: "SITE/lists/*.txt", anyContent: true}]}`
	)
	pinned := func(word string) string {
		return fmt.Sprintf(`allow: {http: [{url: "SITE/lists/*.txt", sha256: %x}]}`, sha256.Sum256([]byte(word+"\n")))
	}
	unpacked := func(word string) string {
		sum, err := content.Measure(t.Context(), bytes.NewReader(packed(word)))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`allow: {http: [{url: "SITE/lists/*.tgz", treeSHA256: %s}]}`, sum.Tree)
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
		"a tag that is named":                 {cluster: tags, taken: taken{`git: {repo: SITE/acme/app, revision: tagged}`, "first"}},
		"a tag by its whole name":             {cluster: tags, taken: taken{`git: {repo: SITE/acme/app, revision: refs/tags/tagged}`, "first"}},
		"a tag that branches name":            {cluster: `allow: {git: [{repository: "SITE/acme/*", branches: [tagged]}]}`, taken: taken{`git: {repo: SITE/acme/app, revision: tagged}`, "first"}},
		"a branch of a server of any key":     {cluster: ready, taken: taken{`git: {repo: SITE/acme/app, revision: ready, insecureIgnoreHostKey: true}`, "ready"}, code: reason.RemoteUnsupported},
		"a branch where any key will do":      {cluster: `allow: {git: [{repository: "SITE/acme/*", branches: [ready], tolerate: [UnknownHostKey]}]}`, taken: taken{`git: {repo: SITE/acme/app, revision: ready, insecureIgnoreHostKey: true}`, "ready"}},
		"no revision of a server of any key":  {cluster: ready, taken: taken{`git: {repo: SITE/acme/app, insecureIgnoreHostKey: true}`, "second"}, code: reason.RemoteUnsupported},
		"a tag where branches are named":      {cluster: ready, taken: taken{`git: {repo: SITE/acme/app, revision: refs/tags/tagged}`, "first"}, code: reason.NoProvenance},
		"no revision where the default does":  {cluster: `allow: {git: [{repository: "SITE/acme/*", defaultBranch: true}]}`, taken: taken{`git: {repo: SITE/acme/app}`, "second"}},
		"no revision":                         {cluster: ready, taken: taken{`git: {repo: SITE/acme/app}`, "second"}, code: reason.RemoteUnsupported},
		"a revision that is fetched by another name": {
			cluster: ready, taken: taken{`git: {repo: SITE/acme/app, revision: ready, singleBranch: true, branch: main, fetch: ["refs/heads/main:refs/tags/ready"]}`, "second"}, code: reason.RemoteUnsupported,
		},

		// Both are what Argo makes of a repository that has not the commit.
		"a commit that is the name of a branch": {cluster: app, taken: taken{`git: {repo: SITE/acme/app, revision: NOWHERE}`, "ready"}, code: reason.InputAltered},
		"a commit of an empty repository":       {cluster: app, taken: taken{`git: {repo: SITE/acme/empty, revision: FIRST}`, "ref:.refs/heads/master"}, code: reason.InputAltered},

		"a URL":                              {cluster: lists, taken: taken{`http: {url: SITE/lists/a.txt}`, "listed"}},
		"a URL without a policy":             {taken: taken{`http: {url: SITE/lists/a.txt}`, "listed"}, code: reason.NoProvenance},
		"a URL of another place":             {cluster: lists, taken: taken{`http: {url: SITE/other/a.txt}`, "other"}, code: reason.NoProvenance},
		"a URL with its content":             {cluster: pinned("listed"), taken: taken{`http: {url: SITE/lists/a.txt}`, "listed"}},
		"a URL with other content":           {cluster: pinned("other"), taken: taken{`http: {url: SITE/lists/a.txt}`, "listed"}, code: reason.InputAltered},
		"an archive with its content":        {cluster: unpacked("listed"), taken: taken{`http: {url: SITE/lists/a.tgz}`, "listed"}},
		"an archive with other content":      {cluster: unpacked("other"), taken: taken{`http: {url: SITE/lists/a.tgz}`, "listed"}, code: reason.InputAltered},
		"a URL that leads to other content":  {cluster: pinned("listed"), taken: taken{`http: {url: SITE/lists/moved.txt}`, "other"}, code: reason.InputAltered},
		"a URL the tenant does not want":     {cluster: lists, own: `allow: {}`, taken: taken{`http: {url: SITE/lists/a.txt}`, "listed"}, code: reason.PolicyNarrowed},
		"a URL with a query that nobody has": {cluster: lists, taken: taken{`http: {url: "SITE/lists/a.txt?to=b.txt"}`, "listed"}, code: reason.NoProvenance},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug("fetched", name), v1alpha1.ModeEnforce)
			govern(t, ns, site.Replace(c.cluster), site.Replace(c.own))
			run := finish(t, ns, submit(t, ns, site.Replace(taking(slug(name), c.taken))))
			ruled(t, run, c.code)
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

// fetching takes one input from a server that proves who it is, to Argo's
// executor by what lies on a volume of the step's.
const fetching = `
metadata: {name: NAME}
spec:
  entrypoint: use
  volumes: [{name: trusted, configMap: {name: trusted}}]
  templates:
  - name: use
    inputs: {artifacts: [{name: in, path: /tmp/in, INPUT}]}
    outputs: {artifacts: [{name: used, path: /tmp/used}]}
    container:
      image: busybox
      command: [sh, -c, "grep -rqx WORD /tmp/in && echo used > /tmp/used"]
      volumeMounts: [{name: trusted, mountPath: /trusted}]
`

// TestConformanceWhatArgoFetchesOverTLSAndSSHNeedsAPolicy: a repository is what
// its URL says, in each form that git has for it, and is fetched with whatever
// the server wants to see.
func TestConformanceWhatArgoFetchesOverTLSAndSSHNeedsAPolicy(t *testing.T) {
	t.Parallel()
	site := newSite(t).serveSecurely(t)
	undefended := namespace(t, "secure", plain)
	site.trust(t, undefended)
	const (
		// Argo's executors trust the CAs of a folder here, and the step mounts something there.
		tls     = `allow: {git: [{repository: "https://HOST/acme/*", branches: [ready], tolerate: [CASecret]}]}`
		strict  = `allow: {git: [{repository: "https://HOST/acme/*", branches: [ready]}]}`
		ssh     = `allow: {git: [{repository: "ssh://git@HOST/acme/*", branches: [ready]}]}`
		short   = `allow: {git: [{repository: "git@HOST:acme/*", branches: [ready]}]}`
		shown   = `allow: {git: [{repository: "ssh://git@HOST/~/acme/*"}]}`
		unknown = `allow: {git: [{repository: "ssh://git@HOST/acme/*", tolerate: [UnknownHostKey]}]}`
		lists   = `allow: {http: [{url: "https://HOST/lists/*", anyContent: true, tolerate: [CASecret]}]}`

		password = `usernameSecret: {name: git, key: username}, passwordSecret: {name: git, key: password}`
		key      = `sshPrivateKeySecret: {name: git, key: key}`
	)
	for name, c := range map[string]struct {
		policy, input, word string
		code                reason.Code
	}{
		"a URL over TLS": {lists, `http: {url: "https://HOST/lists/a.txt"}`, "listed", ""},
		"a branch over TLS that the step's CAs decide":         {strict, `git: {repo: "https://HOST/acme/app", revision: ready}`, "ready", reason.PlaceUncertain},
		"a commit whoever has it":                              {strict, `git: {repo: "https://HOST/acme/app", revision: FIRST}`, "first", ""},
		"a commit over TLS":                                    {tls, `git: {repo: "https://HOST/acme/app", revision: FIRST}`, "first", ""},
		"a branch over TLS":                                    {tls, `git: {repo: "https://HOST/acme/app", revision: ready}`, "ready", ""},
		"a commit for a password":                              {tls, `git: {repo: "https://HOST/acme/closed", revision: FIRST, ` + password + `}`, "first", ""},
		"a commit over ssh":                                    {ssh, `git: {repo: "ssh://git@HOST/acme/app", revision: FIRST, ` + key + `}`, "first", ""},
		"a branch over ssh":                                    {ssh, `git: {repo: "ssh://git@HOST/acme/app", revision: ready, ` + key + `}`, "ready", ""},
		"a commit by the short form":                           {short, `git: {repo: "git@HOST:acme/app", revision: FIRST, ` + key + `}`, "first", ""},
		"a branch by the short form":                           {short, `git: {repo: "git@HOST:acme/app", revision: ready, ` + key + `}`, "ready", ""},
		"a commit by the short form, as refusals show it":      {shown, `git: {repo: "git@HOST:acme/app", revision: FIRST, ` + key + `}`, "first", ""},
		"a commit by the short form under a policy for ssh":    {ssh, `git: {repo: "git@HOST:acme/app", revision: FIRST, ` + key + `}`, "first", reason.NoProvenance},
		"a commit over ssh under a policy for TLS":             {tls, `git: {repo: "ssh://git@HOST/acme/app", revision: FIRST, ` + key + `}`, "first", reason.NoProvenance},
		"a commit by the short form of another repository":     {short, `git: {repo: "git@HOST:other/app", revision: FIRST, ` + key + `}`, "first", reason.NoProvenance},
		"a commit over ssh of a server that proves nothing":    {ssh, `git: {repo: "ssh://git@HOST/acme/app", revision: FIRST, insecureIgnoreHostKey: true, ` + key + `}`, "first", reason.RemoteUnsupported},
		"a commit over ssh of a server that need not":          {unknown, `git: {repo: "ssh://git@HOST/acme/app", revision: FIRST, insecureIgnoreHostKey: true, ` + key + `}`, "first", ""},
		"a commit over TLS of a server that proves nothing":    {tls, `git: {repo: "https://HOST/acme/app", revision: FIRST, insecureSkipTLS: true}`, "first", reason.RemoteUnsupported},
		"a commit for a password that the URL gives everybody": {tls, `git: {repo: "https://reader:PASSWORD@HOST/acme/closed", revision: FIRST}`, "first", reason.RemoteUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug("secure", name), v1alpha1.ModeEnforce)
			site.trust(t, ns)
			govern(t, ns, site.Replace(c.policy), "")
			text := site.Replace(strings.NewReplacer("NAME", slug(name), "INPUT", c.input, "WORD", c.word).Replace(fetching))
			ruled(t, finish(t, ns, submit(t, ns, text)), c.code)
			judged(t, finish(t, undefended, submit(t, undefended, text)), "")
		})
	}
}
