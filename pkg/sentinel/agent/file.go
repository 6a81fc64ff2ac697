package agent

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// Absent stands for the hash of a file that is not there.
const Absent = "absent"

// maxFile bounds what is read and taken: a hundred keys are 20 kB.
const maxFile = 1 << 20

// maxKept bounds how many copies are kept. A rotation makes some four.
const maxKept = 256

// ErrOutdated says that somebody who became the operator later has looked at the file
// since, that whoever looked did so too long ago, or that nobody has since the agent
// started.
var ErrOutdated = errors.New("another operator has looked at the file since, the look was too long ago, or the agent was restarted")

// ErrChanged says that the file is not the one that was to be replaced.
var ErrChanged = errors.New("the file has changed since it was looked at")

// maxLook is how long after a look something may be done that was decided on by it: a
// look at all servers, and one part of a scan, take a minute and a half at most.
const maxLook = 2 * time.Minute

// File is the encryption file of one API server.
type File struct {
	Path string
	// One at a time: who reads while a write hangs has to wait, or would take the
	// old file for the one that stays.
	mu sync.Mutex
	// term is that of the last operator who looked, and looked when. A later one has a
	// higher term.
	term   int64
	looked time.Time
}

// decides says whether an operator is the last who looked, and did so a moment ago. One
// that was paused is still the last where there is no other: what it had decided on may
// be no longer so. The time is this machine's, which goes on meanwhile.
func (f *File) decides(term int64) error {
	if term <= 0 || term != f.term || time.Since(f.looked) > maxLook {
		return ErrOutdated
	}
	return nil
}

// Read returns the file and its hash; of one that is not there nothing and Absent.
// From then on only an operator of this term may write, until one of a later term
// looks. A sound file is kept, so that its keys can come back.
func (f *File) Read(term int64) (content []byte, hash string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if term <= 0 || term < f.term {
		return nil, "", ErrOutdated
	}
	f.term, f.looked = term, time.Now()
	content, hash, err = f.read()
	if err != nil {
		return nil, "", err
	}
	return content, hash, f.keep(content, hash)
}

func (f *File) read() (content []byte, hash string, err error) {
	file, err := os.Open(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Absent, nil
	}
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	content, err = io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, "", err
	}
	if len(content) > maxFile {
		return nil, "", errors.New("the file is too large to be an encryption file")
	}
	return content, encryption.Hash(content), nil
}

// next is where a file is written before it takes the place of the one that is there.
func (f *File) next() string {
	return filepath.Join(filepath.Dir(f.Path), "."+filepath.Base(f.Path)+".next")
}

// Clean removes what a write left that did not come to its end.
func (f *File) Clean() error {
	if err := os.Remove(f.next()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Write replaces the file that has a hash, for the operator who looked last, and keeps its owner, and its mode but for
// what others may. Whoever reads meanwhile sees the old one or the new one, whole,
// and so does who reads after a power cut.
func (f *File) Write(content []byte, replaces string, term int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.decides(term); err != nil {
		return err
	}
	old, hash, err := f.read()
	if err != nil {
		return err
	}
	if hash != replaces {
		return ErrChanged
	}
	if err := f.keep(old, hash); err != nil {
		return err
	}
	if err := f.Clean(); err != nil {
		return err
	}
	file, err := os.OpenFile(f.next(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(f.own(file), write(file, content), file.Close())
	if err == nil {
		err = os.Rename(f.next(), f.Path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.next()))
	}
	return syncDir(filepath.Dir(f.Path))
}

// own gives a file to whoever has the one that it is to replace.
func (f *File) own(file *os.File) error {
	is, err := os.Stat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if to, ok := is.Sys().(*syscall.Stat_t); ok {
		if err := file.Chown(int(to.Uid), int(to.Gid)); err != nil {
			return err
		}
	}
	return file.Chmod(is.Mode().Perm()&0o770 | 0o600)
}

func write(file *os.File, content []byte) error {
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
