package gate

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// inPlace is how long after the producer's end the client is asked to try
// again in place: most seals are there by then, and Argo's own requeue is slow.
const inPlace = 3 * time.Second

// evaluation is one look at one step's inputs.
type evaluation struct {
	gate     *Gate
	evidence Evidence
	trust    Trust
	step     *argo.Step
	// origins of the inputs, by name, as the workflow's definition has them.
	origins  map[string]graph.Origins
	consumer policy.Consumer
	policies policy.Set
	// live: evidence is the API server itself.
	live bool
	// records read so far, nil for those that do not exist: inputs often share
	// a producer.
	records map[string]*v1alpha1.Provenance
	// kept is how many bytes of bundles they have.
	kept int
	// untagged is a pod without a tag that declares the location asked for last;
	// empty if none is known. Anybody may have made it: it changes what a refusal
	// says, and keeps an optional input from being admitted as absent.
	untagged string
	// forgone says which pod writes the location asked for last without a seal, and
	// why; nil if none is known. It did not come from outside.
	forgone *refused
}

// accepted is an input whose evidence holds, or that a policy admits without.
type accepted struct {
	pin pin.Pin
	// level of the builder; empty for what has no seal.
	level provenance.Level
}

// refused is an input whose evidence does not hold, or not yet.
type refused struct {
	error      *reason.Error
	retryAfter int32
	// nothing is known to have been stored there.
	nothing bool
}

func refuse(code reason.Code, format string, args ...any) *refused {
	return &refused{error: reason.New(code, format, args...)}
}

func lookupFailed(what string, err error) *refused {
	return &refused{error: reason.Wrap(reason.LookupFailed, err, "%s could not be read", what)}
}

// input decides on one input. What pods say is read before what seals say, so
// that a seal that replaces another between the two reads is seen.
func (e *evaluation) input(ctx context.Context, in argo.Input) (accepted, *refused) {
	if in.Source != argo.SourceStore {
		return e.external(in, refuse(reason.NoProvenance, "it is fetched by %s", in.Source))
	}
	if err := in.Location().Validate(); err != nil {
		return accepted{}, &refused{error: reason.Wrap(reason.LocationInvalid, err, "%v", err)}
	}
	e.untagged, e.forgone = "", nil
	writers, no := e.writers(ctx, in)
	if no != nil {
		return accepted{}, no
	}
	exact := those(writers, writer.exact)
	if no := pending(exact, e.gate.Clock.Now()); no != nil {
		return accepted{}, no
	}
	seal, at, no := e.seal(ctx, in)
	switch {
	case no != nil:
		return accepted{}, no
	case seal == nil:
		return e.unlisted(ctx, in, writers)
	case at.Kind == artifact.KindPrefix && named(e.origins[in.Name], in):
		if found, no, several := e.filled(ctx, in, writers); several {
			return found, no
		}
	}
	statement, log, no := e.statement(ctx, e.step.Namespace, seal)
	if no != nil {
		return accepted{}, no
	}
	subject, no := match(statement, seal, at.URI())
	if no != nil {
		return accepted{}, no
	}
	verdict := e.policies.Sealed(statement, log, e.consumer, e.gate.Clock.Now())
	if !verdict.Allowed {
		return accepted{}, &refused{error: verdict.Refusal}
	}
	if no := made(e.origins[in.Name], in, statement, subject, ""); no != nil {
		return accepted{}, no
	}
	if no := overwritten(exact, statement); no != nil {
		return accepted{}, no
	}
	return sealed(in, subject, seal, verdict)
}

// seal finds the seal of this workflow for the first of the input's places that
// has one, as Argo takes the first that is there: nil if none has.
func (e *evaluation) seal(ctx context.Context, in argo.Input) (*v1alpha1.ArtifactSeal, artifact.Location, *refused) {
	for _, l := range in.Locations() {
		seal, err := e.evidence.Seal(ctx, e.step.Namespace, artifact.SealName(l, e.step.WorkflowUID))
		if err != nil {
			return nil, l, lookupFailed("its ArtifactSeal", err)
		}
		if seal != nil {
			return seal, l, nil
		}
	}
	return nil, artifact.Location{}, nil
}

// statement follows a seal to its Provenance and verifies the bundle there. It gives
// the base URL of its log too.
func (e *evaluation) statement(ctx context.Context, namespace string, seal *v1alpha1.ArtifactSeal) (*provenance.Statement, string, *refused) {
	record, err := e.record(ctx, namespace, seal.Spec.Provenance)
	if err != nil {
		return nil, "", lookupFailed("its Provenance", err)
	}
	if record == nil {
		return nil, "", refuse(reason.ProvenanceInvalid, "its ArtifactSeal names Provenance %.80q, which does not exist", seal.Spec.Provenance)
	}
	switch f := fateOf(record); {
	case !f.final:
		return nil, "", refuse(reason.ProvenancePending, "the seal of pod %s is on its way", record.Spec.Pod.Name)
	case !f.sealed:
		return nil, "", refuse(reason.NotSealed, "the Provenance of pod %s says %s: %s", record.Spec.Pod.Name, f.reason, f.message)
	}
	if e.trust.Root == nil {
		return nil, "", refuse(reason.TrustedRootNotReady, "the Provenance of pod %s cannot be verified", record.Spec.Pod.Name)
	}
	bundle, err := e.bundle(ctx, namespace, record)
	if err != nil {
		return nil, "", lookupFailed("its Provenance", err)
	}
	result, err := e.gate.Facts.verify(e.trust.Root, bundle)
	switch {
	case reason.Of(err) == reason.TooNew:
		return nil, "", &refused{error: reason.Wrap(reason.TooNew, err, "the bundle of Provenance %s: %s", record.Name, plain(err))}
	case err != nil:
		return nil, "", &refused{error: reason.Wrap(reason.ProvenanceInvalid, err, "the bundle of Provenance %s: %s", record.Name, plain(err))}
	}
	statement := result.Statement
	// The API server keeps one object a name: a bundle under another pod's name
	// is an old one put in a new one's place.
	if statement.Step.Pod.UID == "" || statement.Step.Pod.UID != record.Name {
		return nil, "", refuse(reason.ProvenanceInvalid, "Provenance %s carries the statement about another pod, %s (%s)", record.Name, statement.Step.Pod.Name, statement.Step.Pod.UID)
	}
	return statement, result.LogURL, nil
}

// match finds the subject that is about this location and says that the
// pointer speaks of it too: same URI and same digest in the same subject.
func match(s *provenance.Statement, seal *v1alpha1.ArtifactSeal, uri string) (provenance.Subject, *refused) {
	digest, err := artifact.ParseDigest(seal.Spec.SHA256)
	if err != nil {
		return provenance.Subject{}, refuse(reason.SubjectMismatch, "its ArtifactSeal has no digest")
	}
	subject, err := s.Match(uri, digest)
	if err != nil {
		return provenance.Subject{}, &refused{error: reason.Wrap(reason.SubjectMismatch, err, "%s", plain(err))}
	}
	tree, err := artifact.ParseDigest(string(subject.Tree))
	if err != nil || seal.Spec.TreeDigest != "" && seal.Spec.TreeDigest != string(tree) {
		return provenance.Subject{}, refuse(reason.SubjectMismatch, "its ArtifactSeal and the statement have different tree digests")
	}
	return subject, nil
}

// plain is an error without code's remedy, which belongs to another reader.
func plain(err error) string {
	var e *reason.Error
	if errors.As(err, &e) {
		return string(e.Code) + ": " + e.Detail
	}
	return err.Error()
}

// maxKept bounds the bundles that one evaluation keeps, in bytes: some dozens of
// ordinary ones. A step can have thousands of producers, whose author decides how
// large their bundles are.
const maxKept = 1 << 20

// bundle is a record's bundle, read again if it was not kept.
func (e *evaluation) bundle(ctx context.Context, namespace string, record *v1alpha1.Provenance) (string, error) {
	if record.Status.Bundle != "" {
		return record.Status.Bundle, nil
	}
	again, err := e.evidence.Provenance(ctx, namespace, record.Name)
	switch {
	case err != nil:
		return "", err
	case again == nil:
		return "", errors.New("it is gone")
	}
	return again.Status.Bundle, nil
}

// record gets a Provenance, at most once in an evaluation, without its lists of
// files, and without its bundle if others are kept already: they can be large,
// and there can be many records.
func (e *evaluation) record(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error) {
	key := namespace + "/" + name
	if known, ok := e.records[key]; ok {
		return known, nil
	}
	record, err := e.evidence.Provenance(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	if record != nil && record.Name != name {
		return nil, errors.New("the API server gave another object")
	}
	if record != nil {
		record = record.DeepCopy()
		for i := range record.Status.Outputs {
			record.Status.Outputs[i].Files = ""
		}
		record.Status.Envelope = ""
		if size := len(record.Status.Bundle); e.kept+size > maxKept {
			record.Status.Bundle = ""
		} else {
			e.kept += size
		}
	}
	e.records[key] = record
	return record, nil
}

// fate is what a Provenance says in the end. The zero value: nothing yet.
type fate struct {
	final   bool
	sealed  bool
	reason  reason.Code
	message string
	since   time.Time
}

// fateOf reads the one condition. What is not plainly final is not final.
func fateOf(p *v1alpha1.Provenance) fate {
	if p == nil {
		return fate{}
	}
	for _, c := range p.Status.Conditions {
		if c.Type != v1alpha1.ConditionSealed {
			continue
		}
		f := fate{reason: reason.Code(c.Reason), message: c.Message, since: c.LastTransitionTime.Time}
		switch {
		case c.Status == metav1.ConditionTrue:
			f.final, f.sealed = true, true
		case c.Status == metav1.ConditionFalse && f.reason != reason.Pending && f.reason != "":
			f.final = true
		}
		return f
	}
	return fate{}
}
