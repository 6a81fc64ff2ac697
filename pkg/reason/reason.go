// Package reason holds the typed reason codes of Argoseal: one enumeration for
// denials, events, conditions, metrics, in-pod refusals and CLI exit codes.
// It trusts nothing, and imports nothing of ours but package text.
//
// A code is PascalCase, says what is wrong and is never renamed. The table
// carries, for each code, what it means and what to do about it, and is the
// source of docs/reference.md.
package reason

import (
	"errors"
	"fmt"
	"strings"

	"github.com/argoseal/argoseal/pkg/text"
)

// Code says why something was refused, is not (yet) sealed, or failed.
// The zero value is no code; an Error without a code reads Internal.
type Code string

// Error is a refusal: a code, what it is about, and the rule it broke. It
// prints as one line, code first, remedy last.
type Error struct {
	Code Code
	// Artifact the refusal is about, as `name (location)`; may be empty.
	Artifact string
	// Detail says which rule was broken and by what, in one clause.
	Detail string
	// Advice says what to do about what happened here; empty: what the code's remedy
	// says.
	Advice string
	// RetryAfter asks a client to try again in place after so many seconds; zero: in
	// its own time.
	RetryAfter int32
	// Err is the cause; it is not printed (it may quote hostile input at length).
	Err error
}

// New makes a refusal without an artifact.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Wrap makes a refusal that keeps its cause for errors.Is and for logs.
func Wrap(code Code, err error, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...), Err: err}
}

// From gives any error a code: Internal to one that has none, and nil to nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok { //nolint:errorlint // a wrapped one would lose what wraps it
		return e
	}
	return Wrap(Of(err), err, "%v", err)
}

// InPlace returns a copy of e that asks to try again in place after so many seconds.
func (e *Error) InPlace(seconds int32) *Error {
	c := *e
	c.RetryAfter = seconds
	return &c
}

// For returns a copy of e that names the artifact.
func (e *Error) For(artifact string) *Error {
	c := *e
	c.Artifact = artifact
	return &c
}

// Advise returns a copy of e with its own advice, for a code that has several
// causes. We write the advice: no text of others is in it.
func (e *Error) Advise(advice string) *Error {
	c := *e
	c.Advice = advice
	return &c
}

// maxDetail bounds what hostile input can add to a message, in bytes.
const maxDetail = 512

// Error prints "Code: artifact: detail. Remedy." on one line.
func (e *Error) Error() string {
	code := e.Code
	if code == "" {
		code = Internal
	}
	var b strings.Builder
	b.WriteString(string(code))
	if e.Artifact != "" {
		b.WriteString(": artifact ")
		b.WriteString(oneLine(e.Artifact))
	}
	if e.Detail != "" {
		b.WriteString(": ")
		b.WriteString(oneLine(e.Detail))
	}
	remedy := e.Advice
	if remedy == "" {
		remedy = code.Remedy()
	}
	if remedy != "" {
		b.WriteString(". ")
		b.WriteString(remedy)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Of returns the code of the first *Error in err's chain, Internal for any
// other error, and the empty code for nil.
func Of(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) && e.Code != "" {
		return e.Code
	}
	return Internal
}

// Retryable says whether the same request may succeed later without anyone
// changing anything: admission answers it with 429, everything else with 403.
func (c Code) Retryable() bool { return table[c].retryable }

// Remedy is the sentence that says what to do.
func (c Code) Remedy() string { return table[c].remedy }

// Meaning is the sentence that says what the code stands for.
func (c Code) Meaning() string { return table[c].meaning }

// ExitCode is what the CLI exits with for this code; 1 where none is its own.
func (c Code) ExitCode() int {
	if x := table[c].exit; x != 0 {
		return x
	}
	return 1
}

// All lists the codes in the order of the reference.
func All() []Code {
	codes := make([]Code, len(order))
	copy(codes, order)
	return codes
}

// oneLine makes hostile text safe to print: control characters become spaces,
// and it has at most maxDetail bytes.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0x2028 || r == 0x2029 || r == 0xfffd {
			return ' '
		}
		return r
	}, text.Cut(s, maxDetail)))
}
