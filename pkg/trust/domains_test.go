package trust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// domain is the ConfigMap of a notary's domain, for a cluster.
func domain(tb testing.TB, name, cluster string, n *sealtest.Notary) *corev1.ConfigMap {
	tb.Helper()
	rules, err := json.Marshal(verify.Rules{Builders: verify.BuildersOf(cluster)})
	check(tb, err)
	return &corev1.ConfigMap{ObjectMeta: meta(v1alpha1.ConfigMapDomainPrefix + name), Data: map[string]string{
		v1alpha1.TrustedRootKey: string(n.TrustedRoot()), v1alpha1.NotaryKeyKey: string(n.Signer.PublicKeyPEM()), v1alpha1.RulesKey: string(rules),
	}}
}

func sealed(tb testing.TB, n *sealtest.Notary, cluster string) []byte {
	tb.Helper()
	facts := sealtest.Facts("s3://minio:9000/artifacts/a.tgz", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	facts.Builder.Cluster = cluster
	payload, err := provenance.Build(facts)
	check(tb, err)
	return n.Bundle(tb, payload)
}

func names(s *Store) []string {
	var all []string
	for _, d := range s.Root().Domains() {
		all = append(all, d.Name)
	}
	return all
}

// Domains come and go without a restart, and one that is broken, or wants what is
// another's, takes nothing from the others.
func TestDomainsBesideTheInstallations(t *testing.T) {
	api := fake.NewClientBuilder().Build()
	s, _ := store(api)
	trusted, notary := roots(t)
	for _, o := range []client.Object{trusted, notary} {
		check(t, api.Create(t.Context(), o))
	}
	check(t, s.LoadRoot(t.Context()))
	abroad := sealtest.NewNotary(t)
	bundle := sealed(t, abroad, "paris")
	if _, err := s.Root().Inspect(bundle); reason.Of(err) != reason.SignatureInvalid {
		t.Errorf("before the domain is there: %v", err)
	}

	paris := domain(t, "paris", "paris", abroad)
	check(t, api.Create(t.Context(), paris))
	check(t, s.LoadRoot(t.Context()))
	if result, err := s.Root().Inspect(bundle); err != nil || result.Domain != "paris" {
		t.Errorf("a seal of the other domain: %+v, %v", result, err)
	}
	if _, err := s.Root().Inspect(sealed(t, abroad, "test")); reason.Of(err) != reason.BuilderNotTrusted {
		t.Errorf("the other domain speaks for this cluster: %v", err)
	}
	if got := loadedOf(s, "ConfigMap argoseal-trust-paris"); len(got) != 2 || got[1] != abroad.Signer.Hint() {
		t.Errorf("loaded is %q", got)
	}

	// What was good stays.
	good := paris.Data[v1alpha1.RulesKey]
	for _, bad := range []string{"nonsense", "", string(mustJSON(t, verify.Rules{Builders: verify.BuildersOf("test")}))} {
		paris.Data[v1alpha1.RulesKey] = bad
		check(t, api.Update(t.Context(), paris))
		if err := s.LoadRoot(t.Context()); err == nil {
			t.Errorf("%q is taken", bad)
		}
		if _, err := s.Root().Inspect(bundle); err != nil {
			t.Errorf("%q ended the domain as it was: %v", bad, err)
		}
	}
	// A program that starts now knows nothing that was good.
	fresh, _ := store(api)
	if err := fresh.LoadRoot(t.Context()); err == nil || !slices.Equal(names(fresh), []string{v1alpha1.DomainInstalled}) {
		t.Errorf("a fresh start: %v, %v", names(fresh), err)
	}

	paris.Data[v1alpha1.RulesKey] = good
	check(t, api.Update(t.Context(), paris))
	// By name it comes before the one that was there, and wants its builders.
	thief := domain(t, "aaa", "test", sealtest.NewNotary(t))
	check(t, api.Create(t.Context(), thief))
	if err := s.LoadRoot(t.Context()); err == nil || !slices.Equal(names(s), []string{v1alpha1.DomainInstalled, "paris"}) {
		t.Errorf("a domain for this cluster's builders: %v, %v", names(s), err)
	}
	check(t, api.Delete(t.Context(), thief))
	check(t, api.Delete(t.Context(), paris))
	check(t, s.LoadRoot(t.Context()))
	if _, err := s.Root().Inspect(bundle); reason.Of(err) != reason.SignatureInvalid {
		t.Errorf("after the domain is gone: %v", err)
	}
	if got := loadedOf(s, "ConfigMap argoseal-trust-paris"); got != nil {
		t.Errorf("loaded is %q", got)
	}
}

func mustJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	raw, err := json.Marshal(v)
	check(tb, err)
	return raw
}

func loadedOf(s *Store, object string) []string {
	for _, l := range s.Loaded() {
		if l.Object == object {
			return l.IDs
		}
	}
	return nil
}

// No answer is not "there is none".
func TestDomainsStayWhereTheListFails(t *testing.T) {
	down := false
	api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, api client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if down {
				return errors.New("down")
			}
			return api.List(ctx, list, options...)
		},
	}).Build()
	s, _ := store(api)
	trusted, notary := roots(t)
	abroad := sealtest.NewNotary(t)
	for _, o := range []client.Object{trusted, notary, domain(t, "paris", "paris", abroad)} {
		check(t, api.Create(t.Context(), o))
	}
	check(t, s.LoadRoot(t.Context()))
	down = true
	if err := s.LoadRoot(t.Context()); err == nil || !slices.Equal(names(s), []string{v1alpha1.DomainInstalled, "paris"}) {
		t.Errorf("got %v, %v", names(s), err)
	}
}

// Whoever may add ConfigMaps to our namespace, by names that are nobody's, keeps no domain
// from being read, changed or dropped.
func TestManyConfigMapsOfOthersFreezeNoDomain(t *testing.T) {
	api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{List: inPages}).Build()
	s, _ := store(api)
	trusted, notary := roots(t)
	paris := domain(t, "paris", "paris", sealtest.NewNotary(t))
	for _, o := range []client.Object{trusted, notary, paris} {
		check(t, api.Create(t.Context(), o))
	}
	check(t, s.LoadRoot(t.Context()))
	for i := range 2*pageOf + 1 {
		check(t, api.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: meta(fmt.Sprintf("aaa-%04d", i))}))
	}
	check(t, api.Create(t.Context(), domain(t, "rome", "rome", sealtest.NewNotary(t))))
	if err := s.LoadRoot(t.Context()); err != nil || !slices.Equal(names(s), []string{v1alpha1.DomainInstalled, "paris", "rome"}) {
		t.Errorf("a domain that is added: %v, %v", names(s), err)
	}
	check(t, api.Delete(t.Context(), paris))
	if err := s.LoadRoot(t.Context()); err != nil || !slices.Equal(names(s), []string{v1alpha1.DomainInstalled, "rome"}) {
		t.Errorf("a domain that is dropped: %v, %v", names(s), err)
	}
}

// inPages lists as an API server does: at most what is asked for, and where to go on.
func inPages(ctx context.Context, api client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
	asked := (&client.ListOptions{}).ApplyOptions(options)
	if err := api.List(ctx, list, client.InNamespace(asked.Namespace)); err != nil {
		return err
	}
	all, ok := list.(*metav1.PartialObjectMetadataList)
	if !ok || asked.Limit == 0 {
		return nil
	}
	from := 0
	if asked.Continue != "" {
		var err error
		if from, err = strconv.Atoi(asked.Continue); err != nil {
			return err
		}
	}
	to := min(from+int(asked.Limit), len(all.Items))
	if to < len(all.Items) {
		all.Continue = strconv.Itoa(to)
	}
	all.Items = all.Items[from:to]
	return nil
}

// The installation's own keys speak for its cluster, unless rules say for which.
func TestTheInstallationSpeaksForItsCluster(t *testing.T) {
	api := fake.NewClientBuilder().Build()
	s, _ := store(api)
	log := sealtest.NewLog(t)
	n := sealtest.NewNotaryWith(t, sealtest.Backend{Log: log, TrustedRoot: log.TrustedRoot})
	trusted := &corev1.ConfigMap{ObjectMeta: meta(v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(log.TrustedRoot)}}
	notary := &corev1.ConfigMap{ObjectMeta: meta(v1alpha1.ConfigMapNotaryKey), Data: map[string]string{v1alpha1.NotaryKeyKey: string(n.Signer.PublicKeyPEM())}}
	for _, o := range []client.Object{trusted, notary} {
		check(t, api.Create(t.Context(), o))
	}
	check(t, s.LoadRoot(t.Context()))
	if _, err := s.Root().Inspect(sealed(t, n, "test")); err != nil {
		t.Errorf("of its own: %v", err)
	}
	if _, err := s.Root().Inspect(sealed(t, n, "paris")); reason.Of(err) != reason.BuilderNotTrusted {
		t.Errorf("of another: %v", err)
	}
	at := time.Now().Add(-time.Hour)
	notary.Data[v1alpha1.RulesKey] = string(mustJSON(t, verify.Rules{Keys: []verify.KeyRule{{Hint: n.Signer.Hint(), CompromisedFrom: &at}}}))
	check(t, api.Update(t.Context(), notary))
	check(t, s.LoadRoot(t.Context()))
	if _, err := s.Root().Inspect(sealed(t, n, "test")); reason.Of(err) != reason.SignerCompromised {
		t.Errorf("with a rule: %v", err)
	}
	// What it attests nobody would ask for: what is trusted stays as it was.
	attests := verify.Rules{Attests: []string{"https://builder.test"}}
	notary.Data[v1alpha1.RulesKey] = string(mustJSON(t, attests))
	check(t, api.Update(t.Context(), notary))
	if err := s.LoadRoot(t.Context()); err == nil || !strings.Contains(err.Error(), "a domain of their own") {
		t.Errorf("with attests: %v", err)
	}
	if _, err := s.Root().Inspect(sealed(t, n, "test")); reason.Of(err) != reason.SignerCompromised {
		t.Errorf("with attests, the rules of before: %v", err)
	}
	// The twin: in a domain of others it says who may attest.
	if d, err := verify.ParseDomain("theirs", verify.Sources{TrustedRoot: log.TrustedRoot, Keys: n.Signer.PublicKeyPEM(), Rules: mustJSON(t, attests)}); err != nil || len(d.Attests) != 1 {
		t.Errorf("another's: %+v, %v", d.Attests, err)
	}
	delete(notary.Data, v1alpha1.RulesKey)
	check(t, api.Update(t.Context(), notary))
	nobody, _ := store(api)
	nobody.Builders = nil
	if err := nobody.LoadRoot(t.Context()); err == nil || nobody.Root() != nil {
		t.Errorf("keys that speak for nobody in particular: %v", err)
	}
}
