//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/sentinel/control"
)

// story is the demo as it goes on.
type story struct {
	*control.Plane
	operator *control.Operator
	client   client.Client
	// root is the checkout; the others are programs.
	root, kubectl, argoseal string
	out                     io.Writer
	began                   time.Time
	// first is the key that all Secrets lie under first.
	first string
}

// sayf tells what is going on.
func (s *story) sayf(format string, args ...any) {
	fmt.Fprintf(s.out, "  "+format+"\n", args...)
}

// quote shows what a command is given, or has printed.
func (s *story) quote(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		s.sayf("    %s", strings.TrimRight(line, "\n"))
	}
}

// shown runs a command, and shows it and what it prints.
func (s *story) shown(ctx context.Context, stdin, program string, args ...string) (string, error) {
	said, err := s.run(ctx, stdin, program, args...)
	s.quote(said)
	return said, err
}

// run runs a command as an administrator, and shows it as somebody would type it, with
// what it is given.
func (s *story) run(ctx context.Context, stdin, program string, args ...string) (string, error) {
	line := []string{"$", filepath.Base(program)}
	for _, arg := range args {
		if strings.ContainsAny(arg, " *{}") {
			arg = "'" + arg + "'"
		}
		line = append(line, arg)
	}
	s.sayf("%s", strings.Join(line, " "))
	s.quote(stdin)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Kubeconfig("admin"))
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(line[1:], " "), err)
	}
	return string(out), err
}

// refusal runs a command that has to be refused, with some words.
func (s *story) refusal(ctx context.Context, words, stdin, program string, args ...string) error {
	said, err := s.shown(ctx, stdin, program, args...)
	if ended := (*exec.ExitError)(nil); !errors.As(err, &ended) {
		return errors.Join(err, errors.New("it was not refused"))
	}
	if !strings.Contains(said, words) {
		return fmt.Errorf("it was refused, and not for %s", words)
	}
	return nil
}

// excerpt is the beginning of what etcd has, and what stands around some words: bytes that
// are no text are dots, one for many.
func excerpt(value []byte, words string) string {
	const begin, around = 72, 12
	text := printable(value[:min(len(value), begin)])
	if at := bytes.Index(value, []byte(words)); at > begin {
		text += " … " + printable(value[max(begin, at-around):min(len(value), at+len(words)+around)])
	}
	return text + " …"
}

func printable(raw []byte) string {
	var b strings.Builder
	last := ' '
	for _, c := range raw {
		r := rune(c)
		if r > unicode.MaxASCII || !unicode.IsPrint(r) {
			r = '.'
		}
		if r != '.' || last != '.' {
			b.WriteRune(r)
		}
		last = r
	}
	return b.String()
}
