package controller

import (
	"fmt"
	"slices"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// maxGap is the longest time without a look through which something is taken to have
// gone on: a server may load another file once a minute.
const maxGap = 90 * time.Second

// memory is what a controller knows of the past, which is lost with it: then it waits
// anew. All times are of its own clock.
type memory struct {
	// clean is since when every look has found that all servers write with the one key
	// that all objects lay under.
	clean clean
	// wrote is the key that each file that was seen writes with, by the file's hash.
	wrote map[string]encryption.Ref
	// failed is how often a server had failed to load files when a file was first seen
	// that it does not run with.
	failed map[string]failures
	// answers is who has answered by each name, and when that was another server last.
	answers map[string]answer
	// pending is a key that is in escrow, and that no file got yet.
	pending encryption.Key
	// reading is the scan under way, which began at a time.
	reading Reading
	began   time.Time
	// readAt is etcd's revision as of which the last scan has read.
	readAt int64
	// forgot is the file of each server beside which nothing is kept.
	forgot map[string]string
	// escrowed are the recipients to whom all keys that nodes kept were encrypted.
	escrowed string
	// migrated is about objects that are brought under a key.
	migrated migrated
}

type migrated struct {
	key encryption.Ref
	// at is when the last time through all objects ended.
	at time.Time
	// failing names the first object that could not be rewritten, failed that of the time
	// before, until it is known whether it can be now.
	failing, failed error
}

// distrust is how long a name counts for nothing after another server has answered by
// it: behind a load balancer each look meets another, and looks are seconds apart.
const distrust = 10 * time.Minute

type clean struct {
	write         encryption.Ref
	since, looked time.Time
	// revision is one of etcd's, as of which all had been clean for long enough; zero
	// before. compacted says that etcd has none any more from before it.
	revision  int64
	compacted bool
}

// maxWrote bounds how many files' keys are remembered: those of many rotations.
const maxWrote = 1000

type answer struct {
	id      string
	changed time.Time
}

type failures struct {
	file  string
	count float64
}

// remember compares a look with those before.
func (m *memory) remember(l *look, now time.Time) {
	if m.failed == nil {
		m.failed, m.forgot, m.answers = map[string]failures{}, map[string]string{}, map[string]answer{}
		m.wrote = map[string]encryption.Ref{}
	}
	if len(m.wrote) > maxWrote {
		clear(m.wrote)
	}
	for i := range l.observed.Servers {
		s := &l.observed.Servers[i]
		m.answered(s, now)
		s.Refused = m.refused(*s, l.failures[s.Name])
		if s.FileProblem == encryption.FileFine {
			m.wrote[s.FileHash] = s.File.WriteRef()
		}
	}
	if !l.observed.StaysUnder(m.clean.write) || m.strayed(l.observed) || now.Sub(m.clean.looked) > maxGap {
		m.clean = clean{}
	}
	m.clean.looked = now
}

// strayed says whether a server runs with a file that is not known to write with the key:
// one that came and went between two looks.
func (m *memory) strayed(o encryption.Observed) bool {
	inFile := m.clean.write
	inFile.ID = "" // which key a plugin writes with no file says: CleanUnder and StaysUnder look at that
	return slices.ContainsFunc(o.Servers, func(s encryption.Server) bool { return m.wrote[s.Loaded] != inFile })
}

// answered takes a server for unseen where different ones answer by its name: what one
// runs with says nothing of another.
func (m *memory) answered(s *encryption.Server, now time.Time) {
	if s.Unseen != "" || s.ID == "" {
		return
	}
	last, ok := m.answers[s.Name]
	switch {
	case !ok:
		last.id = s.ID
	case last.id != s.ID:
		last = answer{s.ID, now}
	}
	m.answers[s.Name] = last
	if wait := distrust - now.Sub(last.changed); !last.changed.IsZero() && wait > 0 {
		s.Unseen = fmt.Sprintf("the server: another one answered by this name not long ago; name each by its own address, not by that of a load balancer (where its host has got another name, it counts again in %s)", wait.Round(time.Second))
	}
}

// refused says whether a server has failed to load since the file that lies there was
// first seen. Failures are counted, for timestamps are of the server's clock.
func (m *memory) refused(s encryption.Server, count float64) bool {
	if s.Unseen != "" || s.FileProblem != encryption.FileFine {
		return false
	}
	if s.Loaded == s.FileHash {
		delete(m.failed, s.Name)
		return false
	}
	first, ok := m.failed[s.Name]
	if !ok || first.file != s.FileHash || count < first.count { // it counts anew after a restart
		m.failed[s.Name] = failures{s.FileHash, count}
		return false
	}
	return count > first.count
}

// rememberScan says for how long etcd had been clean when the scan began.
func (m *memory) rememberScan(o *encryption.Observed, now time.Time) {
	write, ok := o.CleanUnder()
	switch {
	case !ok:
		m.clean = clean{looked: m.clean.looked}
	case m.clean.since.IsZero():
		m.clean.write, m.clean.since = write, now
	default:
		o.Clean = max(0, m.began.Sub(m.clean.since))
	}
}

// read is how many objects the scan under way has read.
func (m *memory) read() int {
	total := 0
	for _, scan := range m.reading.Found() {
		total += scan.Total()
	}
	return total
}
