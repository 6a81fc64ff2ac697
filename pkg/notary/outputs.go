package notary

import (
	"slices"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// maxLocation bounds a location's URI, as v1alpha1.OutputStatus does.
const maxLocation = 2048

// decide gives every declared output its fate: a subject, or a reason why not.
// The measurement has to speak of each output that can be sealed, and of no
// other.
func decide(outputs []argo.Output, m artifact.Measurement) ([]provenance.Subject, []provenance.Unsealed, error) {
	measured := make(map[string]artifact.Entry, len(m))
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
		if o.Problem != nil {
			unsealed = append(unsealed, provenance.Unsealed{Output: o.Name, Reason: o.Problem.Code})
			continue
		}
		e, ok := measured[o.Name]
		if !ok {
			return nil, nil, reason.New(reason.MeasurementIncomplete, "the measurement does not speak of this output").For(o.Label())
		}
		delete(measured, o.Name)
		if why := verdict(o, e, claims); why != "" {
			unsealed = append(unsealed, provenance.Unsealed{Output: o.Name, Reason: why})
			continue
		}
		subjects = append(subjects, provenance.Subject{
			URI:    o.Location.URI(),
			SHA256: e.SHA256,
			Form:   e.Form,
			Tree:   e.Tree,
			Size:   e.Size,
			Output: o.Name,
			Volume: o.Volume,
		})
	}
	for name := range measured {
		return nil, nil, reason.New(reason.MeasurementIncomplete, "the measurement speaks of output %q, which the template does not declare", name)
	}
	return subjects, unsealed, nil
}

// verdict says why an output that was measured is not sealed; empty if it is.
func verdict(o argo.Output, e artifact.Entry, claims map[string]int) reason.Code {
	uri := o.Location.URI()
	switch {
	case e.Problem != "":
		return e.Problem
	case e.Validate() != nil, !slices.Contains(artifact.FormsOf(o.Archive), e.Form):
		return reason.MeasurementIncomplete
	case len(uri) > maxLocation, claims[uri] > 1:
		return reason.LocationInvalid
	}
	return ""
}

// claimants counts the outputs at each location: where there are two, it is
// unknown which of them lies there in the end.
func claimants(outputs []argo.Output) map[string]int {
	n := make(map[string]int, len(outputs))
	for _, o := range outputs {
		if o.Problem == nil {
			n[o.Location.URI()]++
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
	digests := make(map[string]artifact.Digest, len(subjects))
	for _, s := range subjects {
		digests[s.Output] = s.SHA256
	}
	reasons := make(map[string]reason.Code, len(unsealed))
	for _, u := range unsealed {
		reasons[u.Output] = u.Reason
	}
	fates := make([]v1alpha1.OutputStatus, 0, len(outputs))
	for _, o := range outputs {
		fate := v1alpha1.OutputStatus{Name: o.Name, SHA256: string(digests[o.Name]), Reason: string(reasons[o.Name])}
		if o.Problem == nil {
			if uri := o.Location.URI(); len(uri) <= maxLocation {
				fate.Location = uri
			}
		} else if fate.Reason == "" {
			fate.Reason = string(o.Problem.Code)
		}
		fates = append(fates, fate)
	}
	return fates
}

// fatesIn spells the fates that a verified statement gives. noted is what the
// record says so far; of it only where an output that is not sealed would have
// been is kept.
func fatesIn(st *provenance.Statement, noted []v1alpha1.OutputStatus) []v1alpha1.OutputStatus {
	locations := make(map[string]string, len(noted))
	for _, f := range noted {
		locations[f.Name] = f.Location
	}
	fates := make([]v1alpha1.OutputStatus, 0, len(st.Subjects)+len(st.Unsealed))
	for _, s := range st.Subjects {
		fates = append(fates, v1alpha1.OutputStatus{Name: s.Output, Location: s.URI, SHA256: string(s.SHA256)})
	}
	for _, u := range st.Unsealed {
		fates = append(fates, v1alpha1.OutputStatus{Name: u.Output, Location: locations[u.Output], Reason: string(u.Reason)})
	}
	return fates
}
