package encryption

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Action is what has to be done next.
type Action string

// The actions. The zero value does nothing.
const (
	// Halt does nothing until what the step says is remedied.
	Halt Action = ""
	// WriteFiles writes the step's files.
	WriteFiles Action = "WriteFiles"
	// AddKey makes a key and writes the step's files with it, for reading.
	AddKey Action = "AddKey"
	// AwaitLoad waits until servers run with their files.
	AwaitLoad Action = "AwaitLoad"
	// AwaitSettle waits until nothing is left that began under an earlier key.
	AwaitSettle Action = "AwaitSettle"
	// ScanEtcd reads etcd and decides again.
	ScanEtcd Action = "Scan"
	// Migrate rewrites every object.
	Migrate Action = "Migrate"
	// Rest has nothing to do: every object lies under the one key there is.
	Rest Action = "Rest"
)

// Step is what has to be done next, and why.
type Step struct {
	Action Action
	// Reason is one word for conditions and events.
	Reason  Reason
	Message string
	// Files to be written, by the server's name.
	Files map[string]Config
	// Write is the key that all servers write with; none while they differ, or while
	// nobody knows.
	Write Ref
}

// Reason is one word for what a step is about.
type Reason string

// The reasons. docs/reference.md has them with these words. With Failed behind it, one
// says that the step could not be done.
const (
	NoServers        Reason = "NoServers"        // no API server is known; somebody has to help
	ServerUnseen     Reason = "ServerUnseen"     // a server cannot be seen; somebody has to help
	FileNotOurs      Reason = "FileNotOurs"      // somebody else wrote an encryption file; they have to help
	SameServer       Reason = "SameServer"       // two names are one server; somebody has to help
	ServerUnnamed    Reason = "ServerUnnamed"    // the cluster has an API server that no name is of; somebody has to help
	FileRefused      Reason = "FileRefused"      // a server cannot load its file; somebody has to help
	FileLost         Reason = "FileLost"         // a file is gone, and its keys are not known for certain; somebody has to help
	KeysDiffer       Reason = "KeysDiffer"       // one key name stands for two keys; somebody has to help
	PluginUnusable   Reason = "PluginUnusable"   // a server cannot use a KMS plugin, or does not say whether it can; somebody has to help
	PluginKeysDiffer Reason = "PluginKeysDiffer" // the servers' KMS plugins write with different keys; somebody has to help
	Unreadable       Reason = "Unreadable"       // objects lie under a key that no file has; somebody has to help
	FileRepaired     Reason = "FileRepaired"     // a file is put back
	ReadKeySpread    Reason = "ReadKeySpread"    // a key that one server reads with is given to all
	ReadKeyAdded     Reason = "ReadKeyAdded"     // a new key is added, for reading
	ReadKeyRestored  Reason = "ReadKeyRestored"  // a key that objects lie under is given back, for reading
	Loading          Reason = "Loading"          // servers have yet to load their file
	WriteKeyChanged  Reason = "WriteKeyChanged"  // servers begin to write with another key
	Settling         Reason = "Settling"         // what began with an earlier key has yet to end, or to be compacted
	Scanning         Reason = "Scanning"         // etcd is read
	Migrating        Reason = "Migrating"        // objects are written anew, under the key
	OldKeyRemoved    Reason = "OldKeyRemoved"    // a key that nothing lies under is taken away
	Proven           Reason = "Proven"           // every object lies under the key
)

func halt(reason Reason, format string, args ...any) Step {
	return Step{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Next is the next step. It changes one file at a time, and the next when every
// server runs with its own: a file that no server can load stops one. Files that
// are lost are the exception: they are put back at once.
func Next(o Observed, w Want) Step {
	if step, ok := sound(o); !ok {
		return step
	}
	all, err := union(o.Servers)
	if err != nil {
		return halt(KeysDiffer, "%v: nothing tells which of them an object was encrypted with", err)
	}
	if step, ok := awaitLoad(o.Servers); !ok {
		return step
	}
	// From here on every server runs with its file.
	step := running(o, w, all)
	if writes := o.Servers[0].Writes(); o.StaysUnder(writes) && (writes.Provider != KMS || writes.ID != "") {
		step.Write = writes
	}
	return step
}

// running is the next step where every server runs with its file.
func running(o Observed, w Want, all []Key) Step {
	if step, ok := usable(o, w, all); !ok {
		return step
	}
	if step, ok := spread(o, w, all); !ok {
		return step
	}
	// From here on every server is known to read what the others write.
	write, ok := target(all, o, w)
	if !ok {
		return scanFirst
	}
	if step, ok := promote(o.Servers, write); !ok {
		return step
	}
	// From here on every server writes with the same key, too.
	return prove(o, w, all)
}

// union are the keys of all files.
func union(servers []Server) ([]Key, error) {
	var keys []Key
	for _, s := range servers {
		keys = append(keys, s.File.Keys()...)
	}
	return Distinct(keys)
}

func awaitLoad(servers []Server) (Step, bool) {
	var late, refused []string
	plugins := false
	for _, s := range servers {
		if s.loaded() {
			continue
		}
		late = append(late, s.Name)
		if s.Refused {
			refused = append(refused, s.Name)
			plugins = plugins || s.File.Plugins()
		}
	}
	switch {
	case len(refused) > 0:
		message := fmt.Sprintf("%s cannot load the file that lies there, and runs with the one before: its log says why; do not restart it", strings.Join(refused, ", "))
		if plugins {
			message += ". A file is loaded only when each KMS plugin in it answers and can encrypt"
		}
		return halt(FileRefused, "%s", message), false
	case len(late) > 0:
		return Step{
			Action: AwaitLoad, Reason: Loading,
			Message: fmt.Sprintf("%d of %d servers run with their file; not yet: %s", len(servers)-len(late), len(servers), strings.Join(late, ", ")),
		}, false
	}
	return Step{}, true
}

// spread adds to a file what another has and every server needs: keys that a server
// writes with, that objects lie under, and the one that is wanted. It changes no
// write key, so it is safe whatever the servers run with. A key that some files lack
// and nothing needs is one that is leaving.
func spread(o Observed, w Want, all []Key) (Step, bool) {
	if alike(o.Servers) {
		return Step{}, true
	}
	if o.Scan == nil {
		return scanFirst, false
	}
	needed := map[Ref]bool{}
	for _, s := range o.Servers {
		needed[s.File.WriteRef()] = true
	}
	for _, k := range all {
		if o.Scan.Under(k.Ref) > 0 {
			needed[k.Ref] = true
		}
	}
	wanted, isThere := w.among(all, o)
	for _, s := range o.Servers {
		readable := lacks(s.File, all, needed)
		if len(readable) == 0 && (!isThere || s.File.Reads(wanted.Ref)) {
			continue
		}
		keep := slices.Concat(s.File.Keys(), readable)
		if isThere {
			keep = append(keep, wanted)
		}
		if len(readable) == 0 && leaving(o.Servers, needed, wanted.Ref) {
			// What leaves goes with what comes: both concern no object.
			if !o.Settled(w) {
				return settling(o, w), false
			}
			keep = slices.DeleteFunc(keep, func(k Key) bool { return !needed[k.Ref] && k.Ref != wanted.Ref })
		}
		return write(s, s.File.Write(), keep, ReadKeySpread, "adding keys that other servers have to the file of "+s.Name), false
	}
	return Step{}, true
}

// scanFirst reads etcd.
var scanFirst = Step{Action: ScanEtcd, Reason: Scanning, Message: "reading etcd"}

func alike(servers []Server) bool {
	for _, s := range servers {
		if !s.File.sameSet(servers[0].File) {
			return false
		}
	}
	return true
}

// lacks are the keys that a file should have and does not.
func lacks(c Config, all []Key, needed map[Ref]bool) []Key {
	return slices.DeleteFunc(slices.Clone(all), func(k Key) bool { return !needed[k.Ref] || c.Reads(k.Ref) })
}

// leaving says whether any file has a key that nothing needs, and all write alike.
func leaving(servers []Server, needed map[Ref]bool, wanted Ref) bool {
	found := false
	for _, s := range servers {
		if s.File.WriteRef() != servers[0].File.WriteRef() {
			return false
		}
		for _, r := range s.File.Refs() {
			found = found || !needed[r] && r != wanted
		}
	}
	return found
}

func settling(o Observed, w Want) Step {
	step := Step{Action: AwaitSettle, Reason: Settling}
	if left := w.Settle - o.Clean; left > 0 {
		step.Message = fmt.Sprintf("what began with an earlier key ends within %s", left.Round(time.Second))
	} else {
		step.Message = "etcd still has revisions in which objects lie under an earlier key, and a list may read them: the API servers compact them (--etcd-compaction-interval), or nobody does"
	}
	return step
}

// write is the step that changes one file.
func write(s Server, key Key, read []Key, reason Reason, message string) Step {
	config, err := NewConfig(key, read...)
	if err != nil {
		return halt(KeysDiffer, "%v", err)
	}
	return Step{Action: WriteFiles, Reason: reason, Message: message, Files: map[string]Config{s.Name: config}}
}

func promote(servers []Server, to Key) (Step, bool) {
	for _, s := range servers {
		if !s.File.Write().Equal(to) {
			return write(s, to, s.File.Keys(), WriteKeyChanged, fmt.Sprintf("making %s write with %s", s.Name, to.Ref)), false
		}
	}
	return Step{}, true
}

// prove is what follows once all servers write alike: every object is
// brought under the one key, which is proven from etcd, before another goes.
func prove(o Observed, w Want, all []Key) Step {
	if o.Scan == nil {
		return scanFirst
	}
	key, under := o.Servers[0].File.Write(), o.Servers[0].Writes()
	if refs := o.Scan.Unreadable(Config{keys: all}); len(refs) > 0 {
		return unreadable(o, refs)
	}
	if n := o.Scan.Elsewhere(under); n > 0 {
		return Step{Action: Migrate, Reason: Migrating, Message: fmt.Sprintf("%d of %d objects lie under %s; not yet: %s", o.Scan.Total()-n, o.Scan.Total(), under, elsewhere(*o.Scan, under))}
	}
	wanted := w.SatisfiedBy(key.Ref)
	only := Config{keys: []Key{key}}
	single := len(all) == 1
	if single && wanted {
		return Step{Action: Rest, Reason: Proven, Message: fmt.Sprintf("%d of %d objects lie under %s", o.Scan.Total(), o.Scan.Total(), under)}
	}
	// Only to take a key away has what is in flight to be over.
	if !single && !o.Settled(w) {
		return settling(o, w)
	}
	for _, s := range o.Servers {
		if wanted && !s.File.Equal(only) {
			return write(s, key, nil, OldKeyRemoved, fmt.Sprintf("no object lies under a key other than %s: removing those from the file of %s", key.Ref, s.Name))
		}
	}
	// What goes and what comes concern no object, so that both may be one step.
	return Step{Action: AddKey, Reason: ReadKeyAdded, Message: fmt.Sprintf("adding a key of %s for reading", w.Provider), Files: map[string]Config{o.Servers[0].Name: only}}
}

// unreadable gives back a key that was taken from all files although objects lie
// under it, if it was kept.
func unreadable(o Observed, refs []Ref) Step {
	for _, k := range o.Kept {
		if slices.ContainsFunc(refs, func(r Ref) bool { return r.inFile() == k.Ref }) {
			s := o.Servers[0]
			return write(s, s.File.Write(), append(s.File.Keys(), k), ReadKeyRestored, fmt.Sprintf("objects lie under %s, which no file has any more: giving it back to %s from what was kept", k.Ref, s.Name))
		}
	}
	return halt(Unreadable, "%s", missing(*o.Scan, refs))
}

// elsewhere names some objects that do not lie under a key.
func elsewhere(s Scan, r Ref) string {
	var examples []string
	for _, at := range slices.SortedFunc(maps.Keys(s.Examples), func(a, b Ref) int { return newestFirst(Key{Ref: a}, Key{Ref: b}) }) {
		if at != r {
			examples = append(examples, s.Examples[at]...)
		}
	}
	return strings.Join(examples, ", ")
}

func missing(s Scan, refs []Ref) string {
	var parts []string
	for _, r := range refs {
		parts = append(parts, fmt.Sprintf("%d under %s, which no server has: %s", s.Objects[r], r, strings.Join(s.Examples[r], ", ")))
	}
	return strings.Join(parts, "; ")
}

// With is the step with a key added for reading to all its files.
func (s Step) With(k Key) (Step, error) {
	if s.Action != AddKey {
		return Step{}, errors.New("the step asks for no key")
	}
	files := map[string]Config{}
	for name, c := range s.Files {
		added, err := NewConfig(c.Write(), append(c.Keys(), k)...)
		if err != nil {
			return Step{}, err
		}
		files[name] = added
	}
	s.Files = files
	s.Message = fmt.Sprintf("adding %s for reading", k.Ref)
	return s, nil
}

func names(files map[string]Config) string {
	return strings.Join(slices.Sorted(maps.Keys(files)), ", ")
}
