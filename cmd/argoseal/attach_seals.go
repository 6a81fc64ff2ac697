package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Which seals vouch for the image: those in a file, or those that the cluster has.

// attestation is a verified bundle about an image, and what it is, in words.
type attestation struct {
	bundle    []byte
	predicate string
	what      string
}

// finder finds the seal of a manifest, verified, and what else is to go beside it.
type finder func(ctx context.Context, digest artifact.Digest) ([]attestation, error)

// sealOf is the seal of a step.
func sealOf(s *provenance.Statement, bundle []byte) attestation {
	return attestation{bundle, provenance.PredicateType, fmt.Sprintf("the seal of step %s of workflow %s/%s", printable(s.Step.NodeName), printable(s.Step.Namespace), printable(s.Step.Workflow.Name))}
}

// finder looks in the bundle that is given, or else in the cluster.
func (o *attachOptions) finder(cmd *cobra.Command) (finder, error) {
	root, err := o.root()
	if err != nil {
		return nil, err
	}
	if o.bundle == "" {
		api, err := connect(o.kubeconfig, o.context)
		if err != nil {
			return nil, err
		}
		all, err := revocationsOf(cmd.Context(), api, cmd.ErrOrStderr())
		if err != nil {
			return nil, err
		}
		return o.inCluster(api, root, all), nil
	}
	bundle, err := readBounded(o.bundle, verify.MaxBundle)
	if err != nil {
		return nil, err
	}
	recorded, err := o.recordedAt()
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, digest artifact.Digest) ([]attestation, error) {
		r, err := o.holds(root, bundle, recorded, digest)
		if err != nil {
			return nil, err
		}
		return []attestation{sealOf(r.Statement, bundle)}, nil
	}, nil
}

// inCluster finds the seal in the cluster, and what is stated of the whole workflow.
func (o *attachOptions) inCluster(api client.Reader, root *verify.Root, revocations []v1alpha1.Revocation) finder {
	return func(ctx context.Context, digest artifact.Digest) ([]attestation, error) {
		s, bundle, err := o.find(ctx, api, root, revocations, digest)
		if err != nil {
			return nil, err
		}
		all := []attestation{sealOf(s, bundle)}
		if !o.whole {
			return all, nil
		}
		more, err := o.ofWorkflow(ctx, api, root, s, digest)
		return append(all, more...), err
	}
}

// find looks in the cluster for the newest seal of a manifest that holds and is not revoked,
// or of a layout with the image in it. Labels and ArtifactSeals only say where to look.
func (o *attachOptions) find(ctx context.Context, api client.Reader, root *verify.Root, revocations []v1alpha1.Revocation, digest artifact.Digest) (*provenance.Statement, []byte, error) {
	var seals []v1alpha1.ArtifactSeal
	for _, label := range []client.MatchingLabels{
		{v1alpha1.LabelSHA256: artifact.DigestLabel(digest)},
		{v1alpha1.LabelImagePrefix + artifact.DigestLabel(digest): v1alpha1.ImageMeasured},
	} {
		var some v1alpha1.ArtifactSealList
		if err := api.List(ctx, &some, client.InNamespace(o.producer.namespace), label, client.Limit(maxLooked)); err != nil {
			return nil, nil, reason.Wrap(reason.LookupFailed, err, "list artifactseals: %v", err)
		}
		if some.Continue != "" {
			return nil, nil, usage(fmt.Errorf("there are more than %d seals of that digest: say in which --namespace, or give the --bundle", maxLooked))
		}
		seals = append(seals, some.Items...)
	}
	manifestsFirst(seals, digest)
	var last error = reason.New(reason.DigestMismatch, "no step has sealed the image sha256:%s: have the step that builds it store its manifest as an output without an archive, or its OCI layout", digest)
	for _, a := range seals {
		if a.Spec.SHA256 != string(digest) && !slices.ContainsFunc(a.Spec.Images, func(i v1alpha1.SealedImage) bool { return i.SHA256 == string(digest) }) {
			continue
		}
		var p v1alpha1.Provenance
		if err := api.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: a.Spec.Provenance}, &p); err != nil {
			last = reason.Wrap(reason.LookupFailed, err, "provenance %s/%s: %v", a.Namespace, a.Spec.Provenance, err)
			continue
		}
		r, err := o.holds(root, []byte(p.Status.Bundle), p.CreationTimestamp.Time, digest)
		if err == nil {
			err = revoked(revocations, r, digest)
		}
		if err == nil {
			return r.Statement, []byte(p.Status.Bundle), nil
		}
		last = err
	}
	return nil, nil, last
}

// ofWorkflow is what is stated of the whole workflow of a step, and sums it up. The record
// only says where to look: both have to be about that workflow and this image, by a builder
// of the cluster that sealed the step, and as good as the flags ask of the step.
func (o *attachOptions) ofWorkflow(ctx context.Context, api client.Reader, root *verify.Root, s *provenance.Statement, digest artifact.Digest) ([]attestation, error) {
	name := printable(s.Step.Namespace + "/" + s.Step.Workflow.Name)
	var p v1alpha1.WorkflowProvenance
	switch err := api.Get(ctx, client.ObjectKey{Namespace: s.Step.Namespace, Name: s.Step.Workflow.UID}, &p); {
	case client.IgnoreNotFound(err) != nil:
		return nil, reason.Wrap(reason.LookupFailed, err, "workflowprovenance %s/%s: %v", s.Step.Namespace, s.Step.Workflow.UID, err)
	case p.Status.Bundle == "" || p.Status.Summary == "":
		why := "it has not ended, or its records are not final"
		if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionAttested); c != nil {
			why = printable(c.Reason + ": " + c.Message)
		}
		return nil, reason.New(reason.ProvenancePending, "of workflow %s there is no provenance or no summary: %s", name, why)
	}
	var all []attestation
	var statement artifact.Digest
	for _, of := range []struct {
		bundle, predicate, what string
		kind                    provenance.Kind
	}{
		{p.Status.Bundle, provenance.PredicateType, "the provenance of workflow " + name, provenance.KindWorkflow},
		{p.Status.Summary, provenance.SummaryType, "the summary of workflow " + name, provenance.KindSummary},
	} {
		signed, err := root.PayloadRecorded([]byte(of.bundle), p.CreationTimestamp.Time)
		if err != nil {
			return nil, err
		}
		w, err := wholeOf(signed, of.kind)
		if err != nil {
			return nil, err
		}
		switch {
		case w.namespace != s.Step.Namespace || w.workflow != s.Step.Workflow || w.builder.Cluster != s.Builder.Cluster || w.summary != nil && w.summary.Statement != statement:
			return nil, reason.New(reason.StatementInvalid, "what the record of workflow %s has is about another one", name)
		case !w.hasFile(digest) && !provenance.HasImage(w.subjects, digest):
			return nil, reason.New(reason.DigestMismatch, "%s does not name the image: it did not leave the workflow in an output, or there was no room", of.what)
		}
		if err := o.producer.how(w.maker()); err != nil {
			return nil, err
		}
		statement = artifact.DigestOfText(string(signed.Payload))
		all = append(all, attestation{[]byte(of.bundle), of.predicate, of.what})
	}
	return all, nil
}

// manifestsFirst sorts seals of the manifest itself before those of layouts, and the newest
// first.
func manifestsFirst(seals []v1alpha1.ArtifactSeal, digest artifact.Digest) {
	layout := func(a v1alpha1.ArtifactSeal) int {
		if a.Spec.SHA256 == string(digest) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(seals, func(a, b v1alpha1.ArtifactSeal) int {
		return cmp.Or(layout(a)-layout(b), b.CreationTimestamp.Compare(a.CreationTimestamp.Time))
	})
}

// holds verifies the seal of a step. It has to be about this file, or an output with this
// image in it, and from a producer that the flags ask for.
func (o *attachOptions) holds(root *verify.Root, bundle []byte, recorded time.Time, digest artifact.Digest) (*verify.Result, error) {
	r, err := root.InspectRecorded(bundle, recorded)
	if err != nil {
		return nil, err
	}
	named := func(output string) bool { return o.of == "" || o.of == output }
	inLayout := slices.ContainsFunc(r.Statement.Measured, func(m provenance.Measured) bool { return m.Digest == digest && named(m.Output) })
	isFile := slices.ContainsFunc(r.Statement.Subjects, func(s provenance.Subject) bool {
		return s.SHA256 == digest && !s.Form.IsDirectory() && named(s.Output)
	})
	if !inLayout && !isFile {
		if _, err := o.match(r.Statement, contents{digest, kindFile}); err != nil {
			return nil, err
		}
		return nil, reason.New(reason.DigestMismatch, "it is not output %s of the step that is the image's manifest or has it inside", o.of)
	}
	return r, o.producer.accepts(r.Statement)
}
