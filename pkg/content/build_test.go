package content

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
)

// member is one entry of an archive that a test packs.
type member struct {
	name   string
	kind   byte // tar.TypeReg if zero
	mode   int64
	target string
	body   string
	pax    map[string]string
}

func dir(name string) member { return member{name: name, kind: tar.TypeDir, mode: 0o755} }

func file(name, body string) member { return member{name: name, mode: 0o644, body: body} }

func script(name, body string) member { return member{name: name, mode: 0o755, body: body} }

func link(name, target string) member {
	return member{name: name, kind: tar.TypeSymlink, mode: 0o777, target: target}
}

func special(name string, kind byte) member { return member{name: name, kind: kind, mode: 0o644} }

// pack writes a tar archive whose headers are as they are given, good or bad.
func pack(members ...member) []byte {
	var b bytes.Buffer
	for _, m := range members {
		if m.kind == 0 {
			m.kind = tar.TypeReg
		}
		records := ""
		for key, value := range m.pax {
			records += paxRecord(key, value)
		}
		if len(m.name) > 100 {
			records += paxRecord("path", m.name)
		}
		if len(m.target) > 100 {
			records += paxRecord("linkpath", m.target)
		}
		if records != "" {
			block(&b, "pax", tar.TypeXHeader, 0o644, "", records)
		}
		block(&b, m.name, m.kind, m.mode, m.target, m.body)
	}
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

// paxRecord spells one extended header: its own length, key and value.
func paxRecord(key, value string) string {
	length := len(key) + len(value) + 3
	for {
		record := fmt.Sprintf("%d %s=%s\n", length, key, value)
		if len(record) == length {
			return record
		}
		length = len(record)
	}
}

// block writes a ustar header and its body, padded.
func block(b *bytes.Buffer, name string, kind byte, mode int64, target, body string) {
	var h [512]byte
	copy(h[0:100], name)
	if mode < 1<<21 {
		copy(h[100:108], fmt.Sprintf("%07o\x00", mode))
	} else { // base 256
		h[100] = 0x80
		for i := range 7 {
			h[107-i] = byte(mode >> (8 * i))
		}
	}
	copy(h[108:116], "0000000\x00")
	copy(h[116:124], "0000000\x00")
	copy(h[124:136], fmt.Sprintf("%011o\x00", len(body)))
	copy(h[136:148], "00000000000\x00")
	copy(h[148:156], "        ")
	h[156] = kind
	copy(h[157:257], target)
	copy(h[257:265], "ustar\x0000")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	b.Write(h[:])
	b.WriteString(body)
	b.Write(make([]byte, -len(body)&511))
}

// zip compresses as Argo does.
func gz(archive []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(archive)
	z.Close()
	return b.Bytes()
}

// honest is an archive as Argo packs a directory, with something of each kind.
func honest() []member {
	return []member{
		dir("out"),
		script("out/a", "#!/bin/sh\n"),
		dir("out/a.d"),
		file("out/a.d/file", "content"),
		link("out/a.d/link", "../a"),
		dir("out/empty"),
		special("out/fifo", tar.TypeFifo),
		file("out/new\nline\\tab\t", ""),
		file("out/"+strings.Repeat("n", 255), "long"),
	}
}

func mustMeasure(t *testing.T, stored []byte) Sum {
	t.Helper()
	sum, err := Measure(t.Context(), bytes.NewReader(stored))
	if err != nil {
		t.Fatalf("Measure: %v", err)
	}
	return sum
}
