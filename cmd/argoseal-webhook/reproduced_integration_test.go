//go:build integration

package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// rebuilder is a trust domain, added as an operator adds it. Each test has its own.
func (c *testCluster) rebuilder(t *testing.T, by *sealtest.Notary, name, rules string) *sealtest.Notary {
	t.Helper()
	check(t, c.admin.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapDomainPrefix + name},
		Data: map[string]string{
			v1alpha1.TrustedRootKey: string(by.TrustedRoot()), v1alpha1.NotaryKeyKey: string(by.Signer.PublicKeyPEM()), v1alpha1.RulesKey: rules,
		},
	}))
	return by
}

var errNotInForce = errors.New("it is not in force")

func says(err error, text string) bool { return strings.Contains(err.Error(), text) }

// asksReproduced is a policy for the scene's namespace.
func (s *scene) asksReproduced(t *testing.T, by ...string) {
	t.Helper()
	p := &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "reproduced-"}}
	p.Spec.Namespaces = []string{s.namespace}
	p.Spec.Require = &v1alpha1.Require{Reproduced: &v1alpha1.ReproducedBy{By: by}}
	check(t, s.admin.Create(t.Context(), p))
}

// sealedPayload is the statement that the notary has signed about the scene's producer.
func (s *scene) sealedPayload(t *testing.T, pod *corev1.Pod) []byte {
	t.Helper()
	var p v1alpha1.Provenance
	check(t, s.admin.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: string(pod.UID)}, &p))
	signed, err := s.notary.Root.Payload([]byte(p.Status.Bundle))
	check(t, err)
	return signed.Payload
}

// publishes writes what somebody has signed where a domain would publish it.
func (s *scene) publishes(t *testing.T, pod *corev1.Pod, domain string, bundle []byte) {
	t.Helper()
	r := &v1alpha1.Reproduction{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: v1alpha1.ReproductionName(string(pod.UID), domain)}}
	err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(r), r)
	r.Spec = v1alpha1.ReproductionSpec{Verdict: string(provenance.WasReproduced), Bundle: string(bundle)}
	if err == nil {
		check(t, s.admin.Update(t.Context(), r))
		return
	}
	check(t, s.admin.Create(t.Context(), r))
}

// reproduced: where a policy asks that an input was made again, a consumer starts once the
// party that it names says so, and for nobody else's word.
func (c *testCluster) reproduced(t *testing.T) {
	s := c.scene(t, "enforce")
	pod := s.ends(t, s.made(t, s.produce), time.Now().Add(-time.Minute))
	s.seals(t, c.notary, pod, nil)
	domain := "rebuilder-" + s.namespace
	rebuilder := c.rebuilder(t, sealtest.NewNotary(t), domain, `{"reproduces": true}`)
	author := c.rebuilder(t, sealtest.NewNotary(t), "author-"+s.namespace, `{"reproduces": true}`)
	s.asksReproduced(t, domain)
	eventually(t, "the policy in the webhook", func() error {
		if _, err := s.create(t, s.argo, s.consume, metav1.DryRunAll); err == nil {
			return errNotInForce
		}
		return nil
	})
	refuses := func(says ...string) {
		t.Helper()
		_, err := s.create(t, s.argo, s.consume, metav1.DryRunAll)
		refused(t, err, http.StatusForbidden, reason.ReproductionMissing, append(says, "ClusterProvenancePolicy reproduced-", "argoseal reproduce --publish")...)
	}
	refuses("domain " + domain + ": ReproductionMissing")

	payload := s.sealedPayload(t, pod)
	honest := sealtest.Reproduced(t, payload)
	other := honest
	other.First.Statement = artifact.Digest(strings.Repeat("f", 64))
	for _, wrong := range []struct {
		bundle []byte
		says   string
	}{
		{sealtest.NewNotary(t).Reproduction(t, honest), "SignatureInvalid"},                     // another key
		{author.Reproduction(t, honest), "BuilderNotTrusted: it is signed by domain author-"},   // not one that the policy names
		{c.notary.Reproduction(t, honest), "BuilderNotTrusted: it is signed by domain install"}, // who sealed it
		{rebuilder.Reproduction(t, other), "SubjectMismatch"},                                   // about another seal
		{rebuilder.Reproduction(t, sealtest.Differs(honest)), "NotReproduced"},                  // another result
		{tampered(t, rebuilder.Reproduction(t, honest)), "SignatureInvalid"},
	} {
		s.publishes(t, pod, domain, wrong.bundle)
		refuses(wrong.says)
	}
	s.publishes(t, pod, "author-"+s.namespace, author.Reproduction(t, honest)) // nobody looks there
	refuses("SignatureInvalid")

	s.publishes(t, pod, domain, rebuilder.Reproduction(t, honest))
	_, err := s.create(t, s.argo, s.consume)
	check(t, err)
}

// tampered is a bundle whose statement was changed after it was signed.
func tampered(t *testing.T, bundle []byte) []byte {
	t.Helper()
	b := sealtest.Bundle(t, bundle)
	b.GetDsseEnvelope().Payload[len(b.GetDsseEnvelope().GetPayload())/2] ^= 1
	return sealtest.JSON(t, b)
}

// endedRebuilder: a key that has ended proves nothing, as no time is proven, however old the
// object says to be.
func (c *testCluster) endedRebuilder(t *testing.T) {
	s := c.scene(t, "enforce")
	pod := s.ends(t, s.made(t, s.produce), time.Now().Add(-time.Minute))
	s.seals(t, c.notary, pod, nil)
	by, domain := sealtest.NewNotary(t), "ended-"+s.namespace
	rules := `{"reproduces": true, "keys": [{"hint": "` + by.Signer.Hint() + `", "validUntil": "` + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + `"}]}`
	c.rebuilder(t, by, domain, rules)
	s.asksReproduced(t, domain)
	s.publishes(t, pod, domain, by.Reproduction(t, sealtest.Reproduced(t, s.sealedPayload(t, pod))))
	eventually(t, "policy and domain in the webhook", func() error {
		_, err := s.create(t, s.argo, s.consume, metav1.DryRunAll)
		if err == nil {
			return errNotInForce
		}
		if !says(err, "SignerExpired") {
			return err
		}
		return nil
	})
	_, err := s.create(t, s.argo, s.consume)
	refused(t, err, http.StatusForbidden, reason.ReproductionMissing, "SignerExpired")
}
