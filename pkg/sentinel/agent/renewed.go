package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// ErrRenewed says that certificates are not those that a client was made with.
var ErrRenewed = errors.New("certificates were renewed: a client with those of now has to be made")

// Renewed is a way to wait for the renewal of the files as they are now: it ends with
// ErrRenewed, or with nil if the context ends. A client reads them once, the authority's
// too; with a pair that has ended nobody would let it in.
func (t TLS) Renewed() (func(ctx context.Context, every time.Duration) error, error) {
	began, err := t.read()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, every time.Duration) error {
		err := wait.PollUntilContextCancel(ctx, every, false, func(context.Context) (bool, error) {
			return t.since(began), nil
		})
		if err == nil {
			err = fmt.Errorf("%s: %w", t.Cert, ErrRenewed)
		}
		if errors.Is(err, ctx.Err()) {
			return nil
		}
		return err
	}, nil
}

// since says whether there are other certificates than those. What cannot be read, or is no
// pair, is being written.
func (t TLS) since(began []byte) bool {
	now, err := t.read()
	if err != nil {
		return false
	}
	if _, _, err := t.load(); err != nil {
		return false
	}
	return !bytes.Equal(now, began)
}

// read gives all that is in the files.
func (t TLS) read() ([]byte, error) {
	var all []byte
	for _, file := range []string{t.CA, t.Cert, t.Key} {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(append(all, raw...), 0)
	}
	return all, nil
}
