package artifact

import (
	"fmt"
	"path"
	"regexp"
)

// SchemeGCS is Google Cloud Storage.
const SchemeGCS Scheme = "gs"

// gcs: one for all, as buckets have one name space, and
// templates cannot name a server. Argo cleans each key before it uses it
// (gcs.ArtifactDriver), so a slash at the end says nothing, and `a//b` is `a/b`.
var gcs = store{scheme: "gs", cleans: true, check: func(l Location) error {
	if !gcsBucket.MatchString(l.Bucket) {
		return fmt.Errorf("bucket %q is none of Google's", l.Bucket)
	}
	if at := path.Clean(l.Key); at != l.Key && at+"/" != l.Key {
		return fmt.Errorf("key %q is not clean, and Argo cleans it", l.Key)
	}
	return nil
}}

// gcsHost is whom Argo asks.
const gcsHost = "storage.googleapis.com"

// gcsBucket matches names of buckets: cloud.google.com/storage/docs/buckets#naming
var gcsBucket = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)

// InGCS is that bucket.
func InGCS(bucket string) Location { return Location{Scheme: SchemeGCS, Bucket: bucket} }
