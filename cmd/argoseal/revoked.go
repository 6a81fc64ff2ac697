package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// revocationsOf are those of the cluster. Whoever may not list them is told what is not done.
func revocationsOf(ctx context.Context, api client.Reader, tell io.Writer) ([]v1alpha1.Revocation, error) {
	var list v1alpha1.RevocationList
	err := api.List(ctx, &list)
	switch {
	case apierrors.IsForbidden(err):
		_, _ = fmt.Fprintln(tell, "Whether it is revoked is not looked at: you may not list revocations in this cluster.")
	case err != nil:
		return nil, reason.Wrap(reason.LookupFailed, err, "list revocations: %v", err)
	}
	return list.Items, nil
}

// revoked refuses an image that a Revocation names, or the seal of it. What is beside an image
// stays there, and nobody who reads it there asks the cluster.
func revoked(by []v1alpha1.Revocation, r *verify.Result, digest artifact.Digest) error {
	for _, one := range by {
		if slices.Contains(one.Spec.Images, string(digest)) {
			return reason.New(reason.Revoked, "image sha256:%s is revoked by Revocation %s: %s", digest, one.Name, one.Spec.Reason)
		}
	}
	set := policy.Set{}.Revoking(by)
	for _, s := range r.Statement.Subjects {
		isFile := s.SHA256 == digest && !s.Form.IsDirectory()
		if !isFile && !r.Statement.HasImage(s.Output, digest) {
			continue
		}
		if err := set.Revoked(r.Statement, r.KeyHint, s.URI, s.SHA256, s.Tree, digest); err != nil {
			return err
		}
		if err := set.RevokedImage(r.Statement, s.Output); err != nil {
			return err
		}
	}
	return nil
}
