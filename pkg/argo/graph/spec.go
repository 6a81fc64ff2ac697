package graph

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	stores "github.com/argoseal/argoseal/pkg/artifact"
)

// What a Workflow's text says, as far as it moves files: specs, templates, arguments.

// spec is what we read of a workflow's spec.
type spec struct {
	Entrypoint          string     `json:"entrypoint"`
	OnExit              string     `json:"onExit"`
	Arguments           arguments  `json:"arguments"`
	Templates           []template `json:"templates"`
	TemplateDefaults    *template  `json:"templateDefaults"`
	Hooks               hooks      `json:"hooks"`
	WorkflowTemplateRef *Ref       `json:"workflowTemplateRef"`
}

// template is what we read of a template.
type template struct {
	Name    string    `json:"name"`
	Inputs  arguments `json:"inputs"`
	Outputs arguments `json:"outputs"`
	Steps   [][]call  `json:"steps"`
	DAG     *struct {
		Tasks []call `json:"tasks"`
	} `json:"dag"`
	Daemon  json.RawMessage `json:"daemon"`
	Memoize *memo           `json:"memoize"`
}

func (t *template) composite() bool { return len(t.Steps) > 0 || t.DAG != nil }

// arguments are what is handed over or declared.
type arguments struct {
	Artifacts  []artifact  `json:"artifacts"`
	Parameters []parameter `json:"parameters"`
}

// parameter is one that is handed over or declared.
type parameter struct {
	Name      string          `json:"name"`
	Value     *AnyString      `json:"value"`
	Default   *AnyString      `json:"default"`
	ValueFrom json.RawMessage `json:"valueFrom"`
}

// usual is the parameter's value if nothing is handed over.
func (p *parameter) usual() *AnyString { return cmp.Or(p.Value, p.Default) }

func (a arguments) empty() bool { return len(a.Artifacts) == 0 && len(a.Parameters) == 0 }

// parameter is the one of that name; twice says that there are several.
func (a arguments) parameter(name string) (found *parameter, twice bool) {
	for i := range a.Parameters {
		if a.Parameters[i].Name == name {
			found, twice = &a.Parameters[i], found != nil
		}
	}
	return found, twice
}

func (a arguments) artifact(name string) *artifact {
	for i := range a.Artifacts {
		if a.Artifacts[i].Name == name {
			return &a.Artifacts[i]
		}
	}
	return nil
}

// artifact is one of them.
type artifact struct {
	Name           string `json:"name"`
	GlobalName     string `json:"globalName"`
	From           string `json:"from"`
	FromExpression string `json:"fromExpression"`
	SubPath        string `json:"subPath"`
	Optional       bool   `json:"optional"`

	// places are those in stores.
	places stores.Places
	Raw    *struct {
		Data string `json:"data"`
	} `json:"raw"`
	Artifactory json.RawMessage `json:"artifactory"`
	Git         json.RawMessage `json:"git"`
	HDFS        json.RawMessage `json:"hdfs"`
	HTTP        json.RawMessage `json:"http"`
	OSS         json.RawMessage `json:"oss"`
	Plugin      json.RawMessage `json:"plugin"`
}

// UnmarshalJSON implements json.Unmarshaler. It reads names of fields as Decode does: that
// compares two readings, and both of them come here.
func (a *artifact) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	for name := range fields {
		if slices.ContainsFunc(stores.StoreKinds(), func(k stores.StoreKind) bool { return k.Name != name && strings.EqualFold(k.Name, name) }) {
			return errSpelling
		}
	}
	places, rest, err := stores.TakePlaces(data, Decode)
	if err != nil {
		return err
	}
	type plain artifact
	var p plain
	if err := Decode(rest, &p); err != nil {
		return err
	}
	p.places = places
	*a = artifact(p)
	return nil
}

// literals lists what the artifact says of itself.
func (a *artifact) literals() []Literal {
	var list []Literal
	for _, k := range stores.StoreKinds() {
		if place, given := a.places[k.Name]; given && place.GetKey() != "" {
			l := Literal{Store: k.Name, Keyed: true, Text: place.GetKey()}
			if bucket, err := place.In(); err == nil {
				l.Bucket = bucket
			}
			list = append(list, l)
		}
	}
	if a.Raw != nil {
		list = append(list, Literal{Store: "raw", Text: a.Raw.Data})
	}
	for _, other := range []struct {
		store string
		given json.RawMessage
	}{
		{"artifactory", a.Artifactory}, {"git", a.Git},
		{"hdfs", a.HDFS}, {"http", a.HTTP}, {"oss", a.OSS}, {"plugin", a.Plugin},
	} {
		if len(other.given) > 0 {
			list = append(list, Literal{Store: other.store})
		}
	}
	return list
}

// call is a step or a task: a template and what it is given.
type call struct {
	Name        string       `json:"name"`
	Template    string       `json:"template"`
	TemplateRef *templateRef `json:"templateRef"`
	Inline      *template    `json:"inline"`
	Arguments   arguments    `json:"arguments"`
	OnExit      string       `json:"onExit"`
	Hooks       hooks        `json:"hooks"`
	// A loop is over one of these, the first that is given.
	WithItems    json.RawMessage `json:"withItems"`
	WithParam    string          `json:"withParam"`
	WithSequence *sequence       `json:"withSequence"`
	// Depends and Dependencies are the tasks that it waits for.
	Depends      AnyString   `json:"depends"`
	Dependencies []AnyString `json:"dependencies"`
}

type templateRef struct {
	Ref
	Template string `json:"template"`
}

// hooks are calls by name; "exit" is the exit handler.
type hooks map[string]call

const exitHook = "exit"
