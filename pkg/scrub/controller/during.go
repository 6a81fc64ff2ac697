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
	// first and second are what was read in first looks and in second ones, which have a share
	// of their own: a directory that was found altered is not put off for others that are
	// looked at for the first time, and may have many more files by then.
	first, second *reads
	// off are suspects whose second look has to wait for those of others.
	off []suspect
}

// reads count the files of directories whose records do not list them.
type reads struct {
	// of is how many were read for each namespace.
	of    map[string]int
	share int
	// until is when those that have had their share are read no more; zero as long as others
	// come first.
	until time.Time
}

func newDuring(share int) *during {
	return &during{failing: newFailures(), first: &reads{of: map[string]int{}, share: share}, second: &reads{of: map[string]int{}, share: share}}
}

// spent says whether no more such directories of a namespace are read now.
func (r *reads) spent(namespace string, now time.Time) bool {
	return r.of[namespace] >= r.share && !now.Before(r.until)
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
