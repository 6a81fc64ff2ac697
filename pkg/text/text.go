// Package text shortens texts that others wrote, for places that have a limit, and keeps
// them out of a terminal's hands. It imports nothing of ours.
package text

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ellipsis ends a text that was cut.
const ellipsis = "…"

// Cut shortens a text to at most so many bytes, among them an ellipsis that says
// so. What fits stays as it is.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	if most < len(ellipsis) {
		return Prefix(s, most)
	}
	return Prefix(s, most-len(ellipsis)) + ellipsis
}

// Prefix shortens a name to at most so many bytes: an ellipsis would be part of it.
// It breaks no character, and drops what is none.
func Prefix(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:max(most, 0)], "")
}

// Middle shortens a text for people in its middle: to its first and its last characters, so
// many of each, with an ellipsis between. What has no more than that stays as it is. It breaks
// no character, and drops what is none.
func Middle(s string, first, last int) string {
	first, last = max(first, 0), max(last, 0)
	if utf8.RuneCountInString(s) <= first+1+last {
		return s
	}
	runes := []rune(strings.ToValidUTF8(s, ""))
	if len(runes) <= first+1+last {
		return string(runes)
	}
	return string(runes[:first]) + ellipsis + string(runes[len(runes)-last:])
}

// Printable keeps a text on its line and out of the terminal's hands: one with anything
// that is not printable is quoted. A byte that is no UTF-8 would look like a printable
// character, and may be a command to a terminal of 8 bits.
func Printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}
