package text

import (
	"testing"
	"unicode/utf8"
)

func TestTextsAreCutBetweenCharacters(t *testing.T) {
	for name, c := range map[string]struct {
		s           string
		most        int
		cut, prefix string
	}{
		"what fits":                     {"plain", 5, "plain", "plain"},
		"what fits and is no UTF-8":     {"a\xff", 2, "a\xff", "a\xff"},
		"nothing":                       {"", 0, "", ""},
		"a byte too much":               {"plain!", 5, "pl…", "plain"},
		"between characters":            {"äöüß", 6, "ä…", "äöü"},
		"within a character":            {"äöüß", 7, "äö…", "äöü"},
		"within one of four bytes":      {"a🎉🎉", 7, "a…", "a🎉"},
		"room for the ellipsis alone":   {"🎉", 3, "…", ""},
		"no room for the ellipsis":      {"plain", 2, "pl", "pl"},
		"no room at all":                {"plain", 0, "", ""},
		"less than none":                {"plain", -1, "", ""},
		"what is no UTF-8 and too long": {"\x80a\x80b\x80", 4, "…", "ab"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Cut(c.s, c.most); got != c.cut {
				t.Errorf("Cut gives %q, want %q", got, c.cut)
			}
			if got := Prefix(c.s, c.most); got != c.prefix {
				t.Errorf("Prefix gives %q, want %q", got, c.prefix)
			}
		})
	}
}

func TestTextsAreCutInTheirMiddle(t *testing.T) {
	for name, c := range map[string]struct {
		s           string
		first, last int
		want        string
	}{
		"what fits":                      {"abcdef", 2, 3, "abcdef"},
		"what fits, of many bytes":       {"äöüß🎉é", 2, 3, "äöüß🎉é"},
		"what fits and is no UTF-8":      {"ä\xffb", 1, 1, "ä\xffb"},
		"a character too much":           {"abcdefg", 2, 3, "ab…efg"},
		"characters of many bytes":       {"äöüß🎉éè", 2, 3, "äö…🎉éè"},
		"the end alone":                  {"abcdefg", 0, 3, "…efg"},
		"the beginning alone":            {"abcdefg", 3, 0, "abc…"},
		"room for the ellipsis alone":    {"ab", 0, 0, "…"},
		"less than none":                 {"abc", -1, -1, "…"},
		"nothing":                        {"", 0, 0, ""},
		"what is no UTF-8 and too long":  {"\x80abc\x80def\x80", 1, 2, "a…ef"},
		"what fits without what is none": {"\x80abc\x80", 1, 1, "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Middle(c.s, c.first, c.last); got != c.want {
				t.Errorf("Middle gives %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzCut(f *testing.F) {
	f.Add("äöü", 3)
	f.Add("\xff\xfe", 1)
	f.Fuzz(func(t *testing.T, s string, most int) {
		for _, got := range []string{Cut(s, most), Prefix(s, most)} {
			if got != s && (len(got) > max(most, 0) || !utf8.ValidString(got)) {
				t.Errorf("%q cut to %d bytes is %q", s, most, got)
			}
		}
	})
}
