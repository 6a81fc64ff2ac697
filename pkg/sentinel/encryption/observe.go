package encryption

import (
	"slices"
	"time"
)

// Want is what the resource asks for.
type Want struct {
	// Provider encrypts, or is identity.
	Provider Provider
	// Rotation is part of the name of the key that is written with: another
	// number asks for another key.
	Rotation int64
	// MaxAge of the key that is written with; zero asks for none.
	MaxAge time.Duration
	// Plugin is that of kms. Which key it writes with, and since when, is its own: neither
	// Rotation nor MaxAge is about it.
	Plugin Plugin
	// Now is what ages are measured against.
	Now time.Time
	// Settle is how long etcd must have been clean before a key leaves: a write that
	// began under it has ended by then. The API server ends requests after a minute.
	Settle time.Duration
}

// maxSkew is how far ahead of the clock a key's time may lie: two clocks differ by some.
const maxSkew = time.Hour

// SatisfiedBy says whether a key is one that may be written with for good.
func (w Want) SatisfiedBy(r Ref) bool {
	if r.Provider != w.Provider {
		return false
	}
	if r.Provider == Identity {
		return true
	}
	if r.Provider == KMS {
		return r.Name == w.Plugin.Name
	}
	if r.Rotation() != w.Rotation || w.MaxAge <= 0 {
		return r.Rotation() == w.Rotation
	}
	// A key that was made by a clock years ahead would be young for years. Nobody knows how
	// old it is, so it is too old: once the clock is right, one that is made by it is not.
	age := w.Now.Sub(r.Created())
	return age < w.MaxAge && age > -maxSkew
}

// Observed is the whole of what a decision is based on.
type Observed struct {
	// Servers are all API servers that have names.
	Servers []Server
	// Others are API servers that the cluster has, and that answer by none of these names.
	Others []string
	// Uncounted says why nobody knows which API servers there are; empty if it is known.
	Uncounted string
	// Scan is what etcd holds, read after the servers were looked at; nil if it
	// was not read.
	Scan *Scan
	// Clean is how long, when the scan began, every server had been seen to write
	// with the one key that all objects lay under. It is measured by whoever looks, by
	// one clock that only goes on: the servers' clocks do not matter.
	Clean time.Duration
	// Compacted says that etcd has no revision any more from before it had been clean for
	// Settle: a list of an old one, or its next page, would meet the earlier key there.
	Compacted bool
	// Kept are keys that were in files once. They are asked for where an object lies
	// under a key that no file has.
	Kept []Key
}

// Settled says whether nothing can meet an earlier key any more, in etcd or on the way
// to it.
func (o Observed) Settled(w Want) bool { return o.Clean >= w.Settle && o.Compacted }

// CleanUnder is the key that every server runs and writes with, if all objects lie
// under it.
func (o Observed) CleanUnder() (Ref, bool) {
	if o.Scan == nil || len(o.Servers) == 0 {
		return Ref{}, false
	}
	write := o.Servers[0].Writes()
	if write.Provider == KMS && write.ID == "" {
		return Ref{}, false
	}
	for _, s := range o.Servers {
		if !s.loaded() {
			return Ref{}, false
		}
	}
	return write, o.StaysUnder(write) && o.Scan.Elsewhere(write) == 0
}

// StaysUnder says whether nothing that is seen speaks of a server that writes with
// another key: one that does not run with its file yet ran with the one before.
func (o Observed) StaysUnder(write Ref) bool {
	for _, s := range o.Servers {
		if s.Unseen != "" || s.FileProblem != FileFine || s.Writes() != write {
			return false
		}
	}
	return len(o.Servers) > 0
}

// Unreadable says of which objects the scan found that no file has their key; empty: of none.
func (o Observed) Unreadable() string {
	if o.Scan == nil {
		return ""
	}
	refs := slices.DeleteFunc(o.Scan.Unreadable(Config{}), func(r Ref) bool {
		return slices.ContainsFunc(o.Servers, func(s Server) bool { return s.FileProblem == FileFine && s.File.Reads(r) })
	})
	return missing(*o.Scan, refs)
}

// Server is one API server and its file.
type Server struct {
	Name string
	// ID is what the server says that it is. Two names with one ID are one server.
	ID string
	// Unseen says why the server does not tell what it runs with; empty if it does.
	Unseen string
	// File is the parsed file. It counts only if FileProblem is none.
	File        Config
	FileProblem FileProblem
	// Detail is why the file has a problem. It quotes nothing of the file.
	Detail string
	// FileHash is that of the file's bytes, Loaded the one that the server says
	// it runs with.
	FileHash, Loaded string
	// KeyIDs are IDHash of the key that each plugin, by its name, has told the server to
	// write with.
	KeyIDs map[string]string
	// PluginProblem is why the server cannot use a plugin of the file that it runs with, or
	// why nobody knows; empty if it can, or has none.
	PluginProblem string
	// Refused says that the server has tried to load the file that lies there, and
	// could not.
	Refused bool
	// Kept are copies of files that its node has kept, by the hash of their bytes. They
	// are asked for where the file is lost.
	Kept map[string]Config
}

// FileProblem says whether a file can be worked with.
type FileProblem string

// The problems of files. A file that is gone or damaged is put back; one that
// is sound and says something else belongs to somebody, and is left alone. One
// that cannot be seen says nothing.
const (
	FileFine    FileProblem = ""
	FileGone    FileProblem = "Gone"
	FileDamaged FileProblem = "Damaged"
	FileForeign FileProblem = "Foreign"
	FileUnseen  FileProblem = "Unseen"
)

// loaded says whether the server runs with the file that lies there.
func (s Server) loaded() bool {
	return s.Unseen == "" && s.FileProblem == FileFine && s.Loaded == s.FileHash
}

// Writes is the key that the server writes with, by its file and its plugin. While the
// plugin cannot be used nobody knows the key, and it has no ID.
func (s Server) Writes() Ref {
	write := s.File.WriteRef()
	if write.Provider == KMS && s.PluginProblem == "" {
		write.ID = s.KeyIDs[write.Name]
	}
	return write
}

// lost says whether the file has to be put back.
func (s Server) lost() bool { return s.FileProblem == FileGone || s.FileProblem == FileDamaged }

// Scan counts objects by the key that they lie under.
type Scan struct {
	Objects map[Ref]int
	// Examples names some objects of each key.
	Examples map[Ref][]string
}

// Add counts what another scan found, too.
func (s *Scan) Add(o Scan) {
	for r, n := range o.Objects {
		s.Objects[r] += n
		s.Examples[r] = append(s.Examples[r], o.Examples[r]...)
	}
}

// Total is the number of objects.
func (s Scan) Total() int {
	total := 0
	for _, n := range s.Objects {
		total += n
	}
	return total
}

// Elsewhere is the number of objects that do not lie under a key.
func (s Scan) Elsewhere(r Ref) int { return s.Total() - s.Objects[r] }

// Under is the number of objects that lie under a key, as files name it: for a plugin
// under any of its keys.
func (s Scan) Under(r Ref) int {
	total := 0
	for under, n := range s.Objects {
		if under.inFile() == r.inFile() {
			total += n
		}
	}
	return total
}

// Unreadable are the keys that objects lie under and that a configuration does
// not have.
func (s Scan) Unreadable(c Config) []Ref {
	var refs []Ref
	for r, n := range s.Objects {
		if n > 0 && !c.Reads(r) {
			refs = append(refs, r)
		}
	}
	slices.SortFunc(refs, func(a, b Ref) int { return newestFirst(Key{Ref: a}, Key{Ref: b}) })
	return refs
}
