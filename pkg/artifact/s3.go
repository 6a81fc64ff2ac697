package artifact

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// SchemeS3 is S3, and what speaks its protocol.
const SchemeS3 Scheme = ""

// S3 keeps every key as it is spelled. Argo lists a directory by its key and a slash.
func init() {
	register(StoreKind{
		Scheme: SchemeS3, Name: "s3", Title: "S3", URIScheme: "s3",
		check:    func(Location) error { return nil },
		NewPlace: func() Place { return &s3Place{} },
		Fields:   []string{"endpoint", "bucket", "key"},
	})
}

// InS3 is the bucket at an endpoint, a host or host:port.
func InS3(endpoint, bucket string) Location {
	return Location{Scheme: SchemeS3, Store: strings.ToLower(endpoint), Bucket: bucket}
}

// s3Place is a bucket and a key in it.
type s3Place struct {
	Endpoint                 string           `json:"endpoint"`
	Bucket                   string           `json:"bucket"`
	Key                      string           `json:"key"`
	Region                   string           `json:"region"`
	Insecure                 *bool            `json:"insecure"`
	AccessKeySecret          *json.RawMessage `json:"accessKeySecret"`
	SecretKeySecret          *json.RawMessage `json:"secretKeySecret"`
	SessionTokenSecret       *json.RawMessage `json:"sessionTokenSecret"`
	RoleARN                  string           `json:"roleARN"`
	UseSDKCreds              bool             `json:"useSDKCreds"`
	CreateBucketIfNotPresent *json.RawMessage `json:"createBucketIfNotPresent"`
	EncryptionOptions        *json.RawMessage `json:"encryptionOptions"`
	CASecret                 *json.RawMessage `json:"caSecret"`
}

// GetKey implements Place.
func (s *s3Place) GetKey() string { return s.Key }

// Full implements Place.
func (s *s3Place) Full() bool { return s.Endpoint != "" && s.Bucket != "" && s.Key != "" }

// In implements Place.
func (s *s3Place) In() (Location, error) { return InS3(s.Endpoint, s.Bucket), nil }

// Uncertain implements Place.
func (s *s3Place) Uncertain() (u Uncertain) {
	if s.Insecure != nil && *s.Insecure {
		u.PlainHTTP = "insecure is true"
	}
	if s.CASecret != nil {
		u.CASecret = "caSecret is set"
	}
	if s.elsewhere() {
		u.Region = fmt.Sprintf("region is %.40q", s.Region)
	}
	return u
}

var (
	// amazon matches the hosts that Argo's S3 client exchanges for that of the region.
	amazon = regexp.MustCompile(`amazonaws\.com|\.amazonaws\.`)
	// commercial matches the regions that share one set of bucket names, and
	// China's. China's regions and those of governments have names of their own.
	// Governments' regions have four parts, and China's begin with cn-.
	commercial = regexp.MustCompile(`^[a-z]{2}-[a-z]+-[0-9]+$`)
)

// elsewhere says whether the region may make another bucket of the same name.
func (s *s3Place) elsewhere() bool {
	return s.Region != "" && amazon.MatchString(strings.ToLower(s.Endpoint)) &&
		(!commercial.MatchString(s.Region) || strings.HasPrefix(s.Region, "cn-"))
}
