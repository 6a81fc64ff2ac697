package followed

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/reason"
)

var begin = time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)

func TestNamesCountForAWhile(t *testing.T) {
	const keep = time.Hour
	var n Names
	for _, c := range []struct {
		after time.Duration
		now   []string
		want  []string
	}{
		{0, []string{"b", "a"}, []string{"a", "b"}},
		{9 * time.Hour, []string{"b", "c"}, []string{"a", "b", "c"}}, // a counts from when it is not said any more
		{9*time.Hour + 59*time.Minute, []string{"b"}, []string{"a", "b", "c"}},
		{10 * time.Hour, []string{"b"}, []string{"b", "c"}},
		{11 * time.Hour, []string{"a", "b"}, []string{"a", "b"}},
	} {
		if got := n.Merge(c.now, begin.Add(c.after), keep); !slices.Equal(got, c.want) {
			t.Errorf("after %s: %q, want %q", c.after, got, c.want)
		}
	}
	if got := (Names{"now": "", "lately": begin.Format(time.RFC3339), "long ago": begin.Add(-keep).Format(time.RFC3339), "nonsense": "x"}).At(begin, keep); !slices.Equal(got, []string{"lately", "now"}) {
		t.Errorf("%q count", got)
	}
}

func configMap(record string) *corev1.ConfigMap {
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapArgo}}
	if record != "" {
		c.Data = map[string]string{v1alpha1.ArgoKey: record}
	}
	return c
}

// Whoever is not Argo in a namespace that the operator named is not in any record that
// counts, whoever wrote it.
func TestARecordNamesNobodyOfAnotherNamespace(t *testing.T) {
	r, err := Parse(configMap(`{"controllers":{"system:serviceaccount:argo:new":"","system:serviceaccount:argo-evil:argo":"",
		"system:serviceaccount:team:default":"","system:admin":"","argo":""},"executorImages":{"exec:2":"","exec-nonroot:2":""},"executorEnv":{"A=1":""},"plainStores":{"s3.argo.svc:7070":""}}`))
	if err != nil {
		t.Fatal(err)
	}
	given := argo.Identity{Controllers: []string{"system:serviceaccount:other:given"}, ExecutorImages: []string{"exec:1"}, ExecutorUsers: map[string]int64{"exec:1": 5}}
	got := r.Identity(given, []string{"argo"}, 8737, begin)
	want := argo.Identity{
		Controllers:    []string{"system:serviceaccount:other:given", "system:serviceaccount:argo:new"},
		ExecutorImages: []string{"exec:1", "exec-nonroot:2", "exec:2"}, ExecutorEnv: []string{"A=1"},
		PlainStores:   []string{"s3.argo.svc:7070"},
		ExecutorUsers: map[string]int64{"exec:1": 5, "exec-nonroot:2": 8737},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(argo.Additions{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(given.ExecutorUsers) != 1 || len(given.Controllers) != 1 {
		t.Errorf("what is given was changed: %+v", given)
	}
	if id := r.Identity(given, nil, 0, begin); len(id.Controllers) != 1 || len(id.ExecutorUsers) != 1 {
		t.Errorf("without a namespace it is %+v", id)
	}
}

func TestWhatRanCountsForTenMinutes(t *testing.T) {
	r, err := Parse(configMap(`{"executorImages":{"exec:old":"` + begin.Format(time.RFC3339) + `"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]int{9 * time.Minute: 1, 10 * time.Minute: 0} {
		if id := r.Identity(argo.Identity{}, []string{"argo"}, 0, begin.Add(after)); len(id.ExecutorImages) != want {
			t.Errorf("after %s: %q", after, id.ExecutorImages)
		}
	}
}

func TestARecordOfSomebodyElsesIsNotTrusted(t *testing.T) {
	many := `{"controllers":{"a0":""` + strings.Repeat(` `, maxFollowed) + `}}`
	names := make([]string, 0, maxNames+1)
	for i := range maxNames + 1 {
		names = append(names, `"`+strings.Repeat("a", i+1)+`":""`)
	}
	for name, text := range map[string]string{
		"no JSON": "x", "a list": `{"controllers":["evil"]}`, "an empty name": `{"controllers":{"":""}}`,
		"too long": many, "too many": `{"executorImages":{` + strings.Join(names, ",") + `}}`,
	} {
		if r, err := Parse(configMap(text)); reason.Of(err) != reason.KeyMismatch || len(r.Controllers)+len(r.ExecutorImages) > 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if r, err := Parse(configMap("")); err != nil || len(r.Controllers) > 0 {
		t.Errorf("none yet: %+v, %v", r, err)
	}
}

// TestWhatIsWrittenIsRead: a record that Parse refuses would have to be removed by hand,
// before anybody writes another one or starts.
func TestWhatIsWrittenIsRead(t *testing.T) {
	many := make([]string, maxNames+1)
	for i := range many {
		many[i] = fmt.Sprintf("V%d=x", i)
	}
	for name, c := range map[string]struct {
		// looks are what runs at one second after the other.
		looks func(second int) Found
		count int
		// left are how many names are on record at the end; 0: the last is not written.
		left int
	}{
		"a few":                      {func(int) Found { return Found{ExecutorEnv: many[:3]} }, 3, 3},
		"as many as there may be":    {func(int) Found { return Found{ExecutorEnv: many[:maxNames]} }, 2, maxNames},
		"a value that changes often": {func(s int) Found { return Found{ExecutorEnv: []string{fmt.Sprintf("A=%d", s)}} }, maxNames + 50, maxNames},
		"a long one that changes": {func(s int) Found {
			return Found{ExecutorEnv: []string{fmt.Sprintf("A=%d%s", s, strings.Repeat("<", 500))}}
		}, 200, -1},
		"more at once":                 {func(int) Found { return Found{ExecutorEnv: many} }, 2, 0},
		"longer ones than may be read": {func(int) Found { return Found{ExecutorImages: []string{strings.Repeat("x", maxFollowed)}} }, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			held := configMap("")
			for second := range c.count {
				at := begin.Add(time.Duration(second) * time.Second)
				r, err := Parse(held)
				if err != nil {
					t.Fatalf("after %d looks it cannot be read: %v", second, err)
				}
				now := c.looks(second)
				r.merge(now, at)
				if err := r.write(held, at); (err != nil) != (c.left == 0) || err != nil && reason.Of(err) != reason.ArgoUnread {
					t.Fatal(err)
				}
				if c.left == 0 {
					continue
				}
				if r, err = Parse(held); err != nil {
					t.Fatalf("what was written cannot be read: %v", err)
				}
				for _, env := range now.ExecutorEnv {
					if since, is := r.ExecutorEnv[env]; !is || since != "" {
						t.Fatalf("%.10q runs, and is not on record", env)
					}
				}
			}
			r, err := Parse(held)
			if left := len(r.ExecutorEnv); err != nil || c.left >= 0 && left != c.left || c.left < 0 && (left < 50 || left == c.count) {
				t.Errorf("%d names are left: %v", left, err)
			}
			if _, before := r.ExecutorEnv["A=0"]; before {
				t.Error("what ended first was not forgotten")
			}
		})
	}
}
