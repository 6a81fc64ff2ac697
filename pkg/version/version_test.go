package version_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/version"
)

type base struct {
	Kind string `json:"kind"`
}

type item struct {
	Name  string `json:"name"`
	Later string `json:"later,omitempty" since:"2"`
}

type message struct {
	base
	List    []item           `json:"list"`
	Map     map[string]*item `json:"map,omitempty"`
	One     *item            `json:"one,omitempty"`
	Raw     json.RawMessage  `json:"raw"`
	Volumes []string         `json:"volumes,omitempty" since:"3"`
}

func TestAFieldOfALaterVersionIsFoundWhereverItIs(t *testing.T) {
	for name, c := range map[string]struct {
		m     message
		field string
		first int
	}{
		"nothing set":             {message{}, "", 1},
		"what was always there":   {message{base: base{"a"}, List: []item{{Name: "b"}}, Raw: json.RawMessage("1")}, "", 1},
		"a field":                 {message{Volumes: []string{"a"}}, `"volumes"`, 3},
		"a list that is empty":    {message{Volumes: []string{}}, `"volumes"`, 3},
		"in a list":               {message{List: []item{{}, {Later: "a"}}}, `"later"`, 2},
		"in a map":                {message{Map: map[string]*item{"a": {Later: "a"}}}, `"later"`, 2},
		"behind a pointer":        {message{One: &item{Later: "a"}}, `"later"`, 2},
		"behind a nil in its map": {message{Map: map[string]*item{"a": nil}}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			for v := 1; v <= 3; v++ {
				err := version.Check(&c.m, v)
				if refused := v < c.first; (err != nil) != refused {
					t.Errorf("version %d: %v", v, err)
				} else if refused && !strings.Contains(err.Error(), c.field) {
					t.Errorf("version %d: %v, want it to name %s", v, err, c.field)
				}
			}
		})
	}
}

func TestFieldsAreThoseOfTheVersion(t *testing.T) {
	first := []string{"kind", "list", "list.name", "map", "map.name", "one", "one.name", "raw"}
	if diff := cmp.Diff(first, version.Fields(message{}, 1)); diff != "" {
		t.Errorf("version 1 (-want +got):\n%s", diff)
	}
	second := []string{"kind", "list", "list.later", "list.name", "map", "map.later", "map.name", "one", "one.later", "one.name", "raw"}
	if diff := cmp.Diff(second, version.Fields(message{}, 2)); diff != "" {
		t.Errorf("version 2 (-want +got):\n%s", diff)
	}
}
