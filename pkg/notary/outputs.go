package notary

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// maxStatedImages is how many images one statement names, so that a step with many
// outputs of many images still has a statement that fits.
const maxStatedImages = 128

// roomForImages is how many images a statement may name beside so many outputs: both count
// as subjects, and outputs go first.
func roomForImages(outputs int) int {
	return max(0, min(maxStatedImages, provenance.MaxSubjects-outputs))
}

// built spells a statement. One that has no room for its images is made without them:
// they must not cost the outputs their seals.
func built(f provenance.Facts) ([]byte, error) {
	payload, err := provenance.Build(f)
	if err == nil || len(f.Measured) == 0 {
		return payload, err
	}
	f.Measured = nil
	return provenance.Build(f)
}

// maxLocation bounds a location's URI, as v1alpha1.OutputStatus does.
const maxLocation = 2048

// outputs is what became of the outputs that a template declares, in its order.
type outputs struct {
	// subjects, measured and unsealed are for the statement.
	subjects []provenance.Subject
	measured []provenance.Measured
	unsealed []provenance.Unsealed
	// noted is for the record.
	noted []v1alpha1.OutputStatus
	// room is how many images may be stated.
	room int
}

// undecided are outputs before anything was measured. One without a problem of its
// own is then not sealed for the pod's reason.
func undecided(declared []argo.Output) outputs {
	var all outputs
	for _, o := range declared {
		all.decide(o, nil, false)
	}
	return all
}

// decideAll says what became of every declared output. The measurement has to speak
// of each that can be sealed, and of no other.
func decideAll(declared []argo.Output, m measurement.Measurement) (outputs, error) {
	found := make(map[string]measurement.Found, len(m))
	for _, e := range m {
		if _, twice := found[e.Output]; twice {
			return undecided(declared), reason.New(reason.MeasurementIncomplete, "the measurement speaks of output %q twice", e.Output)
		}
		found[e.Output] = e.Found
	}
	claims := claimants(declared)
	all := outputs{room: roomForImages(len(declared))}
	for _, o := range declared {
		if o.Problem() == nil && found[o.Name] == nil {
			return undecided(declared), reason.New(reason.MeasurementIncomplete, "the measurement does not speak of this output").For(o.Label())
		}
		all.decide(o, found[o.Name], claims[o.Location().URI()] > 1)
		if o.Problem() == nil {
			delete(found, o.Name)
		}
	}
	for name := range found {
		return undecided(declared), reason.New(reason.MeasurementIncomplete, "the measurement speaks of output %q, which the template does not declare", name)
	}
	return all, nil
}

// decide says what became of one declared output: it is a subject, or it is not
// sealed for a reason. The reason is its own problem, the sidecar's, or that what
// was measured cannot lie there. found is what the sidecar saw; nil as long as
// nobody knows. shared says that another output goes to the same location.
func (all *outputs) decide(o argo.Output, found measurement.Found, shared bool) {
	note := v1alpha1.OutputStatus{Name: o.Name}
	unsealed := func(code reason.Code) {
		note.Reason = string(code)
		all.unsealed = append(all.unsealed, provenance.Unsealed{Output: o.Name, Reason: code})
	}
	if uri := o.Location().URI(); o.Problem() == nil && len(uri) <= maxLocation {
		note.Location = uri
	}
	switch stored, measured := found.(measurement.Bytes); {
	case o.Problem() != nil:
		unsealed(o.Problem().Code)
	case found == nil:
	case !measured:
		problem, _ := found.(measurement.Problem)
		note.Message = problem.Note
		unsealed(problem.Code)
	case stored.Validate() != nil, !slices.Contains(content.FormsOf(o.Archive()), stored.Form):
		unsealed(reason.MeasurementIncomplete)
	default:
		at, err := o.At(stored.Form)
		if err != nil || len(at.URI()) > maxLocation || shared {
			unsealed(reason.LocationInvalid)
			break
		}
		note.Location, note.SHA256, note.Files = at.URI(), string(stored.SHA256), stored.Files.String()
		all.subjects = append(all.subjects, provenance.Subject{URI: at.URI(), Sum: stored.Sum, Output: o.Name, Volume: o.From()})
		if len(all.measured)+len(stored.Images) <= all.room {
			note.Images = sealedImages(stored.Images)
			for _, i := range stored.Images {
				all.measured = append(all.measured, provenance.Measured{Output: o.Name, Image: i})
			}
		}
	}
	all.noted = append(all.noted, note)
}

// sealedImages spells images for a record.
func sealedImages(images []oci.Image) []v1alpha1.SealedImage {
	var all []v1alpha1.SealedImage
	for _, i := range images {
		all = append(all, v1alpha1.SealedImage{SHA256: string(i.Digest), MediaType: i.Kind.MediaType(), Platform: i.Platform})
	}
	return all
}

// refusal is the reason for a pod of which no output is sealed: what is wrong with
// the first. It is nil if one is sealed.
func (all outputs) refusal() error {
	if len(all.subjects) > 0 || len(all.noted) == 0 {
		return nil
	}
	first := all.noted[0]
	detail := fmt.Sprintf("none of the %d declared outputs can be sealed", len(all.noted))
	if first.Message != "" {
		detail += ": " + first.Message
	}
	return reason.New(reason.Code(first.Reason), "%s", detail).For(first.Name)
}

// claimants counts the outputs at each location: where there are two, it is
// unknown which of them lies there in the end.
func claimants(declared []argo.Output) map[string]int {
	n := make(map[string]int, len(declared))
	for _, o := range declared {
		if o.Problem() == nil {
			n[o.Location().URI()]++
		}
	}
	return n
}

// fitting leaves out the lists of files for which there is no room beside all
// else, room being in bytes of JSON.
func fitting(noted []v1alpha1.OutputStatus, room int) []v1alpha1.OutputStatus {
	fit := slices.Clone(noted)
	for i := range fit {
		fit[i].Files = ""
	}
	room -= encoded(fit)
	for i, o := range noted {
		if n := encoded(o.Files); n <= room && len(o.Files) <= content.MaxListing {
			fit[i].Files = o.Files
			room -= n
		}
	}
	return fit
}

// encoded is the length of a value as JSON; of one that has no JSON, more than
// there is room for.
func encoded(v any) int {
	raw, err := json.Marshal(v)
	if err != nil {
		return maxRecord
	}
	return len(raw)
}

// stated is what the final record says of the outputs: what the verified statement
// says. noted is what the record said before. Of that, only two things are kept. An
// output that is not sealed keeps where it would have been, and what the sidecar
// said of it. A sealed one keeps its files, which every reader compares with the
// statement.
func stated(st *provenance.Statement, noted []v1alpha1.OutputStatus) []v1alpha1.OutputStatus {
	before := make(map[string]v1alpha1.OutputStatus, len(noted))
	for _, o := range noted {
		before[o.Name] = o
	}
	all := make([]v1alpha1.OutputStatus, 0, len(st.Subjects)+len(st.Unsealed))
	for _, s := range st.Subjects {
		all = append(all, v1alpha1.OutputStatus{Name: s.Output, Location: s.URI, SHA256: string(s.SHA256), Files: before[s.Output].Files, Images: sealedImages(st.ImagesOf(s.Output))})
	}
	for _, u := range st.Unsealed {
		was := before[u.Output]
		all = append(all, v1alpha1.OutputStatus{Name: u.Output, Location: was.Location, Reason: string(u.Reason), Message: was.Message})
	}
	return all
}
