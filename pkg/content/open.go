package content

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ErrKind says that a name is not of the kind that was asked for, or was
// replaced while it was opened.
var ErrKind = errors.New("not what it was, or not of the kind that was expected")

// OpenFile opens a regular file within dir by its one-component name. It never
// follows a symbolic link and never blocks on a FIFO: what it opened must be
// the regular file that the name was before.
func OpenFile(dir *os.Root, name string) (*os.File, fs.FileInfo, error) {
	before, err := dir.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%w: %s is a %s", ErrKind, name, kindOf(before.Mode()))
	}
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	after, err := f.Stat()
	if err == nil && (!after.Mode().IsRegular() || !os.SameFile(before, after)) {
		err = fmt.Errorf("%w: %s", ErrKind, name)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, after, nil
}

// OpenDir opens a directory within dir by its one-component name. It never
// follows a symbolic link.
func OpenDir(dir *os.Root, name string) (*os.Root, error) {
	before, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, fmt.Errorf("%w: %s is a %s", ErrKind, name, kindOf(before.Mode()))
	}
	d, err := dir.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	after, err := d.Stat(".")
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("%w: %s", ErrKind, name)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func kindOf(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "regular file"
	case fs.ModeDir:
		return "directory"
	case fs.ModeSymlink:
		return "symbolic link"
	case fs.ModeNamedPipe:
		return "FIFO"
	case fs.ModeSocket:
		return "socket"
	}
	return "device"
}
