package argo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestKeysGivenTwice(t *testing.T) {
	tests := map[string]struct {
		json   string
		unique bool
	}{
		"none":                           {`{}`, true},
		"different ones":                 {`{"a":1,"b":{"a":[{"a":1},{"a":"a"}]},"c":["a","a"]}`, true},
		"a value like a key":             {`{"a":"b","b":"a"}`, true},
		"the same twice":                 {`{"a":1,"a":1}`, false},
		"the same after an object":       {`{"a":{},"b":[],"a":1}`, false},
		"the same after an array":        {`{"b":[{}],"b":1}`, false},
		"the same in an array's object":  {`[[{"a":1,"a":2}]]`, false},
		"in another case":                {`{"name":1,"NAME":1}`, false},
		"in a case Unicode folds":        {`{"s":1,"\u017f":1}`, false},
		"escaped":                        {`{"a":1,"\u0061":1}`, false},
		"the same in objects apart":      {`[{"a":1},{"a":1}]`, true},
		"deep inside":                    {`{"a":{"b":{"c":{"d":[0,{"e":null,"e":null}]}}}}`, false},
		"null and numbers between":       {`{"a":null,"b":1.5,"c":true,"a":0}`, false},
		"the empty key":                  {`{"":1,"":2}`, false},
		"what only looks like a closing": {`{"a":"}","b":"]","a":"{"}`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := uniqueKeys([]byte(test.json)); (err == nil) != test.unique {
				t.Errorf("uniqueKeys says %v", err)
			}
			if got := uniqueByTokens([]byte(test.json)); got != test.unique {
				t.Errorf("by its tokens they are unique: %t", got)
			}
		})
	}
}

func TestTheOutermostKeysAreGiven(t *testing.T) {
	keys, err := uniqueKeys([]byte(` [{"a":1}] `))
	if err != nil || len(keys) != 0 {
		t.Errorf("of an array they are %q, %v", keys, err)
	}
	keys, err = uniqueKeys([]byte(` { "a" : [{"b":1}], "\u0062" : {"c":"d"}, "Ä":null, "e\\":2, "f\"":"g" }`))
	if want := []string{"a", "b", "Ä", `e\`, `f"`}; err != nil || !slices.Equal(keys, want) {
		t.Errorf("they are %q, %v, want %q", keys, err, want)
	}
}

// uniqueByTokens says the same by encoding/json's own tokens, and by folding each rune to
// the smallest that it is not told from.
func uniqueByTokens(data []byte) bool {
	type scope struct {
		keys     map[string]bool
		wantsKey bool
	}
	fold := func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var open []scope
	for {
		token, err := d.Token()
		if err != nil {
			return true // the end
		}
		if top := len(open) - 1; top >= 0 && open[top].wantsKey {
			if key, ok := token.(string); ok {
				folded := strings.Map(fold, key)
				if open[top].keys[folded] {
					return false
				}
				open[top].keys[folded], open[top].wantsKey = true, false
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			open = append(open, scope{keys: map[string]bool{}, wantsKey: true})
			continue
		case json.Delim('['):
			open = append(open, scope{})
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if n := len(open); n > 0 && open[n-1].keys != nil {
			open[n-1].wantsKey = true
		}
	}
}

// Where there are many keys they are told apart in another way.
func TestManyKeysGivenTwice(t *testing.T) {
	object := func(n int, more string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"key%d":{"a":%d},`, i, i)
		}
		return "{" + b.String() + more + "}"
	}
	for _, n := range []int{1, 10, mostCompared/2 - 1, mostCompared / 2, mostCompared, 10 * mostCompared} {
		for more, unique := range map[string]bool{
			`"other":1`: true, `"Key0":1`: false, `"kEy0":{}`: false, `"\u212aey0":1`: false, `"b":{"a":1,"b":{"A":1,"a":2}}`: false, `"b":[{"a":1},{"a":1}]`: true,
			fmt.Sprintf(`"KEY%d":1`, n-1): false, fmt.Sprintf(`"KEY%d":1`, n): true,
		} {
			text := []byte(object(n, more))
			if _, err := uniqueKeys(text); (err == nil) != unique || uniqueByTokens(text) != unique {
				t.Errorf("after %d: %s gives %v, by tokens %t", n, more, err, uniqueByTokens(text))
			}
		}
	}
}

// FuzzUniqueKeys holds the reading of keys to that by encoding/json's own tokens.
func FuzzUniqueKeys(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"a":1}`, `{"k":1,"\u212a":1}`, `{"s":1,"\u017f":1}`, `{"a":{"b":[{"c":"\"}"},"d"]},"A":null}`, "{\"\xff\":1,\"\ufffd\":2}", `[{"a\\":1,"a\\\\":2}]`, `{"a":"\\","a":1}`, `"a"`, `{"\ud800":1,"\ud801":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Add([]byte(`{"` + strings.Repeat(`a":{"b":1,"`, 40) + `a":1` + strings.Repeat("}", 41)))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := uniqueKeys(data) // whatever it is, it is read to an end
		if !json.Valid(data) {
			return
		}
		if want := uniqueByTokens(data); (err == nil) != want {
			t.Errorf("unique by tokens: %t, else %v", want, err)
		}
	})
}

func TestExpansionIsTheKubelets(t *testing.T) {
	known := func(name string) bool { return name == "KNOWN" }
	tests := map[string]struct{ in, want, reference string }{
		"no reference":               {"a b", "a b", ""},
		"a dollar":                   {"$a $ $", "$a $ $", ""},
		"two dollars":                {"$$ $$a", "$ $a", ""},
		"an unknown name":            {"$(date) $(x y)", "$(date) $(x y)", ""},
		"a known name":               {"a $(KNOWN)", "", "KNOWN"},
		"an escaped known name":      {"$$(KNOWN)", "$(KNOWN)", ""},
		"a known name after escapes": {"$$$(KNOWN)", "", "KNOWN"},
		"an open reference":          {"$(KNOWN", "$(KNOWN", ""},
		"a reference in another":     {"$(a $(KNOWN))", "$(a $(KNOWN))", ""},
		"the empty name":             {"$()", "$()", ""},
		"a service's address":        {"$(A_SERVICE_HOST)", "", "A_SERVICE_HOST"},
		"a service's port by name":   {"$(A_B_SERVICE_PORT_HTTP)", "", "A_B_SERVICE_PORT_HTTP"},
		"a service's link":           {"$(1A_PORT_80_TCP_ADDR)", "", "1A_PORT_80_TCP_ADDR"},
		"the API server":             {"$(KUBERNETES_SERVICE_HOST)", "", "KUBERNETES_SERVICE_HOST"},
		"a name like a service's":    {"$(a_PORT)", "$(a_PORT)", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, reference := expand(test.in, known)
			if got != test.want || reference != test.reference {
				t.Errorf("expand gives %q, %q; want %q, %q", got, reference, test.want, test.reference)
			}
		})
	}
}

func TestNamesAreArgos(t *testing.T) {
	// From running util.GeneratePodName and Workflow.NodeID of v3.7.18.
	if got := nodeID("wf", "wf"); got != "wf" {
		t.Errorf("id of the entry node is %q", got)
	}
	if got := nodeID("artifact-passing", "artifact-passing[1].consume-artifact"); got != "artifact-passing-3955987017" {
		t.Errorf("node id is %q", got)
	}
	if got := podName("wf", "wf", "main"); got != "wf" {
		t.Errorf("name of the entry node's pod is %q", got)
	}
	if got := podName("wf", "wf[0].a", ""); got != "wf-"+got[3:] || len(got) < 5 {
		t.Errorf("name without a template is %q", got)
	}
	long := string(make([]byte, 300))
	if got := podName(long, "x", "t"); len(got) != 242+1+len("4245442695") || got[:242] != long[:242] {
		t.Errorf("a long name has %d bytes", len(got))
	}
}
