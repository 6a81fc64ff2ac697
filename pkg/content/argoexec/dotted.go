package argoexec

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Dotted is an S3 store with one bucket, of objects by their keys, that keeps ".." in keys
// as some stores do. It asks nobody who he is, and knows what Argo's driver asks for.
type Dotted map[string]string

const (
	// DottedBucket is the name of its bucket.
	DottedBucket = "dotted"
	// dottedTag is the ETag of every object.
	dottedTag = "0123456789abcdef"
)

// Part is what Argo's client of S3 calls a file of a name while it fetches it from a Dotted
// (minio-go v7.0.100, FGetObject). It goes on with one that is there, whose mode stays.
func Part(name string) string {
	return fmt.Sprintf("%x.part.minio", sha256.Sum256([]byte(name+dottedTag)))
}

func (s Dotted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"+DottedBucket), "/")
	w.Header().Set("Content-Type", "application/xml")
	object, found := s[key]
	switch {
	case query.Has("location"):
		fmt.Fprint(w, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`)
	case key == "":
		fmt.Fprint(w, `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>`)
		for _, name := range slices.Sorted(maps.Keys(s)) {
			if strings.HasPrefix(name, query.Get("prefix")) {
				fmt.Fprintf(w, `<Contents><Key>%s</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"%s"</ETag><Size>%d</Size></Contents>`, name, dottedTag, len(s[name]))
			}
		}
		fmt.Fprint(w, `</ListBucketResult>`)
	case !found:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `<Error><Code>NoSuchKey</Code><Message>there is none</Message></Error>`)
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("ETag", `"`+dottedTag+`"`)
		http.ServeContent(w, r, "", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), strings.NewReader(object))
	}
}

// Through is an archive that Argo unpacks through its own links to a file at a path, with
// a mode if it makes it. The input has to lie in Argo's own volume.
func Through(t *testing.T, path, content string, mode int64) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	for _, h := range []tar.Header{
		{Name: "out", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "out/p", Typeflag: tar.TypeSymlink, Linkname: ".", Mode: 0o777},
		// It is unpacked below /argo/inputs/artifacts/NAME.tmpdir.
		{Name: "out/q", Typeflag: tar.TypeSymlink, Linkname: "p/p/p/p/p/../../../../.." + path, Mode: 0o777},
		{Name: "out/q", Typeflag: tar.TypeReg, Size: int64(len(content)), Mode: mode},
	} {
		must(t, w.WriteHeader(&h))
	}
	_, err := w.Write([]byte(content))
	must(t, errors.Join(err, w.Close(), z.Close()))
	return packed.Bytes()
}
