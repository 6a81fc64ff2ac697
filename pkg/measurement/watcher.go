package measurement

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"sync"
	"time"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Watcher measures the staged outputs of one pod.
type Watcher struct {
	// Dir is where the /tmp of Argo's wait container is mounted.
	Dir string
	// VarRun is where Argo's /var/run/argo is mounted, in which the emissary packs
	// outputs for wait; empty if nothing is to be read there. It has to be set for
	// outputs of PlacePacked.
	VarRun string
	// Outputs are the output artifacts to measure, in the order of the
	// measurement.
	Outputs []Staged
	// Poll is the time between two looks at the folder. An archive is measured
	// while it grows, everything else once it looked the same twice.
	Poll time.Duration
	// Grace is how long Run may take after its context has ended.
	Grace time.Duration
	Log   *slog.Logger

	outputs []*output
	preview *preview
	ended   <-chan struct{}
	// late is closed when half of the grace is over: from then on nobody looks for images
	// in archives, which must not cost an output its digests.
	late <-chan struct{}
	// restOver is closed when nobody waits any more for the rest of an archive.
	restOver <-chan struct{}
}

// restWait is how long the rest of an archive may be late: less than the two seconds that
// the kubelet leaves a sidecar when the time of all others is over
// (minimumGracePeriodInSeconds).
const restWait = time.Second

// output is what is known of one of them.
type output struct {
	Staged
	followed bool // that it was looked at, and followed if it is an archive
	seen     stamp
	at       stamp // of the file that found is about
	found    Found // nil as long as nothing is known
	short    bool  // that found is a problem, because the archive ends before it is whole
}

// Run measures each output until ctx ends: an archive while it grows, everything
// else when it has come to rest. Then wait has ended, and nothing changes any more.
// Whatever is missing, or has changed since, is measured then, within the grace. An
// output that is not done by then has the problem MeasurementIncomplete. Of one in which
// images are looked for yet when half of the grace is over, none are named. Run always
// has an entry for each output.
//
// Where the pod's time is over, the kubelet tells us to end a moment before it kills wait,
// which may end well in that moment. So what wait stages is read again while it grows,
// for a second, where it was an archive that is short, or changed under the read.
func (w *Watcher) Run(ctx context.Context) Measurement {
	w.outputs = make([]*output, len(w.Outputs))
	for i, o := range w.Outputs {
		w.outputs[i] = &output{Staged: o}
	}
	w.ended = ctx.Done()
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	late := make(chan struct{})
	w.late = late
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(w.Grace, stop)
		time.AfterFunc(w.Grace/2, func() { close(late) })
	})()

	w.preview = &preview{Watcher: w, drafts: map[string]*draft{}}
	if w.VarRun != "" {
		var previewing sync.WaitGroup
		previewing.Go(func() { w.preview.run(work) })
		defer previewing.Wait()
		defer stop()
	}
	w.Log.Info("watching", "dir", w.Dir, "outputs", fmt.Sprint(w.Outputs))
	ticker := time.NewTicker(w.Poll)
	defer ticker.Stop()
	for ctx.Err() == nil {
		for _, o := range w.outputs {
			w.look(work, o)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	waiting, end := context.WithTimeout(work, restWait)
	defer end()
	w.restOver = waiting.Done()
	m := make(Measurement, len(w.outputs))
	for i, o := range w.outputs {
		m[i] = Entry{Output: o.Output, Found: w.finish(work, o)}
	}
	return m
}

// look measures an output once its file looks as it did the last time. It follows an
// archive from the first time on. An output that wait does not stage it measures once
// main has ended.
func (w *Watcher) look(ctx context.Context, o *output) {
	if o.Place != "" && !w.saving() {
		return
	}
	now, err := w.stat(o.Staged)
	if err != nil {
		return // not there yet; finish says what is wrong
	}
	rests, follow := now.alike(o.seen), o.Archive == content.ArchiveTar && !o.followed
	o.seen, o.followed = now, true
	if (rests || follow) && !now.alike(o.at) { // finish looks into directories
		_ = w.measure(ctx, o, follow) // finish tries again and says what is wrong
	}
}

// finish says what there is of an output that nobody writes any more.
func (w *Watcher) finish(ctx context.Context, o *output) Found {
	err := w.catchUp(ctx, o)
	// Elsewhere others than wait may write, and this would give them a second more.
	for o.Place == "" && (o.short || errors.Is(err, errChanged)) && !closed(w.restOver) {
		pause(ctx, w.restOver, w.Poll)
		err = w.catchUp(ctx, o)
	}
	if err != nil {
		code := problemOf(err)
		w.Log.Warn("output has no measurement", "output", o.Output, "problem", code, "error", err.Error())
		return unmeasured(code, err)
	}
	return o.found
}

// catchUp measures an output unless what is there now has been measured.
func (w *Watcher) catchUp(ctx context.Context, o *output) error {
	now, err := w.state(ctx, o.Staged)
	if err == nil && !now.same(o.at) {
		err = w.measure(ctx, o, false)
	}
	return err
}

// errChanged says that a file was not the same before and after it was read.
var errChanged = errors.New("file changed while it was measured")

// measure reads an output's file, or follows it while it grows. It notes what it
// found, or the problem of the bytes. If it cannot tell, it notes nothing.
func (w *Watcher) measure(ctx context.Context, o *output, follow bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = reason.New(reason.Internal, "panic: %v", p)
		}
	}()
	o.at, o.found, o.short = stamp{}, nil, false
	began := time.Now()
	stored, at, err := w.read(ctx, o.Staged, follow)
	var found Found = stored
	var problem Problem
	var refusal *reason.Error
	switch {
	case errors.As(err, &refusal):
		w.Log.Warn("output cannot be measured", "output", o.Output, "error", refusal.Error())
		problem = unmeasured(refusal.Code, err)
		found, stored = problem, Bytes{}
	case err != nil:
		return err
	}
	if after, err := w.stat(o.Staged); err != nil {
		return err
	} else if !after.alike(at) {
		return errChanged
	}
	o.at, o.found, o.short = at, found, refusal != nil && (errors.Is(refusal, io.ErrUnexpectedEOF) || errors.Is(refusal, io.EOF))
	w.Log.Info("output read", "output", o.Output, "form", stored.Form, "size", stored.Size, "sha256", stored.SHA256,
		"tree", stored.Tree, "images", len(stored.Images), "problem", problem.Code, "seconds", time.Since(began).Seconds())
	return nil
}

// room is how many bytes the files of another directory may take, so that those
// of all need constant memory.
func (w *Watcher) room() int {
	room := content.MaxListing
	for _, o := range w.outputs {
		room -= Entry{Found: o.found}.files().Len()
	}
	return room
}

// unmeasured is the problem of an output that was not measured, with what is wrong.
// An output that was not staged needs no words.
func unmeasured(code reason.Code, why error) Problem {
	var refusal *reason.Error
	text := why.Error()
	switch {
	case code == reason.OutputAbsent:
		text = ""
	case errors.As(why, &refusal):
		text = refusal.Detail
	}
	return NewProblem(code, text)
}

// problemOf says which problem of an output an error is.
func problemOf(err error) reason.Code {
	var refusal *reason.Error
	switch {
	case errors.As(err, &refusal):
		return refusal.Code
	case errors.Is(err, errNotMounted):
		return reason.MeasurementIncomplete
	case errors.Is(err, fs.ErrNotExist):
		return reason.OutputAbsent
	case errors.Is(err, content.ErrKind), errors.Is(err, fs.ErrPermission): // wait may have a user that only its image names
		return reason.OutputUnreadable
	}
	return reason.MeasurementIncomplete
}

// preview measures outputs while the step's emissary packs them. A processor is
// idle then, and none is once wait uploads its staged copy. But the step can write
// what it likes there. So the result is used only for the tree of staged bytes that
// have the same digest.
type preview struct {
	*Watcher
	mu sync.Mutex
	// drafts are by path in main: what lies there is packed again for each output
	// that has it, to the same file.
	drafts map[string]*draft
}

// draft is what the preview finds at one path. It is set when done is closed, and
// nothing if there is an error.
type draft struct {
	done  chan struct{}
	found Bytes
	err   error
}

// run measures one packed file after the other, until the context or wait has
// ended. It reports no errors: the staged output is measured in any case.
func (p *preview) run(ctx context.Context) {
	for ctx.Err() == nil && !closed(p.ended) {
		o, dir, name := p.next()
		if dir == nil {
			if p.over() {
				return
			}
			pause(ctx, p.ended, p.Poll)
			continue
		}
		p.measure(ctx, o, dir, name)
	}
}

// next opens the folder of an output that is packed, or being packed, and has
// no draft yet.
func (p *preview) next() (Staged, *os.Root, string) {
	for _, o := range p.Outputs {
		if o.Path == "" || o.Archive != content.ArchiveTar || p.has(o) {
			continue
		}
		if dir, name, err := p.packed(o); err == nil {
			return o, dir, name
		}
	}
	return Staged{}, nil, ""
}

func (p *preview) has(o Staged) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drafts[o.Path] != nil
}

// of is the draft of a staged output, finished or not. It is nil if there is none,
// because none will be made any more, and if the draft is known to have failed.
func (p *preview) of(o Staged) *draft {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.drafts[o.Path]
	if d == nil {
		p.drafts[o.Path] = &draft{}
	}
	if d == nil || d.done == nil || closed(d.done) && d.err != nil {
		return nil
	}
	return d
}

// begin makes the draft of an output; nil if it is staged already.
func (p *preview) begin(o Staged) *draft {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drafts[o.Path] != nil {
		return nil
	}
	d := &draft{done: make(chan struct{})}
	p.drafts[o.Path] = d
	return d
}

func (p *preview) measure(ctx context.Context, o Staged, dir *os.Root, name string) {
	defer dir.Close()
	d := p.begin(o)
	if d == nil {
		return
	}
	defer close(d.done)
	d.found, d.err = p.read(ctx, dir, name)
}

func (p *preview) read(ctx context.Context, dir *os.Root, name string) (Bytes, error) {
	f, _, err := content.OpenFile(dir, name)
	if err != nil {
		return Bytes{}, err
	}
	defer f.Close()
	return p.archived(ctx, &follower{ctx: ctx, file: f, poll: p.Poll, whole: p.whole, ended: p.ended})
}

// whole says that the emissary has packed the whole of an output. It packs one
// after the other, and leaves the exit code last, for which wait waits.
func (p *preview) whole() bool {
	if p.over() {
		return true
	}
	_, dir, _ := p.next()
	if dir == nil {
		return false
	}
	_ = dir.Close()
	return true
}

// over says that nothing is packed any more.
func (p *preview) over() bool {
	if closed(p.ended) {
		return true
	}
	root, err := os.OpenRoot(p.VarRun)
	if err != nil {
		return false
	}
	defer root.Close()
	_, err = root.Lstat("ctr/main/exitcode")
	return err == nil
}

// packed opens the folder where the emissary packs an output, and names the file
// that is there.
func (p *preview) packed(o Staged) (*os.Root, string, error) {
	name := path.Base(o.Path) + layout.ArchiveSuffix
	dir, err := openBelow(p.VarRun, packedIn(o)...)
	if err != nil {
		return nil, "", err
	}
	info, err := dir.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrInvalid
	}
	if err != nil {
		return nil, "", errors.Join(err, dir.Close())
	}
	return dir, name, nil
}
