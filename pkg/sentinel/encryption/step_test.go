package encryption_test

import (
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// settledWorld is one in which both servers run with their files.
func settledWorld(first, second, objects string, want byte) world {
	return world{file: [servers]string{first, second}, runs: [servers]string{first, second}, objects: objects, want: want, clean: true}
}

func TestNext(t *testing.T) {
	for what, c := range map[string]struct {
		world  world
		change func(*encryption.Observed)
		reason encryption.Reason
		// files that are written, by letters; none otherwise.
		files [servers]string
		says  string
	}{
		"nothing to do": {
			world: settledWorld("a", "a", "aa", 'a'), reason: encryption.Proven, says: "2 of 2 objects lie under secretbox/",
		},
		"no server is known": {
			world: settledWorld("i", "i", "", 'a'), change: func(o *encryption.Observed) { o.Servers = nil }, reason: encryption.NoServers,
		},
		"etcd was not read": {
			world: settledWorld("i", "i", "", 'a'), change: func(o *encryption.Observed) { o.Scan = nil }, reason: encryption.Scanning,
		},
		"a first key": {
			world: settledWorld("i", "i", "ii", 'a'), reason: encryption.ReadKeyAdded, files: [servers]string{"ia", ""},
		},
		"the first key, once one server runs with it": {
			world: settledWorld("ia", "i", "ii", 'a'), reason: encryption.ReadKeySpread, files: [servers]string{"", "ia"},
		},
		"the first key, which no other gets while a server does not run with it": {
			world: world{file: [servers]string{"ia", "i"}, runs: [servers]string{"i", "i"}, objects: "ii", want: 'a'}, reason: encryption.Loading,
		},
		"a file that a server cannot load goes nowhere else": {
			world:  world{file: [servers]string{"ia", "i"}, runs: [servers]string{"i", "i"}, refuses: [servers]bool{true, false}, objects: "ii", want: 'a'},
			reason: encryption.FileRefused, says: "0 cannot load",
		},
		"one server under two names": {
			world: settledWorld("i", "i", "ii", 'a'), change: func(o *encryption.Observed) { o.Servers[1].ID = o.Servers[0].ID },
			reason: encryption.SameServer, says: "0 and 1",
		},
		"a server that has no name": {
			world: settledWorld("i", "i", "ii", 'a'), change: func(o *encryption.Observed) { o.Others = []string{"apiserver-x"} },
			reason: encryption.ServerUnnamed, says: "apiserver-x",
		},
		"a server that nobody can ask for its name may be the one": {
			world:  world{file: [servers]string{"", "ba"}, runs: [servers]string{"", "ba"}, objects: "ab", want: 'b'},
			change: func(o *encryption.Observed) { o.Servers[0].ID, o.Others = "", []string{"apiserver-0"} },
			reason: encryption.FileRepaired, files: [servers]string{"ba", ""},
		},
		"but it is not two": {
			world:  world{file: [servers]string{"", "ba"}, runs: [servers]string{"", "ba"}, objects: "ab", want: 'b'},
			change: func(o *encryption.Observed) { o.Servers[0].ID, o.Others = "", []string{"apiserver-0", "apiserver-x"} },
			reason: encryption.ServerUnnamed,
		},
		"nobody knows which servers there are": {
			world: settledWorld("i", "i", "ii", 'a'), change: func(o *encryption.Observed) { o.Uncounted = "forbidden" },
			reason: encryption.ServerUnseen, says: "forbidden",
		},
		"a server that does not say which it is": {
			world: settledWorld("i", "i", "ii", 'a'), change: func(o *encryption.Observed) { o.Servers[1].ID = "" },
			reason: encryption.ServerUnseen, says: "1: it does not say",
		},
		"a key that was taken from all files and is kept": {
			world: settledWorld("b", "b", "ab", 'b'), change: func(o *encryption.Observed) { o.Kept = []encryption.Key{keys['b'], keys['a']} },
			reason: encryption.ReadKeyRestored, files: [servers]string{"ba", ""},
		},
		"such a key goes to the others, too": {
			world: settledWorld("ba", "b", "ab", 'b'), reason: encryption.ReadKeySpread, files: [servers]string{"", "ba"},
		},
		"a server that cannot be seen holds everything back": {
			world: settledWorld("i", "i", "ii", 'a'), change: func(o *encryption.Observed) { o.Servers[1].Unseen = "timeout" },
			reason: encryption.ServerUnseen, says: "1: timeout",
		},
		"an agent that cannot be seen holds everything back": {
			world: settledWorld("ai", "ai", "aa", 'a'),
			change: func(o *encryption.Observed) {
				o.Servers[0].FileProblem, o.Servers[0].Detail = encryption.FileUnseen, "refused"
			},
			reason: encryption.ServerUnseen, says: "0: refused",
		},
		"somebody else's file is left alone": {
			world: settledWorld("i", "i", "ii", 'a'),
			change: func(o *encryption.Observed) {
				o.Servers[0].FileProblem, o.Servers[0].Detail = encryption.FileForeign, "it has a KMS provider"
			},
			reason: encryption.FileNotOurs, says: "KMS",
		},
		"a server that runs with another file than lies there": {
			world: world{file: [servers]string{"ia", "ia"}, runs: [servers]string{"ia", "i"}, objects: "ii", want: 'a'}, reason: encryption.Loading, says: "1 of 2",
		},
		"a file edited by hand, without the key that objects lie under": {
			world: settledWorld("b", "ba", "ab", 'b'), reason: encryption.ReadKeySpread, files: [servers]string{"ba", ""},
		},
		"a server that came back with an old file": {
			world: settledWorld("ba", "a", "ab", 'b'), reason: encryption.ReadKeySpread, files: [servers]string{"", "ab"},
		},
		"an object under the old key holds it": {
			world: settledWorld("ba", "ba", "abbb", 'b'), reason: encryption.Migrating, says: "3 of 4",
		},
		"an object under a key that no server has": {
			world: settledWorld("b", "b", "ab", 'b'), reason: encryption.Unreadable, says: "1 under secretbox/r0",
		},
		"even when another key is wanted": {
			world: settledWorld("b", "b", "ab", 'a'), reason: encryption.Unreadable,
		},
		"requests that are under way hold the old key": {
			world:  settledWorld("ba", "ba", "bb", 'b'),
			change: func(o *encryption.Observed) { o.Clean = 20 * time.Second },
			reason: encryption.Settling, says: "within 40s",
		},
		"revisions that can still be read hold the old key": {
			world:  settledWorld("ba", "ba", "bb", 'b'),
			change: func(o *encryption.Observed) { o.Compacted = false },
			reason: encryption.Settling, says: "--etcd-compaction-interval",
		},
		"the old key goes": {
			world: settledWorld("ba", "ba", "bb", 'b'), reason: encryption.OldKeyRemoved, files: [servers]string{"b", ""},
		},
		"and from the next": {
			world: settledWorld("b", "ba", "bb", 'b'), reason: encryption.OldKeyRemoved, files: [servers]string{"", "b"},
		},
		"but not from the next before that was seen for long enough": {
			world: settledWorld("b", "ba", "bb", 'b'), change: func(o *encryption.Observed) { o.Clean = 0 }, reason: encryption.Settling,
		},
		"it comes back when an object lies under it": {
			world: settledWorld("b", "ba", "ab", 'b'), reason: encryption.ReadKeySpread, files: [servers]string{"ba", ""},
		},
		"an old key goes as the next comes": {
			world: settledWorld("ai", "ai", "aa", 'b'), reason: encryption.ReadKeyAdded, files: [servers]string{"ab", ""},
		},
		"and so at the next server": {
			world: settledWorld("ab", "ai", "aa", 'b'), reason: encryption.ReadKeySpread, files: [servers]string{"", "ab"},
		},
		"where it waits as well": {
			world: settledWorld("ab", "ai", "aa", 'b'), change: func(o *encryption.Observed) { o.Clean = 0 }, reason: encryption.Settling,
		},
		"back, before anything was written with the new key": {
			world: settledWorld("ia", "ia", "ii", 'i'), reason: encryption.OldKeyRemoved, files: [servers]string{"i", ""},
		},
		"back, while some servers write with the new key": {
			world: settledWorld("ai", "ia", "ai", 'i'), reason: encryption.WriteKeyChanged, files: [servers]string{"ia", ""},
		},
		"back, in the middle of migration": {
			world: settledWorld("ba", "ba", "ab", 'a'), reason: encryption.WriteKeyChanged, files: [servers]string{"ab", ""},
		},
		"another wish waits for migration": {
			world: settledWorld("ba", "ba", "ab", 'i'), reason: encryption.Migrating,
		},
		"a file of somebody's own goes on with the key that it is written with": {
			world: settledWorld("21", "21", "22", '1'), reason: encryption.OldKeyRemoved, files: [servers]string{"2", ""},
		},
		"which is the one of most objects where they differ": {
			world: settledWorld("21", "12", "22", '1'), reason: encryption.WriteKeyChanged, files: [servers]string{"", "21"},
		},
		"not the first server's": {
			world: settledWorld("12", "21", "22", '1'), reason: encryption.WriteKeyChanged, files: [servers]string{"21", ""},
		},
		"nor even while it is not the one that is wanted": {
			world: settledWorld("12", "21", "22", 'b'), reason: encryption.WriteKeyChanged, files: [servers]string{"21", ""},
		},
		"which only etcd tells": {
			world: settledWorld("12", "21", "22", '1'), change: func(o *encryption.Observed) { o.Scan = nil }, reason: encryption.Scanning,
		},
		"but for keys that tell their age": {
			world: settledWorld("ba", "ab", "aa", 'b'), change: func(o *encryption.Observed) { o.Scan = nil },
			reason: encryption.WriteKeyChanged, files: [servers]string{"", "ba"},
		},
		"a server that came back with a key that was retired": {
			world: settledWorld("12", "2", "22", '1'), reason: encryption.ReadKeySpread, files: [servers]string{"", "21"},
		},
		"then the one that most servers write with": {
			world: settledWorld("12", "21", "12", '1'),
			change: func(o *encryption.Observed) {
				third := o.Servers[1]
				third.Name, third.ID = "2", "id-2"
				o.Servers = append(o.Servers, third)
			},
			reason: encryption.WriteKeyChanged, files: [servers]string{"21", ""},
		},
		"and then the first server's": {
			world: settledWorld("12", "21", "12", '1'), reason: encryption.WriteKeyChanged, files: [servers]string{"", "12"},
		},
		"and gives nobody a key that was only kept": {
			world: settledWorld("21", "2", "22", '1'), reason: encryption.OldKeyRemoved, files: [servers]string{"2", ""},
		},
		"even while it is not the one that is wanted": {
			world: settledWorld("21", "12", "22", 'b'), reason: encryption.WriteKeyChanged, files: [servers]string{"", "21"},
		},
		"another rotation replaces it": {
			world: settledWorld("2", "2", "22", 'b'), reason: encryption.ReadKeyAdded, files: [servers]string{"2b", ""},
		},
		"and so does a key of ours that is there": {
			world: settledWorld("2a", "2a", "22", 'a'), reason: encryption.WriteKeyChanged, files: [servers]string{"a2", ""},
		},
		"one that nobody writes with is not used": {
			world: settledWorld("i2", "i2", "ii", 'a'), reason: encryption.ReadKeyAdded, files: [servers]string{"ia", ""},
		},
		"nor is it while another of somebody's own is written with": {
			world: settledWorld("k2", "k2", "kk", 'a'), reason: encryption.ReadKeyAdded, files: [servers]string{"ka", ""},
		},
		"one of ours that nobody writes with yet is": {
			world: settledWorld("ia", "ia", "ii", 'a'), reason: encryption.WriteKeyChanged, files: [servers]string{"ai", ""},
		},
		"a lost file is put back as the server runs with it": {
			world: world{file: [servers]string{"", "ia"}, runs: [servers]string{"ia", "ia"}, objects: "ii", want: 'a'}, reason: encryption.FileRepaired, files: [servers]string{"ia", ""},
		},
		"a lost file of a server that is down": {
			world: world{file: [servers]string{"", "ba"}, runs: [servers]string{"", "ba"}, objects: "ab", want: 'b'}, reason: encryption.FileRepaired, files: [servers]string{"ba", ""},
		},
		"a lost file that its node has kept": {
			world:  world{file: [servers]string{"", "b"}, runs: [servers]string{"ba", "b"}, objects: "bb", want: 'b'},
			change: func(o *encryption.Observed) { o.Servers[0].Kept = map[string]encryption.Config{"ba": config(t, "ba")} },
			reason: encryption.FileRepaired, files: [servers]string{"ba", ""},
		},
		"all files are lost": {
			world: world{runs: [servers]string{"a", "a"}, objects: "aa", want: 'a'}, reason: encryption.FileLost,
		},
	} {
		t.Run(what, func(t *testing.T) {
			o := c.world.observed(t)
			if c.change != nil {
				c.change(&o)
			}
			step := encryption.Next(o, wants[c.world.want])
			if step.Action == encryption.AddKey {
				var err error
				if step, err = step.With(keys[c.world.want]); err != nil {
					t.Fatal(err)
				}
			}
			if step.Reason != c.reason || !strings.Contains(step.Message, c.says) {
				t.Errorf("%s: %s", step.Reason, step.Message)
			}
			var files [servers]string
			for i := range servers {
				if f, ok := step.Files[name[i]]; ok {
					files[i] = letters(f)
				}
			}
			if files != c.files {
				t.Errorf("files %q, not %q", files, c.files)
			}
			if halts := step.Action == encryption.Halt; halts && len(step.Files) > 0 {
				t.Error("it halts and writes")
			}
		})
	}
}

// TestSchedule: a key that is too old is replaced once, however long nobody
// looked.
func TestSchedule(t *testing.T) {
	w := settledWorld("a", "a", "aa", 'a')
	want := wants['a']
	want.MaxAge = 24 * time.Hour
	want.Now = began.Add(23 * time.Hour)
	if step := encryption.Next(w.observed(t), want); step.Action != encryption.Rest {
		t.Fatalf("before its time: %s %s", step.Reason, step.Message)
	}
	want.Now = began.Add(100 * 24 * time.Hour)
	step := encryption.Next(w.observed(t), want)
	if step.Action != encryption.AddKey {
		t.Fatalf("after its time: %s %s", step.Reason, step.Message)
	}
	made, err := encryption.NewKey(want.Provider, want.Rotation, want.Now, strings.NewReader(strings.Repeat("n", 64)))
	if err != nil {
		t.Fatal(err)
	}
	o := w.observed(t)
	var reasons []string
	for step.Action != encryption.Rest && len(reasons) < 20 {
		reasons = append(reasons, string(step.Reason))
		if step.Action == encryption.AddKey {
			if step, err = step.With(made); err != nil {
				t.Fatal(err)
			}
		}
		for i := range o.Servers {
			if c, ok := step.Files[name[i]]; ok {
				o.Servers[i].File = c
			}
		}
		if step.Action == encryption.Migrate {
			o.Scan.Objects = map[encryption.Ref]int{made.Ref: 2}
		}
		step = encryption.Next(o, want)
	}
	if got := strings.Join(reasons, " "); got != "ReadKeyAdded ReadKeySpread WriteKeyChanged WriteKeyChanged Migrating OldKeyRemoved OldKeyRemoved" {
		t.Errorf("it went on by %s", got)
	}
	for _, s := range o.Servers {
		if refs := s.File.Refs(); len(refs) != 1 || refs[0] != made.Ref {
			t.Errorf("%s has %v", s.Name, refs)
		}
	}
}

func TestKeysOfOneNameHalt(t *testing.T) {
	other, err := encryption.NewKey(encryption.Secretbox, 0, began, strings.NewReader(strings.Repeat("x", 32)+strings.Repeat("k", 8)))
	if err != nil {
		t.Fatal(err)
	}
	if other.Ref != keys['a'].Ref || other.Equal(keys['a']) {
		t.Fatalf("%v is not another key of the same name", other)
	}
	config, err := encryption.NewConfig(other)
	if err != nil {
		t.Fatal(err)
	}
	o := settledWorld("a", "a", "aa", 'a').observed(t)
	o.Servers[1].File = config
	if step := encryption.Next(o, wants['a']); step.Action != encryption.Halt || step.Reason != encryption.KeysDiffer {
		t.Errorf("%s %s: %s", step.Action, step.Reason, step.Message)
	}
}
