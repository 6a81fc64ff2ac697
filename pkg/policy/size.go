package policy

import "github.com/argoseal/argoseal/pkg/api/v1alpha1"

const (
	// MaxOwnPatterns is how many bytes the patterns of a namespace's own policies may have
	// together, each counted with perPattern more: compiled they take sizeOfPattern times as
	// much.
	MaxOwnPatterns = 64 << 10
	perPattern     = 32
	// sizeOfPattern is about what a byte of a pattern takes, compiled: an instruction has 40
	// bytes, once more 64 if it is one of few, and what it leads to.
	sizeOfPattern = 160
	// sizeOfEntry is what an entry takes beside its pattern.
	sizeOfEntry = 1 << 10
)

// patternBytes are those of all patterns in the policies, as MaxOwnPatterns counts them.
func patternBytes(own []v1alpha1.ProvenancePolicy) int {
	n := 0
	for i := range own {
		spec := &own[i].Spec
		for _, in := range spec.Images {
			n += perPattern + len(in.Name)
		}
		if spec.Allow == nil {
			continue
		}
		for _, in := range spec.Allow.S3 {
			n += perPattern + len(in.Location)
		}
		for _, in := range spec.Allow.GCS {
			n += perPattern + len(in.Location)
		}
		for _, in := range spec.Allow.Azure {
			n += perPattern + len(in.Location)
		}
		for _, in := range spec.Allow.HTTP {
			n += perPattern + len(in.URL)
		}
		for _, in := range spec.Allow.Git {
			n += perPattern + len(in.Repository)
		}
	}
	return n
}

// Size is about what the set takes in memory, but for what policies say beside patterns,
// and for revocations.
func (s Set) Size() int {
	n := 0
	for _, r := range s.all() {
		n += sizeOfEntry
		if r.allow != nil {
			for _, e := range r.allow.external {
				n += sizeOfEntry + sizeOfPattern*len(e.glob.String())
			}
		}
		for _, e := range r.images {
			n += sizeOfEntry + sizeOfPattern*len(e.glob.String())
		}
	}
	return n
}
