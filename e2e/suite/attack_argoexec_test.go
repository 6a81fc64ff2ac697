//go:build e2e

package suite

import (
	"fmt"
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/content/argoexec"
	"github.com/argoseal/argoseal/pkg/reason"
)

// TestAttackADownloadReplacesArgoexecInOrder: three inputs, which a policy admits whatever
// they are, put another argoexec in the place of Argo's so that neither its mode nor any
// time tells. An archive lays the part of a download that Argo's client of S3 goes on with,
// with the right mode; an S3 store that keeps ".." in keys has it put into place; another
// archive touches the template. Without the defence main begins with that program. The
// twin takes the same inputs, and they are honest.
func TestAttackADownloadReplacesArgoexecInOrder(t *testing.T) {
	t.Parallel()
	const evil = "#!/bin/sh\nmkdir -p /var/run/argo/ctr/main\necho -n 0 > /var/run/argo/ctr/main/exitcode\nexit 0\n"
	for what, c := range map[string]struct {
		attack  bool
		command string
		code    reason.Code
	}{
		"honest": {false, "grep -q honest /b && test -e /a && test -e /c", ""},
		"attack": {true, "false", reason.InputAltered},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := argoexec.Dotted{"thing": "honest"}
			first, last := packed("a"), packed("c")
			if c.attack {
				s = argoexec.Dotted{"thing/x": "x", "thing/../../../../var/run/argo/argoexec": evil}
				half := evil[:len(evil)/2]
				first = argoexec.Through(t, "/var/run/argo/"+argoexec.Part("argoexec"), half, 0o555)
				last = argoexec.Through(t, "/var/run/argo/template", "{", 0o444)
			}
			files := map[string][]byte{"/a.tgz": first, "/c.tgz": last}
			l := listen(t)
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if file, found := files[r.URL.Path]; found {
					_, _ = w.Write(file)
					return
				}
				s.ServeHTTP(w, r)
			})}
			t.Cleanup(func() { server.Close() })
			go server.Serve(l)
			at := l.Addr().String()
			both(t, func(t *testing.T, mode v1alpha1.Mode) {
				ns := namespace(t, slug("in order", what, string(mode)), mode)
				if mode != plain {
					govern(t, ns, fmt.Sprintf(`allow: {http: [{url: "http://%[1]s/*", anyContent: true}], s3: [{location: "s3://%[1]s/%[2]s/thing", anyContent: true, tolerate: [PlainHTTP]}]}`, at, argoexec.DottedBucket), "")
				}
				credentials := &corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "my-minio-cred"}, StringData: map[string]string{"accesskey": "any", "secretkey": "any"},
				}
				if err := cluster(t).Client.Create(t.Context(), credentials); err != nil {
					t.Fatal(err)
				}
				run := finish(t, ns, submit(t, ns, fmt.Sprintf(`
metadata: {name: in-order}
spec:
  entrypoint: use
  templates:
  - name: use
    inputs:
      artifacts:
      - {name: a, path: /a, http: {url: "http://%[1]s/a.tgz"}}
      - name: b
        path: /b
        archive: {none: {}}
        s3:
          endpoint: %[1]q
          insecure: true
          bucket: %[2]s
          key: thing
          accessKeySecret: {name: my-minio-cred, key: accesskey}
          secretKeySecret: {name: my-minio-cred, key: secretkey}
      - {name: c, path: /c, http: {url: "http://%[1]s/c.tgz"}}
    container: {image: busybox, command: [sh, -c, %[3]q]}
`, at, argoexec.DottedBucket, c.command)))
				if mode == plain || c.code == "" {
					judged(t, run, "")
					return
				}
				judged(t, run, c.code)
				mainNeverStarted(t, run, run.Name)
			})
		})
	}
}
