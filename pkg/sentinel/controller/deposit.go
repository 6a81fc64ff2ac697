package controller

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/escrow"
)

// maxEscrow is what a status has room for.
const maxEscrow = 64

// depositAll has every key of the files, and those that nodes have kept, in escrow.
func (r *Reconciler) depositAll(ctx context.Context, o *v1alpha1.SecretEncryption, l look) error {
	if o.Spec.Escrow == nil {
		return nil
	}
	keys := l.keysWith()
	// What nodes keep was in a file before; it is asked for where it may not have been
	// put in escrow then.
	if to := recipients(o); r.escrowed != to {
		kept, err := r.kept(ctx, o.Spec.Resources, l.term)
		if err != nil {
			return nil //nolint:nilerr // an agent that is unseen holds back all else, and is said so
		}
		if err := r.deposit(ctx, o, append(keys, kept...)); err != nil {
			return err
		}
		r.escrowed = to
		return nil
	}
	return r.deposit(ctx, o, keys)
}

// keysWith are the keys of all files, and some more.
func (l look) keysWith(more ...encryption.Key) []encryption.Key {
	for _, s := range l.observed.Servers {
		if s.FileProblem == encryption.FileFine {
			more = append(more, s.File.Keys()...)
		}
	}
	return more
}

// deposit puts keys in escrow that are not, and stores that at once: what is done next
// may rely on it.
func (r *Reconciler) deposit(ctx context.Context, o *v1alpha1.SecretEncryption, keys []encryption.Key) error {
	if o.Spec.Escrow == nil {
		return nil
	}
	to, changed := recipients(o), false
	inUse := map[string]bool{}
	for _, k := range keys {
		inUse[k.String()] = true
		is := func(e v1alpha1.EscrowedKey) bool { return e.Key == k.String() }
		at := slices.IndexFunc(o.Status.Escrow, is)
		if k.Provider == encryption.Identity || at >= 0 && o.Status.Escrow[at].Recipients == to {
			continue
		}
		data, err := escrow.Seal(k, o.Spec.Escrow.Recipients)
		if err != nil {
			return fmt.Errorf("put %s in escrow: %w", k, err)
		}
		o.Status.Escrow = append(slices.DeleteFunc(o.Status.Escrow, is), v1alpha1.EscrowedKey{Key: k.String(), Recipients: to, Data: data})
		changed = true
	}
	if !changed {
		return nil
	}
	o.Status.Escrow = newest(o.Status.Escrow, inUse)
	if err := r.Client.Status().Update(ctx, o); err != nil {
		return fmt.Errorf("store what is in escrow: %w", err)
	}
	return nil
}

// newest leaves out what there is no room for: the oldest of the keys that are not in
// use.
func newest(all []v1alpha1.EscrowedKey, inUse map[string]bool) []v1alpha1.EscrowedKey {
	created := func(e v1alpha1.EscrowedKey) int64 {
		provider, name, _ := strings.Cut(e.Key, "/")
		return encryption.Ref{Provider: encryption.Provider(provider), Name: name}.Created().Unix()
	}
	all = slices.SortedStableFunc(slices.Values(all), func(a, b v1alpha1.EscrowedKey) int {
		if inUse[a.Key] != inUse[b.Key] {
			return map[bool]int{true: -1, false: 1}[inUse[a.Key]]
		}
		return cmp.Or(cmp.Compare(created(b), created(a)), strings.Compare(a.Key, b.Key))
	})
	return all[:min(len(all), maxEscrow)]
}

// recipients stands for the list of them.
func recipients(o *v1alpha1.SecretEncryption) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(o.Spec.Escrow.Recipients)), "\n")))
	return fmt.Sprintf("%x", sum[:16])
}
