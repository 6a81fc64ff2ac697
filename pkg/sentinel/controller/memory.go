package controller

import (
	"fmt"
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
	clean struct {
		write         encryption.Ref
		since, looked time.Time
	}
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
	// forgot is the file of each server beside which nothing is kept.
	forgot map[string]string
	// escrowed are the recipients to whom all keys that nodes kept were encrypted.
	escrowed string
	// migrated is the key that the last migration brought all objects under that it
	// could, and when it ended.
	migrated struct {
		key encryption.Ref
		at  time.Time
	}
}

// distrust is how long a name counts for nothing after another server has answered by
// it: behind a load balancer each look meets another, and looks are seconds apart.
const distrust = 10 * time.Minute

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
	}
	for i := range l.observed.Servers {
		s := &l.observed.Servers[i]
		m.answered(s, now)
		s.Refused = m.refused(*s, l.failures[s.Name])
	}
	if !l.observed.StaysUnder(m.clean.write) || now.Sub(m.clean.looked) > maxGap {
		m.clean.write, m.clean.since = encryption.Ref{}, time.Time{}
	}
	m.clean.looked = now
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
		m.clean.write, m.clean.since = encryption.Ref{}, time.Time{}
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
