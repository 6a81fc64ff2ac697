package measurement

import (
	"context"
	"io"
	"io/fs"
	"os"
	"time"
)

// follower reads a file to which another process still appends. It is at its end
// only where the file has none to come.
type follower struct {
	ctx  context.Context //nolint:containedctx // io.Reader has no other place for it
	file *os.File
	poll time.Duration
	// whole says whether nobody appends to the file any more. It is asked at each
	// end that the file seems to have.
	whole func() bool
	// ended says when wait has ended: then every file is whole.
	ended <-chan struct{}
	// rest is how much is left to read once it was whole, in the state last: what is
	// appended even so is another state of the file.
	rest io.Reader
	last fs.FileInfo
}

// Read waits for bytes. It fails when the context ends.
func (f *follower) Read(p []byte) (int, error) {
	for {
		if f.ctx.Err() != nil {
			return 0, context.Cause(f.ctx)
		}
		if f.rest != nil {
			return f.rest.Read(p)
		}
		if closed(f.ended) {
			if err := f.finish(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := f.file.Read(p)
		if n > 0 || err != io.EOF {
			return n, err
		}
		if !f.whole() {
			pause(f.ctx, f.ended, f.poll)
			continue
		}
		if err := f.finish(); err != nil {
			return 0, err
		}
	}
}

// finish sets the rest of a file that is whole.
func (f *follower) finish() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	at, err := f.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	f.rest, f.last = io.LimitReader(f.file, max(0, info.Size()-at)), info
	return nil
}

// state is that of the file which was read: to its end, the one in which it was
// whole, as what seems wrong with a file that still grew says nothing of the
// whole; not so far, the one that it has now.
func (f *follower) state() (fs.FileInfo, error) {
	if f.last != nil {
		return f.last, nil
	}
	return f.file.Stat()
}

// closed says whether something has ended.
func closed(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// pause waits a time, or until the context or wait has ended.
func pause(ctx context.Context, ended <-chan struct{}, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-ended:
	case <-time.After(d):
	}
}
