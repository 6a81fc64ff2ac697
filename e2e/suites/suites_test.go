package suites

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// verdictsOf is what comes of lines of `go test -json` about a batch.
func verdictsOf(t *testing.T, b batch, lines ...string) (results, string) {
	t.Helper()
	found, out := results{}, &strings.Builder{}
	if err := found.read(strings.NewReader(strings.Join(lines, "\n")), out, b); err != nil {
		t.Fatal(err)
	}
	return found, out.String()
}

func TestVerdicts(t *testing.T) {
	b := batch{folder: "e2e/suite", tests: []string{"TestA", "TestB", "TestC", "TestD", "TestE"}}
	found, said := verdictsOf(t, b,
		`{"Action":"run","Test":"TestA"}`,
		`{"Action":"output","Test":"TestA","Output":"what is well is not told\n"}`,
		`{"Action":"pass","Test":"TestA","Elapsed":1.5}`,
		`{"Action":"output","Test":"TestB/part","Output":"why it failed\n"}`,
		`{"Action":"fail","Test":"TestB/part","Elapsed":1}`,
		`{"Action":"fail","Test":"TestB","Elapsed":2}`,
		`{"Action":"skip","Test":"TestC"}`,
		`{"Action":"skip","Test":"TestD/part"}`,
		`{"Action":"pass","Test":"TestD"}`,
		`{"Action":"run","Test":"TestE"}`,
		`{"Action":"pass","Test":"TestOther"}`,
		`{"Action":"output","Output":"of the package\n"}`,
		`not JSON`,
	)
	want := map[string]result{
		"TestA": {passed, 1500 * time.Millisecond}, "TestB": {failed, 2 * time.Second}, "TestC": {skipped, 0}, "TestD": {skipped, 0},
		"TestE": {}, "TestOther": {},
	}
	for test, r := range want {
		if got := found[[2]string{b.folder, test}]; got != r {
			t.Errorf("%s: %+v, want %+v", test, got, r)
		}
	}
	for words, told := range map[string]bool{"why it failed": true, "of the package": true, "not JSON": true, "what is well": false} {
		if strings.Contains(said, words) != told {
			t.Errorf("%q is told: %t\n%s", words, !told, said)
		}
	}
	if !found.failed(b) || found.failed(batch{folder: b.folder, tests: []string{"TestA"}}) {
		t.Error("it is not seen which tests failed")
	}
	if found.spoil(b); found[[2]string{b.folder, "TestA"}].verdict != failed {
		t.Error("what passed in a package that failed counts")
	}
}

// TestOnlyWhatPassedHolds: an ability holds if each of its cases passed, and there is one.
func TestOnlyWhatPassedHolds(t *testing.T) {
	found := results{{"a", "TestGood"}: {verdict: passed}, {"a", "TestBad"}: {verdict: failed}, {"a", "TestSkipped"}: {verdict: skipped}}
	for name, c := range map[string]struct {
		cases []Case
		holds bool
	}{
		"good":                       {In("a", "TestGood"), true},
		"good, of another package":   {In("b", "TestGood"), false},
		"good and bad":               {In("a", "TestGood", "TestBad"), false},
		"good and skipped":           {In("a", "TestGood", "TestSkipped"), false},
		"good and one that is to be": {In("a", "TestGood", "TestNone"), false},
		"nothing":                    {nil, false},
	} {
		var out strings.Builder
		failing := tell(&out, []Ability{{name, c.cases}}, found)
		if holds := failing == 0; holds != c.holds || strings.HasPrefix(out.String(), "HOLDS: ") != c.holds {
			t.Errorf("%s: %d do not hold\n%s", name, failing, out.String())
		}
	}
}

// TestBatches: each case runs once, those of a package together, and what needs something
// made comes last.
func TestBatches(t *testing.T) {
	got := batches(cases([]Ability{
		{"one", []Case{{"a", "TestLast", "install-other"}, {"a", "TestA", ""}, {"b", "TestB", ""}}},
		{"two", In("a", "TestA", "TestC")},
	}))
	want := []batch{{"a", "", []string{"TestA", "TestC"}}, {"b", "", []string{"TestB"}}, {"a", "install-other", []string{"TestLast"}}}
	if !slices.EqualFunc(got, want, func(a, b batch) bool {
		return a.folder == b.folder && a.target == b.target && slices.Equal(a.tests, b.tests)
	}) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestMissing(t *testing.T) {
	got, err := Missing("../..", []Ability{{"a", In("e2e/suites", "TestMissing", "TestNobody", "verdictsOf")}, {"b", In("e2e/nowhere", "TestMissing")}})
	want := []Case{{Package: "e2e/suites", Test: "TestNobody"}, {Package: "e2e/suites", Test: "verdictsOf"}, {Package: "e2e/nowhere", Test: "TestMissing"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: %v", got, want, err)
	}
}
