//go:build e2e

package suite

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
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
			s := dotted{objects: map[string]string{"thing": "honest"}}
			first, last := packed("a"), packed("c")
			if c.attack {
				s.objects = map[string]string{"thing/x": "x", "thing/../../../../var/run/argo/argoexec": evil}
				half := evil[:len(evil)/2]
				first = through(t, "/var/run/argo/"+partOf("argoexec"), half, 0o555)
				last = through(t, "/var/run/argo/template", "{", 0o444)
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
					govern(t, ns, fmt.Sprintf(`allow: {http: [{url: "http://%[1]s/*", anyContent: true}], s3: [{location: "s3://%[1]s/%[2]s/thing", anyContent: true, tolerate: [PlainHTTP]}]}`, at, dottedBucket), "")
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
`, at, dottedBucket, c.command)))
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

const (
	dottedBucket = "dotted"
	// dottedTag is the ETag of every object, from which Argo's client of S3 makes the
	// name of a file that it has half of.
	dottedTag = "0123456789abcdef"
)

// partOf is what minio-go calls the file while it fetches it (FGetObject, v7.0.100).
func partOf(name string) string {
	return fmt.Sprintf("%x.part.minio", sha256.Sum256([]byte(name+dottedTag)))
}

// dotted is an S3 store with one bucket that keeps ".." in keys. It asks nobody who he is,
// and knows what Argo's driver asks for.
type dotted struct{ objects map[string]string }

func (s dotted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"+dottedBucket), "/")
	w.Header().Set("Content-Type", "application/xml")
	if query.Has("location") {
		fmt.Fprint(w, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`)
		return
	}
	if key == "" {
		fmt.Fprint(w, `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>`)
		for _, name := range []string{"thing/x", "thing/../../../../var/run/argo/argoexec"} {
			if object, found := s.objects[name]; found && strings.HasPrefix(name, query.Get("prefix")) {
				fmt.Fprintf(w, `<Contents><Key>%s</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"%s"</ETag><Size>%d</Size></Contents>`, name, dottedTag, len(object))
			}
		}
		fmt.Fprint(w, `</ListBucketResult>`)
		return
	}
	object, found := s.objects[key]
	if !found {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `<Error><Code>NoSuchKey</Code><Message>none</Message><Key>%s</Key></Error>`, key)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+dottedTag+`"`)
	http.ServeContent(w, r, "", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), strings.NewReader(object))
}
