package gobuild

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Progress shows one step after the other with the time it has taken so far.
// On a terminal one line ticks every second; elsewhere (a log, CI) a line
// appears when a step starts and ends, and about every ten seconds between.
type Progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration // between two lines of the same step
	now      func() time.Time

	mu      sync.Mutex
	step    string
	note    string
	started time.Time
	stop    chan struct{}
	stopped chan struct{}
}

// NewProgress shows progress on f, usually os.Stderr.
func NewProgress(f *os.File) *Progress {
	p := newProgress(f, term.IsTerminal(int(f.Fd())), time.Now)
	return p
}

func newProgress(w io.Writer, terminal bool, now func() time.Time) *Progress {
	p := &Progress{w: w, terminal: terminal, every: 10 * time.Second, now: now}
	if terminal {
		p.every = time.Second
	}
	return p
}

// Start begins a step. Steps do not nest: the one before must have ended.
func (p *Progress) Start(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.note, p.started = step, "", p.now()
	p.stop, p.stopped = make(chan struct{}), make(chan struct{})
	p.print()
	go p.tick(p.stop, p.stopped)
}

// Note tells what the step is doing at the moment.
func (p *Progress) Note(note string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = note
}

// Done ends a step that succeeded.
func (p *Progress) Done() { p.end("done") }

// Fail ends a step that did not.
func (p *Progress) Fail() { p.end("failed") }

func (p *Progress) end(result string) {
	close(p.stop)
	<-p.stopped
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.w, "%s: %s after %s\n", p.step, result, p.elapsed())
}

// tick repeats the line until the step ends.
func (p *Progress) tick(stop, stopped chan struct{}) {
	defer close(stopped)
	t := time.NewTicker(p.every)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			p.mu.Lock()
			p.print()
			p.mu.Unlock()
		}
	}
}

// print writes the current state; the caller holds the lock.
func (p *Progress) print() {
	line := fmt.Sprintf("%s: %s", p.step, p.elapsed())
	if p.note != "" {
		line += " (" + p.note + ")"
	}
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	p.clear()
	if len(line) > 100 {
		line = line[:100] // one row, or \r cannot take it back
	}
	fmt.Fprint(p.w, line)
}

// clear takes back the ticking line.
func (p *Progress) clear() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func (p *Progress) elapsed() time.Duration {
	return p.now().Sub(p.started).Round(time.Second)
}
