package keyring

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/verify"
)

// state is the signing key with what is published of it.
type state struct {
	secret  corev1.Secret
	public  corev1.ConfigMap
	rules   verify.Rules
	current *seal.Signer
	next    *seal.Signer // nil: there is none
	now     time.Time
}

func (s *state) rule(hint string) *verify.KeyRule {
	i := slices.IndexFunc(s.rules.Keys, func(k verify.KeyRule) bool { return k.Hint == hint })
	if i < 0 {
		return nil
	}
	return &s.rules.Keys[i]
}

// asked says that somebody has asked for a successor since one was made. The
// requests are compared as text, because whoever asks has another clock.
func (s *state) asked() bool {
	return s.public.Data[v1alpha1.RotateKey] != string(s.secret.Data[askedKey])
}

func compromised(rule *verify.KeyRule) bool { return rule != nil && rule.CompromisedFrom != nil }

func ended(rule *verify.KeyRule, now time.Time) bool {
	return rule != nil && rule.ValidUntil != nil && !now.Before(*rule.ValidUntil)
}

// spoilt says that others may have the successor, too. Either somebody said so, or
// they said it of the signing key while both lay in one Secret.
func (s *state) spoilt() bool {
	after := len(s.secret.Data[nextAfterKey]) != 0
	return compromised(s.rule(s.next.Hint())) || compromised(s.rule(s.current.Hint())) && (s.asked() || !after)
}

// publishedFrom says since when the successor is published.
func (s *state) publishedFrom() (time.Time, bool) {
	rule := s.rule(s.next.Hint())
	if rule == nil || rule.ValidFrom == nil || !holdsKey([]byte(s.public.Data[v1alpha1.NotaryKeyKey]), s.next.PublicKeyPEM()) {
		return time.Time{}, false
	}
	return *rule.ValidFrom, true
}

// addNext puts the successor among the public keys, in lines of its own.
func (s *state) addNext() {
	keys := s.public.Data[v1alpha1.NotaryKeyKey]
	if holdsKey([]byte(keys), s.next.PublicKeyPEM()) {
		return
	}
	if keys != "" && !strings.HasSuffix(keys, "\n") {
		keys += "\n"
	}
	s.public.Data[v1alpha1.NotaryKeyKey] = keys + string(s.next.PublicKeyPEM())
}

// writePublic publishes keys only if they load. If it published a key that nobody
// can load, nobody would notice until that key is needed.
func (s *state) writePublic(ctx context.Context, c client.Client) error {
	raw, err := s.rules.JSON()
	if err != nil {
		return err
	}
	if s.public.Data == nil {
		s.public.Data = map[string]string{}
	}
	s.public.Data[v1alpha1.RulesKey] = string(raw)
	var trusted corev1.ConfigMap
	if err := c.Get(ctx, client.ObjectKey{Namespace: s.public.Namespace, Name: v1alpha1.ConfigMapTrustedRoot}, &trusted); err != nil {
		return fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapTrustedRoot, err)
	}
	d, err := verify.ParseInstalled(v1alpha1.DomainInstalled, verify.Sources{
		TrustedRoot: []byte(trusted.Data[v1alpha1.TrustedRootKey]), Keys: []byte(s.public.Data[v1alpha1.NotaryKeyKey]), Rules: raw,
	})
	if err == nil {
		d.AnyBuilder = len(d.Builders) == 0 // each program knows those of its cluster
		_, err = verify.New(d)
	}
	if err != nil {
		return fmt.Errorf("nothing is published that does not load: configmaps %s and %s: %w", v1alpha1.ConfigMapNotaryKey, v1alpha1.ConfigMapTrustedRoot, err)
	}
	return c.Update(ctx, &s.public)
}
