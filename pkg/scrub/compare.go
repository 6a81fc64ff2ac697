package scrub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// ErrMissing says that a store has no such object. Any other error of a store says
// nothing about the object.
var ErrMissing = errors.New("there is no such object")

// Store reads what lies in one artifact store.
type Store interface {
	// Open reads an object and says how many bytes it has; ErrMissing if there is none.
	Open(ctx context.Context, bucket, key string) (io.ReadCloser, int64, error)
	// List gives the keys that begin with a prefix, at most one more than most.
	List(ctx context.Context, bucket, prefix string, most int) ([]string, error)
}

// Reason of the condition Intact, what comparing one place came to: a closed set.
type Reason string

const (
	// ReasonIntact: what lies there is what was sealed last.
	ReasonIntact Reason = "Intact"
	// ReasonChanged: something else lies there.
	ReasonChanged Reason = "Changed"
	// ReasonMissing: nothing lies there, or not all.
	ReasonMissing Reason = "Missing"
	// ReasonRolledBack: what lies there was sealed, but another step stored something
	// there after it.
	ReasonRolledBack Reason = "RolledBack"
	// ReasonUnknown: it is none that can be compared.
	ReasonUnknown Reason = "Unknown"
	// ReasonUnreadable: the store, or its record, could not be read.
	ReasonUnreadable Reason = "Unreadable"
)

// Reasons has them all.
func Reasons() []Reason {
	return []Reason{ReasonIntact, ReasonChanged, ReasonMissing, ReasonRolledBack, ReasonUnknown, ReasonUnreadable}
}

// Finding is what came of comparing a place.
type Finding struct {
	Reason Reason
	// Message says what is different, or why it is not known. Who may read the seal may
	// read it, and may have chosen the place so that it is somebody else's: it has no
	// name, size or digest that the seals of the place and their records do not have.
	Message string
	// Detail says what lies there. It is the operator's, whose keys have read it.
	Detail string
}

// elsewise is the message where what lies there is not what was sealed.
const elsewise = "something else lies there than what was sealed"

// unsealed is the message where more lies in a directory.
const unsealed = "a file lies there that was not sealed"

// Altered says whether the place does not have what was sealed.
func (f Finding) Altered() bool {
	return f.Reason == ReasonChanged || f.Reason == ReasonMissing || f.Reason == ReasonRolledBack
}

// maxFiles bounds how many objects of a directory are read: a directory of more is not
// compared.
const maxFiles = 100_000

// Comparison is one place to be compared.
type Comparison struct {
	Place Place
	// Files of a directory, if its record lists them and they are those of the sealed
	// tree.
	Files content.Files
	// Below are other places that lie below a directory's key: what lies there is
	// theirs.
	Below []artifact.Location
}

// Run compares. An error of the store is ReasonUnreadable, too, and is returned, so that the
// caller can leave a store that answers nobody.
func (c Comparison) Run(ctx context.Context, store Store) (Finding, error) {
	var f Finding
	var err error
	switch {
	case c.Place.Last().Shared:
		return Finding{Reason: ReasonUnknown, Message: "several steps filled this directory together"}, nil
	case c.Place.Location.Kind == artifact.KindPrefix:
		f, err = c.directory(ctx, store)
	default:
		f, err = c.object(ctx, store)
	}
	if err != nil {
		return Finding{ReasonUnreadable, "the store could not be read", err.Error()}, err
	}
	return f, nil
}

func (c Comparison) object(ctx context.Context, store Store) (Finding, error) {
	l := c.Place.Location
	digest, _, err := digestOf(ctx, store, l.Bucket, l.Key, c.most())
	switch {
	case errors.Is(err, ErrMissing):
		return Finding{Reason: ReasonMissing, Message: "nothing lies there any more"}, nil
	case errors.Is(err, errLarger):
		return Finding{ReasonChanged, elsewise, fmt.Sprintf("it has more than the %d bytes that were sealed", c.Place.Last().Size)}, nil
	case err != nil:
		return Finding{}, err
	}
	return c.held(digest), nil
}

// most is how many bytes are read: no more than the largest of the seals says,
// whatever lies there. Else anybody who may store something there could keep all
// others from being compared.
func (c Comparison) most() int64 {
	most := int64(0)
	for _, s := range c.Place.Seals {
		most = max(most, s.Size)
	}
	return most
}

// held compares a digest with those that were sealed.
func (c Comparison) held(digest artifact.Digest) Finding {
	last := c.Place.Last().content()
	if digest == last {
		return Finding{Reason: ReasonIntact}
	}
	if slices.ContainsFunc(c.Place.Seals[1:], func(s Seal) bool { return s.content() == digest }) {
		// The digest is one of the place's own seals.
		return Finding{Reason: ReasonRolledBack, Message: fmt.Sprintf("what lies there was sealed before what was sealed last: its digest is %.16s…, that of the last seal %.16s…", digest, last)}
	}
	return Finding{ReasonChanged, elsewise, fmt.Sprintf("its digest is %.16s…, sealed was %.16s…", digest, last)}
}

func (c Comparison) directory(ctx context.Context, store Store) (Finding, error) {
	l := c.Place.Location
	if len(c.Below) > 0 && len(c.Files) == 0 {
		return Finding{Reason: ReasonUnknown, Message: "other steps stored something below it, and its record does not list its files"}, nil
	}
	keys, err := store.List(ctx, l.Bucket, l.Key, maxFiles)
	if err != nil {
		return Finding{}, err
	}
	if len(keys) > maxFiles {
		return Finding{Reason: ReasonUnknown, Message: fmt.Sprintf("it has more than %d files", maxFiles)}, nil
	}
	wanted := map[string]bool{}
	for _, f := range c.Files {
		wanted[f.Path] = true
	}
	others := placesOf(c.Below)
	var paths []string
	for _, key := range keys {
		path, below := strings.CutPrefix(key, l.Key)
		// Consoles of stores make an empty object for a folder; Argo takes it for none.
		if !below || path == "" || strings.HasSuffix(path, "/") {
			continue
		}
		switch theirs := others.have(key); {
		case theirs && wanted[path]:
			return Finding{Reason: ReasonUnknown, Message: fmt.Sprintf("another step stored %.200q of it, too", path)}, nil
		case theirs:
			continue
		}
		paths = append(paths, path)
	}
	// Sealed files are read before others, so that their names are the ones that
	// are told.
	slices.SortStableFunc(paths, func(a, b string) int {
		switch {
		case wanted[a] == wanted[b]:
			return 0
		case wanted[a]:
			return -1
		}
		return 1
	})
	var files []content.File
	left := c.most()
	for _, path := range paths {
		if len(c.Files) > 0 && !wanted[path] {
			// All that was sealed is read. What lies beside it is not: whoever may store there
			// could have put objects by the hundred thousand.
			return c.different(files, Finding{ReasonChanged, unsealed, fmt.Sprintf("it is file %.200q", path)}), nil
		}
		digest, size, err := digestOf(ctx, store, l.Bucket, l.Key+path, left)
		switch {
		case errors.Is(err, ErrMissing): // it went between the two calls
			continue
		case errors.Is(err, errLarger):
			return Finding{ReasonChanged, elsewise, fmt.Sprintf("more lies there than the %d bytes that were sealed: %.200q is larger, or others are", c.Place.Last().Size, path)}, nil
		case err != nil:
			return Finding{}, err
		}
		left -= size
		files = append(files, content.File{Path: path, SHA256: digest})
	}
	if len(files) == 0 {
		return Finding{Reason: ReasonMissing, Message: "nothing lies there any more"}, nil
	}
	list, err := content.NewFiles(files)
	if err != nil {
		return Finding{ReasonChanged, elsewise, fmt.Sprintf("no directory has what lies there: %v", err)}, nil
	}
	found := c.held(list.Tree())
	if found.Reason == ReasonChanged && len(c.Files) > 0 {
		found = c.different(list, found)
	}
	return found, nil
}

// places are those of others below a directory, to be found fast: there may be as many
// of them as a namespace may have seals, and 100,000 keys to look for.
type places struct {
	objects map[string]bool
	// prefixes are sorted, and none lies below another.
	prefixes []string
}

func placesOf(all []artifact.Location) places {
	p := places{objects: make(map[string]bool, len(all))}
	for _, l := range all {
		p.objects[l.Key] = true
		if l.Kind == artifact.KindPrefix {
			p.prefixes = append(p.prefixes, l.Key)
		}
	}
	slices.Sort(p.prefixes)
	// What lies below a prefix comes right behind it.
	outer := p.prefixes[:0]
	for _, prefix := range p.prefixes {
		if n := len(outer); n == 0 || !strings.HasPrefix(prefix, outer[n-1]) {
			outer = append(outer, prefix)
		}
	}
	p.prefixes = outer
	return p
}

// have says whether a key is that of a place, or lies below one.
func (p places) have(key string) bool {
	if p.objects[key] {
		return true
	}
	// All that lies between a prefix and a key below it begins with that prefix, too.
	n, _ := slices.BinarySearch(p.prefixes, key)
	return n > 0 && strings.HasPrefix(key, p.prefixes[n-1])
}

// different names the first file that is not as it was sealed.
func (c Comparison) different(there content.Files, found Finding) Finding {
	digests := make(map[string]artifact.Digest, len(there))
	for _, f := range there {
		digests[f.Path] = f.SHA256
	}
	for _, f := range c.Files {
		digest, is := digests[f.Path]
		switch {
		case !is:
			return Finding{Reason: ReasonMissing, Message: fmt.Sprintf("file %.200q is missing", f.Path)}
		case digest != f.SHA256:
			return Finding{ReasonChanged, fmt.Sprintf("file %.200q was changed", f.Path), fmt.Sprintf("its digest is %.16s…, sealed was %.16s…", digest, f.SHA256)}
		}
		delete(digests, f.Path)
	}
	for _, f := range there {
		if _, more := digests[f.Path]; more {
			return Finding{ReasonChanged, unsealed, fmt.Sprintf("it is file %.200q", f.Path)}
		}
	}
	return found
}

// errLarger says that an object has more bytes than are read.
var errLarger = errors.New("it is larger")

// digestOf is the SHA-256 of an object of at most so many bytes, and how many it has.
func digestOf(ctx context.Context, store Store, bucket, key string, most int64) (digest artifact.Digest, size int64, err error) {
	r, size, err := store.Open(ctx, bucket, key)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if size > most {
		return "", 0, errLarger
	}
	sum, err := content.Hash(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("%s/%s: %w", bucket, key, err)
	case sum.Size > most:
		return "", 0, errLarger
	case sum.Size != size:
		// A connection that broke must not become a changed artifact.
		return "", 0, fmt.Errorf("%s/%s: %d bytes were read of %d", bucket, key, sum.Size, size)
	}
	return sum.SHA256, size, nil
}
