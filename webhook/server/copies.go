package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/jsonsize"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/gate"
)

// copies answers for Workflows that are created with copies of templates in their
// status; the API server's own policies judge all else about Workflows, and leave
// this to us because they cannot look anything up.
func (h *Handlers) copies(ctx context.Context, req admission.Request) admission.Response {
	q := h.question(ctx, req, opCopies)
	q.ns.mode = v1alpha1.ModeEnforce
	s, err := h.submission(ctx, req)
	switch {
	case err != nil:
		return h.answer(q, gate.Decision{Refusal: reason.From(err)})
	case s == nil:
		return h.answer(q, gate.Decision{Allowed: true})
	}
	return h.answer(q, q.gate.Copies(ctx, *s))
}

// submission reads the Workflow; nil in a namespace that is not labelled.
func (h *Handlers) submission(ctx context.Context, req admission.Request) (*gate.Submission, error) {
	if req.Resource.Group != workflowKind.Group || req.Resource.Resource != "workflows" || req.SubResource != "" ||
		req.Operation != admissionv1.Create || req.Namespace == "" {
		return nil, reason.New(reason.RequestBad, "it is a %.40s of %.80s/%.40s", req.Operation, req.Resource.Resource, req.SubResource)
	}
	wf, previous, err := decodeWorkflow(req.Object, req.Namespace)
	if err != nil {
		return nil, reason.Wrap(reason.RequestBad, err, "its Workflow cannot be read: %v", err)
	}
	ns, err := h.Namespaces.get(ctx, req.Namespace)
	if err != nil || !ns.labelled {
		return nil, err
	}
	trust, err := h.Trust()
	if err != nil {
		return nil, reason.Wrap(reason.LookupFailed, err, "the webhook is not ready: %v", err)
	}
	return &gate.Submission{Workflow: wf, Previous: previous, Mode: ns.mode, Trust: trust}, nil
}

// decodeWorkflow reads a Workflow, and of which one it says to be a resubmission.
func decodeWorkflow(raw runtime.RawExtension, namespace string) (*definition.Workflow, string, error) {
	if jsonsize.TooMany(raw.Raw, maxWorkflowObjects) {
		return nil, "", fmt.Errorf("it may have more than %d objects", maxWorkflowObjects)
	}
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw.Raw, o); err != nil {
		return nil, "", err
	}
	if o.GetNamespace() == "" {
		o.SetNamespace(namespace)
	}
	if o.GetNamespace() != namespace {
		return nil, "", errors.New("it is of another namespace")
	}
	wf, err := definition.Parse(o)
	return wf, o.GetLabels()[layout.LabelResubmitted], err
}
