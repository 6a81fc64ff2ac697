//go:build linux

// Command demo shows a newcomer what argoseal-sentinel does: on three API servers and three
// etcd members it has all Secrets encrypted, proves that from etcd, rotates the key, has a
// pod refused that would take a guarded Secret, and shows the audit. It exits with 0 only
// if all of it held.
//
// `make sentinel-demo` builds what it needs, and runs this.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/sentinel/control"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// limit is for the whole demo, most of which is waiting.
const limit = 25 * time.Minute

func main() {
	root := flag.String("root", ".", "the checkout")
	flag.Parse()
	if err := run(os.Stdout, *root); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, root string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "argoseal-sentinel-")
	if err != nil {
		return err
	}
	s := &story{out: out, began: time.Now(), root: root}
	defer func() {
		if s.Plane != nil {
			s.Close()
		}
		if err == nil {
			err = os.RemoveAll(dir)
		} else {
			fmt.Fprintf(out, "\nWhat the programs said is in %s.\n", filepath.Join(dir, "*.log"))
		}
	}()
	s.sayf("Three API servers and three etcd members start: real ones, one after another.")
	s.sayf("API servers look at their encryption file once a minute, and are never restarted here.")
	s.sayf("That is why all of this takes some minutes: each of two keys takes three looks.")
	if err := s.raise(ctx, dir); err != nil {
		return err
	}
	held := s.play(ctx, []chapter{
		{"a Secret in etcd", "readable for who has the disk", s.readable},
		{"encryption is asked for", "every Secret lies under one key", s.encrypted},
		{"a pod takes a guarded Secret", "refused, and told what to ask for", s.refused},
		{"the audit", "names who has more than a grant", s.audited},
		{"another key is asked for", "every Secret lies under that alone", s.rotated},
	})
	fmt.Fprintf(out, "\n%s in all. Nothing is left of it.\n", time.Since(s.began).Round(time.Second))
	if !held {
		return errors.New("not everything held; see the table")
	}
	return nil
}

// raise raises the control plane, with what a user installs.
func (s *story) raise(ctx context.Context, dir string) (err error) {
	if s.kubectl, err = control.Binary("ARGOSEAL_BIN_KUBECTL"); err != nil {
		return err
	}
	if s.argoseal, err = filepath.Abs(filepath.Join(s.root, "bin", "argoseal")); err != nil {
		return err
	}
	if s.Plane, err = control.Prepare(ctx, dir, s.root); err != nil {
		return err
	}
	if err := s.Raise(ctx, control.Off, func(server int, took time.Duration) {
		s.sayf("API server cp%d is ready, after %s.", server, took.Round(time.Second))
	}); err != nil {
		return err
	}
	if err := s.Install(ctx); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	return control.Await(ctx, time.Minute, "SecretEncryptions are served", func(ctx context.Context) (err error) {
		if s.client, err = client.New(s.Admin(0), client.Options{Scheme: scheme}); err != nil {
			return err
		}
		return s.client.List(ctx, &v1alpha1.SecretEncryptionList{})
	})
}

// chapter is a part of the story.
type chapter struct {
	name, expected string
	// tell does it and returns what happened, in a few words.
	tell func(context.Context) (string, error)
}

// play tells all chapters, and says in a table what came of them. One that does not hold
// is the last: the next would go on from it.
func (s *story) play(ctx context.Context, chapters []chapter) (held bool) {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\n\tCHAPTER\tEXPECTED\tHAPPENED\tTOOK")
	defer func() { _ = w.Flush() }()
	for i, c := range chapters {
		fmt.Fprintf(s.out, "\n[%d/%d] %s\n", i+1, len(chapters), c.name)
		began := time.Now()
		happened, err := c.tell(ctx)
		mark := "ok"
		if err != nil {
			s.sayf("NOT AS EXPECTED: %v", err)
			mark, happened = "NO", "not as expected (see above)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", mark, c.name, c.expected, happened, time.Since(began).Round(time.Second))
		if err != nil {
			return false
		}
	}
	return true
}
