package budget

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// repeatAfter is how long a namespace is not told the same again. Events are gone after
	// about as long.
	repeatAfter = time.Hour
	// mostAtOnce bounds the events of one look: the next ones are due at the next.
	mostAtOnce = 50
)

// what a namespace is told.
type what string

const (
	tellNear what = "near"
	tellFull what = "full"
	tellShut what = "shut"
)

// notice is something that a namespace is told.
type notice struct {
	namespace string
	of        what
}

// notified says when a namespace was told something last.
type notified map[notice]time.Time

// readNotified reads what String wrote, but what was told long ago, and what is none.
func readNotified(text string, now time.Time) notified {
	t := notified{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		at, err := time.Parse(time.RFC3339, f[2])
		if age := now.Sub(at); err == nil && age >= 0 && age < repeatAfter {
			t[notice{f[0], what(f[1])}] = at
		}
	}
	return t
}

// String has a line for each.
func (t notified) String() string {
	lines := make([]string, 0, len(t))
	for n, at := range t {
		lines = append(lines, fmt.Sprintf("%s %s %s", n.namespace, n.of, at.UTC().Format(time.RFC3339)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// due notes what is to be told now, and gives it: the worst first.
func (t notified) due(s standing, now time.Time) []notice {
	all := map[notice]bool{}
	for of, names := range map[what][]string{tellNear: s.near, tellFull: s.full, tellShut: s.shut} {
		for _, namespace := range names {
			all[notice{namespace, of}] = true
		}
	}
	for _, namespace := range s.shut { // which says it all
		delete(all, notice{namespace, tellFull})
	}
	maps.DeleteFunc(all, func(n notice, _ bool) bool {
		_, already := t[n]
		return already
	})
	order := map[what]int{tellShut: 0, tellFull: 1, tellNear: 2}
	due := slices.SortedFunc(maps.Keys(all), func(a, b notice) int {
		return cmp.Or(cmp.Compare(order[a.of], order[b.of]), cmp.Compare(a.namespace, b.namespace))
	})
	due = due[:min(len(due), mostAtOnce)]
	for _, n := range due {
		t[n] = now
	}
	return due
}

// remedy is what an operator can do.
const remedy = "Operators of Argoseal can have old records exported and removed (retention.maxAge, retention.archive; argoseal export), or raise budget.objects and budget.bytes"

// event tells whoever looks at the namespace's events.
func (b *Board) event(n notice) {
	of := &corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Name: n.namespace, Namespace: n.namespace}
	code, says := reason.BudgetExceeded, "the records of this namespace have used up their budget: no step begins here in mode enforce, and in the other modes steps are not sealed an eighth beyond it"
	switch n.of {
	case tellNear:
		code, says = reason.BudgetNear, "the records of this namespace have used four fifths of their budget and more: when it is used up, no step begins here in mode enforce"
	case tellShut:
		says = "the records of this namespace are a quarter beyond their budget: nothing more is stored, and what has ended is not sealed until there is room"
	case tellFull:
	}
	//argoseal:event Namespace | Warning | `BudgetNear`, `BudgetExceeded` | its records have used four fifths of their budget, all of it, or a quarter more, each once an hour for as long as that lasts
	b.Events.Eventf(of, nil, corev1.EventTypeWarning, string(code), "Bound", "%s. %s", says, remedy)
}
