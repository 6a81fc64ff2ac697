package controller

import (
	"context"
	"io"
	"time"

	"github.com/argoseal/argoseal/pkg/scrub"
)

// notYet is the message of a directory that has to wait for others.
const notYet = "there was no time in this pass: directories of its namespace whose files no record lists have very many of them"

// during is what is known during one pass.
type during struct {
	failing *failures
	// unlisted is how many files of directories whose records do not list them were read for
	// each namespace.
	unlisted map[string]int
	share    int
	// until is when those that have had their share are read no more; zero as long as others
	// come first.
	until time.Time
	// second says that something is looked at for the second time.
	second bool
}

func newDuring(share int) *during {
	return &during{failing: newFailures(), unlisted: map[string]int{}, share: share}
}

// rest has those that have had their share go on until a time.
func (d *during) rest(until time.Time) { d.until = until }

// spent says whether no more such directories of a namespace are read now.
func (d *during) spent(namespace string, now time.Time) bool {
	return d.unlisted[namespace] >= d.share && !now.Before(d.until)
}

// counted counts the files that are read, and takes a hundred keys of a list for one.
type counted struct {
	scrub.Store
	files int
}

// Open implements scrub.Store.
func (c *counted) Open(ctx context.Context, bucket, key string) (io.ReadCloser, int64, error) {
	c.files++
	return c.Store.Open(ctx, bucket, key)
}

// List implements scrub.Store.
func (c *counted) List(ctx context.Context, bucket, prefix string, most int) ([]string, error) {
	keys, err := c.Store.List(ctx, bucket, prefix, most)
	c.files += 1 + len(keys)/100
	return keys, err
}
