package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/verify"
)

const (
	// handover is how long a key is published before it signs, so that every
	// webhook knows it: webhooks look every ten minutes or more often. If others
	// may have the old key, the time is only as long as a watch takes.
	handover     = 15 * time.Minute
	handoverFast = time.Minute
	// overlap is how long the key before still counts for new records: other replicas
	// learn of its successor within lookEvery.
	overlap   = 5 * time.Minute
	lookEvery = time.Minute
	// shortestLife keeps a schedule from overtaking its own handover.
	shortestLife = 24 * time.Hour
)

// Keys in the signing key's Secret beside PrivateKeyKey. They say when the signing
// key was made, what its successor is, and which request was answered when the
// successor was made. They are data, not annotations, because a guard says who
// writes data.
const (
	madeKey     = "made"
	askedKey    = "asked"
	nextKey     = "next.pem"
	nextMadeKey = "next-made"
	// nextAfterKey is there where the successor was made after its predecessor was said
	// to be in other hands, so that who had that need not have this.
	nextAfterKey = "next-after-theft"
	// beforeKey is the hint of the key that lay beside that of besideKey until switchedKey,
	// where nobody had said by then that it was in other hands.
	beforeKey   = "before"
	besideKey   = "beside"
	switchedKey = "switched"
)

// Rotation replaces the signing key in a Secret without a gap. It makes a successor
// and publishes it, waits until everybody knows it, and then has it sign. From then
// on its predecessor counts for older records only. Every replica does what is due;
// if two do it at once, one of them meets a conflict and leaves it.
type Rotation struct {
	API       client.Client
	Namespace string
	// After is how old a key gets; zero: a successor is made only where somebody asks
	// for one, under v1alpha1.RotateKey.
	After time.Duration
	// Use takes the key that signs.
	Use func(*seal.Signer)
	// Known says whether seals verify in this replica under a key; none signs before.
	Known func(hint string) bool
	Log   logr.Logger
	// Now is the API server's time where nil.
	Now func(context.Context) (time.Time, error)
}

// Check refuses what cannot work.
func (r *Rotation) Check() error {
	if r.After != 0 && r.After < shortestLife {
		return fmt.Errorf("a key lives for %s at least", shortestLife)
	}
	return nil
}

// NeedLeaderElection tells a manager to run it in every replica.
func (*Rotation) NeedLeaderElection() bool { return false }

// Start does what is due until ctx ends.
func (r *Rotation) Start(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		if err := r.Turn(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error(err, "The signing key cannot be looked after; going on with the one in use")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Turn does what is due now.
func (r *Rotation) Turn(ctx context.Context) error {
	s, err := r.read(ctx)
	if err != nil {
		return err
	}
	err = r.turn(ctx, s)
	if apierrors.IsConflict(err) {
		return nil // another replica did it, and is looked at again
	}
	return err
}

func (r *Rotation) turn(ctx context.Context, s *state) error {
	if err := r.beside(ctx, s); err != nil {
		return err
	}
	if s.next != nil && s.spoilt() {
		r.Use(s.current)
		if err := r.discard(ctx, s); err != nil {
			return err
		}
	}
	if s.next == nil {
		if !r.due(s) {
			r.Use(s.current)
			return nil
		}
		if err := r.makeNext(ctx, s); err != nil {
			return err
		}
	}
	from, published := s.publishedFrom()
	if !published {
		r.Use(s.current)
		return r.publish(ctx, s)
	}
	wait := handover
	if current := s.rule(s.current.Hint()); compromised(current) || ended(current, s.now.Add(overlap)) {
		wait = handoverFast
	}
	if s.now.Before(from.Add(wait)) {
		r.Use(s.current)
		return nil
	}
	if !r.Known(s.next.Hint()) {
		r.Use(s.current)
		return fmt.Errorf("nothing verifies here under the successor of the signing key (%s) yet: it does not sign", s.next.Hint())
	}
	// The end comes first: a replica that finds the end without the switch makes
	// the switch.
	if err := r.end(ctx, s); err != nil {
		return err
	}
	return r.switchOver(ctx, s)
}

func (r *Rotation) read(ctx context.Context) (*state, error) {
	s := &state{}
	if err := r.API.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: v1alpha1.SecretSigningKey}, &s.secret); err != nil {
		return nil, fmt.Errorf("secret %s: %w", v1alpha1.SecretSigningKey, err)
	}
	if err := r.API.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: v1alpha1.ConfigMapNotaryKey}, &s.public); err != nil {
		return nil, fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapNotaryKey, err)
	}
	var err error
	if s.rules, err = verify.ParseRules([]byte(s.public.Data[v1alpha1.RulesKey])); err != nil {
		return nil, fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapNotaryKey, err)
	}
	if s.current, err = seal.LoadSigner(s.secret.Data[PrivateKeyKey]); err != nil {
		return nil, fmt.Errorf("secret %s, key %s: %w", v1alpha1.SecretSigningKey, PrivateKeyKey, err)
	}
	if len(s.secret.Data[nextKey]) != 0 {
		if s.next, err = seal.LoadSigner(s.secret.Data[nextKey]); err != nil {
			return nil, fmt.Errorf("secret %s, key %s: %w", v1alpha1.SecretSigningKey, nextKey, err)
		}
	}
	now := r.Now
	if now == nil {
		now = func(ctx context.Context) (time.Time, error) {
			probe := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, GenerateName: v1alpha1.SecretSigningKey + "-"}}
			return cluster.Now(ctx, r.API, probe)
		}
	}
	// Node clocks do not count here. By a clock that is years ahead, a key would
	// end before anybody knows its successor.
	s.now, err = now(ctx)
	return s, err
}

// due says whether the key needs a successor: it is old enough, somebody asked for one
// since it was made, it is in other hands, or it ends.
func (r *Rotation) due(s *state) bool {
	made := s.secret.CreationTimestamp.Time
	if t, err := time.Parse(time.RFC3339, string(s.secret.Data[madeKey])); err == nil {
		made = t
	}
	rule := s.rule(s.current.Hint())
	// The key of a key service may have taken over. Then this one ends after
	// serviceOverlap, long after this notary, which is about to stop, could make a
	// successor.
	return s.asked() || compromised(rule) || ended(rule, s.now.Add(overlap)) || r.After != 0 && !made.IsZero() && s.now.Sub(made) >= r.After
}

// beside takes the key for stolen that lay in one Secret with a stolen one, where that is
// said after the one has taken the other's place.
func (r *Rotation) beside(ctx context.Context, s *state) error {
	before := string(s.secret.Data[beforeKey])
	if before == "" || string(s.secret.Data[besideKey]) != s.current.Hint() {
		return nil // not replaced yet, or by an earlier release, or by hand since
	}
	published, err := verify.ParseKeys([]byte(s.public.Data[v1alpha1.NotaryKeyKey]))
	if err != nil {
		return mismatch("ConfigMap %s: %v", s.public.Name, err)
	}
	switched, err := time.Parse(time.RFC3339, string(s.secret.Data[switchedKey]))
	if err != nil {
		return fmt.Errorf("secret %s, key %s: %w", v1alpha1.SecretSigningKey, switchedKey, err)
	}
	for _, pair := range [][2]string{{before, s.current.Hint()}, {s.current.Hint(), before}} {
		stolen, other := s.rule(pair[0]), s.rule(pair[1])
		if !compromised(stolen) || compromised(other) || stolen.CompromisedFrom.After(switched) {
			continue
		}
		if !slices.ContainsFunc(published, func(k verify.Key) bool { return k.Hint == pair[1] }) {
			continue // nobody trusts it any more, and a rule about it would not load
		}
		from := *stolen.CompromisedFrom
		if other == nil {
			s.rules.Keys = append(s.rules.Keys, verify.KeyRule{Hint: pair[1]})
			other = s.rule(pair[1])
		}
		other.CompromisedFrom = &from
		if err := s.writePublic(ctx, r.API); err != nil {
			return err
		}
		r.Log.Info("A key lay in one Secret with one that is in other hands; it is taken for stolen, too", "key", pair[1], "beside", pair[0])
	}
	return nil
}

// discard replaces a successor that others may have with a fresh one. First it ends
// what the old one is published for.
func (r *Rotation) discard(ctx context.Context, s *state) error {
	rule := s.rule(s.next.Hint())
	if !compromised(rule) && holdsKey([]byte(s.public.Data[v1alpha1.NotaryKeyKey]), s.next.PublicKeyPEM()) {
		if rule == nil {
			s.rules.Keys = append(s.rules.Keys, verify.KeyRule{Hint: s.next.Hint()})
			rule = s.rule(s.next.Hint())
		}
		rule.CompromisedFrom = s.rule(s.current.Hint()).CompromisedFrom
		if err := s.writePublic(ctx, r.API); err != nil {
			return err
		}
	}
	r.Log.Info("The successor of the signing key may be in other hands; making another", "successor", s.next.Hint())
	return r.makeNext(ctx, s)
}

func (r *Rotation) makeNext(ctx context.Context, s *state) error {
	key, err := seal.NewKey()
	if err != nil {
		return err
	}
	next, err := seal.LoadSigner(key)
	if err != nil {
		return err
	}
	s.secret.Data[nextKey], s.secret.Data[nextMadeKey] = key, []byte(s.now.UTC().Format(time.RFC3339))
	s.secret.Data[askedKey] = []byte(s.public.Data[v1alpha1.RotateKey])
	if delete(s.secret.Data, nextAfterKey); compromised(s.rule(s.current.Hint())) {
		s.secret.Data[nextAfterKey] = []byte("true")
	}
	if err := r.API.Update(ctx, &s.secret); err != nil {
		return err
	}
	r.Log.Info("Made a successor of the signing key", "key", s.current.Hint(), "successor", next.Hint())
	s.next = next
	return nil
}

func (r *Rotation) publish(ctx context.Context, s *state) error {
	s.addNext()
	from := s.now.UTC()
	if rule := s.rule(s.next.Hint()); rule != nil {
		rule.ValidFrom = &from
	} else {
		s.rules.Keys = append(s.rules.Keys, verify.KeyRule{Hint: s.next.Hint(), ValidFrom: &from})
	}
	if err := s.writePublic(ctx, r.API); err != nil {
		return err
	}
	r.Log.Info("Published the successor of the signing key", "successor", s.next.Hint())
	return nil
}

// end lets the key count for no record that is made later.
func (r *Rotation) end(ctx context.Context, s *state) error {
	rule := s.rule(s.current.Hint())
	if rule != nil && rule.ValidUntil != nil {
		return nil
	}
	until := s.now.Add(overlap).UTC()
	if rule == nil {
		s.rules.Keys = append(s.rules.Keys, verify.KeyRule{Hint: s.current.Hint(), ValidUntil: &until})
	} else {
		rule.ValidUntil = &until
	}
	return s.writePublic(ctx, r.API)
}

func (r *Rotation) switchOver(ctx context.Context, s *state) error {
	if len(s.secret.Data[nextMadeKey]) == 0 {
		return errors.New("the successor of the signing key has no date")
	}
	before := s.current.Hint()
	s.secret.Data[PrivateKeyKey], s.secret.Data[madeKey] = s.secret.Data[nextKey], s.secret.Data[nextMadeKey]
	delete(s.secret.Data, nextKey)
	delete(s.secret.Data, nextMadeKey)
	delete(s.secret.Data, nextAfterKey)
	delete(s.secret.Data, beforeKey)
	delete(s.secret.Data, besideKey)
	delete(s.secret.Data, switchedKey)
	if !compromised(s.rule(before)) {
		s.secret.Data[beforeKey], s.secret.Data[besideKey] = []byte(before), []byte(s.next.Hint())
		s.secret.Data[switchedKey] = []byte(s.now.UTC().Format(time.RFC3339))
	}
	if err := r.API.Update(ctx, &s.secret); err != nil {
		return err
	}
	r.Use(s.next)
	r.Log.Info("The signing key was replaced", "key", s.next.Hint(), "before", before)
	return nil
}
