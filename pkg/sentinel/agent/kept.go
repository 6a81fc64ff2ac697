package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// kept is the folder of the copies.
func (f *File) kept() string {
	return filepath.Join(filepath.Dir(f.Path), "."+filepath.Base(f.Path)+".kept")
}

func (f *File) copyOf(hash string) string {
	return filepath.Join(f.kept(), strings.TrimPrefix(hash, "sha256:"))
}

// keep puts a copy of a file aside, if its keys can be read and there is none yet.
func (f *File) keep(content []byte, hash string) error {
	if _, err := encryption.Parse(content, nil); err != nil || hash == Absent {
		return nil //nolint:nilerr // it has no key that we know how to give back
	}
	if _, err := os.Lstat(f.copyOf(hash)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Mkdir(f.kept(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := os.ReadDir(f.kept())
	if err != nil {
		return err
	}
	if len(entries) >= maxKept {
		return fmt.Errorf("%d copies of files are kept: no more is written before some of them go", len(entries))
	}
	// What an interrupted copy leaves has no hash for a name.
	file, err := os.CreateTemp(f.kept(), "next-") // it has mode 0600
	if err != nil {
		return err
	}
	err = errors.Join(write(file, content), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), f.copyOf(hash))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncDir(f.kept())
}

// Kept are the copies of files, by hash.
func (f *File) Kept(term int64) (map[string][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if term <= 0 || term != f.term {
		return nil, ErrOutdated
	}
	entries, err := os.ReadDir(f.kept())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	copies := map[string][]byte{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(f.kept(), e.Name()))
		if err != nil {
			return nil, err
		}
		// One that was damaged is no copy.
		if hash := encryption.Hash(content); f.copyOf(hash) == filepath.Join(f.kept(), e.Name()) {
			copies[hash] = content
		}
	}
	return copies, nil
}

// Forget removes all copies but that of the file that lies there, which must have a hash.
func (f *File) Forget(hash string, term int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.decides(term); err != nil {
		return err
	}
	if _, is, err := f.read(); err != nil {
		return err
	} else if is != hash || hash == Absent {
		return ErrChanged
	}
	entries, err := os.ReadDir(f.kept())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if path := filepath.Join(f.kept(), e.Name()); path != f.copyOf(hash) {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return errors.Join(err, syncDir(f.kept()))
}
