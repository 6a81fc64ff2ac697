package content

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// packZip makes a zip as Argo's zipDir does.
func packZip(members ...member) []byte {
	return packZipAs(func(*zip.FileHeader) {}, members...)
}

// packZipAs makes a zip whose headers are changed.
func packZipAs(change func(*zip.FileHeader), members ...member) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		change(h)
		f, err := w.CreateHeader(h)
		if err != nil {
			panic(err)
		}
		if strings.HasSuffix(m.name, "/") {
			continue // archive/zip writes no content of directories
		}
		if _, err := f.Write([]byte(m.body)); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func measureZip(ctx context.Context, stored []byte) (Sum, error) {
	return MeasureZip(ctx, bytes.NewReader(stored), int64(len(stored)))
}

func readableZips() map[string]readable {
	return map[string]readable{
		"a directory": {
			packZip(file("out/a/b", "x"), file("out/a/c", ""), file("out/a-", "x")),
			"d\t-\t.\nd\t-\ta\nf\t" + contenttest.SumOfX + "\ta/b\nf\t" + contenttest.SumOfNothing + "\ta/c\nf\t" + contenttest.SumOfX + "\ta-\n",
		},
		"a file by its absolute path": {
			packZip(file("/tmp/argo/outputs/artifacts/a", "x")),
			"d\t-\t.\nd\t-\targo\nd\t-\targo/outputs\nd\t-\targo/outputs/artifacts\nf\t" + contenttest.SumOfX + "\targo/outputs/artifacts/a\n",
		},
		"a file": {
			packZip(file("a", "x")),
			"f\t" + contenttest.SumOfX + "\t.\n",
		},
		"several in a folder": {
			packZip(file("a", "x"), file("b/c", "x")),
			"d\t-\t.\nf\t" + contenttest.SumOfX + "\ta\nd\t-\tb\nf\t" + contenttest.SumOfX + "\tb/c\n",
		},
		"stored, not compressed": {
			packZipAs(func(h *zip.FileHeader) { h.Method = zip.Store }, file("a", "x")),
			"f\t" + contenttest.SumOfX + "\t.\n",
		},
		"odd names": {
			packZip(file("out/\x01", "x"), file("out/a\\b", "x"), file("out/\xff", "x")),
			"d\t-\t.\nf\t" + contenttest.SumOfX + "\t\x01\nf\t" + contenttest.SumOfX + "\ta\\\\b\nf\t" + contenttest.SumOfX + "\t\xff\n",
		},
	}
}

func TestAZipHasTheDigestOfWhatArgoWouldUnpack(t *testing.T) {
	for title, c := range readableZips() {
		t.Run(title, func(t *testing.T) {
			sum, err := measureZip(t.Context(), c.stored)
			if want := contenttest.DigestOf(c.manifest); err != nil || sum.Tree != want || sum.Form != FormZip {
				t.Errorf("got %+v, %v; want tree %s of\n%s", sum, err, want, c.manifest)
			}
			if want := contenttest.DigestOf(string(c.stored)); sum.SHA256 != want || sum.Size != int64(len(c.stored)) || sum.Validate() != nil {
				t.Errorf("stored bytes have %s (%d bytes), want %s (%d)", sum.SHA256, sum.Size, want, len(c.stored))
			}
		})
	}
}

// endOf changes the record at the end of a zip.
func endOf(stored []byte, change func(end []byte)) []byte {
	stored = slices.Clone(stored)
	change(stored[len(stored)-zipEnd:])
	return stored
}

// shifted puts something in front of a zip and has its end allow for it.
func shifted(front, stored []byte) []byte {
	return endOf(slices.Concat(front, stored), func(end []byte) {
		offset := binary.LittleEndian.Uint32(end[16:])
		binary.LittleEndian.PutUint32(end[16:], offset+uint32(len(front)))
	})
}

func TestAZipThatLeavesADoubtIsRefused(t *testing.T) {
	good := packZip(file("out/a", "x"), file("out/b", "x"))
	for title, c := range map[string]struct {
		stored []byte
		why    string
	}{
		"nothing at all":              {nil, "too short"},
		"no zip":                      {make([]byte, 100), "does not end"},
		"an archive":                  {gz(pack(honest()...)), "does not end"},
		"an empty zip":                {packZip(), "nothing that Argo would unpack"},
		"with a comment":              {endOf(append(slices.Clone(good), "PK"...), func([]byte) {}), "does not end"},
		"another one behind it":       {append(slices.Clone(good), packZip(file("c", "y"))...), "in front of it"},
		"something in front of it":    {append([]byte("garbage"), good...), "in front of it"},
		"cut":                         {good[:len(good)-1], "does not end"},
		"cut in front":                {good[3:], ""},
		"altered":                     {flip(packZipAs(func(h *zip.FileHeader) { h.Method = zip.Store }, file("out/a", "x")), 35), "checksum"},
		"more entries than there are": {endOf(good, func(e []byte) { e[10]++ }), "directory"},
		"entries for zip64":           {endOf(good, func(e []byte) { binary.LittleEndian.PutUint16(e[10:], 0xffff) }), "65535 entries"},
		"a directory for zip64":       {endOf(good, func(e []byte) { binary.LittleEndian.PutUint32(e[12:], 0xffff) }), "65535 entries"},
		"an offset for zip64":         {endOf(good, func(e []byte) { binary.LittleEndian.PutUint32(e[16:], 0xffffffff) }), "65535 entries"},
		"an archive and a zip":        {shifted(gz(pack(file("a", "x"))), good), "tar+gzip as well"},
		"an entry twice":              {packZip(file("a", "x"), file("a", "y")), "twice, or not in the order"},
		"an entry by two names":       {packZip(file("a/b", "x"), file("/a/b", "y")), "twice, or not in the order"},
		"not in order":                {packZip(file("b", "x"), file("a", "x")), "twice, or not in the order"},
		"a file as a parent":          {packZip(file("a", "x"), file("a/b", "x")), "not a directory"},
		"a directory":                 {packZip(member{name: "out/"}, file("out/a", "x")), "component"},
		"a parent's name":             {packZip(file("out/../../a", "x")), "component"},
		"a doubled slash":             {packZip(file("//a", "x")), "component"},
		"no name":                     {packZip(file("", "x")), "component"},
		"a long path":                 {packZip(file(strings.Repeat(strings.Repeat("n", 99)+"/", 41)+"x", "x")), "path of 4101 bytes"},
		"an executable file":          {packZipAs(func(h *zip.FileHeader) { h.SetMode(0o755) }, file("a", "x")), "Argo packs none"},
		"a setuid file":               {packZipAs(func(h *zip.FileHeader) { h.SetMode(0o666 | fs.ModeSetuid) }, file("a", "x")), "Argo packs none"},
		"a link":                      {packZipAs(func(h *zip.FileHeader) { h.SetMode(0o666 | fs.ModeSymlink) }, file("a", "/etc")), "Argo packs none"},
		"a directory by its mode":     {packZipAs(func(h *zip.FileHeader) { h.ExternalAttrs = 0x10 }, file("a", "")), "Argo packs none"},
		"another method":              {bytes.ReplaceAll(packZip(file("a", "x")), []byte("\x08\x00\x08\x00"), []byte("\x08\x00\x63\x00")), "unsupported"},
		"too many entries":            {manyZipped(40_000), "directory has more than"},
	} {
		t.Run(title, func(t *testing.T) {
			sum, err := measureZip(t.Context(), c.stored)
			if reason.Of(err) != reason.OutputUnreadable || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want OutputUnreadable with %q", err, c.why)
			}
			if sum != (Sum{}) {
				t.Errorf("a refused zip has digests: %v", sum)
			}
		})
	}
}

func manyZipped(n int) []byte {
	var members []member
	for i := range n {
		members = append(members, file(fmt.Sprintf("out/file-%09d", i), ""))
	}
	return packZip(members...)
}

func TestAZipThatCannotBeReadIsNotAtFault(t *testing.T) {
	stored := packZip(file("out/a", strings.Repeat("x", 100_000)), file("out/b", "x"))
	for _, offset := range []int64{0, 50, int64(len(stored)) - 1} {
		if _, err := MeasureZip(t.Context(), brokenAt{bytes.NewReader(stored), offset}, int64(len(stored))); !errors.Is(err, errBroken) {
			t.Errorf("broken at %d: got %v", offset, err)
		}
	}
	bomb := packZip(file("bomb", strings.Repeat("\x00", 64<<20)))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := measureZip(ctx, bomb); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func FuzzMeasureZip(f *testing.F) {
	for _, c := range readableZips() {
		f.Add(c.stored)
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		sum, err := measureZip(ctx, stored)
		if err == nil && sum.Validate() != nil {
			t.Errorf("accepted with %+v", sum)
		}
		if err != nil && reason.Of(err) != reason.OutputUnreadable {
			t.Errorf("refused with %v", err)
		}
	})
}
