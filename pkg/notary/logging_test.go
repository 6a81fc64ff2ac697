package notary

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
)

// down is a log that takes nothing.
func down(*protorekor.TransparencyLogEntry, error) (*protorekor.TransparencyLogEntry, error) {
	return nil, fmt.Errorf("%w: dial tcp 10.0.0.1:80: connection\nrefused", seal.ErrNotLogged)
}

func TestAStoredEnvelopeOutlivesItsPodAndWorkflow(t *testing.T) {
	w := newWorld(t)
	first, b := w.notary(t, "first")
	b.appended = down
	_, _ = first.Reconcile(t.Context(), w.key())
	if w.record(t).Status.Envelope == "" {
		t.Fatal("there is no envelope yet")
	}
	must(t, w.api.Delete(t.Context(), w.scene.pod.DeepCopy()))
	must(t, w.api.Delete(t.Context(), w.scene.workflow.DeepCopy()))
	w.clock.SetTime(w.clock.Now().Add(testClaim + time.Second))
	second, _ := w.notary(t, "second")
	settle(t, second, w.key())
	w.expectSealed(t)
}

// slowLog answers when it is told to.
type slowLog struct {
	seal.Log
	release chan struct{}
}

func (l slowLog) Append(ctx context.Context, e *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	entry, err := l.Log.Append(ctx, e, key)
	<-l.release
	return entry, err
}

// While nothing is answered the pod and its Workflow may go, and the process die: what was
// signed is on record by then.
func TestAnEnvelopeIsStoredWhileTheLogIsLate(t *testing.T) {
	w := newWorld(t)
	honest, slow := w.log, slowLog{w.log, make(chan struct{})}
	w.log = slow
	first, b := w.notary(t, "first")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = first.Reconcile(t.Context(), w.key())
	}()
	for began := time.Now(); w.api.Get(t.Context(), client.ObjectKey{Namespace: w.scene.pod.Namespace, Name: string(w.scene.pod.UID)}, &v1alpha1.Provenance{}) != nil || w.record(t).Status.Envelope == ""; time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > lateLog+10*time.Second {
			t.Fatal("there is no envelope")
		}
	}
	b.kill()
	close(slow.release)
	<-ended
	must(t, w.api.Delete(t.Context(), w.scene.pod.DeepCopy()))
	must(t, w.api.Delete(t.Context(), w.scene.workflow.DeepCopy()))
	w.clock.SetTime(w.clock.Now().Add(testClaim + time.Second))
	w.log = honest
	second, _ := w.notary(t, "second")
	settle(t, second, w.key())
	w.expectSealed(t)
}

func TestALostProofIsReplacedByANewEntry(t *testing.T) {
	w := newWorld(t)
	first, b := w.notary(t, "first")
	// The entry is in the log, its proof is lost.
	b.appended = func(*protorekor.TransparencyLogEntry, error) (*protorekor.TransparencyLogEntry, error) {
		return nil, errors.New("unexpected EOF")
	}
	_, _ = first.Reconcile(t.Context(), w.key())
	lost := w.record(t).Status.Envelope
	w.clock.SetTime(w.clock.Now().Add(testClaim + time.Second))
	second, b2 := w.notary(t, "second")
	settle(t, second, w.key())
	w.expectSealed(t)
	if logged := strings.Count(strings.Join(b2.names, " "), "log"); logged != 2 {
		t.Errorf("the log was asked %d times, want 2: the duplicate and the new entry", logged)
	}
	var old, sealed struct {
		Payload      string
		DsseEnvelope struct{ Payload string }
	}
	must(t, json.Unmarshal([]byte(lost), &old))
	must(t, json.Unmarshal([]byte(w.record(t).Status.Bundle), &sealed))
	if old.Payload != sealed.DsseEnvelope.Payload {
		t.Error("the statement changed")
	}
}

// plant writes an envelope into a record that is at work.
func (w *world) plant(tb testing.TB, envelope []byte) {
	tb.Helper()
	n, b := w.notary(tb, "first")
	b.dieAt = 4
	_, _ = n.Reconcile(tb.Context(), w.key())
	p := w.record(tb)
	p.Status.Envelope = string(envelope)
	must(tb, w.api.Status().Update(tb.Context(), p))
	w.clock.SetTime(w.clock.Now().Add(testClaim + time.Second))
}

func TestAPlantedEnvelopeSealsNothing(t *testing.T) {
	forged := func(t *testing.T) []byte {
		key, err := seal.NewKey()
		must(t, err)
		thief, err := seal.LoadSigner(key)
		must(t, err)
		s := producer(t)
		facts, _, err := s.rules.facts(s.witness(t))
		must(t, err)
		facts.Subjects[0].Size++
		payload, err := provenance.Build(facts)
		must(t, err)
		envelope, err := thief.Sign(t.Context(), payload)
		must(t, err)
		return envelope
	}
	t.Run("under another key: the pod is asked again", func(t *testing.T) {
		w := newWorld(t)
		w.plant(t, forged(t))
		n, _ := w.notary(t, "second")
		settle(t, n, w.key())
		w.expectSealed(t)
		if size := w.seals(t)[0].Spec.Size; size != 151 {
			t.Errorf("size %d comes from the forged statement", size)
		}
	})
	t.Run("under another key, with the pod gone", func(t *testing.T) {
		w := newWorld(t)
		w.plant(t, forged(t))
		must(t, w.api.Delete(t.Context(), w.scene.pod.DeepCopy()))
		n, _ := w.notary(t, "second")
		settle(t, n, w.key())
		w.expectRefused(t, reason.PodGone)
	})
	t.Run("no envelope at all: the pod is asked again", func(t *testing.T) {
		w := newWorld(t)
		w.plant(t, []byte(`{"payload":"!"}`))
		n, _ := w.notary(t, "second")
		settle(t, n, w.key())
		w.expectSealed(t)
	})
	t.Run("our own, about another pod", func(t *testing.T) {
		w := newWorld(t)
		facts, _, err := w.scene.rules.facts(w.scene.witness(t))
		must(t, err)
		facts.Step.Pod.UID = "11111111-2222-3333-4444-555555555555"
		payload, err := provenance.Build(facts)
		must(t, err)
		envelope, err := w.signer.Sign(t.Context(), payload)
		must(t, err)
		w.plant(t, envelope)
		n, _ := w.notary(t, "second")
		settle(t, n, w.key())
		w.expectRefused(t, reason.StatementInvalid)
	})
}

func TestALogThatIsDownDelaysAndSaysSo(t *testing.T) {
	w := newWorld(t)
	n, b := w.notary(t, "a")
	b.appended = down
	attempt := func() (writes int) {
		t.Helper()
		before := len(b.names)
		if _, err := n.Reconcile(t.Context(), w.key()); err == nil {
			t.Fatal("no error: it would not be tried again")
		}
		return strings.Count(strings.Join(b.names[before:], " "), "update")
	}
	attempt()
	c := w.record(t).Status.Conditions[0]
	if c.Reason != string(reason.Pending) || !strings.HasPrefix(c.Message, latePrefix) || !strings.Contains(c.Message, "connection refused") {
		t.Errorf("condition is %+v", c)
	}
	if writes := attempt(); writes != 0 {
		t.Errorf("the next attempt wrote %d times", writes)
	}
	w.clock.SetTime(w.clock.Now().Add(testClaim/3 + time.Second))
	if writes := attempt(); writes != 1 {
		t.Errorf("the claim was renewed %d times", writes)
	}
	if holder, until := holdOf(w.record(t), testClaim); holder != "a" || until.Sub(w.clock.Now()) < testClaim-time.Second {
		t.Errorf("the claim is %s's until %s", holder, until)
	}
	if lag := n.Backlog.oldest(w.record(t).CreationTimestamp.Add(time.Hour)); lag != time.Hour {
		t.Errorf("lag is %s", lag)
	}
	if Final(w.record(t)) || len(w.seals(t)) != 0 {
		t.Error("there is a final record, or an artifact seal, without a log entry")
	}
	b.appended = nil
	settle(t, n, w.key())
	w.expectSealed(t)
	if len(n.Backlog.Keys()) != 0 {
		t.Error("the pod is still waiting")
	}
}

func TestALyingLogSealsNothing(t *testing.T) {
	w := newWorld(t)
	n, b := w.notary(t, "a")
	b.appended = func(e *protorekor.TransparencyLogEntry, err error) (*protorekor.TransparencyLogEntry, error) {
		if err == nil {
			e.InclusionProof.RootHash[0] ^= 1
			e.InclusionProof.Checkpoint.Envelope = strings.Replace(e.InclusionProof.Checkpoint.Envelope, "localhost\n", "localhost\n9", 1)
		}
		return e, err
	}
	if _, err := n.Reconcile(t.Context(), w.key()); err == nil {
		t.Fatal("no error: it would not be tried again")
	}
	for range 3 {
		if result, err := n.Reconcile(t.Context(), w.key()); err != nil || result.RequeueAfter < time.Second/2 {
			t.Errorf("it is tried again after %v, %v", result.RequeueAfter, err)
		}
	}
	if asked := strings.Count(strings.Join(b.names, " "), "log"); asked != 1 {
		t.Errorf("the log was asked %d times for what it had answered", asked)
	}
	// However long the pause, the claim is renewed.
	for range 20 {
		w.clock.SetTime(w.clock.Now().Add(testClaim / 3))
		result, err := n.Reconcile(t.Context(), w.key())
		if err == nil && (result.RequeueAfter <= 0 || result.RequeueAfter > testClaim/3) {
			t.Errorf("it is tried again after %s", result.RequeueAfter)
		}
		if holder, until := holdOf(w.record(t), testClaim); holder != "a" || !until.After(w.clock.Now().Add(testClaim/3)) {
			t.Errorf("at %s the claim is %s's until %s", w.clock.Now(), holder, until)
		}
	}
	if p := w.record(t); Final(p) || p.Status.Bundle != "" || len(w.seals(t)) != 0 {
		t.Errorf("what the log said was trusted: %+v", p.Status.Conditions)
	}
	b.appended = nil
	w.clock.SetTime(w.clock.Now().Add(10 * time.Minute))
	settle(t, n, w.key())
	w.expectSealed(t)
}
