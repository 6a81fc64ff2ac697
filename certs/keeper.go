package certs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
)

const (
	// lookAgain bounds how long a missed event can go unnoticed.
	lookAgain = 10 * time.Minute
	// firstRetry and lastRetry bound the wait after a failed round.
	firstRetry = 200 * time.Millisecond
	lastRetry  = 30 * time.Second
	// roundTimeout bounds one round's calls.
	roundTimeout = 20 * time.Second
	// maxSteps bounds the steps of one round: no rotation needs more in a row.
	maxSteps = 4
)

// Keeper keeps the Secret, the served certificate and the caBundles right. It
// runs in every replica.
type Keeper struct {
	Client kubernetes.Interface
	// Namespace and Secret say where the state is.
	Namespace string
	Secret    string
	// Names that the certificate is for; the first is its common name.
	Names []string
	// Mutating and Validating are the webhook configurations whose caBundle is
	// ours to keep; empty: none of that kind.
	Mutating   string
	Validating string
	Lifetimes  Lifetimes
	Serving    *Serving
	Clock      clock.Clock
	Log        logr.Logger
	// Changed wakes the keeper: one of the objects above has changed.
	Changed <-chan struct{}
}

// Start runs until ctx ends. It never gives up: a failed round is logged and
// tried again.
func (k *Keeper) Start(ctx context.Context) error {
	retry := firstRetry
	for {
		wait := lookAgain
		next, err := k.round(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to stop: what failed is of no interest
		}
		if err != nil {
			wait, retry = retry, min(2*retry, lastRetry)
			// A collision is ordinary, unless it does not end.
			if !collision(err) || retry > time.Second {
				k.Log.Error(err, "serving certificate not kept, trying again", "in", wait.String())
			}
		} else {
			retry = firstRetry
			wait = max(min(next.Sub(k.Clock.Now()), lookAgain), 10*time.Millisecond)
		}
		timer := k.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-k.Changed:
			timer.Stop()
		case <-timer.C():
		}
	}
}

// NeedLeaderElection tells a manager to run the keeper in every replica.
func (k *Keeper) NeedLeaderElection() bool { return false }

// round looks once and does what is due. It returns when to look again.
func (k *Keeper) round(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	// The configurations first: a patch made from an older Secret than another
	// replica's then meets a configuration that has moved on, and fails.
	configurations, err := k.configurations(ctx)
	if err != nil {
		return time.Time{}, err
	}
	state, next, err := k.advance(ctx, configurations)
	if err != nil {
		return time.Time{}, err
	}
	if k.Serving.set(state.Leaf) {
		k.Log.Info("serving a new certificate", "notAfter", state.Leaf.Certificate.NotAfter)
	}
	var failures []error
	for _, c := range configurations {
		failures = append(failures, k.publish(ctx, c, state.Bundle()))
	}
	return next, errors.Join(failures...)
}

// advance takes the steps that are due, each one write to the Secret.
func (k *Keeper) advance(ctx context.Context, configurations []configuration) (State, time.Time, error) {
	secret, state, err := k.read(ctx)
	if err != nil {
		return State{}, time.Time{}, err
	}
	for range maxSteps {
		o := Observation{Names: k.Names, Published: published(configurations, state)}
		now := k.Clock.Now()
		step, next := k.Lifetimes.Plan(now, state, o)
		if step == StepNone {
			return state, next, nil
		}
		if state, err = k.Lifetimes.Take(step, now, state, o); err != nil {
			return State{}, time.Time{}, fmt.Errorf("step %s: %w", step, err)
		}
		if secret, err = k.write(ctx, secret, state); err != nil {
			return State{}, time.Time{}, fmt.Errorf("step %s: %w", step, err)
		}
		k.Log.Info("serving certificate changed", "step", string(step))
	}
	return state, k.Clock.Now(), nil
}

// read gets the state. A Secret that is not there is the zero state; so is one
// that cannot be read, which is then replaced.
func (k *Keeper) read(ctx context.Context) (*corev1.Secret, State, error) {
	secret, err := k.Client.CoreV1().Secrets(k.Namespace).Get(ctx, k.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, State{}, nil
	}
	if err != nil {
		return nil, State{}, fmt.Errorf("get Secret %s: %w", k.Secret, err)
	}
	state, err := Decode(secret.Data)
	if err != nil {
		k.Log.Error(err, "the Secret cannot be read, making it anew", "secret", k.Secret)
		return secret, State{}, nil
	}
	return secret, state, nil
}

// write stores the state, only if nobody else did since it was read.
func (k *Keeper) write(ctx context.Context, secret *corev1.Secret, state State) (*corev1.Secret, error) {
	data, err := state.Encode()
	if err != nil {
		return nil, err
	}
	if secret == nil {
		secret = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Secret},
			Type:       corev1.SecretTypeTLS,
			Data:       data,
		}
		return k.Client.CoreV1().Secrets(k.Namespace).Create(ctx, secret, metav1.CreateOptions{})
	}
	secret = secret.DeepCopy()
	secret.Data = data
	return k.Client.CoreV1().Secrets(k.Namespace).Update(ctx, secret, metav1.UpdateOptions{})
}

// collision says whether err only means that another replica was faster.
func collision(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || errors.Is(err, errMovedOn)
}
