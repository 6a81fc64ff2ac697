package store

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// byData keeps the data of ConfigMaps, which are found by two of them.
func byData(o client.Object) (Packed, error) {
	data := o.(*corev1.ConfigMap).Data
	if data["bad"] != "" {
		return Packed{}, errNoObject
	}
	p := Packed{Text: data["text"]}
	if data["key"] != "" {
		p.Keys = []uint64{Key("key", data["key"]), Key("all")}
	}
	return p, nil
}

func object(namespace, name string, made int64, text, key string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(made, 0))},
		Data:       map[string]string{"text": text, "key": key},
	}
}

func listed(t testing.TB, most int, objects ...*corev1.ConfigMap) *Store {
	t.Helper()
	s := New("ConfigMap", most, byData, clocktesting.NewFakePassiveClock(time.Unix(0, 0)))
	list(t, s, objects...)
	return s
}

func list(t testing.TB, s *Store, objects ...*corev1.ConfigMap) {
	t.Helper()
	s.begin()
	for _, o := range objects {
		must(t, s.Add(o))
	}
	must(t, s.Replace(nil, "1"))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsWatchedIsFound(t *testing.T) {
	s := listed(t, 1<<20, object("a", "x", 1, "one", "k"), object("b", "x", 1, "two", "k"))
	must(t, s.Add(object("a", "y", 2, "three", "k")))
	must(t, s.Update(object("a", "x", 1, "four", "l")))
	if text, found, all := s.Get("a", "x"); text != "four" || !found || !all {
		t.Errorf("%q, %t, %t", text, found, all)
	}
	for key, want := range map[string][]string{"k": {"three"}, "l": {"four"}, "m": nil} {
		if texts, all := s.Find("a", Key("key", key)); !slices.Equal(texts, want) || !all {
			t.Errorf("%s: %q, %t, want %q", key, texts, all, want)
		}
	}
	if texts, all := s.Find("a", Key("all")); len(texts) != 2 || !all {
		t.Errorf("%q, %t", texts, all)
	}
	must(t, s.Delete(object("a", "x", 0, "", "")))
	must(t, s.Delete(object("a", "y", 0, "", "")))
	for _, namespace := range []string{"a", "nowhere"} {
		if _, found, all := s.Get(namespace, "x"); found || !all {
			t.Errorf("%s: %t, %t", namespace, found, all)
		}
		if texts, all := s.Find(namespace, Key("all")); texts != nil || !all {
			t.Errorf("%s: %q, %t", namespace, texts, all)
		}
	}
	if kept, left, _ := s.Size(); kept != 1 || left != 0 || len(s.tenants) != 1 {
		t.Errorf("%d, %d, %d namespaces", kept, left, len(s.tenants))
	}
}

// Before a list is at its end, what is not there may exist.
func TestWhileItIsListedNothingIsAll(t *testing.T) {
	s := New("ConfigMap", 1<<20, byData, clocktesting.NewFakePassiveClock(time.Unix(0, 0)))
	unknown := func(when string) {
		t.Helper()
		for _, namespace := range []string{"a", "nowhere"} {
			if _, found, all := s.Get(namespace, "missing"); found || all {
				t.Errorf("%s: what is not there is known not to exist", when)
			}
			if _, all := s.Find(namespace, Key("all")); all {
				t.Errorf("%s: all are known", when)
			}
		}
		if s.Stale() == "" {
			t.Errorf("%s: it is up to date", when)
		}
	}
	unknown("at the start")
	s.begin()
	must(t, s.Add(object("a", "x", 1, "one", "k")))
	unknown("at the first list")
	must(t, s.Replace(nil, "1"))
	s.begin()
	must(t, s.Add(object("a", "y", 1, "two", "k"))) // as many as before
	unknown("at another list")
	must(t, s.Delete(object("a", "y", 1, "two", "k"))) // the list's stream says so, too
	must(t, s.Add(object("a", "z", 1, "three", "k")))
	must(t, s.Replace(nil, "2"))
	if texts, all := s.Find("a", Key("all")); !slices.Equal(texts, []string{"three"}) || !all {
		t.Errorf("%q, %t", texts, all)
	}
	list(t, s)
	if kept, left, bytes := s.Size(); kept != 0 || left != 0 || bytes != 0 || len(s.tenants) != 0 || len(s.largest) != 0 {
		t.Errorf("after an empty list: %d, %d, %d", kept, left, bytes)
	}
}

// A namespace that makes many objects loses its own, and what it lost is known to be lost.
func TestWhoMakesManyLosesTheirOwn(t *testing.T) {
	s := listed(t, 100*(sizeOfItem+10))
	must(t, s.Add(object("quiet", "x", 1, "0123456789", "")))
	for i := range 1000 {
		must(t, s.Add(object("loud", fmt.Sprint(i), int64(1000-i), "0123456789", "")))
	}
	if text, found, all := s.Get("quiet", "x"); text == "" || !found || !all {
		t.Error("the quiet one lost its object")
	}
	if _, found, all := s.Get("quiet", "y"); found || !all {
		t.Error("the quiet one's is not all known")
	}
	if _, found, all := s.Get("loud", "missing"); found || all {
		t.Error("of the loud one what was left out is taken for what does not exist")
	}
	if _, all := s.Find("loud", Key("all")); all {
		t.Error("of the loud one all is known")
	}
	// The newest are kept: those that were made with the highest time.
	if _, found, _ := s.Get("loud", "0"); !found {
		t.Error("the newest was left out")
	}
	if _, found, _ := s.Get("loud", "999"); found {
		t.Error("the oldest is kept")
	}
	kept, left, bytes := s.Size()
	if kept != 100 || left != 901 || bytes > s.most {
		t.Errorf("%d are kept, %d left out, %d bytes", kept, left, bytes)
	}
	// What changes is kept if it is among the newest; what goes is all known again.
	must(t, s.Update(object("loud", "0", 1000, "new", "")))
	if text, _, _ := s.Get("loud", "0"); text != "new" {
		t.Errorf("it is %q", text)
	}
	for i := 999; i >= 99; i-- {
		must(t, s.Delete(object("loud", fmt.Sprint(i), 0, "", "")))
	}
	if _, found, all := s.Get("loud", "missing"); found || !all {
		t.Error("once all others are gone all is known")
	}
}

// One after the other, namespaces share the room evenly.
func TestNamespacesShareTheRoom(t *testing.T) {
	s := listed(t, 300*(sizeOfItem+10))
	for _, namespace := range []string{"a", "b", "c"} {
		for i := range 500 {
			must(t, s.Add(object(namespace, fmt.Sprint(i), int64(i), "0123456789", "")))
		}
	}
	for name, one := range s.tenants {
		if n := len(one.items); n < 99 || n > 101 {
			t.Errorf("%s has %d of 300", name, n)
		}
	}
}

// Nobody stops a list, or is known by halves, by an object that cannot be kept.
func TestWhatCannotBeKeptIsLeftOut(t *testing.T) {
	bad := object("a", "bad", 1, "", "")
	bad.Data["bad"] = "yes"
	large := object("a", "large", 1, strings.Repeat("x", 2000), "")
	s := listed(t, 1000, object("a", "x", 2, "one", ""), bad, large)
	for _, name := range []string{"bad", "large"} {
		if _, found, all := s.Get("a", name); found || all {
			t.Errorf("%s: %t, %t", name, found, all)
		}
	}
	if err := s.Add("text"); err == nil {
		t.Error("a text is an object")
	}
}

// Whatever comes in whatever order, what is said to be all is all.
func TestWhatIsSaidToBeAllIsAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := listed(t, 12*(sizeOfItem+2*sizeOfLink+4))
	there := map[string]map[string]*corev1.ConfigMap{"a": {}, "b": {}, "c": {}}
	said := 0
	for step := range 20000 {
		namespace, name := string(rune('a'+random.IntN(3))), fmt.Sprint(random.IntN(9))
		o := object(namespace, name, int64(step), fmt.Sprint(step), fmt.Sprint(random.IntN(3)))
		known := there[namespace][name]
		switch {
		case step%997 == 0:
			var all []*corev1.ConfigMap
			for _, of := range there {
				for _, one := range of {
					all = append(all, one)
				}
			}
			list(t, s, all...)
			continue
		case known == nil:
			must(t, s.Add(o))
			there[namespace][name] = o
		case random.IntN(3) == 0:
			o.CreationTimestamp = known.CreationTimestamp
			must(t, s.Update(o))
			there[namespace][name] = o
		default:
			must(t, s.Delete(known))
			delete(there[namespace], name)
		}
		for key := range 3 {
			texts, all := s.Find(namespace, Key("key", fmt.Sprint(key)))
			if !all {
				continue
			}
			said++
			var want []string
			for _, one := range there[namespace] {
				if one.Data["key"] == fmt.Sprint(key) {
					want = append(want, one.Data["text"])
				}
			}
			slices.Sort(texts)
			slices.Sort(want)
			if !slices.Equal(texts, want) {
				t.Fatalf("step %d: %q are found, want %q", step, texts, want)
			}
		}
		for name := range 9 {
			text, found, all := s.Get(namespace, fmt.Sprint(name))
			one := there[namespace][fmt.Sprint(name)]
			if found && (one == nil || one.Data["text"] != text) || !found && all && one != nil {
				t.Fatalf("step %d: %q, %t, %t, want %v", step, text, found, all, one)
			}
		}
		if _, _, bytes := s.Size(); bytes > s.most {
			t.Fatalf("step %d: %d bytes", step, bytes)
		}
	}
	if said < 1000 {
		t.Errorf("only %d answers were all", said)
	}
}

// What a Store counts is what the program uses, or more.
func TestWhatIsCountedIsWhatIsUsed(t *testing.T) {
	const n = 50000
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for name, key := range map[string]string{"by name": "", "by two keys": "k"} {
		before := heap()
		s := listed(t, 1<<30)
		for i := range n {
			o := object(fmt.Sprint(i%50), fmt.Sprint(i), int64(i), strings.Repeat("x", 200), key)
			if key != "" {
				o.Data["key"] = fmt.Sprint(i)
			}
			must(t, s.Add(o))
		}
		used := (heap() - before) / n
		_, _, bytes := s.Size()
		counted := uint64(bytes / n)
		t.Logf("%s: an item of 200 bytes uses %d and counts as %d", name, used, counted)
		if used > counted+counted/20 || counted > 2*used {
			t.Errorf("%s: %d bytes are used of an item, %d are counted", name, used, counted)
		}
		runtime.KeepAlive(s)
	}
}

// After a peak, memory returns: in a namespace that keeps some objects, in one that is gone,
// and of many namespaces.
func TestMemoryReturnsAfterAPeak(t *testing.T) {
	const n = 100_000
	heap := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	for name, namespaceOf := range map[string]func(int) string{
		"of one namespace":   func(int) string { return "team" },
		"of many namespaces": func(i int) string { return fmt.Sprint("team-", i) },
	} {
		t.Run(name, func(t *testing.T) {
			s := listed(t, 1<<30)
			all := func(do func(any) error, from int) {
				for i := from; i < n; i++ {
					must(t, do(object(namespaceOf(i), fmt.Sprint(i), int64(i), "text", fmt.Sprint(i))))
				}
			}
			before := heap()
			all(s.Add, 0)
			peak := heap() - before
			all(s.Delete, 10)
			left := heap() - before
			t.Logf("%d KiB at the peak, %d KiB after it", peak>>10, left>>10)
			if left > peak/20 {
				t.Errorf("%d of %d KiB are left", left>>10, peak>>10)
			}
			for i := range 10 {
				if text, found, all := s.Get(namespaceOf(i), fmt.Sprint(i)); text != "text" || !found || !all {
					t.Errorf("%d: %q, %t, %t", i, text, found, all)
				}
				if texts, _ := s.Find(namespaceOf(i), Key("key", fmt.Sprint(i))); len(texts) != 1 {
					t.Errorf("%d: %q are found", i, texts)
				}
			}
			all(s.Add, 10)
			if kept, left, _ := s.Size(); kept != n || left != 0 {
				t.Errorf("once more %d are kept, %d left out", kept, left)
			}
		})
	}
}
