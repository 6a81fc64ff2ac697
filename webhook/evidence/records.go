package evidence

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/memory"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Verifier is what *verify.Root does.
type Verifier interface {
	// Version identifies the trusted root.
	Version() string
	// InspectRecorded checks a bundle from a record that the API server says was made
	// at that time, and reads its statement and where it is logged.
	InspectRecorded(bundle []byte, recorded time.Time) (*verify.Result, error)
	// Payload checks a bundle from anywhere, and says nothing about what it states.
	Payload(bundle []byte) (*verify.Signed, error)
	// Others checks a bundle that others have made, under the domain of that name alone.
	Others(bundle []byte, domain string) (*verify.Signed, error)
}

// VerifierOf is the root as a Verifier: nil where there is none yet, which a nil
// *verify.Root in a Verifier would not be.
func VerifierOf(root *verify.Root) Verifier {
	if root == nil {
		return nil
	}
	return root
}

// Trust is what one decision rests on: the keys and the root of this moment.
type Trust struct {
	Keys tag.Keys
	// Root is nil as long as there is none.
	Root Verifier
}

// Sealed is what a seal states that holds.
type Sealed struct {
	// Namespace is the one whose record has the statement.
	Namespace string
	Seal      *v1alpha1.ArtifactSeal
	Statement *provenance.Statement
	// Subject is the one that the seal is about.
	Subject provenance.Subject
	// Logs are the base URLs of the transparency logs that have it.
	Logs []string
	// KeyHint is that of the key that signed; empty for a certificate.
	KeyHint string
	// Payload is the statement as it was signed.
	Payload []byte
}

// Verify follows a seal of a namespace to its Provenance, verifies the bundle there,
// and finds the subject that is about this location, with the seal's digest.
func (v *View) Verify(ctx context.Context, namespace string, seal *v1alpha1.ArtifactSeal, at artifact.Location) (Sealed, *reason.Error) {
	result, no := v.Statement(ctx, namespace, seal)
	if no != nil {
		return Sealed{}, no
	}
	subject, no := match(result.Statement, seal, at.URI())
	if no != nil {
		return Sealed{}, no
	}
	return Sealed{Namespace: namespace, Seal: seal, Statement: result.Statement, Subject: subject, Logs: result.Logs, KeyHint: result.KeyHint, Payload: result.Payload}, nil
}

// noTampering are the reasons of bundles that do not count although nobody has
// tampered with them.
var noTampering = []reason.Code{reason.TooNew, reason.SignerExpired, reason.SignerCompromised, reason.LogExpired, reason.BuilderNotTrusted}

// Statement follows a seal to its Provenance, in this namespace, and verifies the
// bundle there.
func (v *View) Statement(ctx context.Context, namespace string, seal *v1alpha1.ArtifactSeal) (*verify.Result, *reason.Error) {
	record, err := v.record(ctx, namespace, seal.Spec.Provenance)
	if err != nil {
		return nil, lookupFailed("its Provenance", err)
	}
	if record == nil {
		// It was looked for before the seal was, and may have come in between.
		delete(v.records, recordKey(namespace, seal.Spec.Provenance))
		if record, err = v.record(ctx, namespace, seal.Spec.Provenance); err != nil {
			return nil, lookupFailed("its Provenance", err)
		}
	}
	if record == nil {
		return nil, reason.New(reason.ProvenanceInvalid, "its ArtifactSeal names Provenance %.80q, which does not exist", seal.Spec.Provenance)
	}
	switch f := fateOf(record); {
	case f.ending == open:
		return nil, reason.New(reason.ProvenancePending, "the seal of pod %s is on its way", record.Spec.Pod.Name)
	case f.ending != sealed:
		return nil, reason.New(reason.NotSealed, "the Provenance of pod %s says %s: %s", record.Spec.Pod.Name, f.reason, f.message)
	}
	if v.trust.Root == nil {
		return nil, reason.New(reason.TrustedRootNotReady, "the Provenance of pod %s cannot be verified", record.Spec.Pod.Name)
	}
	result, no := v.result(ctx, namespace, record)
	if no != nil {
		return nil, no
	}
	statement := result.Statement
	// The API server keeps one object for each name. A bundle under another pod's
	// name is an old one that somebody put in a new one's place.
	if statement.Step.Pod.UID == "" || statement.Step.Pod.UID != record.Name {
		return nil, reason.New(reason.ProvenanceInvalid, "Provenance %s carries the statement about another pod, %s (%s)", record.Name, statement.Step.Pod.Name, statement.Step.Pod.UID)
	}
	return result, nil
}

// result is what the bundle of a record says that has its last word.
func (v *View) result(ctx context.Context, namespace string, record *v1alpha1.Provenance) (*verify.Result, *reason.Error) {
	if made, ok := v.verdicts[recordKey(namespace, record.Name)]; ok && made.of(record) {
		if made.err != nil {
			return nil, invalid(record, made.err)
		}
		return made.result, nil
	}
	if result, known := v.verified.of(v.trust.Root, record); known {
		return result, nil
	}
	bundled, err := v.bundled(ctx, namespace, record)
	if err != nil {
		return nil, lookupFailed("its Provenance", err)
	}
	result, err := v.verified.in(v.trust.Root, bundled)
	if err != nil {
		return nil, invalid(record, err)
	}
	return result, nil
}

// invalid says why a record's bundle does not hold.
func invalid(record *v1alpha1.Provenance, err error) *reason.Error {
	code := reason.ProvenanceInvalid
	if slices.Contains(noTampering, reason.Of(err)) {
		code = reason.Of(err)
	}
	return reason.Wrap(code, err, "the bundle of Provenance %s: %s", record.Name, Plain(err))
}

// match finds the subject that is about this location and has the digest that the
// ArtifactSeal names: both in the same subject.
func match(s *provenance.Statement, seal *v1alpha1.ArtifactSeal, uri string) (provenance.Subject, *reason.Error) {
	digest, err := artifact.ParseDigest(seal.Spec.SHA256)
	if err != nil {
		return provenance.Subject{}, reason.New(reason.SubjectMismatch, "its ArtifactSeal has no digest")
	}
	subject, err := s.Match(uri, digest)
	if err != nil {
		return provenance.Subject{}, reason.Wrap(reason.SubjectMismatch, err, "%s", Plain(err))
	}
	tree, err := artifact.ParseDigest(string(subject.Tree))
	if err != nil || seal.Spec.TreeDigest != "" && seal.Spec.TreeDigest != string(tree) {
		return provenance.Subject{}, reason.New(reason.SubjectMismatch, "its ArtifactSeal and the statement have different tree digests")
	}
	return subject, nil
}

// Files are the files of a sealed directory, as its record lists them. A list
// counts only if it gives the tree of the verified subject.
func (v *View) Files(ctx context.Context, s Sealed) (content.Files, *reason.Error) {
	name := s.Seal.Spec.Provenance
	if v.listing == nil || v.listing.Name != name || v.listing.Namespace != s.Namespace {
		record, err := v.whole(ctx, s.Namespace, name)
		if err != nil || record == nil {
			return nil, lookupFailed("its Provenance", err)
		}
		v.listing = record
	}
	text := ""
	for _, o := range v.listing.Status.Outputs {
		if o.Name == s.Subject.Output {
			text = o.Files
		}
	}
	if text == "" {
		return nil, reason.New(reason.FilesUnknown, "the files in output %s of pod %s are not listed", s.Subject.Output, v.listing.Spec.Pod.Name)
	}
	files, err := content.ParseFiles(text)
	if err != nil || files.Tree() != s.Subject.Tree {
		return nil, reason.New(reason.ProvenanceInvalid, "the files that Provenance %s lists are not those of the sealed directory", v.listing.Name)
	}
	return files, nil
}

// maxKept bounds the bundles that one evaluation keeps, in bytes: some dozens of
// ordinary ones. A step can have thousands of producers, and their author decides
// how large their bundles are.
const maxKept = 1 << 20

// bundled is a record with its bundle, read again if that was not kept.
func (v *View) bundled(ctx context.Context, namespace string, record *v1alpha1.Provenance) (*v1alpha1.Provenance, error) {
	if record.Status.Bundle != "" {
		return record, nil
	}
	again, err := v.whole(ctx, namespace, record.Name)
	switch {
	case err != nil:
		return nil, err
	case again == nil:
		return nil, errors.New("it is gone")
	}
	return again, nil
}

// whole gets a Provenance with all that it has.
func (v *View) whole(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error) {
	if s, ok := v.source.(Abridged); ok {
		return s.Whole(ctx, namespace, name)
	}
	return v.source.Provenance(ctx, namespace, name)
}

func recordKey(namespace, name string) string { return namespace + "/" + name }

// record gets a Provenance, at most once in an evaluation. It leaves out its lists
// of files and, if enough bundles are kept already, its bundle: they can be large,
// and there can be many records.
func (v *View) record(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error) {
	key := recordKey(namespace, name)
	if known, ok := v.records[key]; ok {
		return known, nil
	}
	record, err := v.source.Provenance(ctx, namespace, name)
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
		if size := len(record.Status.Bundle); v.kept+size > maxKept {
			record.Status.Bundle = ""
		} else {
			v.kept += size
		}
	}
	v.records[key] = record
	return record, nil
}

// ending is how a record ends. The zero value: it has not.
type ending int

const (
	open ending = iota
	sealed
	unsealed
)

// fate is what a Provenance says of its pod.
type fate struct {
	ending  ending
	reason  reason.Code
	message string
}

// Final says whether a record has said its last word: sealed, or why never.
func Final(p *v1alpha1.Provenance) bool { return fateOf(p).ending != open }

// fateOf reads the one condition. A condition that is not plainly final is not
// final.
func fateOf(p *v1alpha1.Provenance) fate {
	if p == nil {
		return fate{}
	}
	for _, c := range p.Status.Conditions {
		if c.Type != v1alpha1.ConditionSealed {
			continue
		}
		f := fate{reason: reason.Code(c.Reason), message: c.Message}
		switch {
		case c.Status == metav1.ConditionTrue:
			f.ending = sealed
		case c.Status == metav1.ConditionFalse && f.reason != reason.Pending && f.reason != "":
			f.ending = unsealed
		}
		return f
	}
	return fate{}
}

// Verified remembers which bundles verified, by digest of the bundle and version of
// the root, and in which objects they were. Of records it does not remember failures. It does
// not remember verdicts: each time they are made anew from the statements.
type Verified struct {
	known   *memory.Memory[bundleKey, *verify.Result]
	objects *memory.Memory[objectKey, bundleKey]
	// attested are what others attest, or why it does not hold, for a minute: see Attested.
	attested  *memory.Memory[attestedKey, attestedResult]
	attesting singleflight.Group
}

type bundleKey struct {
	root string
	// recorded is when the API server stored the record, in seconds: keys have periods.
	recorded int64
	bundle   [sha256.Size]byte
}

// objectKey identifies one content of one object: the API server gives each content
// a resource version of its own.
type objectKey struct {
	root    string
	uid     types.UID
	version string
}

// sizeOfObject is what it costs to remember in which object a bundle was, in bytes.
const sizeOfObject = 512

// NewVerified remembers bundles that have at most so many bytes together.
func NewVerified(most int) *Verified {
	return &Verified{
		known: memory.New[bundleKey, *verify.Result](most), objects: memory.New[objectKey, bundleKey](most / 8),
		attested: memory.New[attestedKey, attestedResult](most / 8),
	}
}

// of is what is remembered of the bundle in this very object, even if the object at
// hand lacks its bundle.
func (v *Verified) of(root Verifier, record *v1alpha1.Provenance) (*verify.Result, bool) {
	if record.UID == "" || record.ResourceVersion == "" {
		return nil, false
	}
	key, known := v.objects.Get(objectKey{root.Version(), record.UID, record.ResourceVersion})
	if !known {
		return nil, false
	}
	return v.known.Get(key)
}

// in returns what the bundle of a record says, if that holds under root.
func (v *Verified) in(root Verifier, record *v1alpha1.Provenance) (*verify.Result, error) {
	recorded := record.CreationTimestamp.Time
	result, err := v.inspect(root, record.Status.Bundle, recorded)
	if err == nil && record.UID != "" && record.ResourceVersion != "" {
		v.objects.Add(objectKey{root.Version(), record.UID, record.ResourceVersion}, keyOf(root, record.Status.Bundle, recorded), sizeOfObject)
	}
	return result, err
}

// inspect returns what a bundle that holds under root says: the statement, and the
// log it is recorded in. It is shared between callers.
func (v *Verified) inspect(root Verifier, bundle string, recorded time.Time) (*verify.Result, error) {
	key := keyOf(root, bundle, recorded)
	if known, ok := v.known.Get(key); ok {
		return known, nil
	}
	result, err := root.InspectRecorded([]byte(bundle), recorded)
	if err != nil {
		return nil, err
	}
	v.known.Add(key, result, len(bundle))
	return result, nil
}

func keyOf(root Verifier, bundle string, recorded time.Time) bundleKey {
	return bundleKey{root: root.Version(), recorded: recorded.Unix(), bundle: sha256.Sum256([]byte(bundle))}
}
