package gate

import (
	"context"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// unlisted decides on an input whose own places no seal of this workflow is
// about: it may be a part of a directory that was sealed whole. The nearest one
// counts, as a step that stores one within another's replaces that part of it.
func (e *evaluation) unlisted(ctx context.Context, in argo.Input, writers []writer) (accepted, *refused) {
	if no := pending(those(writers, writer.notBelow), e.gate.Clock.Now()); no != nil {
		return accepted{}, no
	}
	for _, l := range in.Above() {
		seal, err := e.evidence.Seal(ctx, e.step.Namespace, artifact.SealName(l, e.step.WorkflowUID))
		if err != nil {
			return accepted{}, lookupFailed("the ArtifactSeal of "+l.URI(), err)
		}
		if seal != nil {
			return e.below(ctx, in, l, seal, writers)
		}
	}
	if named(e.origins[in.Name], in) {
		if found, no, known := e.collected(ctx, in, writers); known {
			return found, no
		}
	}
	return e.outside(ctx, in, writers)
}

// below decides on an input that is a part of a sealed directory.
func (e *evaluation) below(ctx context.Context, in argo.Input, dir artifact.Location, seal *v1alpha1.ArtifactSeal, writers []writer) (accepted, *refused) {
	statement, log, no := e.statement(ctx, e.step.Namespace, seal)
	if no != nil {
		return accepted{}, no
	}
	subject, no := match(statement, seal, dir.URI())
	if no != nil {
		return accepted{}, no
	}
	verdict := e.policies.Sealed(statement, log, e.consumer, e.gate.Clock.Now())
	if !verdict.Allowed {
		return accepted{}, &refused{error: verdict.Refusal}
	}
	path := strings.TrimPrefix(strings.TrimSuffix(in.Location.Key, "/"), dir.Key)
	if no := made(e.origins[in.Name], in, statement, subject, path); no != nil {
		return accepted{}, no
	}
	// Who stores a directory above this one leaves it as it is.
	rewrote := declaring(writers, func(l artifact.Location) bool {
		return l == dir || dir.Contains(l) && l.Overlaps(in.Location)
	})
	// Who stores something below the input has not been waited for yet.
	if no := pending(rewrote, e.gate.Clock.Now()); no != nil {
		return accepted{}, no
	}
	if no := overwritten(rewrote, statement); no != nil {
		return accepted{}, no
	}
	listing, err := e.evidence.Provenance(ctx, e.step.Namespace, seal.Spec.Provenance)
	if err != nil || listing == nil {
		return accepted{}, lookupFailed("its Provenance", err)
	}
	part, no := partOf(listing, subject, path)
	if no != nil {
		return accepted{}, no
	}
	return pinPart(in, dir, part, seal, verdict)
}

// partOf finds a part of a directory among its files.
func partOf(record *v1alpha1.Provenance, subject provenance.Subject, path string) (content.Sum, *refused) {
	files, no := filesOf(record, subject)
	if no != nil {
		return content.Sum{}, no
	}
	part, err := files.Part(subject.Form, path)
	if err != nil {
		return content.Sum{}, refuse(reason.NoProvenance, "pod %s sealed the directory it is to lie in: %v", record.Spec.Pod.Name, err)
	}
	return part, nil
}

// filesOf are the files that a record lists for a directory. Only a list that
// gives the tree of the verified subject is one.
func filesOf(record *v1alpha1.Provenance, subject provenance.Subject) (content.Files, *refused) {
	text := ""
	for _, o := range record.Status.Outputs {
		if o.Name == subject.Output {
			text = o.Files
		}
	}
	if text == "" {
		return nil, refuse(reason.FilesUnknown, "the files in output %s of pod %s are not listed", subject.Output, record.Spec.Pod.Name)
	}
	files, err := content.ParseFiles(text)
	if err != nil || files.Tree() != subject.Tree {
		return nil, refuse(reason.ProvenanceInvalid, "the files that Provenance %s lists are not those of the sealed directory", record.Name)
	}
	return files, nil
}

// pinPart pins a part of a directory.
func pinPart(in argo.Input, dir artifact.Location, part content.Sum, seal *v1alpha1.ArtifactSeal, verdict policy.Verdict) (accepted, *refused) {
	at := in.Location
	switch {
	case part.Form.IsDirectory():
		at = at.Prefix()
	case at.Kind == artifact.KindPrefix:
		return accepted{}, refuse(reason.NoProvenance, "the directory that was sealed has a file there, and the input's key ends in a slash")
	}
	subject := provenance.Subject{URI: at.URI(), Sum: part}
	found, no := sealed(in, subject, seal, verdict)
	if no == nil {
		found.pin.Within = dir.URI()
	}
	return found, no
}
