package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/text"
)

// maxMessage is what a condition's message is cut to.
const maxMessage = 1000

// report writes the status, and an event when the reason is a new one.
func (r *Reconciler) report(ctx context.Context, o *v1alpha1.SecretEncryption, seen encryption.Observed, step encryption.Step) error {
	before := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionReady)
	changed := before == nil || before.Reason != string(step.Reason)
	r.Metrics.observe(seen, step, float64(r.Clock.Now().Unix()))
	o.Status.ObservedGeneration = o.Generation
	o.Status.Servers = servers(seen)
	o.Status.Key = key(step.Write)
	if seen.Scan != nil && step.Write != (encryption.Ref{}) {
		o.Status.Proof = r.proof(*seen.Scan, step.Write) // or the one before stands, with its time
	}
	message := text.Cut(step.Message, maxMessage)
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&o.Status.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: o.Generation,
		})
	}
	is := func(holds bool) metav1.ConditionStatus {
		if holds {
			return metav1.ConditionTrue
		}
		return metav1.ConditionFalse
	}
	reason := string(step.Reason)
	set(v1alpha1.ConditionReady, is(step.Action == encryption.Rest), reason, message)
	set(v1alpha1.ConditionStalled, is(step.Action == encryption.Halt), reason, message)
	set(v1alpha1.ConditionReconciling, is(step.Action != encryption.Rest && step.Action != encryption.Halt), reason, message)
	status, why, proven := encrypted(seen, step)
	set(v1alpha1.ConditionEncrypted, status, why, text.Cut(proven, maxMessage))
	if changed {
		kind := corev1.EventTypeNormal
		if step.Action == encryption.Halt {
			kind = corev1.EventTypeWarning
		}
		// Messages may name Secrets of any namespace, and everybody in namespace
		// default reads the events of what has none.
		//argoseal:event SecretEncryption | Normal, Warning | that of its condition Ready | it is another one than before
		r.Events.Eventf(o, nil, kind, reason, "Encrypt", "%s: kubectl get secretencryption %s -o yaml says more", reason, o.Name)
	}
	return r.Client.Status().Update(ctx, o)
}

// Reasons of the condition Encrypted, beside those of a step.
const (
	reasonNotScanned = "NotScanned" // etcd was not read yet
	reasonPlaintext  = "Plaintext"  // objects lie in etcd as they are, or new ones would
)

// encrypted is what the scan proves, and nothing that it does not.
func encrypted(seen encryption.Observed, step encryption.Step) (status metav1.ConditionStatus, reason, message string) {
	scan := seen.Scan
	if scan == nil {
		return metav1.ConditionUnknown, reasonNotScanned, "etcd was not read: " + step.Message
	}
	plain, total := scan.Objects[encryption.Ref{Provider: encryption.Identity}], scan.Total()
	switch {
	case plain > 0:
		return metav1.ConditionFalse, reasonPlaintext, fmt.Sprintf("%d of %d objects lie in etcd as they are", plain, total)
	case step.Write == encryption.Ref{}:
		return metav1.ConditionUnknown, string(step.Reason), "not all API servers are known to write with one key: " + step.Message
	case step.Write.Provider == encryption.Identity:
		return metav1.ConditionFalse, reasonPlaintext, "new objects are stored as they are"
	}
	// Whatever the step is about: escrow may have failed meanwhile.
	if missing := seen.Unreadable(); missing != "" {
		return metav1.ConditionUnknown, string(encryption.Unreadable), missing
	}
	message = fmt.Sprintf("%d of %d objects lie under a key", total, total)
	if step.Write.Provider == encryption.KMS {
		message += ". New ones lie under one that is the key service's alone: it is in no file and not in escrow, and what the service loses nobody brings back"
	}
	return metav1.ConditionTrue, string(encryption.Proven), message
}

func (r *Reconciler) proof(scan encryption.Scan, write encryption.Ref) *v1alpha1.EncryptionProof {
	under, total := scan.Objects[write], scan.Total()
	return &v1alpha1.EncryptionProof{
		Summary: fmt.Sprintf("%d/%d", under, total), UnderKey: int64(under), Objects: int64(total),
		Key: write.String(), Time: metav1.NewTime(r.Clock.Now()),
	}
}

func key(ref encryption.Ref) *v1alpha1.EncryptionKey {
	if ref == (encryption.Ref{}) {
		return nil
	}
	k := &v1alpha1.EncryptionKey{Provider: string(ref.Provider), Name: ref.Name, IDHash: ref.ID}
	if created := ref.Created(); !created.IsZero() {
		k.CreatedAt = metav1.NewTime(created)
	}
	return k
}

func servers(seen encryption.Observed) []v1alpha1.EncryptionServer {
	var all []v1alpha1.EncryptionServer
	for _, s := range seen.Servers {
		state := "Loading"
		switch {
		case s.FileProblem != encryption.FileFine:
			state = text.Cut(s.Detail, maxMessage)
		case s.Unseen != "":
			state = text.Cut(s.Unseen, maxMessage)
		case s.PluginProblem != "":
			state = text.Cut(s.PluginProblem, maxMessage)
		case s.Refused:
			state = "it cannot load its file"
		case s.Loaded == s.FileHash:
			state = "Loaded"
		}
		all = append(all, v1alpha1.EncryptionServer{Name: s.Name, State: state})
	}
	return all
}
