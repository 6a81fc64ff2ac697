package controller

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/scrub"
	"github.com/argoseal/argoseal/pkg/text"
)

const (
	// pageOfSeals is how many ArtifactSeals are read at a time: each has some 2 KiB.
	pageOfSeals = 500
	// maxSuspects bounds what waits for its second look at a time. Beyond, the pass waits.
	maxSuspects = 10_000
	// maxFailures in a row end a store's turn in this pass, for one namespace. The
	// same number of such namespaces in a row end it for all.
	maxFailures = 5
	maxFailing  = 5
	// maxUnlisted is how many files of directories whose records do not list them are read for
	// one namespace before those of others: two of the largest that are compared. Nothing says
	// how many files were sealed, so that whoever may store there decides, and empty ones are
	// within any size that was sealed.
	maxUnlisted = 200_000
)

// Options say how much is compared, and when.
type Options struct {
	// Every is the time from the beginning of one pass to that of the next.
	Every time.Duration
	// Sample is the share of the places that a pass compares, over 0 and up to 1. What
	// is altered already is compared in each.
	Sample float64
	// Settle is how long something else may lie at a place before it counts as altered:
	// a step stores its outputs before they are sealed.
	Settle time.Duration
}

// Store is one that is listed, and whose seals are compared there.
type Store struct {
	scrub.Store
	Scope scrub.Scope
}

// Scrubber compares. Its fields are set once, before it starts.
type Scrubber struct {
	Options
	// API reads and writes at the API server itself: nothing is kept between passes.
	API client.Client
	// Stores by the endpoints of locations. Others are not compared.
	Stores  map[string]Store
	Events  events.EventRecorder
	Metrics *Metrics
	Clock   clock.Clock
	Log     logr.Logger
	// most is maxSuspects and unlisted maxUnlisted, if they are not set.
	most, unlisted int
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*Scrubber) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable. The first pass begins at once.
func (s *Scrubber) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		began := s.Clock.Now()
		if r, err := s.Pass(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error(err, "A pass over the artifact stores did not end")
		} else if ctx.Err() == nil {
			s.Log.Info("Artifact stores compared", "intact", r.Intact, "altered", r.Altered, "unknown", r.Unknown, "unreadable", r.Unreadable, "took", s.Clock.Since(began).Round(time.Second).String())
		}
		select {
		case <-ctx.Done():
		case <-s.Clock.After(s.Every - s.Clock.Since(began)):
		}
	}, 0)
	return nil
}

// Report counts the places of a pass. Those that are Unknown cannot be compared.
type Report struct{ Intact, Altered, Unknown, Unreadable int }

// Pass compares once.
func (s *Scrubber) Pass(ctx context.Context) (Report, error) {
	var r Report
	places, index, err := s.look(ctx, "")
	if err != nil {
		return r, err
	}
	// In random order: nobody can hide behind it, and no store waits for the
	// others.
	rand.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] }) //nolint:gosec // nobody gains by knowing the order
	began, during := s.Clock.Now(), newDuring(cmp.Or(s.unlisted, maxUnlisted))
	// late are those of namespaces that have had their share: they come after all others, as
	// long as it is not time for the next pass.
	var late []scrub.Place
	var waiting []suspect
	for i := 0; i < len(places)+len(late); i++ {
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		if i == len(places) {
			during.first.until = began.Add(s.Every)
		}
		if n := s.ripe(waiting); n > 0 {
			if err := s.again(ctx, waiting[:n], during, &r); err != nil {
				return r, err
			}
			waiting = slices.Clone(waiting[n:])
		}
		var p scrub.Place
		if i < len(places) {
			p = places[i]
			if !p.Last().Altered() && rand.Float64() >= s.Sample { //nolint:gosec // a sample, no secret
				continue
			}
		} else {
			p = late[i-len(places)]
		}
		f := s.compare(ctx, p, index, during.failing, during.first)
		if f.Message == notYet && i < len(places) {
			late = append(late, p)
			continue
		}
		if f.Altered() && !toldAlready(p.Last(), f) {
			waiting = append(waiting, suspect{p.Key, p.Last().UID, s.Clock.Now()})
			continue
		}
		if err := s.settled(ctx, p.Last(), f, &r); err != nil {
			return r, err
		}
	}
	if err := s.again(ctx, waiting, during, &r); err != nil {
		return r, err
	}
	during.second.until = began.Add(s.Every)
	if err := s.again(ctx, during.off, during, &r); err != nil {
		return r, err
	}
	s.Metrics.passed(r.Altered, r.Unreadable == 0, s.Clock.Now())
	return r, nil
}

// toldAlready says whether a seal's condition says already what was found. Then there is nothing
// new to tell, and no need of a second look.
func toldAlready(seal scrub.Seal, f scrub.Finding) bool {
	return seal.Was.Reason == f.Reason && seal.Was.Message == text.Cut(f.Message, maxMessage)
}

// suspect is a place that does not have what was sealed, and the seal that was the last one
// when that was found.
type suspect struct {
	scrub.Key
	seal  string
	found time.Time
}

// ripe is how many suspects are to be looked at again now: all if there is room for no
// more, and else, about once in the time for which they wait, those that have waited.
func (s *Scrubber) ripe(waiting []suspect) int {
	now := s.Clock.Now()
	switch {
	case len(waiting) >= cmp.Or(s.most, maxSuspects):
		return len(waiting)
	case len(waiting) == 0 || now.Sub(waiting[0].found) < 2*s.Settle:
		return 0
	}
	for i, w := range waiting {
		if now.Sub(w.found) < s.Settle {
			return i
		}
	}
	return len(waiting)
}

// again looks at suspects for the second time, by the seals that there are then. It waits
// until all have had their time.
func (s *Scrubber) again(ctx context.Context, suspects []suspect, during *during, r *Report) error {
	if len(suspects) == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.Clock.After(suspects[len(suspects)-1].found.Add(s.Settle).Sub(s.Clock.Now())):
	}
	of := map[string][]suspect{}
	for _, was := range suspects {
		of[was.Namespace] = append(of[was.Namespace], was)
	}
	for namespace, its := range of {
		places, index, err := s.look(ctx, namespace)
		if err != nil {
			return err
		}
		now := make(map[scrub.Key]scrub.Place, len(places))
		for _, p := range places {
			now[p.Key] = p
		}
		for _, was := range its {
			p, there := now[was.Key]
			if !there {
				continue // its seals are gone
			}
			f := s.compare(ctx, p, index, during.failing, during.second)
			if f.Message == notYet && during.second.until.IsZero() {
				during.off = append(during.off, was)
				continue
			}
			if f.Altered() && p.Last().UID != was.seal {
				f = scrub.Finding{Reason: scrub.ReasonUnknown, Message: "it is being stored anew"}
			}
			if err := s.settled(ctx, p.Last(), f, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// failures count how often in a row a store could not be read, for each namespace
// by itself. Somebody can store objects so that nobody else can read them (under a
// key of their own, in an archive), and that must not keep other namespaces' from
// being compared. of has the namespaces for which a store failed since it could
// last be read.
type failures struct {
	inRow map[storeOf]int
	of    map[string]map[string]bool
}

type storeOf struct{ store, namespace string }

func newFailures() *failures { return &failures{map[storeOf]int{}, map[string]map[string]bool{}} }

// over says whether a store is left alone for the rest of a pass.
func (f *failures) over(of storeOf) bool {
	return f.inRow[of] >= maxFailures || len(f.of[of.store]) >= maxFailing
}

// note takes in how a read went.
func (f *failures) note(of storeOf, err error) {
	if err == nil {
		f.inRow[of] = 0
		delete(f.of, of.store)
		return
	}
	f.inRow[of]++
	if f.of[of.store] == nil {
		f.of[of.store] = map[string]bool{}
	}
	f.of[of.store][of.namespace] = true
}

// compare compares one place.
func (s *Scrubber) compare(ctx context.Context, p scrub.Place, index scrub.Index, failing *failures, reads *reads) scrub.Finding {
	l := p.Location
	store, known := s.Stores[l.Store]
	of := storeOf{l.Store, p.Namespace}
	switch {
	case l.Scheme != artifact.SchemeS3 || !known:
		return scrub.Finding{Reason: scrub.ReasonUnknown, Message: "it lies in a store that is not listed"}
	case !store.Scope.Has(p.Key):
		return scrub.Finding{Reason: scrub.ReasonUnknown, Message: "the operator does not have its namespace's seals compared there"}
	case failing.over(of):
		return scrub.Finding{Reason: scrub.ReasonUnreadable, Message: "its store could not be read several times in a row"}
	}
	c := scrub.Comparison{Place: p}
	if l.Kind == artifact.KindPrefix {
		c.Below = index.Below(p.Key)
		var err error
		if c.Files, err = s.files(ctx, p.Last()); err != nil {
			return scrub.Finding{Reason: scrub.ReasonUnreadable, Message: err.Error()}
		}
	}
	if l.Kind != artifact.KindPrefix || len(c.Files) > 0 {
		f, err := c.Run(ctx, store)
		failing.note(of, err)
		return f
	}
	if reads.spent(p.Namespace, s.Clock.Now()) {
		return scrub.Finding{Reason: scrub.ReasonUnknown, Message: notYet}
	}
	read := &counted{Store: store.Store}
	f, err := c.Run(ctx, read)
	failing.note(of, err)
	reads.of[p.Namespace] += read.files
	return f
}

// files are those of a directory, if its record lists them. A list whose tree is not the
// sealed one is none.
func (s *Scrubber) files(ctx context.Context, seal scrub.Seal) (content.Files, error) {
	var p v1alpha1.Provenance
	err := s.API.Get(ctx, client.ObjectKey{Namespace: seal.Namespace, Name: seal.Provenance}, &p)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("its record could not be read: %w", err)
	}
	for _, o := range p.Status.Outputs {
		if o.Files == "" || o.Location != seal.Location.URI() {
			continue
		}
		if list, err := content.ParseFiles(o.Files); err == nil && list.Tree() == seal.Tree {
			return list, nil
		}
	}
	return nil, nil
}

// look reads all seals of a namespace, or of all, as of one moment.
func (s *Scrubber) look(ctx context.Context, namespace string) ([]scrub.Place, scrub.Index, error) {
	var seals []scrub.Seal
	next := ""
	for {
		var page v1alpha1.ArtifactSealList
		if err := s.API.List(ctx, &page, client.InNamespace(namespace), client.Limit(pageOfSeals), client.Continue(next)); err != nil {
			return nil, nil, fmt.Errorf("artifactseals: %w", err)
		}
		for i := range page.Items {
			if seal, is := sealOf(&page.Items[i]); is {
				seals = append(seals, seal)
			}
		}
		if next = page.Continue; next == "" {
			places := scrub.Places(seals)
			return places, scrub.NewIndex(places), nil
		}
	}
}

// sealOf is what an ArtifactSeal says; false if its location is none, or if it is kept for an
// image alone: another step of its workflow has stored over what it is about.
func sealOf(a *v1alpha1.ArtifactSeal) (scrub.Seal, bool) {
	l := artifact.Location{
		Scheme: artifact.Scheme(a.Spec.Location.Scheme), Store: a.Spec.Location.Store, Bucket: a.Spec.Location.Bucket,
		Key: a.Spec.Location.Key, Kind: artifact.Kind(a.Spec.Location.Kind),
	}
	if !a.Spec.Shared && a.Name == artifact.SharedSealName(l, string(a.Spec.Workflow.UID), string(a.Spec.Producer.Pod.UID)) {
		return scrub.Seal{}, false
	}
	c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionIntact)
	var was scrub.Finding
	if c != nil && c.Status != metav1.ConditionTrue {
		was = scrub.Finding{Reason: scrub.Reason(c.Reason), Message: c.Message}
	}
	return scrub.Seal{
		Namespace: a.Namespace, Name: a.Name, UID: string(a.UID), Location: l,
		SHA256: artifact.Digest(a.Spec.SHA256), Tree: artifact.Digest(a.Spec.TreeDigest), Size: a.Spec.Size,
		Run: provenance.RunOf(a.Spec.Producer), Shared: a.Spec.Shared, Provenance: a.Spec.Provenance,
		Was: was,
	}, l.Validate() == nil
}
