package provenance

import (
	"fmt"
	"unicode/utf8"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// names collects what has to be unique.
type names map[string]struct{}

func (n names) add(what, name string) error {
	if _, taken := n[name]; taken {
		return fmt.Errorf("%s %.200q is given twice", what, name)
	}
	n[name] = struct{}{}
	return checkText(what, name, maxURI)
}

func checkDigest(what string, d artifact.Digest) error {
	if _, err := artifact.ParseDigest(string(d)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// checkText accepts a non-empty line of text.
func checkText(what, s string, limit int) error {
	for _, r := range s {
		if r < 0x20 || r == 0x7f {
			return fmt.Errorf("%s %.200q has a control character", what, s)
		}
	}
	return checkLongText(what, s, limit)
}

// checkLongText accepts any non-empty text.
func checkLongText(what, s string, limit int) error {
	switch {
	case s == "":
		return fmt.Errorf("%s is missing", what)
	case len(s) > limit:
		return fmt.Errorf("%s has %d bytes, at most %d are allowed", what, len(s), limit)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s %.200q is not UTF-8", what, s)
	}
	return nil
}

// checkSegment accepts what stands between the slashes of the invocation id.
func checkSegment(what, s string) error {
	for _, r := range s {
		if r == '/' {
			return fmt.Errorf("%s %.200q has a slash", what, s)
		}
	}
	return checkText(what, s, maxName)
}
