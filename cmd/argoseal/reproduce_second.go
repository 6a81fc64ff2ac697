package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// The second run: whether it would be sealed, and its record once it is.

// checkLabelled refuses a namespace without a mode: nothing would be sealed there. Who may
// not read namespaces learns it at the end.
func checkLabelled(ctx context.Context, api client.Reader, namespace string) error {
	var ns corev1.Namespace
	err := api.Get(ctx, client.ObjectKey{Name: namespace}, &ns)
	switch {
	case apierrors.IsForbidden(err):
		return nil
	case apierrors.IsNotFound(err):
		return usage(fmt.Errorf("--in: there is no namespace %s", namespace))
	case err != nil:
		return reason.Wrap(reason.LookupFailed, err, "read namespace %s: %v", namespace, err)
	}
	if _, there := ns.Labels[v1alpha1.LabelMode]; !there {
		return usage(fmt.Errorf("--in: namespace %s has no label %s, so nothing would be sealed there", namespace, v1alpha1.LabelMode))
	}
	return nil
}

// second is the second run on its way.
type second struct {
	api      client.Reader
	workflow *unstructured.Unstructured
	progress func(format string, args ...any)

	last string
	// pod is its pod, once it was seen: it may be collected before it is sealed.
	pod string
}

// wait waits for the record of the second run. What the Workflow says of itself only
// tells when to give up.
func (s *second) wait(ctx context.Context) (*v1alpha1.Provenance, error) {
	var found *v1alpha1.Provenance
	err := wait.PollUntilContextCancel(ctx, look, true, func(ctx context.Context) (bool, error) {
		p, err := s.look(ctx)
		if err != nil && reason.Of(err) != reason.LookupFailed {
			return false, err
		}
		if err != nil && ctx.Err() == nil {
			s.progress("%v", err)
		}
		found = p
		return p != nil, nil // the API server may answer the next time
	})
	switch {
	case found != nil:
		return found, nil
	case ctx.Err() != nil:
		return nil, reason.New(reason.NotComparable, "there is no seal of Workflow %s/%s yet (%s)", s.workflow.GetNamespace(), s.workflow.GetName(), s.last).
			Advise("Give it more time (--timeout); its Provenance says more: kubectl get provenances -o wide")
	}
	return nil, err
}

// look looks at the second run once. It gives nil as long as that has no final
// record.
func (s *second) look(ctx context.Context) (*v1alpha1.Provenance, error) {
	ns, name := s.workflow.GetNamespace(), s.workflow.GetName()
	u := newWorkflow()
	if err := s.api.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, u); err != nil {
		return nil, reason.Wrap(reason.LookupFailed, err, "read Workflow %s/%s: %v", ns, name, err)
	}
	phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
	if phase == "" {
		phase = "Pending"
	}
	if s.last != phase {
		s.last = phase
		s.progress("Workflow %s/%s: %s", ns, name, phase)
	}
	if s.pod == "" {
		if err := s.find(ctx); err != nil {
			return nil, err
		}
	}
	if s.pod == "" {
		if phase == "Failed" || phase == "Error" || phase == "Succeeded" {
			return nil, reason.New(reason.NotComparable, "the second run ended before it had a pod: %.400s", complaint(u))
		}
		return nil, nil
	}
	var p v1alpha1.Provenance
	err := s.api.Get(ctx, client.ObjectKey{Namespace: ns, Name: s.pod}, &p)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, reason.Wrap(reason.LookupFailed, err, "read Provenance %s/%s: %v", ns, s.pod, err)
	}
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed)
	switch {
	case c == nil || c.Reason == string(reason.Pending):
		return nil, nil
	case p.Status.Bundle == "":
		return nil, reason.New(reason.NotComparable, "the second run is not sealed: %s: %.400s", c.Reason, c.Message)
	}
	return &p, nil
}

// find looks for the pod of the Workflow: that which it owns.
func (s *second) find(ctx context.Context) error {
	var pods corev1.PodList
	err := s.api.List(ctx, &pods, client.InNamespace(s.workflow.GetNamespace()), client.MatchingLabels{layout.LabelWorkflow: s.workflow.GetName()})
	if err != nil {
		return reason.Wrap(reason.LookupFailed, err, "list pods: %v", err)
	}
	for i := range pods.Items {
		if metav1.IsControlledBy(&pods.Items[i], s.workflow) {
			s.pod = string(pods.Items[i].UID)
			s.progress("pod %s", pods.Items[i].Name)
			return nil
		}
	}
	return nil
}

// complaint is what a Workflow says of why it failed, a node's word before its own.
func complaint(u *unstructured.Unstructured) string {
	nodes, _, _ := unstructured.NestedMap(u.Object, "status", "nodes")
	for _, n := range nodes {
		node, _ := n.(map[string]any)
		if message, _ := node["message"].(string); message != "" && node["type"] == "Pod" {
			return message
		}
	}
	message, _, _ := unstructured.NestedString(u.Object, "status", "message")
	return message
}
