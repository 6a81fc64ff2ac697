package server

import (
	"context"
	"slices"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/webhook/gate"
	"github.com/argoseal/argoseal/webhook/images"
)

// images decides on the images that a request brings, after all else. Where the pod is
// refused already, the modes that admit it all the same say both.
func (h *Handlers) images(ctx context.Context, q *question, d gate.Decision) gate.Decision {
	if !d.Allowed && (d.Always || q.ns.mode == v1alpha1.ModeEnforce) {
		return d
	}
	decides := images.Gate{
		Policies: q.gate.Policies, Quick: q.gate.Quick, Live: q.gate.Live, Verified: q.gate.Verified, Cluster: q.gate.Cluster, Clock: q.gate.Clock,
		Looked:    h.Looked,
		Installed: append(slices.Clone(q.gate.Identity.ExecutorImages), q.gate.Sidecar.Image),
	}
	no, read := decides.Decide(ctx, images.Request{Old: q.old, Pod: q.pod, Mode: q.ns.mode, Trust: q.trust})
	if d.Read.At.IsZero() || !read.At.IsZero() && read.At.Before(d.Read.At) {
		d.Read = read
	}
	switch {
	case no == nil:
	case d.Allowed:
		d.Allowed, d.Refusal = false, no
	default:
		d.Warnings = append(slices.Clone(d.Warnings), no.Error())
	}
	return d
}
