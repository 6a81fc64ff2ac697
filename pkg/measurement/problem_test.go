package measurement

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/reason"
)

// What a step names its files is in the note, so it may be anything.
func TestANoteIsOneShortLineWhateverItQuotes(t *testing.T) {
	for title, c := range map[string]struct{ text, want string }{
		"plain":           {"reading the gzip header: unexpected EOF", "reading the gzip header: unexpected EOF"},
		"nothing":         {"", ""},
		"only spaces":     {" \n", `\n`},
		"another line":    {"a\nb !OutputAbsent", `a\nb !OutputAbsent`},
		"a terminal's":    {"\x1b[31mred\x7f", `\x1b[31mred\x7f`},
		"no UTF-8":        {"a\xff", `a\ufffd`},
		"other letters":   {"ü", `\u00fc`},
		"long":            {strings.Repeat("x", 1<<20), strings.Repeat("x", maxNote)},
		"long, of others": {strings.Repeat("\x00", 1<<20), strings.Repeat(`\x00`, maxNote/4)},
	} {
		t.Run(title, func(t *testing.T) {
			p := NewProblem(reason.OutputUnreadable, c.text)
			if p.Note != c.want {
				t.Errorf("got %q, want %q", p.Note, c.want)
			}
			got, _, err := Decode(mustEncode(t, Measurement{{Output: "a", Found: p}}))
			if err != nil || len(got) != 1 || problemIn(got[0]) != p {
				t.Errorf("decoded as %+v, %v", got, err)
			}
		})
	}
}
