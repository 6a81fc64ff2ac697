package content

import (
	"errors"
	"hash"
	"io"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// Observer is shown each regular file of an output while it is measured, one after the
// other, so that nothing has to be read twice.
type Observer interface {
	// File shows a file by its path, which begins with the output's own name, and is
	// nothing else for an output that is one file. The observer may read of the
	// content; what it leaves is read after it. It must not keep the reader.
	File(path string, content io.Reader)
	// Sum says what the file was that was shown last.
	Sum(path string, size int64, sum artifact.Digest)
}

// hashShowing hashes content to its end. An observer, if there is one, may read of it
// first.
func hashShowing(to Observer, path string, content io.Reader, h hash.Hash, buffer []byte) (artifact.Digest, error) {
	h.Reset()
	// Hiding all but Read keeps CopyBuffer to our buffer.
	if to == nil {
		_, err := io.CopyBuffer(h, struct{ io.Reader }{content}, buffer)
		return artifact.DigestOf(h), err
	}
	s := &shown{content: io.TeeReader(content, h)}
	to.File(path, s)
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, s, buffer); err != nil {
		return "", err
	}
	sum := artifact.DigestOf(h)
	to.Sum(path, s.size, sum)
	return sum, nil
}

// shown is what an observer reads. It keeps the first error, which also is there if what
// it reads panicked and the observer recovered: then the rest is not read.
type shown struct {
	content io.Reader
	size    int64
	err     error
}

var errPanicked = errors.New("reading it panicked")

// Read reads unless an error was kept.
func (s *shown) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.err = errPanicked
	n, err := s.content.Read(p)
	s.size += int64(n)
	s.err = err
	return n, err
}
