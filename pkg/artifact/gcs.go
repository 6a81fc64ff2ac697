package artifact

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
)

// SchemeGCS is Google Cloud Storage.
const SchemeGCS Scheme = "gs"

// GCS has one server for everybody: buckets share one name space, and templates
// cannot name a server. Argo cleans each key before it uses it
// (gcs.ArtifactDriver), so a slash at the end says nothing, and `a//b` is `a/b`. It
// follows links in a directory, and asks only whether they lead to directories
// (gcs.listFileRelPaths).
func init() {
	register(StoreKind{
		Scheme: SchemeGCS, Name: "gcs", Title: "GCS", URIScheme: "gs",
		Host: "storage.googleapis.com", CleansKeys: true,
		check: func(l Location) error {
			if !gcsBucket.MatchString(l.Bucket) {
				return fmt.Errorf("bucket %q is none of Google's", l.Bucket)
			}
			if at := path.Clean(l.Key); at != l.Key && at+"/" != l.Key {
				return fmt.Errorf("key %q is not clean, and Argo cleans it", l.Key)
			}
			return nil
		},
		NewPlace:     func() Place { return &gcsPlace{} },
		Fields:       []string{"bucket", "key"},
		FollowsLinks: true, ListsByPrefix: true,
	})
}

// gcsBucket matches names of buckets: cloud.google.com/storage/docs/buckets#naming
var gcsBucket = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)

// InGCS is that bucket.
func InGCS(bucket string) Location { return Location{Scheme: SchemeGCS, Bucket: bucket} }

// gcsPlace is a bucket of Google Cloud Storage and a key in it.
type gcsPlace struct {
	Bucket                  string           `json:"bucket"`
	Key                     string           `json:"key"`
	ServiceAccountKeySecret *json.RawMessage `json:"serviceAccountKeySecret"`
}

// GetKey implements Place.
func (g *gcsPlace) GetKey() string { return g.Key }

// Full implements Place.
func (g *gcsPlace) Full() bool { return g.Bucket != "" && g.Key != "" }

// In implements Place.
func (g *gcsPlace) In() (Location, error) { return InGCS(g.Bucket), nil }

// Uncertain is always nothing: Argo asks Google's one server, with TLS. A Secret
// only changes which credentials Argo shows there. Only a variable can name another
// server (STORAGE_EMULATOR_HOST), and only the variables of Argo's configuration
// are admitted.
func (g *gcsPlace) Uncertain() Uncertain { return Uncertain{} }
