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
	// AwaitSettle waits until no request is left that began under an earlier file.
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
	// Write is the key that all servers write with; none while they differ.
	Write Ref
}

// Reason is one word for what a step is about.
type Reason string

// The reasons.
const (
	NoServers       Reason = "NoServers"
	ServerUnseen    Reason = "ServerUnseen"
	FileNotOurs     Reason = "FileNotOurs"
	FileLost        Reason = "FileLost"
	KeysDiffer      Reason = "KeysDiffer"
	Unreadable      Reason = "Unreadable"
	FileRepaired    Reason = "FileRepaired"
	ReadKeySpread   Reason = "ReadKeySpread"
	ReadKeyAdded    Reason = "ReadKeyAdded"
	Loading         Reason = "Loading"
	WriteKeyChanged Reason = "WriteKeyChanged"
	Settling        Reason = "Settling"
	Scanning        Reason = "Scanning"
	Migrating       Reason = "Migrating"
	OldKeyRemoved   Reason = "OldKeyRemoved"
	Proven          Reason = "Proven"
)

func halt(reason Reason, format string, args ...any) Step {
	return Step{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Next is the next step.
func Next(o Observed, w Want) Step {
	if step, ok := sound(o); !ok {
		return step
	}
	all, err := union(o.Servers)
	if err != nil {
		return halt(KeysDiffer, "%v: nothing tells which of them an object was encrypted with", err)
	}
	if step, ok := spread(o.Servers, all); !ok {
		return step
	}
	if step, ok := awaitLoad(o.Servers); !ok {
		return step
	}
	// From here on every server is known to read the same keys.
	write := target(o.Servers, w)
	if step, ok := promote(o.Servers, write); !ok {
		return step
	}
	// From here on every server writes with the same key, too.
	step := prove(o, w)
	step.Write = write.Ref
	return step
}

// sound holds everything back while a server cannot be seen, and puts back
// files that are lost.
func sound(o Observed) (Step, bool) {
	if len(o.Servers) == 0 {
		return halt(NoServers, "no API server is known"), false
	}
	var unseen, foreign []string
	for _, s := range o.Servers {
		switch {
		case s.FileProblem == FileUnseen:
			unseen = append(unseen, s.Name+": "+s.Detail)
		case s.Unseen != "" && !s.lost(): // without its file it cannot even start
			unseen = append(unseen, s.Name+": "+s.Unseen)
		case s.FileProblem == FileForeign:
			foreign = append(foreign, s.Name+": "+s.Detail)
		}
	}
	switch {
	case len(unseen) > 0:
		return halt(ServerUnseen, "%s", strings.Join(unseen, "; ")), false
	case len(foreign) > 0:
		return halt(FileNotOurs, "%s", strings.Join(foreign, "; ")), false
	}
	return repair(o.Servers)
}

// repair puts lost files back: to what the server runs with, if another server
// has that file, otherwise to what all others agree on. A server never loses a
// key by it that it would have kept: it had no file to load.
func repair(servers []Server) (Step, bool) {
	files := map[string]Config{}
	var lost []string
	for _, s := range servers {
		if !s.lost() {
			continue
		}
		config, ok := lostFile(s, servers)
		if !ok {
			lost = append(lost, fmt.Sprintf("%s: %s", s.Name, s.Detail))
			continue
		}
		files[s.Name] = config
	}
	switch {
	case len(lost) > 0:
		return halt(FileLost, "%s; no other server has the keys of this one for certain", strings.Join(lost, "; ")), false
	case len(files) > 0:
		return Step{Action: WriteFiles, Reason: FileRepaired, Message: "putting back the file of " + names(files), Files: files}, false
	}
	return Step{}, true
}

func lostFile(lost Server, servers []Server) (Config, bool) {
	var others []Server
	for _, s := range servers {
		if s.lost() {
			continue
		}
		if s.FileHash == lost.Loaded {
			return s.File, true
		}
		others = append(others, s)
	}
	if len(others) == 0 {
		return Config{}, false
	}
	for _, s := range others {
		if !s.loaded() || !s.File.Equal(others[0].File) {
			return Config{}, false
		}
	}
	return others[0].File, true
}

// union are the keys of all files.
func union(servers []Server) ([]Key, error) {
	all := servers[0].File
	for _, s := range servers[1:] {
		for _, k := range s.File.Keys() {
			has, err := all.has(k)
			if err != nil {
				return nil, err
			}
			if !has {
				all = Config{keys: append(all.Keys(), k)}
			}
		}
	}
	return all.Keys(), nil
}

// spread adds to every file what another has. It changes no write key and takes
// nothing away, so it is safe whatever the servers run with.
func spread(servers []Server, all []Key) (Step, bool) {
	files := map[string]Config{}
	for _, s := range servers {
		config, err := NewConfig(s.File.Write(), all...)
		if err != nil {
			return halt(KeysDiffer, "%v", err), false
		}
		if !config.sameSet(s.File) {
			files[s.Name] = config
		}
	}
	if len(files) == 0 {
		return Step{}, true
	}
	return Step{Action: WriteFiles, Reason: ReadKeySpread, Message: "adding keys that other servers have to the file of " + names(files), Files: files}, false
}

func awaitLoad(servers []Server) (Step, bool) {
	var late []string
	for _, s := range servers {
		if !s.loaded() {
			late = append(late, s.Name)
		}
	}
	if len(late) == 0 {
		return Step{}, true
	}
	return Step{
		Action: AwaitLoad, Reason: Loading,
		Message: fmt.Sprintf("%d of %d servers run with their file; not yet: %s", len(servers)-len(late), len(servers), strings.Join(late, ", ")),
	}, false
}

// target is the key that should be written with, of those that every server
// reads: the newest that is wanted. If there is none yet, the servers go on
// with the newest that one of them writes with, until all objects lie under it.
func target(servers []Server, w Want) Key {
	for _, k := range sorted(servers[0].File.Keys()) {
		if w.satisfiedBy(k.Ref) {
			return k
		}
	}
	var writes []Key
	for _, s := range servers {
		writes = append(writes, s.File.Write())
	}
	return sorted(writes)[0]
}

func promote(servers []Server, write Key) (Step, bool) {
	files := map[string]Config{}
	for _, s := range servers {
		if s.File.Write().Equal(write) {
			continue
		}
		config, err := NewConfig(write, s.File.Keys()...)
		if err != nil {
			return halt(KeysDiffer, "%v", err), false
		}
		files[s.Name] = config
	}
	if len(files) == 0 {
		return Step{}, true
	}
	return Step{Action: WriteFiles, Reason: WriteKeyChanged, Message: fmt.Sprintf("making %s write with %s", names(files), write.Ref), Files: files}, false
}

// prove is what follows once all servers read and write alike: every object is
// brought under the one key, which is proven from etcd, before another goes.
func prove(o Observed, w Want) Step {
	config := o.Servers[0].File
	write := config.Write()
	if o.Scan == nil {
		return Step{Action: ScanEtcd, Reason: Scanning, Message: "reading etcd"}
	}
	if refs := o.Scan.Unreadable(config); len(refs) > 0 {
		return halt(Unreadable, "%s", unreadable(*o.Scan, refs))
	}
	if n := o.Scan.Elsewhere(write.Ref); n > 0 {
		return Step{Action: Migrate, Reason: Migrating, Message: fmt.Sprintf("%d of %d objects lie under %s; not yet: %s", o.Scan.Total()-n, o.Scan.Total(), write.Ref, elsewhere(*o.Scan, write.Ref))}
	}
	wanted := w.satisfiedBy(write.Ref)
	only := Config{keys: []Key{write}}
	single := config.Equal(only)
	if single && wanted {
		return Step{Action: Rest, Reason: Proven, Message: fmt.Sprintf("%d of %d objects lie under %s", o.Scan.Total(), o.Scan.Total(), write.Ref)}
	}
	// Only to take a key away has what is in flight to be over.
	if wait := w.Settle - settled(o.Servers); !single && wait > 0 {
		return Step{Action: AwaitSettle, Reason: Settling, Message: fmt.Sprintf("requests that began with an earlier key end within %s", wait.Round(time.Second))}
	}
	files := map[string]Config{}
	for _, s := range o.Servers {
		files[s.Name] = only
	}
	if wanted {
		return Step{Action: WriteFiles, Reason: OldKeyRemoved, Message: fmt.Sprintf("no object lies under a key other than %s: removing those", write.Ref), Files: files}
	}
	// What goes and what comes concern no object, so that both may be one step.
	return Step{Action: AddKey, Reason: ReadKeyAdded, Message: fmt.Sprintf("adding a key of %s for reading", w.Provider), Files: files}
}

// settled is how long all servers have run with what they run with.
func settled(servers []Server) time.Duration {
	least := servers[0].For
	for _, s := range servers {
		least = min(least, s.For)
	}
	return least
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

func unreadable(s Scan, refs []Ref) string {
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
