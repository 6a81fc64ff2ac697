package measurement

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/content"
)

// preview measures what the step's emissary packs, while it packs: then a
// processor is idle, and while wait uploads the copy of it that it staged, none
// is. The step can write there what it likes, so what was found is used for
// nothing but the tree of staged bytes that have the same digest.
type preview struct {
	*Watcher
	mu sync.Mutex
	// drafts are by path in main: what lies there is packed again for each output
	// that has it, to the same file.
	drafts map[string]*draft
}

// draft is what the preview finds at one path. The sum is set when done is
// closed, and nothing if there is an error.
type draft struct {
	done chan struct{}
	sum  content.Sum
	err  error
}

// run measures one packed file after the other until the context or wait has
// ended. Nothing that goes wrong here is told: what is staged is measured then.
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
		if o.Path == "" || o.Archive != content.ArchiveTar || p.known(o) {
			continue
		}
		if dir, name, err := p.packed(o); err == nil {
			return o, dir, name
		}
	}
	return Staged{}, nil, ""
}

func (p *preview) known(o Staged) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drafts[o.Path] != nil
}

// of is the draft of a staged output, finished or not. If there is none it will
// not be made any more, and nil is given; also if it is known to have failed.
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
	d.sum, d.err = p.read(ctx, dir, name)
}

func (p *preview) read(ctx context.Context, dir *os.Root, name string) (content.Sum, error) {
	f, _, err := content.OpenFile(dir, name)
	if err != nil {
		return content.Sum{}, err
	}
	defer f.Close()
	return content.Measure(ctx, &follower{ctx: ctx, file: f, poll: p.Poll, whole: p.whole, ended: p.ended})
}

// whole says that the emissary has packed an output whole: it packs one after
// the other, and then leaves the exit code, for which wait waits.
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
