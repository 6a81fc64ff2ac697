package notary

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// maxLocation bounds a location's URI, as v1alpha1.OutputStatus does.
const maxLocation = 2048

// decide gives every declared output its fate: a subject, or a reason why not.
// The measurement has to speak of each output that can be sealed, and of no
// other.
func decide(outputs []argo.Output, m measurement.Measurement) ([]provenance.Subject, []provenance.Unsealed, error) {
	measured := make(map[string]measurement.Entry, len(m))
	for _, e := range m {
		if _, twice := measured[e.Output]; twice {
			return nil, nil, reason.New(reason.MeasurementIncomplete, "the measurement speaks of output %q twice", e.Output)
		}
		measured[e.Output] = e
	}
	claims := claimants(outputs)
	var subjects []provenance.Subject
	var unsealed []provenance.Unsealed
	for _, o := range outputs {
		if o.Problem() != nil {
			unsealed = append(unsealed, provenance.Unsealed{Output: o.Name, Reason: o.Problem().Code})
			continue
		}
		e, ok := measured[o.Name]
		if !ok {
			return nil, nil, reason.New(reason.MeasurementIncomplete, "the measurement does not speak of this output").For(o.Label())
		}
		delete(measured, o.Name)
		at, why := verdict(o, e, claims)
		if why != "" {
			unsealed = append(unsealed, provenance.Unsealed{Output: o.Name, Reason: why})
			continue
		}
		subjects = append(subjects, provenance.Subject{
			URI:    at.URI(),
			SHA256: e.SHA256,
			Form:   e.Form,
			Tree:   e.Tree,
			Size:   e.Size,
			Output: o.Name,
			Volume: o.Volume(),
		})
	}
	for name := range measured {
		return nil, nil, reason.New(reason.MeasurementIncomplete, "the measurement speaks of output %q, which the template does not declare", name)
	}
	return subjects, unsealed, nil
}

// verdict says where an output that was measured lies, or why it is not sealed.
func verdict(o argo.Output, e measurement.Entry, claims map[string]int) (artifact.Location, reason.Code) {
	switch {
	case e.Problem != "":
		return artifact.Location{}, e.Problem
	case e.Validate() != nil, !slices.Contains(content.FormsOf(o.Archive()), e.Form):
		return artifact.Location{}, reason.MeasurementIncomplete
	}
	at, err := o.At(e.Form)
	if err != nil || len(at.URI()) > maxLocation || claims[o.Location().URI()] > 1 {
		return artifact.Location{}, reason.LocationInvalid
	}
	return at, ""
}

// claimants counts the outputs at each location: where there are two, it is
// unknown which of them lies there in the end.
func claimants(outputs []argo.Output) map[string]int {
	n := make(map[string]int, len(outputs))
	for _, o := range outputs {
		if o.Problem() == nil {
			n[o.Location().URI()]++
		}
	}
	return n
}

// undecided lists the outputs before anything is known about them.
func undecided(outputs []argo.Output) []v1alpha1.OutputStatus {
	return fatesOf(outputs, nil, nil)
}

// fatesOf spells the fates for the Provenance's status. An output with neither
// subject nor reason of its own is not sealed for the pod's reason.
func fatesOf(outputs []argo.Output, subjects []provenance.Subject, unsealed []provenance.Unsealed) []v1alpha1.OutputStatus {
	sealed := make(map[string]provenance.Subject, len(subjects))
	for _, s := range subjects {
		sealed[s.Output] = s
	}
	reasons := make(map[string]reason.Code, len(unsealed))
	for _, u := range unsealed {
		reasons[u.Output] = u.Reason
	}
	fates := make([]v1alpha1.OutputStatus, 0, len(outputs))
	for _, o := range outputs {
		fate := v1alpha1.OutputStatus{Name: o.Name, SHA256: string(sealed[o.Name].SHA256), Reason: string(reasons[o.Name])}
		if o.Problem() == nil {
			if uri := cmp.Or(sealed[o.Name].URI, o.Location().URI()); len(uri) <= maxLocation {
				fate.Location = uri
			}
		} else if fate.Reason == "" {
			fate.Reason = string(o.Problem().Code)
		}
		fates = append(fates, fate)
	}
	return fates
}

// withFiles adds to sealed outputs the files that the sidecar listed.
func withFiles(fates []v1alpha1.OutputStatus, m measurement.Measurement) []v1alpha1.OutputStatus {
	for i := range fates {
		for _, e := range m {
			if e.Output == fates[i].Name && fates[i].SHA256 != "" {
				fates[i].Files = e.Files.String()
			}
		}
	}
	return fates
}

// withNotes adds to outputs that the sidecar could not measure what it said of
// them.
func withNotes(fates []v1alpha1.OutputStatus, m measurement.Measurement) []v1alpha1.OutputStatus {
	for i := range fates {
		for _, e := range m {
			if e.Output == fates[i].Name && e.Problem != "" && fates[i].Reason == string(e.Problem) {
				fates[i].Message = e.Note
			}
		}
	}
	return fates
}

// fitting leaves out the lists of files for which there is no room beside all
// else, room being in bytes of JSON.
func fitting(fates []v1alpha1.OutputStatus, room int) []v1alpha1.OutputStatus {
	fit := slices.Clone(fates)
	for i := range fit {
		fit[i].Files = ""
	}
	room -= encoded(fit)
	for i, f := range fates {
		if n := encoded(f.Files); n <= room && len(f.Files) <= content.MaxListing {
			fit[i].Files = f.Files
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

// fatesIn spells the fates that a verified statement gives. noted is what the
// record says so far; of it only where an output that is not sealed would have
// been is kept and what the sidecar said of it, and the files of one that is, which
// whoever reads them compares with the statement.
func fatesIn(st *provenance.Statement, noted []v1alpha1.OutputStatus) []v1alpha1.OutputStatus {
	before := make(map[string]v1alpha1.OutputStatus, len(noted))
	for _, f := range noted {
		before[f.Name] = f
	}
	fates := make([]v1alpha1.OutputStatus, 0, len(st.Subjects)+len(st.Unsealed))
	for _, s := range st.Subjects {
		fates = append(fates, v1alpha1.OutputStatus{Name: s.Output, Location: s.URI, SHA256: string(s.SHA256), Files: before[s.Output].Files})
	}
	for _, u := range st.Unsealed {
		noted := before[u.Output]
		fates = append(fates, v1alpha1.OutputStatus{Name: u.Output, Location: noted.Location, Reason: string(u.Reason), Message: noted.Message})
	}
	return fates
}
