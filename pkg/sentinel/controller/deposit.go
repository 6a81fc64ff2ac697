package controller

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/escrow"
	"github.com/argoseal/argoseal/pkg/text"
)

// maxEscrow is what a status has room for.
const maxEscrow = 64

// The reasons for which no key is used: it is not in escrow.
const (
	escrowFailed encryption.Reason = "EscrowFailed" // a key could not be put in escrow
	escrowFull   encryption.Reason = "EscrowFull"   // the escrow has no room for another key; somebody has to help
)

// The reason of an event that is about no step.
const reasonRecipientsChanged = "EscrowRecipientsChanged" // keys in escrow are encrypted to other recipients than before

// escrowError says why a key is not in escrow.
type escrowError struct {
	reason encryption.Reason
	err    error
}

func (e *escrowError) Error() string { return e.err.Error() }
func (e *escrowError) Unwrap() error { return e.err }

// failed is the reason for a step that could not be done.
func failed(of encryption.Reason, err error) encryption.Reason {
	if e := (*escrowError)(nil); errors.As(err, &e) {
		return e.reason
	}
	return of + "Failed"
}

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
		if err != nil && l.unseen() {
			return nil // that holds back all else, and is said so
		}
		if err != nil {
			return &escrowError{escrowFailed, fmt.Errorf("what nodes have kept is not put in escrow: %w", err)}
		}
		if err := r.deposit(ctx, o, append(keys, kept...)); err != nil {
			return err
		}
		r.escrowed = to
		return nil
	}
	return r.deposit(ctx, o, keys)
}

// unseen says whether an agent does not answer.
func (l look) unseen() bool {
	return slices.ContainsFunc(l.observed.Servers, func(s encryption.Server) bool { return s.FileProblem == encryption.FileUnseen })
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
// may rely on it. Fresh ones are in no file yet.
func (r *Reconciler) deposit(ctx context.Context, o *v1alpha1.SecretEncryption, keys []encryption.Key, fresh ...encryption.Key) error {
	if o.Spec.Escrow == nil {
		return nil
	}
	to, all, changed := recipients(o), slices.Clone(o.Status.Escrow), false
	var moved []string
	put := func(k encryption.Key, unused bool) error {
		if !k.Kept() {
			return nil // there is nothing that could be
		}
		is := func(e v1alpha1.EscrowedKey) bool { return e.Key == k.String() }
		if at := slices.IndexFunc(all, is); at >= 0 {
			if all[at].Recipients != to {
				moved = append(moved, k.String())
			} else {
				if all[at].Unused && !unused {
					all[at].Unused, changed = false, true
				}
				return nil
			}
		}
		data, err := escrow.Seal(k, o.Spec.Escrow.Recipients)
		if err != nil {
			return &escrowError{escrowFailed, fmt.Errorf("put %s in escrow: %w", k, err)}
		}
		all = append(slices.DeleteFunc(all, is), v1alpha1.EscrowedKey{Key: k.String(), Recipients: to, Data: data, Unused: unused})
		changed = true
		return nil
	}
	for _, k := range keys {
		if k.Ref == r.pending.Ref {
			r.pending = encryption.Key{} // a file has it
		}
		if err := put(k, false); err != nil {
			return err
		}
	}
	for _, k := range fresh {
		if err := put(k, true); err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	all, err := room(all, fresh)
	if err != nil {
		return err
	}
	o.Status.Escrow = all
	if err := r.Client.Status().Update(ctx, o); err != nil {
		return &escrowError{escrowFailed, fmt.Errorf("store what is in escrow: %w", err)}
	}
	if len(moved) > 0 {
		r.tell(ctx, o, moved, to)
	}
	return nil
}

// tell says that keys are for others now: whoever names their own recipient gets every key,
// and should be seen.
func (r *Reconciler) tell(ctx context.Context, o *v1alpha1.SecretEncryption, keys []string, to string) {
	log.FromContext(ctx).Info("Encrypted keys in escrow to other recipients", "keys", keys, "recipients", to)
	//argoseal:event SecretEncryption | Warning | `EscrowRecipientsChanged` | keys in escrow are encrypted to other recipients than before
	r.Events.Eventf(o, nil, corev1.EventTypeWarning, reasonRecipientsChanged, "Encrypt", "%s", text.Cut(fmt.Sprintf(
		"keys in escrow are encrypted to other recipients than before (status.escrow[].recipients %s): if nobody of you changed spec.escrow.recipients, take back who may, and rotate. Keys: %s", to, strings.Join(keys, ", ")), maxMessage))
}

// room leaves out keys that were made and that no file has been seen to have. Whatever
// was in a file may be what an object lies under, or one of a snapshot of etcd: which of
// these there are nobody here knows, so none makes room.
func room(all []v1alpha1.EscrowedKey, fresh []encryption.Key) ([]v1alpha1.EscrowedKey, error) {
	for len(all) > maxEscrow {
		at := slices.IndexFunc(all, func(e v1alpha1.EscrowedKey) bool {
			return e.Unused && !slices.ContainsFunc(fresh, func(k encryption.Key) bool { return k.String() == e.Key })
		})
		if at < 0 {
			return nil, &escrowError{escrowFull, fmt.Errorf("%d keys are in escrow, and there is no room for another: store the resource with your snapshots of etcd, then take out of status.escrow those that no snapshot needs (kubectl edit secretencryption %s --subresource=status)", len(all)-1, v1alpha1.SecretEncryptionName)}
		}
		all = slices.Delete(all, at, at+1)
	}
	return all, nil
}

// recipients stands for the list of them.
func recipients(o *v1alpha1.SecretEncryption) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(o.Spec.Escrow.Recipients)), "\n")))
	return fmt.Sprintf("%x", sum[:16])
}
