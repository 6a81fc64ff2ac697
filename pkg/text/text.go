// Package text shortens texts that others wrote, for places that have a limit. It
// imports nothing of ours.
package text

import "strings"

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
