package encryption_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// The model: a world of servers, a few objects and one operator, in which what
// can happen happens in every order. Keys are letters: i is identity, a and b
// are keys of secretbox for rotations 0 and 1. k and l are plugins, the same letters in
// upper case objects that lie under the next key of such a plugin. 1 and 2 are keys of
// somebody's own.
var (
	began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	keys  = map[byte]encryption.Key{
		'i': key(encryption.Identity, 0), 'a': key(encryption.Secretbox, 0), 'b': key(encryption.Secretbox, 1),
		'k': plugin("k", "/k.sock"), 'l': plugin("l", "/l.sock"), '1': theirs("key1", 5), '2': theirs("key2", 6),
	}
	letter = func() map[encryption.Ref]byte {
		m := map[encryption.Ref]byte{}
		for l, k := range keys {
			m[k.Ref] = l
		}
		return m
	}()
	wants = map[byte]encryption.Want{}
)

func init() {
	for l, k := range keys {
		wants[l] = encryption.Want{Provider: k.Provider, Rotation: k.Rotation(), Now: began, Settle: time.Minute}
		if k.Provider == encryption.KMS {
			wants[l] = encryption.Want{Provider: k.Provider, Plugin: pluginAt(k.Name, "/"+k.Name+".sock"), Now: began, Settle: time.Minute}
		}
	}
}

func pluginAt(name, path string) encryption.Plugin {
	return encryption.Plugin{Name: name, Endpoint: "unix://" + path, Timeout: 3 * time.Second}
}

func plugin(name, path string) encryption.Key {
	k, err := pluginAt(name, path).Key()
	if err != nil {
		panic(err)
	}
	return k
}

// refOf is what an object under a letter lies under.
func refOf(l byte) encryption.Ref { return refs[l] }

var refs = func() map[byte]encryption.Ref {
	m := map[byte]encryption.Ref{}
	for l, k := range keys {
		m[l] = k.Ref
		if k.Provider != encryption.KMS {
			continue
		}
		for _, under := range []byte{l, l &^ 0x20} {
			m[under] = encryption.Ref{Provider: k.Provider, Name: k.Name, ID: encryption.IDHash(string(under))}
		}
	}
	return m
}()

// key is always the same for the same arguments.
func key(p encryption.Provider, rotation int64) encryption.Key {
	k, err := encryption.NewKey(p, rotation, began.Add(time.Duration(rotation)*time.Second), bytes.NewReader(bytes.Repeat([]byte{byte('k' + rotation)}, 64)))
	if err != nil {
		panic(err)
	}
	return k
}

// theirs is a key whose name says nothing.
func theirs(name string, material int64) encryption.Key {
	k := key(encryption.Secretbox, material)
	k.Name = name
	return k
}

const servers = 2

var name = [servers]string{"0", "1"}

// world is one state; it is comparable, so that none is looked at twice.
type world struct {
	// wanted are the letters of what may be wanted.
	wanted string
	// next says that a server's plugins write with their next key. They read with both.
	nextKey [servers]bool
	// file of each server: letters, the first is written with; "" is gone.
	file [servers]string
	// runs is what each server has loaded; "" is a server that is down.
	runs [servers]string
	// late are keys that a server may still write with, by requests that began
	// under an earlier file.
	late [servers]string
	// clean says that all objects have lain under the one key that both servers write
	// with for the settling time, as the operator has seen it.
	clean bool
	// objects are the keys that objects lie under.
	objects string
	// pending are files that the operator has decided to write and has not yet.
	pending [servers]string
	want    byte
	// lost says that a file was lost, or could not be loaded: it happens once.
	lost bool
	// refuses is a server that cannot load its file for now.
	refuses [servers]bool
	// ill is a server that cannot use its plugins, for good.
	ill [servers]bool
	// hasty is an operator that does not wait for requests that are under way.
	hasty bool
}

func config(t testing.TB, letters string) encryption.Config {
	t.Helper()
	var read []encryption.Key
	for _, l := range []byte(letters) {
		read = append(read, keys[l])
	}
	c, err := encryption.NewConfig(read[0], read[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func letters(c encryption.Config) string {
	var b strings.Builder
	for _, r := range c.Refs() {
		b.WriteByte(letter[r])
	}
	return b.String()
}

func (w world) observed(t testing.TB) encryption.Observed {
	o := encryption.Observed{Scan: &encryption.Scan{Objects: map[encryption.Ref]int{}}}
	if w.clean {
		o.Clean, o.Compacted = time.Minute, true
	}
	for i := range servers {
		s := encryption.Server{Name: name[i], ID: "id-" + name[i], FileHash: w.file[i], Loaded: w.runs[i], Refused: w.refuses[i] && w.runs[i] != w.file[i]}
		if w.runs[i] == "" {
			s.Unseen = "down"
		}
		s.KeyIDs = map[string]string{"k": refOf(w.writesAs(i, 'k')).ID, "l": refOf(w.writesAs(i, 'l')).ID}
		if w.file[i] == "" {
			s.FileProblem, s.FileHash = encryption.FileGone, "gone"
		} else {
			s.File = config(t, w.file[i])
		}
		if w.ill[i] && s.File.Plugins() {
			s.PluginProblem, s.KeyIDs = "ill", nil
		}
		o.Servers = append(o.Servers, s)
	}
	for _, l := range []byte(w.objects) {
		o.Scan.Objects[refOf(l)]++
	}
	return o
}

// writesAs is what an object lies under that a server writes with a key.
func (w world) writesAs(i int, l byte) byte {
	if w.nextKey[i] && keys[l].Provider == encryption.KMS {
		return l &^ 0x20
	}
	return l
}

// decisions are those of worlds that look alike to the operator.
var decisions = map[world]encryption.Step{}

func (w world) next(t testing.TB) encryption.Step {
	alike := w
	alike.late, alike.pending, alike.lost = [servers]string{}, [servers]string{}, false
	step, ok := decisions[alike]
	if !ok {
		step = alike.decide(t)
		if len(step.Files) > 1 && step.Reason != encryption.FileRepaired {
			t.Errorf("%s changes %d files at once in %+v", step.Reason, len(step.Files), alike)
		}
		decisions[alike] = step
	}
	return step
}

func (w world) decide(t testing.TB) encryption.Step {
	want, o := wants[w.want], w.observed(t)
	if w.hasty {
		want.Settle, o.Compacted = 0, true
	}
	step := encryption.Next(o, want)
	if step.Action == encryption.AddKey {
		var err error
		if step, err = step.With(keys[w.want]); err != nil {
			t.Fatal(err)
		}
	}
	return step
}

// writes puts an object under a key in place of each of the others.
func (w world) writes(under byte, written func(world)) {
	for i := range len(w.objects) {
		objects := []byte(w.objects)
		objects[i] = under
		slices.Sort(objects)
		n := w
		n.objects = string(objects)
		written(n)
	}
}

// load makes a server run with its file; what it wrote with before may still be
// on its way.
func (w world) load(i int) world {
	if w.runs[i] != "" && w.runs[i][0] != w.file[i][0] {
		w.late[i] = union(w.late[i], string(w.writesAs(i, w.runs[i][0])))
	}
	w.runs[i] = w.file[i]
	return w
}

func union(a, b string) string {
	all := []byte(a + b)
	slices.Sort(all)
	return string(slices.Compact(all))
}

// moves tells all that can happen next. Migration is one object at a time: a
// write like any other.
func (w world) moves(t testing.TB, move func(by string, n world)) {
	if w.pending == [servers]string{} {
		step := w.next(t)
		n := w
		for i := range servers {
			if c, ok := step.Files[name[i]]; ok {
				n.pending[i] = letters(c)
			}
		}
		if n != w {
			move(string(step.Reason), n)
		}
	} else {
		n := w
		n.pending, n.clean = [servers]string{}, false
		move("operator killed", n)
	}
	if w.clean {
		n := w
		n.clean = false
		move("operator killed", n)
	}
	if w.looksClean(t) && !w.clean {
		n := w
		n.clean, n.late = true, [servers]string{}
		move("time passes", n)
	}
	for i := range servers {
		w.serverMoves(i, move)
	}
	for _, l := range []byte(w.wanted) {
		n := w
		n.want = l
		move("another want", n)
	}
}

func (w world) serverMoves(i int, move func(by string, n world)) {
	if w.pending[i] != "" {
		n := w
		n.file[i], n.pending[i] = w.pending[i], ""
		move("file written", n)
	}
	if w.runs[i] != "" {
		w.writes(w.writesAs(i, w.runs[i][0]), func(n world) { move("server writes", n) })
		n := w
		n.runs[i] = ""
		move("server stops", n)
	}
	if !w.nextKey[i] && strings.ContainsAny(w.wanted, "kl") {
		n := w
		n.nextKey[i] = true
		if w.runs[i] != "" && n.writesAs(i, w.runs[i][0]) != w.runs[i][0] {
			n.late[i] = union(w.late[i], w.runs[i][:1])
		}
		move("plugin's key changes", n)
	}
	for _, l := range []byte(w.late[i]) {
		w.writes(l, func(n world) { move("late write", n) })
	}
	if w.file[i] != "" && w.runs[i] != w.file[i] && !w.refuses[i] {
		move("server loads", w.load(i))
	}
	if w.file[i] != "" && !w.lost {
		n := w
		n.file[i], n.lost = "", true
		move("file lost", n)
	}
	if w.file[i] != w.runs[i] && w.file[i] != "" && w.runs[i] != "" && !w.lost {
		n := w
		n.refuses[i], n.lost = true, true
		move("file refused", n)
	}
	if strings.ContainsAny(w.wanted, "kl") && !w.lost {
		n := w
		n.ill[i], n.lost = true, true
		move("plugin falls ill", n)
	}
	if w.refuses[i] {
		n := w
		n.refuses[i] = false
		move("file can be loaded", n)
	}
}

// unreadable names an object that a running server cannot read.
func (w world) unreadable() string {
	for i, runs := range w.runs {
		for _, l := range []byte(w.objects) {
			if runs != "" && !strings.Contains(runs, string(l|0x20)) {
				return fmt.Sprintf("server %d runs with %s and cannot read an object under %c", i, runs, l)
			}
		}
	}
	return ""
}

// looksClean says whether all objects lie under the one key that both servers are seen
// to write with.
func (w world) looksClean(t testing.TB) bool {
	_, ok := w.observed(t).CleanUnder()
	return ok
}

// staysClean is the world once the operator has looked at it: what breaks the time
// that was measured ends it.
func (w world) staysClean(t testing.TB) world {
	if !w.clean {
		return w
	}
	o := w.observed(t)
	write := o.Servers[0].Writes()
	w.clean = o.StaysUnder(write) && o.Scan.Elsewhere(write) == 0
	return w
}

// mirrored is the world, or the same with the servers' places changed: both are
// alike, but where the first server's key may count.
func (w world) mirrored() world {
	if strings.ContainsAny(w.file[0]+w.file[1], "12") {
		return w
	}
	m := world{wanted: w.wanted, objects: w.objects, want: w.want, lost: w.lost, hasty: w.hasty, clean: w.clean}
	for i := range servers {
		j := servers - 1 - i
		m.file[i], m.runs[i], m.late[i], m.refuses[i], m.pending[i], m.nextKey[i], m.ill[i] = w.file[j], w.runs[j], w.late[j], w.refuses[j], w.pending[j], w.nextKey[j], w.ill[j]
	}
	if cmp.Or(
		cmp.Compare(m.file[0], w.file[0]), cmp.Compare(m.runs[0], w.runs[0]), cmp.Compare(m.pending[0], w.pending[0]),
		cmp.Compare(m.late[0], w.late[0]), compareBools(m.refuses[0], w.refuses[0]), compareBools(m.nextKey[0], w.nextKey[0]),
		compareBools(m.ill[0], w.ill[0]),
	) < 0 {
		return m
	}
	return w
}

func compareBools(a, b bool) int {
	if a == b {
		return 0
	}
	return map[bool]int{true: 1, false: -1}[a]
}

// calm is the world with the first of what settle does: what it makes no
// difference between.
func calm(w world) world {
	for i := range servers {
		if w.pending[i] != "" {
			w.file[i] = w.pending[i]
		}
		if w.file[i] != "" {
			w.runs[i] = w.file[i]
		}
	}
	w.pending, w.late, w.clean, w.lost, w.refuses = [servers]string{}, [servers]string{}, false, false, [servers]bool{}
	return w.oneKey()
}

// oneKey is the world once all plugins write with the key that one of them does.
func (w world) oneKey() world {
	if w.nextKey[0] || w.nextKey[1] {
		w.nextKey = [servers]bool{true, true}
	}
	return w
}

// needsPlugin says whether something is under a plugin, or is to be.
func (w world) needsPlugin() bool {
	return strings.ContainsAny(string(w.want)+w.file[0][:1]+w.file[1][:1]+strings.ToLower(w.objects), "kl")
}

// settle runs the world on without failures, as long as anything happens. A plugin that is
// ill is mended only where it is needed.
func (w world) settle(t testing.TB) (world, encryption.Step) {
	w = w.oneKey()
	w.refuses = [servers]bool{}
	for range 40 {
		for i := range servers {
			if w.pending[i] != "" {
				w.file[i] = w.pending[i]
			}
			if w.file[i] != "" {
				w = w.load(i)
			}
			w.late[i] = ""
		}
		w.pending = [servers]string{}
		w.clean = w.looksClean(t)
		step := w.next(t)
		switch step.Action {
		case encryption.Rest:
			return w, step
		case encryption.Migrate:
			w.objects = strings.Repeat(string(w.writesAs(0, w.runs[0][0])), len(w.objects))
		case encryption.WriteFiles, encryption.AddKey:
			for i := range servers {
				if c, ok := step.Files[name[i]]; ok {
					w.pending[i] = letters(c)
				}
			}
		default:
			if step.Reason != encryption.PluginUnusable || !w.needsPlugin() || w.ill == [servers]bool{} {
				return w, step
			}
			w.ill = [servers]bool{}
		}
	}
	return w, encryption.Step{Message: "it goes on forever"}
}
