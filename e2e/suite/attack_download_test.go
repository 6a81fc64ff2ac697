//go:build e2e

package suite

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/content/argoexec"
	"github.com/argoseal/argoseal/pkg/reason"
)

// TestAttackADownloadWritesOutside: a policy admits an archive whatever it has in it.
// Argo unpacks it through its own links: over the program with which main begins, and
// over what all containers of the pod share. Without the defence the step then runs as
// the archive likes.
func TestAttackADownloadWritesOutside(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		at, content, command string
		// code or message is what stops the step: our check, or a root that is read-only.
		code    reason.Code
		message string
	}{
		"argoexec":    {"/var/run/argo/argoexec", "#!/bin/sh\nmkdir -p /var/run/argo/ctr/main\necho -n 0 > /var/run/argo/ctr/main/exitcode\nexit 0\n", "false", reason.InputAltered, ""},
		"resolv.conf": {"/etc/resolv.conf", "# forged\n#", "grep -q forged /etc/resolv.conf", "", "read-only file system"},
		"shm":         {"/dev/shm/forged", "forged", "test -f /dev/shm/forged", "", "read-only file system"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			archive := argoexec.Through(t, c.at, c.content, 0o644)
			l := listen(t)
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive) })}
			t.Cleanup(func() { server.Close() })
			go server.Serve(l)
			place := fmt.Sprintf("http://%s/in.tgz", l.Addr())
			both(t, func(t *testing.T, mode v1alpha1.Mode) {
				ns := namespace(t, slug("outside", what, string(mode)), mode)
				if mode != plain {
					govern(t, ns, fmt.Sprintf(`allow: {http: [{url: %q, anyContent: true}]}`, place), "")
				}
				run := finish(t, ns, submit(t, ns, fmt.Sprintf(`
metadata: {name: outside}
spec:
  entrypoint: use
  templates:
  - name: use
    inputs: {artifacts: [{name: in, path: /in, http: {url: %q}}]}
    container: {image: busybox, command: [sh, -c, %q]}
`, place, c.command)))
				switch {
				case mode == plain:
					judged(t, run, "")
					return
				case c.code != "":
					judged(t, run, c.code)
				case run.Phase == "Succeeded" || !strings.Contains(run.String(), c.message):
					t.Errorf("want %q: %s", c.message, run)
				}
				mainNeverStarted(t, run, run.Name)
			})
		})
	}
}
