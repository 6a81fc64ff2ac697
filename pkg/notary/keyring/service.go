package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/verify"
)

const (
	// serviceHandover is how long the key of a service is published before it signs.
	// Replicas that start wait for it, and the API server's watches are faster.
	serviceHandover = 15 * time.Second
	// serviceOverlap is how long the keys before it count for new records: replicas
	// that have another are told to stop by then.
	serviceOverlap = time.Hour
)

var errHandover = errors.New("who signs was published just now, and begins in some seconds")

// ServiceSigner gives a signer whose key a key service holds, by its URI. The operator
// says which key signs by saying which URI: one that is not published yet is published,
// and those before it end. It signs once everybody knows it, which an error says until
// then. One that does not fit, as the caller says, is not published.
func ServiceSigner(ctx context.Context, c client.Client, namespace, uri string, fits func(*seal.Signer) error) (*seal.Signer, error) {
	signer, err := seal.LoadKMSSigner(ctx, uri)
	if err == nil {
		err = fits(signer)
	}
	if err != nil {
		return nil, err
	}
	return signer, publishService(ctx, c, namespace, signer, now(c, namespace))
}

// now is the API server's time.
func now(c client.Client, namespace string) func(context.Context) (time.Time, error) {
	return func(ctx context.Context) (time.Time, error) {
		return cluster.Now(ctx, c, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: v1alpha1.ConfigMapNotaryKey + "-"}})
	}
}

func publishService(ctx context.Context, c client.Client, namespace string, signer *seal.Signer, clock func(context.Context) (time.Time, error)) error {
	m, err := configMapOnce(ctx, c, made(namespace, v1alpha1.ConfigMapNotaryKey), func() (map[string]string, error) {
		return map[string]string{v1alpha1.NotaryKeyKey: string(signer.PublicKeyPEM())}, nil
	})
	if err != nil {
		return err
	}
	s := &state{public: *m, next: signer}
	if s.rules, err = verify.ParseRules([]byte(m.Data[v1alpha1.RulesKey])); err != nil {
		return mismatch("ConfigMap %s: %v", m.Name, err)
	}
	now, err := clock(ctx)
	if err != nil {
		return err
	}
	rule := s.rule(signer.Hint())
	switch {
	case compromised(rule), ended(rule, now):
		return mismatch("the key of the key service (%s) has ended, or is in other hands, as %s in ConfigMap %s says", signer.Hint(), v1alpha1.RulesKey, m.Name)
	case holdsKey([]byte(m.Data[v1alpha1.NotaryKeyKey]), signer.PublicKeyPEM()):
		if rule != nil && rule.ValidFrom != nil && now.Before(rule.ValidFrom.Add(serviceHandover)) {
			return errHandover
		}
		return nil
	}
	until, from := now.Add(serviceOverlap).UTC(), now.UTC()
	if err := s.endKeys(until); err != nil {
		return err
	}
	s.rules.Keys = append(s.rules.Keys, verify.KeyRule{Hint: signer.Hint(), ValidFrom: &from})
	s.addNext()
	if err := s.writePublic(ctx, c); err != nil {
		return fmt.Errorf("configmap %s: %w", m.Name, err)
	}
	return errHandover
}

// endKeys lets all public keys end that have no end yet.
func (s *state) endKeys(until time.Time) error {
	keys, err := verify.ParseKeys([]byte(s.public.Data[v1alpha1.NotaryKeyKey]))
	if err != nil {
		return mismatch("ConfigMap %s: %v", s.public.Name, err)
	}
	for _, key := range keys {
		before := s.rule(key.Hint)
		switch {
		case before == nil:
			s.rules.Keys = append(s.rules.Keys, verify.KeyRule{Hint: key.Hint, ValidUntil: &until})
		case before.ValidUntil == nil:
			before.ValidUntil = &until
		}
	}
	return nil
}
