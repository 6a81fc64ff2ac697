package jsonsize

import (
	"encoding/json"
	"strings"
	"testing"
)

// counted counts what a decoder makes of a text.
func counted(v any) Count {
	var c Count
	switch v := v.(type) {
	case nil:
		c.Objects++
	case map[string]any:
		c.Objects++
		c.Members += int64(max(0, len(v)-1))
		for _, m := range v {
			c = c.Plus(counted(m))
		}
	case []any:
		c.Lists++
		c.Members += int64(max(0, len(v)-1))
		for _, m := range v {
			c = c.Plus(counted(m))
		}
	}
	return c
}

var texts = []string{
	`{}`, `[]`, `null`, `[{},{},null]`, `{"a":{"b":[1,2,3,[[],[]]]},"c":"d"}`, `"x"`, `[true,false,null,1e3]`,
	`{"a":"{},{},null [\"{}\",\\"}`, `["\\\\","\\\"{",{}]`, `{"{\"":"\\"}`, `["\"","\\\"",{"n":"null"}]`,
	`{"script":"for (i of [1,2]) { f({a: null}, \"{\"); }\n","x":[{}]}`, `{"é\u007b":"{"}`,
}

func TestATextIsCountedAsItIsDecoded(t *testing.T) {
	for _, text := range texts {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(text, err)
		}
		if got, want := Of([]byte(text)), counted(v); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	for _, cut := range []string{`"`, `"\`, `{"a`, `"\\\`, ``} {
		Of([]byte(cut))
	}
}

// What is counted quickly is never too little.
func TestTheQuickCountIsNoLess(t *testing.T) {
	for _, text := range texts {
		exact := Of([]byte(text))
		for at := range len(text) + 1 { // wherever it is cut
			var quick Count
			quick.Add([]byte(text[:at]))
			quick.Add([]byte(text[at:]))
			if cutsNull := at > 0 && at < len(text) && strings.Contains(text[max(0, at-3):min(len(text), at+3)], "null"); !cutsNull && quick.Objects < exact.Objects || quick.Members < exact.Members {
				t.Errorf("%s cut at %d: %+v, want %+v", text, at, quick, exact)
			}
		}
	}
	if many := []byte("[" + strings.Repeat("{},", 99) + "{}]"); !TooMany(many, 99) || TooMany(many, 100) {
		t.Error("100 objects are not counted right")
	}
	if quoted := []byte(`"` + strings.Repeat(`{\"a\":1}`, 100) + `"`); TooMany(quoted, 1) {
		t.Error("JSON in a string counts")
	}
}

func FuzzCount(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := Of(text)
		var v any
		if json.Unmarshal(text, &v) != nil {
			return
		}
		if want := counted(v); got.Objects < want.Objects || got.Members < want.Members || got.Lists < want.Lists { // names twice
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
