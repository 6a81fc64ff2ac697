//go:build e2e

package charts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// TestNothingSticksWhileNoWebhookAnswers: our validating webhooks, as they are, with nobody
// behind them. A pod keeps its images, and gives up its finalizer, as a Job's does when it
// has ended.
func TestNothingSticksWhileNoWebhookAnswers(t *testing.T) {
	c := connect(t)
	c.waitForGuards()
	ns := c.namespace()
	var admin user
	c.make(admin, pods, ns, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"worker","namespace":"NS","finalizers":["guards.test/tracking"]},
		"spec":{"schedulerName":"nobody",`+podSpec+`}}`)
	if err := c.lab.SetMode(t.Context(), ns, v1alpha1.ModeEnforce); err != nil {
		t.Fatal(err)
	}
	c.make(admin, validating, ns, c.unanswered(ns))

	image := attempt{as: clusterAdmin, verb: "jsonpatch", on: pods, name: "worker", body: `[{"op":"replace","path":"/spec/containers/0/image","value":"localhost/none:2"}]`}
	var asked error
	err := lab.Eventually(t.Context(), time.Minute, func(context.Context) (bool, error) {
		asked = c.try(image, ns, true)
		return asked != nil && strings.Contains(asked.Error(), "failed calling webhook"), nil
	})
	if err != nil {
		t.Fatalf("an image is changed while no webhook answers: %v, %v", asked, err)
	}
	for what, body := range map[string]string{
		"label":     metadata(`"labels":{"x":"y"}`),
		"finalizer": metadata(`"finalizers":null`),
	} {
		if err := c.try(attempt{as: clusterAdmin, on: pods, name: "worker", body: body}, ns, false); err != nil {
			t.Errorf("the %s is held while no webhook answers: %v", what, err)
		}
	}
	if err := c.try(attempt{as: clusterAdmin, verb: "delete", on: pods, name: "worker"}, ns, false); err != nil {
		t.Errorf("it cannot be deleted: %v", err)
	}
}

// unanswered is our validating configuration for one namespace, at an address where
// nobody is.
func (c *cluster) unanswered(ns string) string {
	c.t.Helper()
	ours, err := c.as(user{}).Resource(validating).Get(c.t.Context(), "argoseal", metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	var gone admissionregistrationv1.ValidatingWebhookConfiguration
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(ours.Object, &gone); err != nil {
		c.t.Fatal(err)
	}
	gone.ObjectMeta = metav1.ObjectMeta{Name: ns}
	nowhere := "https://127.0.0.1:1/"
	for i := range gone.Webhooks {
		w := &gone.Webhooks[i]
		w.Name = fmt.Sprintf("gone-%d.example.org", i)
		w.ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: &nowhere}
		w.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}}
	}
	text, err := json.Marshal(gone)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}
