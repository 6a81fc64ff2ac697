package measurement

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/reason"
)

// errNotMounted says that the folder itself is missing. That says nothing about
// outputs.
var errNotMounted = errors.New("volume of Argo's cannot be opened")

// folders lead from wait's /tmp to what it stages: artifacts (Argo's
// tempOutArtDir), and beside them logs (WorkflowExecutor.SaveLogs).
func folders(o Staged) []string {
	if o.Log {
		return []string{"argo", "outputs", "logs"}
	}
	return []string{"argo", "outputs", "artifacts"}
}

// read measures what is staged of an output, and gives its state: before the read,
// or, if it was followed while it grew, once it was whole. No folder on the way may
// be a symbolic link. It lists the files of a directory if there is room for them.
func (w *Watcher) read(ctx context.Context, o Staged, follow bool) (Bytes, stamp, error) {
	dir, name, info, err := w.find(o)
	if err != nil {
		return Bytes{}, stamp{}, err
	}
	defer dir.Close()
	if info.IsDir() && o.Archive == content.ArchiveNone && !o.Log && o.Place != PlacePacked {
		at := stampOf(ctx, o, dir, name, info)
		var images oci.Layout
		sum, files, err := content.MeasureDirShowing(ctx, dir, name, w.room(), o.Store.Kind().FollowsLinks, &images)
		return Bytes{Sum: sum, Files: files, Images: images.Images()}, at, err
	}
	f, info, err := content.OpenFile(dir, name)
	if err != nil {
		return Bytes{}, stamp{}, err
	}
	defer f.Close()
	if o.Place == PlacePacked {
		sum, files, err := content.MeasurePacked(ctx, f, w.room(), o.Store.Kind().FollowsLinks)
		if err == nil {
			err = o.comesBack(sum)
		}
		return Bytes{Sum: sum, Files: files}, stamp{info: info}, err
	}
	if !follow {
		b, err := w.sum(ctx, o, f, info.Size())
		if err == nil {
			err = o.comesBack(b.Sum)
		}
		return b, stamp{info: info}, err
	}
	growing := &follower{ctx: ctx, file: f, poll: w.Poll, whole: func() bool { return w.whole(o) }, ended: w.ended}
	b, err := w.sumGrowing(ctx, o, growing)
	info, failed := growing.state()
	switch {
	case failed != nil:
		return Bytes{}, stamp{}, failed
	case err == nil && info.Size() != b.Size:
		return Bytes{}, stamp{}, errChanged
	}
	return b, stamp{info: info}, err
}

// comesBack refuses what Argo would fetch as something else than it stored.
func (s Staged) comesBack(sum content.Sum) error {
	if k := s.Store.Kind(); k.EmptyFileIsDirectory && sum.Size == 0 && !sum.Form.IsDirectory() {
		return reason.New(reason.OutputUnreadable, "the file is empty, and Argo fetches it from %s as an empty directory", k.Title)
	}
	return nil
}

// sum measures a staged file of so many bytes. What a zip has in it is not looked at for
// images.
func (w *Watcher) sum(ctx context.Context, o Staged, f *os.File, size int64) (Bytes, error) {
	switch o.Archive {
	case content.ArchiveNone:
		if o.Log { // whoever writes it may pass on what a user sent
			sum, err := content.MeasureFile(ctx, f, size)
			return Bytes{Sum: sum}, err
		}
		images := oci.Layout{Until: w.late}
		sum, err := content.MeasureFileShowing(ctx, f, size, &images)
		return Bytes{Sum: sum, Images: images.Images()}, err
	case content.ArchiveZip:
		sum, err := content.MeasureZip(ctx, f, size)
		return Bytes{Sum: sum}, err
	case content.ArchiveTar, content.ArchiveDetect: // nothing is staged to be detected
	}
	return w.archived(ctx, f)
}

// archived measures an archive of Argo's.
func (w *Watcher) archived(ctx context.Context, r io.Reader) (Bytes, error) {
	images := oci.Layout{Until: w.late}
	sum, err := content.MeasureShowing(ctx, r, &images)
	if err != nil {
		return Bytes{}, err
	}
	return Bytes{Sum: sum, Images: images.Images()}, nil
}

// sumGrowing measures an archive while wait stages it, from the beginning to the
// end, once. If the preview has read the same bytes while the emissary packed them,
// their tree is known already.
func (w *Watcher) sumGrowing(ctx context.Context, o Staged, growing *follower) (Bytes, error) {
	draft := w.preview.of(o)
	if draft == nil {
		return w.archived(ctx, growing)
	}
	sum, err := content.Hash(growing)
	if err != nil {
		return Bytes{}, err
	}
	select {
	case <-ctx.Done():
		return Bytes{}, context.Cause(ctx)
	case <-draft.done:
	}
	if draft.err == nil && draft.found.SHA256 == sum.SHA256 && draft.found.Size == sum.Size {
		w.Log.Info("what is staged was read while it was packed", "output", o.Output)
		return draft.found, nil
	}
	if _, err := growing.file.Seek(0, io.SeekStart); err != nil {
		return Bytes{}, err
	}
	return w.archived(ctx, growing.file)
}

// whole says that wait writes no more of an output. It stages and uploads one
// output after the other, in order, so a later one that is staged shows it. Outputs
// that are not staged show nothing.
func (w *Watcher) whole(o Staged) bool {
	i := slices.IndexFunc(w.outputs, func(other *output) bool { return other.Output == o.Output })
	return closed(w.ended) || slices.ContainsFunc(w.outputs[i+1:], func(later *output) bool {
		_, err := w.stat(later.Staged)
		return err == nil && later.Place == ""
	})
}

// saving says that wait stages outputs, or has staged them. It makes their folder
// first, once every main container has ended.
func (w *Watcher) saving() bool {
	dir, err := w.dir(Staged{})
	if err != nil {
		return false
	}
	return dir.Close() == nil
}

// stat gives the state of what is staged of an output, but for what lies in it.
func (w *Watcher) stat(o Staged) (stamp, error) {
	dir, _, info, err := w.find(o)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info: info}, dir.Close()
}

// find opens the folder in which an output is read, and gives its name there and its
// state.
func (w *Watcher) find(o Staged) (*os.Root, string, fs.FileInfo, error) {
	var dir *os.Root
	var err error
	look := func() (string, fs.FileInfo, error) { return find(dir, o) }
	switch o.Place {
	case "":
		dir, err = w.dir(o)
	case PlacePacked:
		dir, err = openBelow(w.VarRun, packedIn(o)...)
		look = func() (string, fs.FileInfo, error) { return lstat(dir, path.Base(o.Path)+layout.ArchiveSuffix) }
	default:
		dir, err = openBelow("/", parents(path.Dir(o.Path))...)
		look = func() (string, fs.FileInfo, error) { return lstat(dir, path.Base(o.Path)) }
	}
	if err != nil {
		return nil, "", nil, err
	}
	name, info, err := look()
	if err != nil {
		return nil, "", nil, errors.Join(err, dir.Close())
	}
	return dir, name, info, nil
}

func lstat(dir *os.Root, name string) (string, fs.FileInfo, error) {
	info, err := dir.Lstat(name)
	return name, info, err
}

// packedIn are the folders below /var/run/argo that lead to where the emissary packs
// an output.
func packedIn(o Staged) []string {
	return append([]string{"outputs", "artifacts"}, parents(path.Dir(o.Path))...)
}

// parents are the names that lead to a clean, absolute path.
func parents(dir string) []string {
	return strings.FieldsFunc(dir, func(r rune) bool { return r == '/' })
}

// find gives name and state of what is staged of an output: a file, or the
// directory of an output that is stored as it is. Argo unpacks such an output under
// its name. A directory stays there, whole from the moment at which it has that
// name. A file gets the last part of its path as name. Links are refused: Argo
// would upload what they lead to.
func find(dir *os.Root, o Staged) (string, fs.FileInfo, error) {
	if o.Archive != content.ArchiveNone || o.Log {
		info, err := dir.Lstat(o.Name())
		return o.Name(), info, err
	}
	file, err := stateOf(dir, o.Name())
	if err != nil {
		return "", nil, err
	}
	unpacked, err := stateOf(dir, o.Output)
	switch {
	case err != nil:
		return "", nil, err
	case unpacked != nil && unpacked.IsDir() && (file == nil || o.Output == o.Name()):
		return o.Output, unpacked, nil
	case unpacked != nil && unpacked.IsDir():
		return "", nil, fmt.Errorf("%w: both %s and %s are there", content.ErrKind, o.Output, o.Name())
	case file == nil && unpacked != nil:
		return "", nil, fmt.Errorf("%w: %s was not given its name", content.ErrKind, o.Output)
	case file == nil:
		return "", nil, fs.ErrNotExist
	case file.IsDir():
		return "", nil, fmt.Errorf("%w: %s is a directory", content.ErrKind, o.Name())
	}
	return o.Name(), file, nil
}

// stateOf is the state of what has a name: nil if nothing has.
func stateOf(dir *os.Root, name string) (fs.FileInfo, error) {
	info, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}

// dir opens the folder in which wait stages the output.
func (w *Watcher) dir(o Staged) (*os.Root, error) {
	return openBelow(w.Dir, folders(o)...)
}

// openBelow opens a folder below a mounted one, by the names that lead there.
func openBelow(mounted string, names ...string) (*os.Root, error) {
	dir, err := os.OpenRoot(mounted)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotMounted, err)
	}
	for _, name := range names {
		below, err := content.OpenDir(dir, name)
		if closing := dir.Close(); err == nil && closing != nil {
			err = errors.Join(closing, below.Close())
		}
		if err != nil {
			return nil, err
		}
		dir = below
	}
	return dir, nil
}

// follower reads a file to which another process still appends. It reports the end
// only once nobody appends any more.
type follower struct {
	ctx  context.Context //nolint:containedctx // io.Reader has no other place for it
	file *os.File
	poll time.Duration
	// whole says whether nobody appends to the file any more. It is asked at each
	// end that the file seems to have.
	whole func() bool
	// ended says when wait has ended: then every file is whole.
	ended <-chan struct{}
	// rest is how much is left to read after the file was whole, and last its state
	// then. Bytes that are appended even so make another state.
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

// state is the state of the file that was read. If it was read to its end, that is
// the state in which it was whole: what seemed wrong while it grew says nothing of
// the whole. Else it is the state that it has now.
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
