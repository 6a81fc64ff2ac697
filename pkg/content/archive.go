package content

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Sum is what was found of one staged output.
type Sum struct {
	// Form is what the stored bytes are.
	Form Form
	// Size is the number of stored bytes.
	Size int64
	// SHA256 is the digest of all stored bytes.
	SHA256 artifact.Digest
	// Tree is the digest of what they unpack to, or of the file that they are.
	Tree artifact.Digest
	// Plain is what Tree would be if no file were executable, for FormTar; empty if
	// none is. It is all that can be compared where Argo sets a mode on everything
	// that it unpacked.
	Plain artifact.Digest
}

// Measure reads a staged tar+gzip archive once. It gives the digest of its bytes
// and of the tree that they unpack to. It refuses as OutputUnreadable an archive
// that Argo would not unpack, or of which it is in doubt what Argo would unpack. An
// error of r or the caller's context is returned as it is.
//
// Three goroutines share the work: one reads and hashes the stored bytes, one
// decompresses, one hashes the tree. Memory is constant. What follows the archive's
// end mark is part of the stored bytes, but is not decompressed, as Argo does not
// either. The ratio of compression needs no bound: nothing is written anywhere, and
// the caller's context bounds the time.
func Measure(caller context.Context, r io.Reader) (Sum, error) {
	return MeasureShowing(caller, r, nil)
}

// MeasureShowing is Measure, and shows the observer what the archive has. If it fails,
// what was shown says nothing.
func MeasureShowing(caller context.Context, r io.Reader, to Observer) (Sum, error) {
	ctx, stop := context.WithCancelCause(caller)
	defer stop(nil)
	stored, inflated := newRelay(), newRelay()
	defer context.AfterFunc(ctx, func() {
		stored.abandon()
		inflated.abandon()
	})()
	go func() {
		defer stored.abandon()
		inflated.finish(guard(func() error { return inflate(stored, inflated) }))
	}()
	var tree, plain artifact.Digest
	var refusal error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer inflated.abandon()
		err := guard(func() (err error) { tree, plain, err = unpack(inflated, to); return err })
		if err != nil {
			refusal = unreadable(err)
			stop(refusal)
		}
	}()

	sum, err := hashAll(ctx, r, stored)
	<-done
	if err == nil {
		err = refusal
	}
	if err != nil && caller.Err() != nil {
		err = context.Cause(caller) // whatever else it broke
	}
	if err != nil {
		return Sum{}, err
	}
	sum.Form, sum.Tree, sum.Plain = FormTar, tree, plain
	return sum, nil
}

// Hash gives size and digest of stored bytes alone, read to the end of r; an
// error of r is returned as such.
func Hash(r io.Reader) (Sum, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{r}, make([]byte, relayBuffer))
	if err != nil {
		return Sum{}, fmt.Errorf("reading the stored bytes: %w", err)
	}
	return Sum{Size: n, SHA256: artifact.DigestOf(h)}, nil
}

// hashAll hashes r to its end, and relays it for as long as anyone listens.
func hashAll(ctx context.Context, r io.Reader, stored *relay) (Sum, error) {
	h := sha256.New()
	var sum Sum
	var own []byte
	for ctx.Err() == nil {
		b, ok := stored.empty()
		if !ok {
			if own == nil {
				own = make([]byte, relayBuffer)
			}
			b = own
		}
		n, err := r.Read(b)
		h.Write(b[:n])
		sum.Size += int64(n)
		if ok {
			stored.send(b[:n])
		}
		if err != nil {
			stored.finish(err)
			if err != io.EOF {
				return Sum{}, fmt.Errorf("reading the stored bytes: %w", err)
			}
			sum.SHA256 = artifact.DigestOf(h)
			return sum, nil
		}
	}
	err := context.Cause(ctx)
	stored.finish(err)
	return Sum{}, err
}

// inflate decompresses from one relay to the other.
func inflate(stored, inflated *relay) error {
	z, err := gzip.NewReader(stored)
	if err != nil {
		return fmt.Errorf("reading the gzip header: %w", err)
	}
	return inflated.copyFrom(z)
}

// guard turns a panic in a library that reads hostile bytes into an error: the
// sidecar must answer whatever it was given.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = reason.New(reason.Internal, "panic: %v", p)
		}
	}()
	return f()
}

// unreadable makes a refusal of what was wrong with an archive.
func unreadable(err error) error {
	var refusal *reason.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	return reason.Wrap(reason.OutputUnreadable, err, "%v", err)
}
