package argo

import (
	"path"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// stores lists the kinds of store that are set. Argo prefers one when it
// computes keys and another when it downloads, so more than one is refused.
func (l *location) stores() []string {
	if l == nil {
		return nil
	}
	var set []string
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"artifactory", l.Artifactory != nil},
		{"azure", l.Azure != nil},
		{"git", l.Git != nil},
		{"gcs", l.GCS != nil},
		{"hdfs", l.HDFS != nil},
		{"http", l.HTTP != nil},
		{"oss", l.OSS != nil},
		{"raw", l.Raw != nil},
		{"s3", l.S3 != nil},
	} {
		if s.set {
			set = append(set, s.name)
		}
	}
	return set
}

// repository gives the S3 location where artifacts without a full location of
// their own lie (the template's archiveLocation).
func (t *template) repository() (*s3Location, *reason.Error) {
	stores := t.archive.stores()
	switch {
	case len(stores) == 0:
		return nil, reason.New(reason.LocationInvalid, "the artifact has no full location and the template no archiveLocation")
	case len(stores) > 1:
		return nil, reason.New(reason.LocationInvalid, "archiveLocation has more than one store: %s", strings.Join(stores, ", "))
	case t.archive.S3 == nil:
		return nil, reason.New(reason.StoreUnsupported, "archiveLocation is in %s", stores[0])
	}
	return t.archive.S3, nil
}

// full says whether Argo takes the location for complete.
func (s *s3Location) full() bool { return s.Endpoint != "" && s.Bucket != "" && s.Key != "" }

// object gives the location of an artifact with its own S3 location: as it is
// where that is full, else its key in the step's repository, everything else
// of it ignored (ArtifactLocation.Relocate). A key that ends in a slash is a
// prefix.
func (t *template) object(own *s3Location) (artifact.Location, *reason.Error) {
	in := own
	if !own.full() {
		r, problem := t.repository()
		if problem != nil {
			return artifact.Location{}, problem
		}
		in = r
	}
	locate := artifact.NewObject
	if strings.HasSuffix(own.Key, "/") {
		locate = artifact.NewPrefix
	}
	l, err := locate(in.Endpoint, in.Bucket, own.Key)
	if err != nil {
		return artifact.Location{}, reason.Wrap(reason.LocationInvalid, err, "%v", err)
	}
	return l, nil
}

// archived gives the location of an output without a key of its own: below the
// repository's key, under the name of the staged file, cleaned as Argo cleans
// it (WorkflowExecutor.saveArtifactFromFile).
func (t *template) archived(file string) (artifact.Location, *reason.Error) {
	r, problem := t.repository()
	if problem != nil {
		return artifact.Location{}, problem
	}
	return t.object(&s3Location{Key: path.Join(r.Key, file)})
}

// within says whether a path is a directory or lies below it, by Argo's rule:
// nothing of either is cleaned but trailing slashes of the directory.
func within(path, dir string) bool {
	dir = strings.TrimRight(dir, "/")
	return path == dir || strings.HasPrefix(path, dir+"/")
}
