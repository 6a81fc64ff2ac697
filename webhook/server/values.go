package server

import "bytes"

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

// values counts what a text in JSON may have in it, without reading it: as many as it has
// or more. Inside of strings what looks like a value counts too, unless its next byte is a
// backslash, as in JSON in a string; outside of strings no JSON has such. A null counts as
// an object: no API server writes one in a list, but others may ask, too.
type values struct{ objects, members int64 }

// add counts a part. Between two parts no backslash is seen, and so one more counted.
func (v *values) add(part []byte) {
	v.objects += int64(bytes.Count(part, []byte("{")) - bytes.Count(part, []byte(`{\`)) + bytes.Count(part, []byte("null")))
	v.members += int64(bytes.Count(part, []byte(",")) - bytes.Count(part, []byte(`,\`)))
}

// tooMany says whether a text may have more objects than that in it.
func tooMany(text []byte, most int64) bool {
	if int64(bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("null"))) <= most {
		return false
	}
	var v values
	v.add(text)
	return v.objects > most
}

// unpacking is what they may take in memory beyond what every request takes, in bytes.
func (v *values) unpacking() int64 {
	return sizeOfObject*max(0, v.objects-ordinaryObjects) + sizeOfMember*max(0, v.members-ordinaryMembers)
}
