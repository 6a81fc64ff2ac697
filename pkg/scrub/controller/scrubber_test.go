package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/scrub"
)

// faults is a store in memory that fails as it is told, and counts how often it is asked.
type faults struct {
	fails func(key string) bool
	asked map[string]int
}

func (f *faults) Open(_ context.Context, _, key string) (io.ReadCloser, int64, error) {
	namespace, _, _ := strings.Cut(key, "/")
	f.asked[namespace]++
	if f.fails(key) {
		return nil, 0, errors.New("the object is in an archive")
	}
	return io.NopCloser(strings.NewReader(key)), int64(len(key)), nil
}

func (f *faults) List(context.Context, string, string, int) ([]string, error) { return nil, nil }

// pass compares so many objects of each namespace, which are as they were sealed.
func pass(t *testing.T, store *faults, objects map[string]int) Report {
	t.Helper()
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	var all []client.Object
	for namespace, n := range objects {
		for i := range n {
			key := fmt.Sprint(namespace, "/", i)
			l, err := artifact.InS3("s3", "b").At(key)
			check(t, err)
			all = append(all, &v1alpha1.ArtifactSeal{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprint("seal-", i), UID: types.UID(key)},
				Spec: v1alpha1.ArtifactSealSpec{
					Location: v1alpha1.Location{Scheme: string(l.Scheme), Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)},
					SHA256:   string(artifact.DigestOfText(key)), Size: int64(len(key)),
				},
			})
		}
	}
	report, err := scrubber(t, scheme, store, all...).Pass(t.Context())
	check(t, err)
	return report
}

// scrubber compares all that there is.
func scrubber(t *testing.T, scheme *runtime.Scheme, store scrub.Store, objects ...client.Object) *Scrubber {
	t.Helper()
	counts, err := NewMetrics(prometheus.NewRegistry())
	check(t, err)
	return &Scrubber{
		Options: Options{Every: time.Hour, Sample: 1},
		API:     fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.ArtifactSeal{}, &v1alpha1.Provenance{}).WithObjects(objects...).Build(),
		Stores:  map[string]Store{"s3": {Store: store, Scope: scrub.Scope{{Namespaces: []string{"*"}, Under: []string{"b/"}}}}}, Events: events.NewFakeRecorder(100), Metrics: counts,
		Clock: clock.RealClock{}, Log: logr.Discard(),
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whoever stores objects that nobody can read keeps nobody else's from being compared.
func TestWhoCannotBeReadHidesNobodyElse(t *testing.T) {
	store := &faults{asked: map[string]int{}, fails: func(key string) bool { return strings.HasPrefix(key, "noisy/") }}
	r := pass(t, store, map[string]int{"noisy": 400, "team": 20, "other": 3})
	if r != (Report{Intact: 23, Unreadable: 400}) || store.asked["noisy"] > 3*maxFailures {
		t.Errorf("got %+v; the store was asked %v", r, store.asked)
	}
}

// A store that answers nobody is asked a few times, however much lies there.
func TestAStoreThatAnswersNobodyIsLeftAlone(t *testing.T) {
	objects := map[string]int{}
	for i := range 40 {
		objects[fmt.Sprint("team-", i)] = 20
	}
	store := &faults{asked: map[string]int{}, fails: func(string) bool { return true }}
	r := pass(t, store, objects)
	asked := 0
	for _, n := range store.asked {
		asked += n
	}
	if r != (Report{Unreadable: 800}) || asked > maxFailing*maxFailures {
		t.Errorf("got %+v; the store was asked %d times", r, asked)
	}
}

// shelf is a store in memory, of which a test can do something when it is asked.
type shelf struct {
	objects map[string]string
	asked   func()
}

func (s *shelf) Open(_ context.Context, _, key string) (io.ReadCloser, int64, error) {
	if s.asked != nil {
		s.asked()
	}
	text, there := s.objects[key]
	if !there {
		return nil, 0, scrub.ErrMissing
	}
	return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
}

func (s *shelf) List(_ context.Context, _, prefix string, _ int) ([]string, error) {
	var keys []string
	for key := range s.objects {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// sealed is the seal of a text at a key, stored and recorded in a second.
func sealed(t *testing.T, name, key, text string, second int64) *v1alpha1.ArtifactSeal {
	t.Helper()
	l, err := artifact.InS3("s3", "b").At(key)
	check(t, err)
	return &v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: types.UID(name + text)},
		Spec: v1alpha1.ArtifactSealSpec{
			Location: v1alpha1.Location{Scheme: string(l.Scheme), Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)},
			SHA256:   string(artifact.DigestOfText(text)), Size: int64(len(text)), Provenance: name,
			Producer: v1alpha1.Producer{FinishedAt: metav1.Unix(second, 0), RecordedAt: metav1.Unix(second, 0)},
		},
	}
}

// pausing is a clock that does something while somebody waits.
type pausing struct {
	clock.RealClock
	meanwhile func()
}

func (p pausing) After(time.Duration) <-chan time.Time {
	p.meanwhile()
	over := make(chan time.Time, 1)
	over <- time.Now()
	return over
}

// A step stores its outputs before they are sealed, and seals come and go while others are
// read: only what is found twice, of a seal that stays, is an alteration.
func TestWhatIsBeingStoredAnewIsNoAlteration(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	for name, c := range map[string]struct {
		// between the two looks, and when the store is asked for the second time.
		between, second func(*testing.T, client.Client, *shelf)
		want            Report
		condition       string
	}{
		"it stays altered": {want: Report{Altered: 1}, condition: "Changed"},
		"its seal comes": {
			between: func(t *testing.T, api client.Client, _ *shelf) {
				check(t, api.Create(t.Context(), sealed(t, "next", "a", "forged", 2)))
			},
			want: Report{Intact: 1},
		},
		"another seal comes": {
			between: func(t *testing.T, api client.Client, _ *shelf) {
				check(t, api.Create(t.Context(), sealed(t, "next", "a", "another", 2)))
			},
			want: Report{Unknown: 1},
		},
		"it is as it was": {
			between: func(_ *testing.T, _ client.Client, s *shelf) { s.objects["a"] = "sealed" },
			want:    Report{Intact: 1},
		},
		"its seal goes": {
			between: func(t *testing.T, api client.Client, _ *shelf) {
				check(t, api.Delete(t.Context(), sealed(t, "seal", "a", "sealed", 1)))
			},
		},
		"its seal is another by then": {
			second: func(t *testing.T, api client.Client, _ *shelf) {
				check(t, api.Delete(t.Context(), sealed(t, "seal", "a", "sealed", 1)))
				other := sealed(t, "seal", "a", "sealed", 1)
				other.UID = "other"
				check(t, api.Create(t.Context(), other))
			},
			want: Report{Altered: 1},
		},
		"its seal is about something else by then": {
			second: func(t *testing.T, api client.Client, _ *shelf) {
				var seal v1alpha1.ArtifactSeal
				check(t, api.Get(t.Context(), client.ObjectKey{Namespace: "team", Name: "seal"}, &seal))
				seal.Spec.SHA256 = string(artifact.DigestOfText("forged"))
				check(t, api.Update(t.Context(), &seal))
			},
			want: Report{Altered: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := &shelf{objects: map[string]string{"a": "forged"}}
			s := scrubber(t, scheme, store, sealed(t, "seal", "a", "sealed", 1))
			s.Clock = pausing{meanwhile: func() {
				if c.between != nil {
					c.between(t, s.API, store)
				}
				if c.second != nil {
					store.asked = func() { c.second(t, s.API, store) }
				}
			}}
			got, err := s.Pass(t.Context())
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
			var all v1alpha1.ArtifactSealList
			check(t, s.API.List(t.Context(), &all))
			said := ""
			for _, a := range all.Items {
				for _, condition := range a.Status.Conditions {
					said += condition.Reason
				}
			}
			if said != c.condition {
				t.Errorf("conditions say %q, want %q", said, c.condition)
			}
		})
	}
}

// A seal that is kept for its image alone says nothing of what lies at its place, though its
// record came later than that of the step which stored there last.
func TestASealThatIsKeptForItsImageIsNotCompared(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	last, before := sealed(t, "last", "a", "last", 1), sealed(t, "before", "a", "before", 2)
	l, err := artifact.InS3("s3", "b").At("a")
	check(t, err)
	last.Name, before.Name = artifact.SealName(l, "w"), artifact.SharedSealName(l, "w", "pod")
	last.Spec.Workflow.UID, before.Spec.Workflow.UID, before.Spec.Producer.Pod.UID = "w", "w", "pod"
	for lies, want := range map[string]Report{"last": {Intact: 1}, "forged": {Altered: 1}} {
		s := scrubber(t, scheme, &shelf{objects: map[string]string{"a": lies}}, last.DeepCopy(), before.DeepCopy())
		if got, err := s.Pass(t.Context()); err != nil || got != want {
			t.Errorf("where %q lies: got %+v, %v, want %+v", lies, got, err, want)
		}
	}
}

// Of a directory below which others stored something too, only a list of files counts whose
// tree is the sealed one, for that place.
func TestAListOfOtherFilesIsNone(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	listOf := func(text string) content.Files {
		files, err := content.NewFiles([]content.File{{Path: "x", SHA256: artifact.DigestOfText(text)}})
		check(t, err)
		return files
	}
	dir, below := sealed(t, "dir", "d/", "1", 1), sealed(t, "below", "d/z", "2", 1)
	dir.Spec.SHA256, dir.Spec.TreeDigest = string(listOf("1").Tree()), string(listOf("1").Tree())
	for name, c := range map[string]struct {
		output v1alpha1.OutputStatus
		want   Report
	}{
		"the sealed one":      {v1alpha1.OutputStatus{Location: "s3://s3/b/d/", Files: listOf("1").String()}, Report{Intact: 2}},
		"another one":         {v1alpha1.OutputStatus{Location: "s3://s3/b/d/", Files: listOf("2").String()}, Report{Intact: 1, Unknown: 1}},
		"of another place":    {v1alpha1.OutputStatus{Location: "s3://s3/b/e/", Files: listOf("1").String()}, Report{Intact: 1, Unknown: 1}},
		"none that is a list": {v1alpha1.OutputStatus{Location: "s3://s3/b/d/", Files: "x"}, Report{Intact: 1, Unknown: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			record := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "dir"}, Status: v1alpha1.ProvenanceStatus{Outputs: []v1alpha1.OutputStatus{c.output}}}
			s := scrubber(t, scheme, &shelf{objects: map[string]string{"d/x": "1", "d/z": "2"}}, dir.DeepCopy(), below.DeepCopy(), record)
			if got, err := s.Pass(t.Context()); err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

// However small the sample, what was found altered is compared in each pass, and is said to
// be there again.
func TestWhatIsAlteredIsInEachSample(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	altered, other := sealed(t, "altered", "a", "sealed", 1), sealed(t, "other", "b", "sealed", 1)
	altered.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionIntact, Status: metav1.ConditionFalse, Reason: "Changed"}}
	s := scrubber(t, scheme, &shelf{objects: map[string]string{"a": "sealed", "b": "forged"}}, altered, other)
	s.Sample = 1e-12
	if got, err := s.Pass(t.Context()); err != nil || got != (Report{Intact: 1}) {
		t.Errorf("got %+v, %v", got, err)
	}
	var a v1alpha1.ArtifactSeal
	check(t, s.API.Get(t.Context(), client.ObjectKeyFromObject(altered), &a))
	if c := a.Status.Conditions; len(c) != 1 || c[0].Status != metav1.ConditionTrue {
		t.Errorf("its conditions are %+v", c)
	}
}

// What lies at a place that a tenant's seal names may be somebody else's. The condition and
// the event are read in his namespace, and have none of it; the operator's log has it.
func TestWhatLiesThereIsToldToTheOperatorAlone(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	files, err := content.NewFiles([]content.File{{Path: "x", SHA256: artifact.DigestOfText("1")}})
	check(t, err)
	dir, object := sealed(t, "dir", "d/", "1", 1), sealed(t, "object", "o", "guessed", 1)
	dir.Spec.SHA256, dir.Spec.TreeDigest = string(files.Tree()), string(files.Tree())
	record := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "dir"}, Status: v1alpha1.ProvenanceStatus{Outputs: []v1alpha1.OutputStatus{
		{Location: "s3://s3/b/d/", Files: files.String()},
	}}}
	s := scrubber(t, scheme, &shelf{objects: map[string]string{"d/x": "1", "d/payroll": "", "o": "s3cret!"}}, dir, object, record)
	told := make(chan string, 100)
	s.Events = &events.FakeRecorder{Events: told}
	var log strings.Builder
	s.Log = funcr.New(func(_, args string) { log.WriteString(args + "\n") }, funcr.Options{})
	if got, err := s.Pass(t.Context()); err != nil || got != (Report{Altered: 2}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	digest := string(artifact.DigestOfText("s3cret!"))[:16]
	said := <-told + <-told
	var all v1alpha1.ArtifactSealList
	check(t, s.API.List(t.Context(), &all))
	for _, a := range all.Items {
		said += fmt.Sprint(a.Status.Conditions)
	}
	for _, its := range []string{"payroll", digest} {
		if strings.Contains(said, its) {
			t.Errorf("the namespace reads %s: %s", its, said)
		}
		if !strings.Contains(log.String(), its) {
			t.Errorf("the operator does not read %s: %s", its, log.String())
		}
	}
	if strings.Count(said, "Changed") < 4 {
		t.Errorf("the namespace reads only %s", said)
	}
}

// Whose seals the operator does not have compared at a place, for him the store is not even
// asked: whatever he guesses, he is told nothing.
func TestWhoIsNotNamedIsNotCompared(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	for name, c := range map[string]struct {
		scope scrub.Scope
		want  Report
	}{
		"named":          {scrub.Scope{{Namespaces: []string{"team"}, Under: []string{"b/theirs/"}}}, Report{Altered: 1, Unknown: 1}},
		"everywhere":     {scrub.Scope{{Namespaces: []string{"*"}, Under: []string{scrub.Everywhere}}}, Report{Altered: 2}},
		"another bucket": {scrub.Scope{{Namespaces: []string{"team"}, Under: []string{"c/"}}}, Report{Unknown: 2}},
		"somebody else":  {scrub.Scope{{Namespaces: []string{"victim"}, Under: []string{"b/"}}}, Report{Unknown: 2}},
		"nobody":         {nil, Report{Unknown: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			store := &shelf{objects: map[string]string{"theirs/x": "forged", "secret/x": "s3cret"}}
			store.asked = func() { asked++ }
			s := scrubber(t, scheme, store, sealed(t, "own", "theirs/x", "sealed", 1), sealed(t, "guess", "secret/x", "guess", 1))
			s.Stores["s3"] = Store{Store: store, Scope: c.scope}
			if got, err := s.Pass(t.Context()); err != nil || got != c.want || asked != 2*c.want.Altered {
				t.Errorf("got %+v, %v; the store was asked %d times", got, err, asked)
			}
			var guess v1alpha1.ArtifactSeal
			check(t, s.API.Get(t.Context(), client.ObjectKey{Namespace: "team", Name: "guess"}, &guess))
			if said := len(guess.Status.Conditions) > 0; said != (c.want.Altered == 2) {
				t.Errorf("its conditions are %+v", guess.Status.Conditions)
			}
		})
	}
}

// moving is a clock that is moved by who waits, and by the test.
type moving struct {
	clock.RealClock
	now *time.Time
}

func (m moving) Now() time.Time { return *m.now }

func (m moving) After(d time.Duration) <-chan time.Time {
	*m.now = m.now.Add(max(0, d))
	over := make(chan time.Time, 1)
	over <- *m.now
	return over
}

// However much of one namespace is altered, what is of another is told in the same pass, and
// nothing counts as unreadable that could be read.
func TestWhatIsAlteredHidesNobodyElse(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	for name, marked := range map[string]bool{"known already": true, "new": false} {
		t.Run(name, func(t *testing.T) {
			store := &shelf{objects: map[string]string{"b": "forged"}}
			theirs := sealed(t, "b", "b", "sealed", 1)
			theirs.Namespace = "b"
			all := []client.Object{theirs}
			for i := range 5 {
				seal := sealed(t, fmt.Sprint("a-", i), fmt.Sprint("a-", i), "gone", 1)
				if seal.Namespace = "a"; marked {
					seal.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionIntact, Status: metav1.ConditionFalse, Reason: "Missing", Message: "nothing lies there any more"}}
				}
				all = append(all, seal)
			}
			s := scrubber(t, scheme, store, all...)
			now := time.Unix(1e9, 0)
			s.most, s.Settle, s.Clock = 2, time.Minute, moving{now: &now}
			asked := 0
			store.asked = func() { asked++ }
			if got, err := s.Pass(t.Context()); err != nil || got != (Report{Altered: 6}) {
				t.Errorf("got %+v, %v", got, err)
			}
			if want := map[bool]int{true: 5 + 2, false: 2 * 6}[marked]; asked != want {
				t.Errorf("the store was asked %d times, not %d", asked, want)
			}
			check(t, s.API.Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs))
			if c := theirs.Status.Conditions; len(c) != 1 || c[0].Reason != "Changed" {
				t.Errorf("its conditions are %+v", c)
			}
		})
	}
}

// noting is a shelf that says in which order it was asked, and to which each time takes long.
type noting struct {
	*shelf
	asked []string
	then  func()
}

func (n *noting) Open(ctx context.Context, bucket, key string) (io.ReadCloser, int64, error) {
	n.asked = append(n.asked, key)
	n.then()
	return n.shelf.Open(ctx, bucket, key)
}

// A pass may take days. What is altered is told, and counted, once it has had its time.
func TestWhatIsAlteredIsToldDuringAPass(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	store := &noting{shelf: &shelf{objects: map[string]string{}}}
	var all []client.Object
	for i := range 200 {
		key := fmt.Sprint(i)
		if store.objects[key] = key; i%10 == 0 { // so many that one is found soon
			store.objects[key] = "forged"
		}
		all = append(all, sealed(t, "seal-"+key, key, key, 1))
	}
	s := scrubber(t, scheme, store, all...)
	now := time.Unix(1e9, 0)
	s.Settle, s.Clock = time.Minute, moving{now: &now}
	var counted []int
	store.then = func() {
		now = now.Add(s.Settle)
		counted = append(counted, s.Metrics.said)
	}
	if got, err := s.Pass(t.Context()); err != nil || got != (Report{Altered: 20, Intact: 180}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	first := slices.IndexFunc(store.asked, func(key string) bool { return store.objects[key] == "forged" })
	second := first + 1 + slices.Index(store.asked[first+1:], store.asked[first])
	if second == first || second > first+3 {
		t.Errorf("of %d times the store was asked for it at the %dth and the %dth", len(store.asked), first, second)
	}
	if next := second + 1; next < len(counted) && counted[next] == 0 {
		t.Error("afterwards it is not counted")
	}
}
