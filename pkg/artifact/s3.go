package artifact

import "strings"

// SchemeS3 is S3, and what speaks its protocol.
const SchemeS3 Scheme = ""

// s3 keeps every key as it is spelled. Argo lists a directory by its key and a slash.
var s3 = store{scheme: "s3", server: true, check: func(Location) error { return nil }}

// InS3 is the bucket at an endpoint, a host or host:port.
func InS3(endpoint, bucket string) Location {
	return Location{Scheme: SchemeS3, Store: strings.ToLower(endpoint), Bucket: bucket}
}
