package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/fairshare"
)

// Whoever has us decode without end does not have all of the processor: a namespace has half
// of the turns at most, and gives each back once its request is decoded.
func TestDecodingIsSharedOut(t *testing.T) {
	l := newReading(0)
	l.decodes = fairshare.New(4)
	here, next := make(chan string, 100), map[string]chan struct{}{"flood": make(chan struct{}), "team": make(chan struct{})}
	h := l.limited(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
			return
		}
		v := r.Context().Value(visitKey{}).(*visit)
		here <- v.Namespace
		<-next[v.Namespace]
		decoded(r.Context())
		<-next[v.Namespace]
	}))
	ask := func(namespace string) {
		r := httptest.NewRequest(http.MethodPost, "/?timeout=30s", strings.NewReader(fmt.Sprintf(`{"request":{"namespace":%q}}`, namespace)))
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	for range 10 {
		go ask("flood")
	}
	seen := map[string]int{}
	for range 2 {
		seen[<-here]++
	}
	select {
	case n := <-here:
		t.Errorf("a third of %s is decoded beside %v", n, seen)
	case <-time.After(200 * time.Millisecond):
	}
	go ask("team")
	select {
	case n := <-here:
		if n != "team" {
			t.Errorf("the next one is of %s", n)
		}
	case <-time.After(promptly):
		t.Fatal("there is no turn for another namespace")
	}
	close(next["team"])
	next["flood"] <- struct{}{} // one is decoded, and not done
	select {
	case <-here:
	case <-time.After(promptly):
		t.Error("one that is decoded keeps its turn")
	}
	close(next["flood"])
	for range 7 {
		<-here
	}
}

// Past its host's three quarters of the seats nobody is admitted, and there is one left for
// the next host.
func TestNoHostHasAllSeats(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	h := handlers(t, "enforce").limited(4, admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
		enter <- struct{}{}
		<-leave
		return admission.Allowed("")
	}))
	ask := func(host, namespace string) admission.Response {
		ctx := context.WithValue(t.Context(), visitKey{}, &visit{Party: fairshare.Party{Host: host, Namespace: namespace}, decoded: func() {}})
		return h.Handle(ctx, admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Namespace: namespace}})
	}
	done := make(chan admission.Response, 4)
	at := func(host, namespace string) {
		t.Helper()
		go func() { done <- ask(host, namespace) }()
		select {
		case <-enter:
		case <-time.After(promptly):
			t.Fatalf("there is no seat for %s of %s", namespace, host)
		}
	}
	for i := range 3 {
		at("one", fmt.Sprint("ns-", i))
	}
	if r := ask("one", "ns-3"); r.Allowed {
		t.Error("one host has all seats")
	}
	at("another", "team")
	close(leave)
	for range 4 {
		if r := <-done; !r.Allowed {
			t.Errorf("one with a seat is answered %+v", r.Result)
		}
	}
}

// A body that does not say how long it is has no more read of it than one may have.
func TestABodyEndsWhereItMay(t *testing.T) {
	l := newReading(0)
	read := int64(0)
	h := l.limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if read, err = io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, "too long", http.StatusTeapot)
		}
	}))
	head := `{"request":{"namespace":"team","object":"`
	for size, want := range map[int]int{largestBody: http.StatusOK, largestBody + 1: http.StatusTeapot, 3 * largestBody: http.StatusTeapot} {
		r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, int64(size-len(head)))))
		r.ContentLength = -1
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		if answer.Code != want || read > largestBody+bodyChunk {
			t.Errorf("of %d bytes %d are read, and it is answered %d, want %d", size, read, answer.Code, want)
		}
	}
}

// bodyChunk is what io.Copy reads at once.
const bodyChunk = 32 << 10

// Who sends slowly is not waited for much longer than bodyPatience, though nobody else needs
// the room; who sends fast is.
func TestWhoSendsSlowlyIsNotWaitedForLong(t *testing.T) {
	a := underAttack(t)
	c, err := a.dialTLS(t.Context(), 2)
	check(t, err)
	defer func() { _ = c.Close() }()
	start := time.Now()
	go trickle(t.Context(), c, header(ordinaryBody)+begins(headSize+100))
	check(t, c.SetReadDeadline(start.Add(2*bodyTimeout)))
	_, _ = io.Copy(io.Discard, c)
	if took := time.Since(start); took < bodyPatience-time.Second || took > bodyPatience+promptly {
		t.Errorf("it is waited for for %s", took)
	}
	if took, err := a.admit(t, honestDeletion(t, 200<<10)); err != nil {
		t.Errorf("an honest one: %v after %s", err, took)
	}
}

// A decision is known to have gone by something else if any part of it changed, and to be as
// old as its oldest part.
func TestAReadingIsOfAllItsParts(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	rules := v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{}}
	cluster := &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Name: "all"}, Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: rules}}
	own := &v1alpha1.ProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "own"}, Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: rules}}
	other := &v1alpha1.ProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "own"}, Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: rules}}
	revocation := &v1alpha1.Revocation{ObjectMeta: metav1.ObjectMeta{Name: "stolen"}, Spec: v1alpha1.RevocationSpec{Reason: "stolen", Digests: []string{stolen}}}
	store := fake.NewClientBuilder().WithScheme(scheme).WithObjects(cluster, own, other, revocation).Build()
	now := clocktesting.NewFakePassiveClock(time.Now())
	p := NewPolicies(store, now)
	version := func() string {
		t.Helper()
		p.cluster.forget("")
		p.own.forget("team")
		p.revoked.forget("")
		set, err := p.For(t.Context(), "team")
		check(t, err)
		return set.Reading().Version
	}
	last := version()
	if version() != last {
		t.Error("the same has another version")
	}
	for _, c := range []struct {
		change client.Object
		other  bool
	}{{cluster, true}, {own, true}, {revocation, true}, {other, false}} {
		check(t, store.Get(t.Context(), client.ObjectKeyFromObject(c.change), c.change))
		c.change.SetLabels(map[string]string{"changed": "yes"})
		check(t, store.Update(t.Context(), c.change))
		now := version()
		if (now != last) != c.other {
			t.Errorf("after a change of a %T of %q the version is another: %t", c.change, c.change.GetNamespace(), now != last)
		}
		last = now
	}

	began := now.Now()
	for _, forget := range []func(){func() { p.cluster.forget("") }, func() { p.own.forget("team") }, func() { p.revoked.forget("") }} {
		now.SetTime(began.Add(10 * time.Second))
		began = now.Now()
		version()
		now.SetTime(began.Add(recentEnough / 2))
		forget()
		set, err := p.For(t.Context(), "team")
		check(t, err)
		if at := set.Reading().At; !at.Equal(began) {
			t.Errorf("it is as old as what was read %s after its oldest part", at.Sub(began))
		}
	}
}
