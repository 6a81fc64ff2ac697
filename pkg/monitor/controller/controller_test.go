package controller

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/argo/nodes"
	"github.com/argoseal/argoseal/pkg/argo/stored"
)

// read is what the controller reads of a Workflow, and how many bytes it asks for.
func read(t *testing.T, spec, status string) (*nodes.Status, uint64) {
	t.Helper()
	raw := []byte(`{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"name":"w","namespace":"n","uid":"u","resourceVersion":"7"},"spec":` + spec + `,"status":` + status + `}`)
	r := &Reconciler{Stored: stored.NewReader(func(context.Context, string, string, string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(raw)), nil
	})}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	is, version, err := r.workflow(t.Context(), Key{Namespace: "n", Name: "w", UID: "u"})
	runtime.ReadMemStats(&after)
	if err != nil || is == nil || version != "7" {
		t.Fatalf("%v, %q, %v", is, version, err)
	}
	return is, after.TotalAlloc - before.TotalAlloc
}

// What nobody asks about is not decoded: neither what a Workflow is to run nor what its
// status has beside its nodes.
func TestOfAWorkflowItsNodesAreRead(t *testing.T) {
	many := "[" + strings.Repeat(`{"":0},`, 150_000) + "{}]"
	const status = `{"phase":"Succeeded","nodes":{"w":{"id":"w","name":"w","type":"Pod","phase":"Succeeded","outputs":{"artifacts":[{"name":"a"}]}}}`
	for name, c := range map[string][2]string{
		"in its spec":   {many, status + "}"},
		"in its status": {"{}", status + `,"x":` + many + "}"},
	} {
		is, took := read(t, c[0], c[1])
		if !is.Ended || len(is.Nodes) != 1 || is.Nodes[0].Artifacts != 1 || is.Err != nil {
			t.Errorf("%s: it is %+v", name, is)
		}
		if took > 16<<20 {
			t.Errorf("%s: it takes %d MiB", name, took>>20)
		}
	}
}

// What a status may unpack to is no less than what it does.
func TestAStatusHasRoomForWhatItUnpacksTo(t *testing.T) {
	var list strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&list, `,"w-%d":{"id":"w-%d","name":"w[0].s%d","type":"Pod","phase":"Succeeded"}`, i, i, i)
	}
	var small strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&small, `,"%x":{}`, i)
	}
	plain := "{" + list.String()[1:] + "}"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(plain)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for name, status := range map[string]string{
		"plain":      `{"phase":"Running","nodes":` + plain + `}`,
		"compressed": `{"phase":"Running","compressedNodes":"` + base64.StdEncoding.EncodeToString(zipped.Bytes()) + `"}`,
		"small":      `{"nodes":{` + small.String()[1:] + `}}`,
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		is := nodes.Read([]byte(status))
		runtime.GC()
		runtime.ReadMemStats(&after)
		if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > unpacking([]byte(status)) {
			t.Errorf("%s: it takes %d KiB, and has room for %d", name, kept>>10, unpacking([]byte(status))>>10)
		}
		if name != "small" && len(is.Nodes) != 5000 {
			t.Errorf("%s: %d nodes", name, len(is.Nodes))
		}
		runtime.KeepAlive(is)
	}
}
