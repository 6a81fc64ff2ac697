package policy

import (
	"fmt"
	"regexp"
	"strings"
)

// maxGlob bounds a pattern, in bytes.
const maxGlob = 2048

// compileGlob reads a pattern. * stands for any characters but a slash, and ** for
// any characters. Neither matches a question mark, because a query asks for
// something else. Every other character stands for itself. The pattern has to match
// the whole text. Go's expressions take linear time, whatever the pattern.
func compileGlob(pattern string) (*regexp.Regexp, error) {
	if pattern == "" || len(pattern) > maxGlob {
		return nil, fmt.Errorf("pattern has %d bytes, want 1 to %d", len(pattern), maxGlob)
	}
	var b strings.Builder
	b.WriteString(`^`)
	for rest := pattern; rest != ""; {
		literal, after, found := strings.Cut(rest, "*")
		b.WriteString(regexp.QuoteMeta(literal))
		if !found {
			break
		}
		if deep, ok := strings.CutPrefix(after, "*"); ok {
			b.WriteString(`[^?]*`)
			after = deep
		} else {
			b.WriteString(`[^/?]*`)
		}
		rest = after
	}
	b.WriteString(`$`)
	return regexp.Compile(b.String())
}
