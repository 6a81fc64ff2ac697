package measurement

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
)

const (
	// problemCount stands where the count would, in a message that says why
	// there is no measurement.
	problemCount = "!"
	// maxNote bounds a note, in bytes, so that an output with a problem needs about
	// as much of a message as one with digests.
	maxNote = 160
)

// NewProblem is a problem whose note may quote what a step named its files.
func NewProblem(code reason.Code, text string) Problem {
	return Problem{Code: code, Note: note(text)}
}

// EncodeProblem writes the termination message of a sidecar that has no
// measurement, and says why. Decoding it gives a refusal with this code:
// MeasurementIncomplete, ForeignProcess, or Internal for any other. It always fits
// into MinMessage bytes.
func EncodeProblem(code reason.Code, format string, args ...any) string {
	if !ofMeasurement(code) {
		code = reason.Internal
	}
	return withHeader(problemCount, string(code)+" "+note(fmt.Sprintf(format, args...))+"\n")
}

func decodeProblem(lines []string) error {
	code, text, found := strings.Cut(lines[0], " ")
	c := reason.Code(code)
	switch {
	case len(lines) != 1 || !found || !isNote(text):
		return errors.New("message does not say in one line why there is no measurement")
	case !ofMeasurement(c):
		return fmt.Errorf("message gives the unknown problem %.40q", code)
	}
	return reason.New(c, "%s", text)
}

// ofMeasurement says whether a code can be why there is no measurement.
func ofMeasurement(c reason.Code) bool {
	return c == reason.MeasurementIncomplete || c == reason.ForeignProcess || c == reason.Internal
}

func unprintable(r rune) bool { return r < 0x20 || r > 0x7e }

// note makes one short line of printable ASCII of a text; everything else in it
// is escaped as in Go.
func note(s string) string {
	var b strings.Builder
	for _, r := range text.Prefix(s, maxNote) {
		if unprintable(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(text.Prefix(b.String(), maxNote))
}

// isNote says whether note may have written it.
func isNote(s string) bool {
	return len(s) <= maxNote && !strings.ContainsFunc(s, unprintable) && strings.TrimSpace(s) == s
}
