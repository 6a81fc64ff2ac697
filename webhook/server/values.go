package server

import "github.com/argoseal/argoseal/pkg/jsonsize"

const (
	// sizeOfObject is the largest that an object of two bytes can be decoded to: a
	// container; so is a null in a list of such. sizeOfMember is that of a member that is
	// none: an amount in a map.
	sizeOfObject = 1000
	sizeOfMember = 160
	// Room for so many is what each request has anyway: an ordinary pod has some hundreds
	// of objects, most of them of its managedFields.
	ordinaryObjects = 2000
	ordinaryMembers = 32 << 10
	// maxObjects is how many a pod that is created may have. One with 1,024 outputs has some
	// two thousand.
	maxObjects = 20_000
	// maxStoredObjects is how many one may have that is stored: whoever writes to it, such
	// as the kubelet, may add as many.
	maxStoredObjects = 2 * maxObjects
	// maxWorkflowObjects is how many a Workflow may have. One of ten thousand nodes that is
	// submitted again has so many.
	maxWorkflowObjects = 200_000
)

// unpacking is what a request may take in memory beyond what every request takes, in bytes.
func unpacking(c jsonsize.Count) int64 {
	return sizeOfObject*max(0, c.Objects-ordinaryObjects) + sizeOfMember*max(0, c.Members-ordinaryMembers)
}
