package argo

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
)

// s3Location is a bucket and a key in it.
type s3Location struct {
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

func (s *s3Location) key() string { return s.Key }

func (s *s3Location) full() bool { return s.Endpoint != "" && s.Bucket != "" && s.Key != "" }

func (s *s3Location) bucket() (artifact.Location, error) {
	return artifact.InS3(s.Endpoint, s.Bucket), nil
}

func (s *s3Location) doubts() (d []Doubt, unproven bool) {
	if s.Insecure != nil && *s.Insecure {
		d, unproven = append(d, Doubt{v1alpha1.DoubtPlainHTTP, "insecure is true"}), true
	}
	if s.CASecret != nil {
		d, unproven = append(d, Doubt{v1alpha1.DoubtCASecret, "caSecret is set"}), true
	}
	if s.elsewhere() {
		d = append(d, Doubt{v1alpha1.DoubtRegion, fmt.Sprintf("region is %.40q", s.Region)})
	}
	return d, unproven
}

var (
	// amazon matches the hosts that Argo's S3 client exchanges for that of the region.
	amazon = regexp.MustCompile(`amazonaws\.com|\.amazonaws\.`)
	// commercial matches the regions in which buckets of one name are one bucket. Those
	// of China and of governments have their own, and four parts but for China's.
	commercial = regexp.MustCompile(`^[a-z]{2}-[a-z]+-[0-9]+$`)
)

// elsewhere says whether the region may make another bucket of the same name.
func (s *s3Location) elsewhere() bool {
	return s.Region != "" && amazon.MatchString(strings.ToLower(s.Endpoint)) &&
		(!commercial.MatchString(s.Region) || strings.HasPrefix(s.Region, "cn-"))
}
