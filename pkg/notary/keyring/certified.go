package keyring

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Identity publishes whom Fulcio certifies as the one who signs, and lets the keys before it
// end. It signs once everybody knows it, which an error says until then. No key is made. If
// it does not work under the trusted root, as the caller says, nothing is published and no
// key ends: some could not be had back.
func Identity(ctx context.Context, c client.Client, namespace string, by *seal.Fulcio, works func(ctx context.Context, trustedRootJSON []byte) error) error {
	if err := tried(ctx, c, namespace, by, works); err != nil {
		return err
	}
	return publishIdentity(ctx, c, namespace, by, now(c, namespace))
}

// tried says whether an identity that is not published yet works. Whoever published it has
// tried it: later, Fulcio may be away when a notary starts.
func tried(ctx context.Context, c client.Client, namespace string, by *seal.Fulcio, works func(ctx context.Context, trustedRootJSON []byte) error) error {
	var public, trusted corev1.ConfigMap
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.ConfigMapNotaryKey}, &public); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapNotaryKey, err)
	}
	rules, err := verify.ParseRules([]byte(public.Data[v1alpha1.RulesKey]))
	if err != nil {
		return mismatch("ConfigMap %s: %v", v1alpha1.ConfigMapNotaryKey, err)
	}
	issuer, subject := by.Identity()
	if has(rules, issuer, subject) {
		return nil
	}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.ConfigMapTrustedRoot}, &trusted); err != nil {
		return fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapTrustedRoot, err)
	}
	return works(ctx, []byte(trusted.Data[v1alpha1.TrustedRootKey]))
}

// has says whether rules name an identity exactly.
func has(rules verify.Rules, issuer, subject string) bool {
	return slices.ContainsFunc(rules.Identities, func(r verify.IdentityRule) bool { return names(r, issuer, subject) })
}

// names says whether a rule names an identity exactly. A notary's certificate has no repository.
func names(r verify.IdentityRule, issuer, subject string) bool {
	return r.Issuer == issuer && r.Subject == subject && r.SourceRepository == ""
}

func publishIdentity(ctx context.Context, c client.Client, namespace string, by *seal.Fulcio, clock func(context.Context) (time.Time, error)) error {
	issuer, subject := by.Identity()
	m, err := configMapOnce(ctx, c, made(namespace, v1alpha1.ConfigMapNotaryKey), func() (map[string]string, error) {
		raw, err := verify.Rules{Identities: []verify.IdentityRule{{Issuer: issuer, Subject: subject}}}.JSON()
		return map[string]string{v1alpha1.RulesKey: string(raw)}, err
	})
	if err != nil {
		return err
	}
	s := &state{public: *m}
	if s.rules, err = verify.ParseRules([]byte(m.Data[v1alpha1.RulesKey])); err != nil {
		return mismatch("ConfigMap %s: %v", m.Name, err)
	}
	now, err := clock(ctx)
	if err != nil {
		return err
	}
	for _, rule := range s.rules.Identities {
		switch {
		case !names(rule, issuer, subject):
		case rule.ValidUntil != nil && !now.Before(*rule.ValidUntil):
		case rule.ValidFrom != nil && now.Before(rule.ValidFrom.Add(serviceHandover)):
			return errHandover
		default:
			return s.endFormer(ctx, c, now)
		}
	}
	if has(s.rules, issuer, subject) {
		return mismatch("the identity %s by %s has ended, as %s in ConfigMap %s says", subject, issuer, v1alpha1.RulesKey, m.Name)
	}
	until, from := now.Add(serviceOverlap).UTC(), now.UTC()
	if err := s.endKeys(until); err != nil {
		return err
	}
	// Those without a begin the operator has written, or they were there first.
	for i := range s.rules.Identities {
		if before := &s.rules.Identities[i]; before.Subject != "" && before.ValidFrom != nil && before.ValidUntil == nil {
			before.ValidUntil = &until
		}
	}
	s.rules.Identities = append(s.rules.Identities, verify.IdentityRule{Issuer: issuer, Subject: subject, ValidFrom: &from})
	if err := s.writePublic(ctx, c); err != nil {
		return fmt.Errorf("configmap %s: %w", m.Name, err)
	}
	return errHandover
}

// endFormer lets keys end that an identity takes over from for the second time.
func (s *state) endFormer(ctx context.Context, c client.Client, now time.Time) error {
	former, err := s.former(now)
	if err != nil || !former {
		return err
	}
	if err := s.endKeys(now.Add(serviceOverlap).UTC()); err != nil {
		return err
	}
	if err := s.writePublic(ctx, c); err != nil {
		return fmt.Errorf("configmap %s: %w", s.public.Name, err)
	}
	return nil
}

// former says whether a key goes on without end. One that was published within
// serviceOverlap takes over from us, as it seems: a replica of the notary before, which is
// started again meanwhile, must not end it. A later start does, if we are the one that stays.
func (s *state) former(now time.Time) (bool, error) {
	keys, err := verify.ParseKeys([]byte(s.public.Data[v1alpha1.NotaryKeyKey]))
	if err != nil {
		return false, mismatch("ConfigMap %s: %v", s.public.Name, err)
	}
	former := false
	for _, key := range keys {
		rule := s.rule(key.Hint)
		switch {
		case rule == nil:
			former = true
		case rule.ValidUntil != nil:
		case rule.ValidFrom != nil && now.Before(rule.ValidFrom.Add(serviceOverlap)):
			return false, nil
		default:
			former = true
		}
	}
	return former, nil
}

// identified refuses public rules in which the one that Fulcio certifies is not.
func identified(by *seal.Fulcio, from verify.Sources) error {
	d, err := verify.ParseInstalled(v1alpha1.DomainInstalled, from)
	if err != nil {
		return mismatch("ConfigMap %s: %v", v1alpha1.ConfigMapNotaryKey, err)
	}
	issuer, subject := by.Identity()
	if slices.ContainsFunc(d.Identities, func(i verify.Identity) bool { return i.Is(issuer, subject) }) {
		return nil
	}
	return mismatch("the identity %s by %s is not among those of %s in ConfigMap %s", subject, issuer, v1alpha1.RulesKey, v1alpha1.ConfigMapNotaryKey)
}
