package notary

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

func invalid() error {
	return apierrors.NewInvalid(schema.GroupKind{Kind: "Provenance"}, "x", field.ErrorList{field.TooLong(field.NewPath("status", "bundle"), "", 1)})
}

func logInto(t *testing.T, b *bytes.Buffer) context.Context {
	return log.IntoContext(t.Context(), logr.FromSlogHandler(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

func TestClaims(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	claimed := func(holder string, ago time.Duration) *v1alpha1.Provenance {
		p := &v1alpha1.Provenance{}
		p.Status.Claim = &v1alpha1.Claim{Holder: holder, RenewTime: metav1.NewMicroTime(now.Add(-ago))}
		return p
	}
	created := func(by string, ago time.Duration) *v1alpha1.Provenance {
		p := &v1alpha1.Provenance{}
		p.CreationTimestamp = metav1.NewTime(now.Add(-ago))
		p.Annotations = map[string]string{annotationClaimedBy: by}
		return p
	}
	for name, c := range map[string]struct {
		record *v1alpha1.Provenance
		wait   time.Duration
	}{
		"ours, fresh":                                    {claimed("a", time.Second), 0},
		"ours, long ago":                                 {claimed("a", time.Hour), 0},
		"another's, fresh":                               {claimed("b", 5*time.Second), 10 * time.Second},
		"another's, to the second":                       {claimed("b", testClaim), 0},
		"another's, lapsed":                              {claimed("b", testClaim+time.Second), 0},
		"released":                                       {claimed("", time.Second), 0},
		"created by us":                                  {created("a", time.Second), 0},
		"created by another a moment ago":                {created("b", time.Second), 14 * time.Second},
		"created by another who then fell silent":        {created("b", testClaim), 0},
		"created by nobody we know":                      {created("", 0), 0},
		"another's, whose clock is ahead":                {claimed("b", -30*time.Second), testClaim},
		"another's, whose clock is right, and ours slow": {claimed("b", -10*time.Minute), testClaim},
		"another's, whose clock was far ahead":           {claimed("b", -2*time.Hour), testClaim},
	} {
		t.Run(name, func(t *testing.T) {
			passing := clocktesting.NewFakePassiveClock(now)
			n := &Notary{Holder: "a", ClaimDuration: testClaim, Clock: passing}
			if wait := n.claimWait(c.record); wait != c.wait {
				t.Errorf("waits %s, want %s", wait, c.wait)
			}
			passing.SetTime(now.Add(testClaim))
			if wait := n.claimWait(c.record); wait != 0 {
				t.Errorf("nobody renewed it, and it waits %s more", wait)
			}
		})
	}
}

func TestAFreshClaimIsLeftToItsHolder(t *testing.T) {
	w := newWorld(t)
	first, b := w.notary(t, "first")
	b.dieAt = 4
	_, _ = first.Reconcile(t.Context(), w.key())
	second, b2 := w.notary(t, "second")
	result, err := second.Reconcile(t.Context(), w.key())
	must(t, err)
	if result.RequeueAfter <= 0 || result.RequeueAfter > testClaim || len(b2.names) != 0 {
		t.Errorf("result %+v, did %v", result, b2.names)
	}
	if holder, _ := holdOf(w.record(t), testClaim); holder != "first" {
		t.Errorf("held by %q", holder)
	}
}

func TestOfTwoThatTakeOverOneWins(t *testing.T) {
	w := newWorld(t)
	first, b := w.notary(t, "first")
	b.dieAt = 4
	_, _ = first.Reconcile(t.Context(), w.key())
	w.clock.SetTime(w.clock.Now().Add(testClaim + time.Second))
	second, _ := w.notary(t, "second")
	third, _ := w.notary(t, "third")
	// Both have read the record before either writes.
	one, two := w.record(t), w.record(t)
	if err := second.write(t.Context(), one, func(*v1alpha1.ProvenanceStatus) {}); err != nil {
		t.Fatal(err)
	}
	if err := third.write(t.Context(), two, func(*v1alpha1.ProvenanceStatus) {}); !apierrors.IsConflict(err) {
		t.Errorf("the second to take over got %v, want a conflict", err)
	}
}

func TestAReplicaThatStopsReleasesItsClaims(t *testing.T) {
	w := newWorld(t)
	first, b := w.notary(t, "first")
	b.dieAt = 4
	_, _ = first.Reconcile(t.Context(), w.key())
	b.dead, b.dieAt = false, 0
	first.Release(t.Context())
	second, _ := w.notary(t, "second")
	settle(t, second, w.key()) // at once, with the clock standing still
	w.expectSealed(t)
}

// laterEnvelope is what the next release signed under our key, which is another from here on.
func (w *world) laterEnvelope(tb testing.TB) []byte {
	tb.Helper()
	facts, _, err := w.scene.rules.facts(w.scene.witness(tb))
	must(tb, err)
	payload, err := provenance.Build(facts)
	must(tb, err)
	payload = bytes.Replace(payload, []byte(provenance.BuildType), []byte(strings.TrimSuffix(provenance.BuildType, "2")+"3"), 1)
	private, err := seal.NewKey()
	must(tb, err)
	w.signer, err = seal.LoadSigner(private)
	must(tb, err)
	w.publish(tb, nil, w.signer)
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(private, cryptoutils.SkipPassword)
	must(tb, err)
	digest := sha256.Sum256(dsse.PAE(provenance.PayloadType, payload))
	sig, err := ecdsa.SignASN1(rand.Reader, key.(*ecdsa.PrivateKey), digest[:])
	must(tb, err)
	envelope, err := json.Marshal(dsse.Envelope{
		PayloadType: provenance.PayloadType, Payload: base64.StdEncoding.EncodeToString(payload),
		Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(sig)}},
	})
	must(tb, err)
	return envelope
}

// An upgrade rolls out: the webhook is the next release's, and so is one of two notaries. The
// other one does not keep the pods that it cannot judge.
func TestAReplicaThatCannotJudgeAPodLeavesItToAnother(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(w *world, old *Notary, b *breaker)
		kept  bool
	}{
		"it does not know the signer": {func(_ *world, old *Notary, _ *breaker) { old.SignerImages = nil }, false},
		"it does not know the executor": {func(_ *world, old *Notary, _ *breaker) {
			old.Identity = func() argo.Identity { return argo.Identity{Controllers: []string{testCreator}} }
		}, false},
		"the twin: its log is away": {func(_ *world, _ *Notary, b *breaker) { b.appended = down }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			old, b := w.notary(t, "old")
			c.spoil(w, old, b)
			next, _ := w.notary(t, "new")
			for end := w.clock.Now().Add(testClaim + 5*time.Second); w.clock.Now().Before(end); w.clock.SetTime(w.clock.Now().Add(time.Second)) {
				_, _ = old.Reconcile(t.Context(), w.key())
				if Final(w.record(t)) {
					t.Fatalf("the old one has said the last word: %+v", w.record(t).Status.Conditions)
				}
			}
			_, err := next.Reconcile(t.Context(), w.key())
			must(t, err)
			if c.kept {
				if holder, _ := holdOf(w.record(t), testClaim); holder != "old" || Final(w.record(t)) {
					t.Errorf("held by %q", holder)
				}
				return
			}
			w.expectSealed(t)
		})
	}
	t.Run("it does not know the statement", func(t *testing.T) {
		w := newWorld(t)
		w.plant(t, w.laterEnvelope(t))
		old, b := w.notary(t, "old")
		for range 2 { // it takes over, and says so
			_, _ = old.Reconcile(t.Context(), w.key())
		}
		w.clock.SetTime(w.clock.Now().Add(testClaim - time.Second))
		before := len(b.names)
		_, _ = old.Reconcile(t.Context(), w.key())
		if did := b.names[before:]; slices.Contains(did, "update provenance status") || Final(w.record(t)) {
			t.Errorf("it did %v", did)
		}
	})
}

// It does not know the signer, and its memory has the Workflow. That the Workflow is gone by
// the next try is not the last word.
func TestWhatPassesIsNotTakenForAWorkflowThatIsGone(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	signers := n.SignerImages
	n.SignerImages = nil
	_, _ = n.Reconcile(t.Context(), w.key())
	must(t, w.api.Delete(t.Context(), w.scene.workflow.DeepCopy()))
	if _, err := n.Reconcile(t.Context(), w.key()); err == nil || Final(w.record(t)) {
		t.Errorf("it gets %v, and the record says %+v", err, w.record(t).Status.Conditions)
	}
	n.SignerImages = signers
	settle(t, n, w.key())
	w.expectSealed(t)
}

// It does not know the signer, nor the Workflow, which is gone: what it cannot judge it says
// nothing final about. Another replica remembers the Workflow, and seals.
func TestWhoCannotJudgeDoesNotSayThatTheWorkflowIsGone(t *testing.T) {
	w := newWorld(t)
	old, _ := w.notary(t, "old")
	old.SignerImages = nil
	next, _ := w.notary(t, "new")
	step, err := sidecar.StepOf(w.scene.pod)
	must(t, err)
	_, err = (&task{Notary: next}).workflow(t.Context(), step)
	must(t, err)
	must(t, w.api.Delete(t.Context(), w.scene.workflow.DeepCopy()))
	if _, err := old.Reconcile(t.Context(), w.key()); reason.Of(err) != reason.ReplicasDisagree || Final(w.record(t)) {
		t.Errorf("it gets %v, and the record says %+v", err, w.record(t).Status.Conditions)
	}
	w.clock.SetTime(w.clock.Now().Add(testClaim + time.Second))
	settle(t, next, w.key())
	w.expectSealed(t)
}

// The twin: who can judge, and finds no Workflow, says so.
func TestWhoCanJudgeSaysThatTheWorkflowIsGone(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	must(t, w.api.Delete(t.Context(), w.scene.workflow.DeepCopy()))
	settle(t, n, w.key())
	if c := meta.FindStatusCondition(w.record(t).Status.Conditions, v1alpha1.ConditionSealed); c == nil || c.Reason != string(reason.WorkflowGone) {
		t.Errorf("the record says %+v", c)
	}
}

// blind is an informer that has not heard of any record yet.
type blind struct{ seenAt }

func (blind) record(Key) (*recordNote, error) { return nil, nil }

func TestWhoComesSecondAsksNobody(t *testing.T) {
	w := newWorld(t)
	first, b := w.notary(t, "first")
	b.dieAt = 2
	_, _ = first.Reconcile(t.Context(), w.key())
	second, b2 := w.notary(t, "second")
	second.Seen = blind{seenAt{w.api}}
	result, err := second.Reconcile(t.Context(), w.key())
	must(t, err)
	if result.RequeueAfter != echoWait || len(b2.names) != 1 {
		t.Errorf("result %+v, did %v", result, b2.names)
	}
	if len(second.Backlog.Keys()) != 0 {
		t.Error("another's pod counts as waiting")
	}
}

func TestALostReplyToTheCreateIsRecognizedAtOnce(t *testing.T) {
	w := newWorld(t)
	n, b := w.notary(t, "a")
	b.dieAt, b.effect = 1, true
	if _, err := n.Reconcile(t.Context(), w.key()); err == nil {
		t.Fatal("the reply was not lost")
	}
	b.dead, b.dieAt = false, 0
	n.Seen = blind{seenAt{w.api}}
	result, err := n.Reconcile(t.Context(), w.key())
	must(t, err)
	if result.RequeueAfter != echoWait {
		t.Errorf("result %+v", result)
	}
	n.Seen = seenAt{w.api}
	settle(t, n, w.key()) // with the clock standing still
	w.expectSealed(t)
}

func TestARecordThatIsGoneIsNotWaitedFor(t *testing.T) {
	w := newWorld(t)
	n, b := w.notary(t, "a")
	b.dieAt = 4
	_, _ = n.Reconcile(t.Context(), w.key())
	b.dead, b.dieAt = false, 0
	must(t, w.api.Delete(t.Context(), w.record(t)))
	must(t, w.api.Delete(t.Context(), w.scene.pod.DeepCopy()))
	settle(t, n, w.key())
	if len(n.Backlog.Keys()) != 0 {
		t.Error("the pod is still waiting")
	}
}
