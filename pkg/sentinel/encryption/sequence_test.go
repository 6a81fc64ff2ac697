package encryption_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// TestEverySequence walks every state that can be reached from encryption that
// is off, by every order of what the operator, the servers, their clients, an
// administrator who changes their mind, kills, restarts and a lost file do. In
// none can a running server not read what is stored, and from each the operator
// arrives at what is wanted once failures end.
func TestEverySequence(t *testing.T) {
	start := world{wanted: "iab", file: [servers]string{"i", "i"}, runs: [servers]string{"i", "i"}, objects: "ii", want: 'i'}
	reached, problem := start.walk(t)
	if problem != "" {
		t.Fatal(problem)
	}
	t.Logf("%v", reached)
	for _, must := range []encryption.Reason{encryption.FileRepaired, encryption.ReadKeySpread, encryption.ReadKeyAdded, encryption.WriteKeyChanged, encryption.OldKeyRemoved} {
		if reached[string(must)] == 0 {
			t.Errorf("no sequence has %s", must)
		}
	}
}

// TestEverySequenceWithAPlugin does the same with a key and a plugin, which changes the
// key that it writes with whenever it likes, at one server before the other; and with two
// plugins. One that falls ill for good where nothing needs it holds nothing back.
func TestEverySequenceWithAPlugin(t *testing.T) {
	for wanted, objects := range map[string]string{"ak": "aa", "kl": "k"} {
		first := wanted[:1]
		start := world{wanted: wanted, file: [servers]string{first, first}, runs: [servers]string{first, first}, objects: objects, want: first[0]}
		reached, problem := start.walk(t)
		if problem != "" {
			t.Fatal(problem)
		}
		t.Logf("%s: %v", wanted, reached)
		for _, must := range []string{"plugin's key changes", "plugin falls ill", string(encryption.ReadKeyAdded), string(encryption.WriteKeyChanged), string(encryption.OldKeyRemoved)} {
			if reached[must] == 0 {
				t.Errorf("no sequence of %s has %s", wanted, must)
			}
		}
	}
}

// TestEverySequenceWithKeysOfSomebodyElses does the same where two servers write with keys that
// tell no time, in whichever order.
func TestEverySequenceWithKeysOfSomebodyElses(t *testing.T) {
	for _, files := range [][servers]string{{"12", "21"}, {"21", "12"}} {
		start := world{wanted: "ab", file: files, runs: files, objects: "22", want: 'a'}
		reached, problem := start.walk(t)
		if problem != "" {
			t.Fatal(problem)
		}
		t.Logf("%v: %v", files, reached)
		for _, must := range []encryption.Reason{encryption.FileRepaired, encryption.ReadKeyAdded, encryption.WriteKeyChanged, encryption.OldKeyRemoved} {
			if reached[string(must)] == 0 {
				t.Errorf("no sequence of %v has %s", files, must)
			}
		}
	}
}

// TestTheModelFindsAnOperatorInHaste: a model that finds nothing wrong with
// anything would prove nothing.
func TestTheModelFindsAnOperatorInHaste(t *testing.T) {
	start := world{wanted: "iab", file: [servers]string{"i", "i"}, runs: [servers]string{"i", "i"}, objects: "ii", want: 'i', hasty: true}
	if _, problem := start.walk(t); !strings.Contains(problem, "late write") {
		t.Errorf("it found: %q", problem)
	}
}

// walk goes to every state that can be reached. It counts the ways there, and
// tells the first problem with how it came about.
func (w world) walk(t *testing.T) (reached map[string]int, problem string) {
	type origin struct {
		from world
		by   string
	}
	seen := map[world]origin{w: {}}
	path := func(w world) string {
		var steps []string
		for o := seen[w]; o.by != ""; o = seen[o.from] {
			steps = append(steps, fmt.Sprintf("%s → %+v", o.by, w))
			w = o.from
		}
		slices.Reverse(steps)
		return strings.Join(steps, "\n")
	}
	reached = map[string]int{}
	settled := map[world]bool{}
	for queue := []world{w}; len(queue) > 0 && problem == ""; queue = queue[1:] {
		from := queue[0]
		from.moves(t, func(by string, n world) {
			reached[by]++
			n = n.staysClean(t).mirrored()
			if _, ok := seen[n]; ok || problem != "" {
				return
			}
			seen[n] = origin{from, by}
			queue = append(queue, n)
			if why := n.unreadable(); why != "" {
				problem = why + ":\n" + path(n)
				return
			}
			if alike := calm(n); !settled[alike] {
				settled[alike] = true
				if end, step := n.settle(t); !end.arrived(step) {
					problem = fmt.Sprintf("it ends with %s %s %s in %+v:\n%s", step.Action, step.Reason, step.Message, end, path(n))
				}
			}
		})
	}
	t.Logf("%d states", len(seen))
	return reached, problem
}

// arrived says whether all is as it is wanted: under one key, which may be somebody else's.
func (w world) arrived(step encryption.Step) bool {
	if step.Action != encryption.Rest || len(w.file[0]) != 1 || w.file[0] != w.file[1] {
		return false
	}
	key := w.file[0][0]
	under := string(w.writesAs(0, key))
	return wants[w.want].SatisfiedBy(keys[key].Ref) && strings.Trim(w.objects, under) == ""
}
