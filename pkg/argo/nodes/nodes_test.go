package nodes_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/argo/nodes"
)

const some = `{
	"w-2": {"id":"w-2","name":"w.b","type":"Pod","phase":"Succeeded","templateRef":{"name":"lib","template":"t"},
		"outputs":{"artifacts":[{"name":"a"},{"name":"b"}]}},
	"w": {"id":"w","name":"w","type":"DAG","phase":"Succeeded","templateName":"main"},
	"w-1": {"id":"w-1","name":"w.a","type":"Pod","phase":"Succeeded","templateName":"make","memoizationStatus":{"hit":true},"daemoned":true},
	"w-3": {"id":"w-3","name":"w.c","type":"Skipped","phase":"Omitted","templateName":"make"},
	"w-4": {"id":"w-4","name":"w.d","type":"Pod","phase":"Error","templateName":"make"}
}`

var read = []nodes.Node{
	{ID: "w", Name: "w", Type: "DAG", Phase: "Succeeded", Template: "main"},
	{ID: "w-1", Name: "w.a", Type: "Pod", Phase: "Succeeded", Template: "make", Memoized: true, Daemon: true},
	{ID: "w-2", Name: "w.b", Type: "Pod", Phase: "Succeeded", Template: "t", Artifacts: 2},
	{ID: "w-3", Name: "w.c", Type: "Skipped", Phase: "Omitted", Template: "make"},
	{ID: "w-4", Name: "w.d", Type: "Pod", Phase: "Error", Template: "make"},
}

func compressed(tb testing.TB, text string) string {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	raw, err := json.Marshal(map[string]string{"phase": "Running", "compressedNodes": base64.StdEncoding.EncodeToString(b.Bytes())})
	if err != nil {
		tb.Fatal(err)
	}
	return string(raw)
}

func TestRead(t *testing.T) {
	huge := compressed(t, `{"a":"`+strings.Repeat("x", nodes.MaxUncompressed)+`"}`)
	artifacts := compressed(t, `{"a":{"outputs":{"artifacts":[`+strings.Repeat("1,", nodes.MaxUncompressed/2-100)+`1]}}}`)
	var many strings.Builder
	for n := range nodes.MaxNodes + 1 {
		fmt.Fprintf(&many, `,"%d":{}`, n)
	}
	for name, tt := range map[string]struct {
		status string
		want   nodes.Status
		err    error
	}{
		"as Argo keeps them":             {`{"phase":"Succeeded","finishedAt":"2026-01-01T00:00:00Z","nodes":` + some + `}`, nodes.Status{Phase: "Succeeded", Ended: true, Nodes: read}, nil},
		"compressed":                     {compressed(t, some), nodes.Status{Phase: "Running", Nodes: read}, nil},
		"not begun":                      {`null`, nodes.Status{Nodes: []nodes.Node{}}, nil},
		"no status":                      {``, nodes.Status{Nodes: []nodes.Node{}}, nil},
		"running, whatever else it says": {`{"phase":"Running","finishedAt":"2026-01-01T00:00:00Z"}`, nodes.Status{Phase: "Running", Nodes: []nodes.Node{}}, nil},
		"in a database":                  {`{"phase":"Running","offloadNodeStatusVersion":"fnv:1","nodes":{}}`, nodes.Status{Phase: "Running"}, nodes.ErrOffloaded},
		"no base64":                      {`{"phase":"Running","compressedNodes":"?"}`, nodes.Status{Phase: "Running"}, nodes.ErrInvalid},
		"no gzip":                        {`{"compressedNodes":"aaaa"}`, nodes.Status{}, nodes.ErrInvalid},
		"no JSON in it":                  {compressed(t, `{`), nodes.Status{Phase: "Running"}, nodes.ErrInvalid},
		"a bomb":                         {huge, nodes.Status{Phase: "Running"}, nodes.ErrInvalid},
		"a node of many artifacts":       {artifacts, nodes.Status{Phase: "Running"}, nodes.ErrInvalid},
		"many nodes":                     {compressed(t, "{"+many.String()[1:]+"}"), nodes.Status{Phase: "Running"}, nodes.ErrInvalid},
		"many nodes, as they are":        {`{"nodes":{` + many.String()[1:] + `}}`, nodes.Status{}, nodes.ErrInvalid},
		"something after them":           {compressed(t, `{}{}`), nodes.Status{Phase: "Running"}, nodes.ErrInvalid},
		"artifacts that are no list":     {`{"nodes":{"a":{"outputs":{"artifacts":{}}}}}`, nodes.Status{}, nodes.ErrInvalid},
		"no artifacts":                   {`{"nodes":{"a":{"outputs":{"artifacts":null}}}}`, nodes.Status{Nodes: []nodes.Node{{ID: "a"}}}, nil},
		"an id twice":                    {`{"nodes":{"a":{"name":"x"},"a":{"name":"y"}}}`, nodes.Status{Nodes: []nodes.Node{{ID: "a", Name: "y"}}}, nil},
		"another type of field":          {`{"nodes":[]}`, nodes.Status{}, nodes.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			got := nodes.Read([]byte(tt.status))
			if !errors.Is(got.Err, tt.err) || (got.Err == nil) != (tt.err == nil) {
				t.Errorf("error %v, want %v", got.Err, tt.err)
			}
			got.Err = nil
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestNode(t *testing.T) {
	for _, tt := range []struct {
		node                        nodes.Node
		pod, skipped, failed, ended bool
	}{
		{read[0], false, false, false, true},
		{read[2], true, false, false, true},
		{read[3], true, true, false, true},
		{read[4], true, false, true, true},
		{nodes.Node{Type: "Pod", Phase: "Running"}, true, false, false, false},
		{nodes.Node{Type: "Suspend", Phase: "Succeeded"}, false, false, false, true},
	} {
		if n := tt.node; n.Pod() != tt.pod || n.Skipped() != tt.skipped || n.Failed() != tt.failed || n.Ended() != tt.ended {
			t.Errorf("%+v: pod %v, skipped %v, failed %v, ended %v", n, n.Pod(), n.Skipped(), n.Failed(), n.Ended())
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"nodes":` + some + `}`))
	f.Add([]byte(compressed(f, some)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s := nodes.Read(raw); s.Err != nil && s.Nodes != nil {
			t.Errorf("nodes beside the error %v", s.Err)
		}
	})
}
