//go:build integration

package main

import (
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// asksSBOM is a policy for the scene's namespace.
func (s *scene) asksSBOM(t *testing.T, by string) {
	t.Helper()
	p := &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "sbom-"}}
	p.Spec.Namespaces = []string{s.namespace}
	p.Spec.Require = &v1alpha1.Require{SBOM: &v1alpha1.SBOMBy{By: []string{by}, Formats: []string{"spdx"}}}
	check(t, s.admin.Create(t.Context(), p))
}

// describes writes what somebody has signed where a domain would publish it.
func (s *scene) describes(t *testing.T, about artifact.Digest, domain string, bundle []byte) {
	t.Helper()
	b := &v1alpha1.SBOM{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: v1alpha1.SBOMName(string(about), "file", domain)}}
	err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(b), b)
	b.Spec = v1alpha1.SBOMSpec{Formats: []string{"spdx"}, Bundle: string(bundle)}
	if err == nil {
		check(t, s.admin.Update(t.Context(), b))
		return
	}
	check(t, s.admin.Create(t.Context(), b))
}

// described: where a policy asks for an SBOM, a consumer starts once the party that it names
// says that there is one of these bytes, and for nobody else's word; and no more once its key
// is revoked.
func (c *testCluster) described(t *testing.T) {
	s := c.scene(t, "enforce")
	pod := s.ends(t, s.made(t, s.produce), time.Now().Add(-time.Minute))
	s.seals(t, c.notary, pod, nil)
	domain := "scanner-" + s.namespace
	by := c.rebuilder(t, sealtest.NewNotary(t), domain, `{"describes": true}`)
	author := c.rebuilder(t, sealtest.NewNotary(t), "writer-"+s.namespace, `{"describes": true, "reproduces": true}`)
	s.asksSBOM(t, domain)
	eventually(t, "the policy in the webhook", func() error {
		if _, err := s.create(t, s.argo, s.consume, metav1.DryRunAll); err == nil {
			return errNotInForce
		}
		return nil
	})
	refuses := func(says ...string) {
		t.Helper()
		_, err := s.create(t, s.argo, s.consume, metav1.DryRunAll)
		refused(t, err, http.StatusForbidden, reason.SBOMMissing, append(says, "ClusterProvenancePolicy sbom-", "argoseal sbom --publish")...)
	}
	refuses("domain " + domain + ": SBOMMissing")

	statement, err := provenance.Parse(s.sealedPayload(t, pod))
	check(t, err)
	about := statement.Subjects[0].SHA256
	honest := sealtest.Described(about, sbom.SPDX)
	for _, wrong := range []struct {
		bundle []byte
		says   string
	}{
		{sealtest.NewNotary(t).Reference(t, honest), "SignatureInvalid"},
		{author.Reference(t, honest), "BuilderNotTrusted: it is signed by domain writer-"},
		{c.notary.Reference(t, honest), "BuilderNotTrusted: it is signed by domain install"},
		{by.Reference(t, sealtest.Described(artifact.DigestOfText("other bytes"), sbom.SPDX)), "SubjectMismatch"},
		{by.Reference(t, sealtest.Described(about, sbom.CycloneDX)), "it has one in [cyclonedx]"},
		{tampered(t, by.Reference(t, honest)), "SignatureInvalid"},
	} {
		s.describes(t, about, domain, wrong.bundle)
		refuses(wrong.says)
	}
	s.describes(t, about, domain, by.Reference(t, honest))
	_, err = s.create(t, s.argo, s.consume, metav1.DryRunAll)
	check(t, err)

	check(t, s.admin.Create(t.Context(), &v1alpha1.Revocation{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "sbom-"}, Spec: v1alpha1.RevocationSpec{Reason: "theft", Keys: []string{by.Signer.Hint()}},
	}))
	eventually(t, "the revocation in the webhook", func() error {
		if _, err := s.create(t, s.argo, s.consume, metav1.DryRunAll); err == nil {
			return errNotInForce
		}
		return nil
	})
	refuses("Revoked: signing key")
}

// endedDescriber: a key that has ended proves nothing, as no time is proven.
func (c *testCluster) endedDescriber(t *testing.T) {
	s := c.scene(t, "enforce")
	pod := s.ends(t, s.made(t, s.produce), time.Now().Add(-time.Minute))
	s.seals(t, c.notary, pod, nil)
	by, domain := sealtest.NewNotary(t), "endedscan-"+s.namespace
	c.rebuilder(t, by, domain, `{"describes": true, "keys": [{"hint": "`+by.Signer.Hint()+`", "validUntil": "`+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)+`"}]}`)
	s.asksSBOM(t, domain)
	statement, err := provenance.Parse(s.sealedPayload(t, pod))
	check(t, err)
	about := statement.Subjects[0].SHA256
	s.describes(t, about, domain, by.Reference(t, sealtest.Described(about, sbom.SPDX)))
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
	_, err = s.create(t, s.argo, s.consume)
	refused(t, err, http.StatusForbidden, reason.SBOMMissing, "SignerExpired")
}
