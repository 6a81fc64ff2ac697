package content

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// readable is an archive that we read, and the manifest that it has.
type readable struct {
	stored   []byte
	manifest string
}

func readableArchives() map[string]readable {
	long := strings.Repeat("n", 255)
	return map[string]readable{
		"a file is its own root": {
			gz(pack(file("message", "x"))),
			"f\t" + contenttest.SumOfX + "\t.\n",
		},
		"an executable file": {
			gz(pack(script("run", "x"))),
			"x\t" + contenttest.SumOfX + "\t.\n",
		},
		"only the owner's bit makes a file executable": {
			gz(pack(member{name: "run", mode: 0o077, body: "x"})),
			"f\t" + contenttest.SumOfX + "\t.\n",
		},
		"setuid is dropped, as Argo drops it": {
			gz(pack(member{name: "run", mode: 0o4644, body: "x"})),
			"f\t" + contenttest.SumOfX + "\t.\n",
		},
		"an empty directory": {
			gz(pack(dir("out"))),
			"d\t-\t.\n",
		},
		"a directory is in the order of filepath.Walk": {
			gz(pack(dir("out"), dir("out/a"), file("out/a/b", "x"), file("out/a-", ""), file("out/a.b", "x"))),
			"d\t-\t.\nd\t-\ta\nf\t" + contenttest.SumOfX + "\ta/b\nf\t" + contenttest.SumOfNothing + "\ta-\nf\t" + contenttest.SumOfX + "\ta.b\n",
		},
		"parents without a header are made": {
			gz(pack(file("out/a/b/c", "x"), file("out/a/d", "x"), file("out/e/b/c", "x"))),
			"d\t-\t.\nd\t-\ta\nd\t-\ta/b\nf\t" + contenttest.SumOfX + "\ta/b/c\nf\t" + contenttest.SumOfX + "\ta/d\n" +
				"d\t-\te\nd\t-\te/b\nf\t" + contenttest.SumOfX + "\te/b/c\n",
		},
		"several top-level entries lie in a folder": {
			gz(pack(file("a", "x"), dir("b"), link("c", "b/x"))),
			"d\t-\t.\nf\t" + contenttest.SumOfX + "\ta\nd\t-\tb\nl\tb/x\tc\n",
		},
		"names and targets are escaped": {
			gz(pack(dir("out"), link("out/back\\slash", "new\nline"), file("out/tab\t", "x"))),
			"d\t-\t.\nl\tnew\\nline\tback\\\\slash\nf\t" + contenttest.SumOfX + "\ttab\\t\n",
		},
		"what a file system holds is a name": {
			gz(pack(dir("out"), file("out/\x01", "x"), file("out/ ", "x"), file("out/..."+long[3:], "x"), file("out/\xff", "x"))),
			"d\t-\t.\nf\t" + contenttest.SumOfX + "\t\x01\nf\t" + contenttest.SumOfX + "\t \nf\t" + contenttest.SumOfX + "\t..." + long[3:] + "\nf\t" + contenttest.SumOfX + "\t\xff\n",
		},
		"pipes and devices are skipped, as Argo skips them": {
			gz(pack(dir("out"), special("out/a", tar.TypeFifo), special("out/b", tar.TypeChar), special("out/c", tar.TypeBlock), file("out/d", "x"))),
			"d\t-\t.\nf\t" + contenttest.SumOfX + "\td\n",
		},
		"parents of what is skipped are not made": {
			gz(pack(special("before/fifo", tar.TypeFifo), dir("out"), special("out/a/fifo", tar.TypeFifo), file("out/b", "x"))),
			"d\t-\t.\nf\t" + contenttest.SumOfX + "\tb\n",
		},
		"what is skipped can be a parent": {
			gz(pack(dir("out"), special("out/a", tar.TypeFifo), file("out/a/b", "x"))),
			"d\t-\t.\nd\t-\ta\nf\t" + contenttest.SumOfX + "\ta/b\n",
		},
		"what follows the end mark is not unpacked": {
			gz(append(pack(file("message", "x")), pack(file("more", "x"))...)),
			"f\t" + contenttest.SumOfX + "\t.\n",
		},
		"what follows the compressed archive is not unpacked": {
			append(gz(pack(file("message", "x"))), "garbage"...),
			"f\t" + contenttest.SumOfX + "\t.\n",
		},
		"much may follow the compressed archive": {
			append(gz(pack(file("message", "x"))), make([]byte, 4*relayBuffers*relayBuffer)...),
			"f\t" + contenttest.SumOfX + "\t.\n",
		},
		"an archive may end without its mark": {
			gz(pack(file("message", "x"))[:1024]),
			"f\t" + contenttest.SumOfX + "\t.\n",
		},
		"an archive may be compressed in several members": {
			append(gz(pack(file("message", "x"))[:700]), gz(pack(file("message", "x"))[700:])...),
			"f\t" + contenttest.SumOfX + "\t.\n",
		},
	}
}

func TestAnArchiveHasTheDigestOfWhatArgoWouldUnpack(t *testing.T) {
	for title, c := range readableArchives() {
		t.Run(title, func(t *testing.T) {
			sum := mustMeasure(t, c.stored)
			if want := contenttest.DigestOf(c.manifest); sum.Tree != want {
				t.Errorf("tree digest is %s, want %s of\n%s", sum.Tree, want, c.manifest)
			}
			if want := contenttest.DigestOf(string(c.stored)); sum.SHA256 != want || sum.Size != int64(len(c.stored)) {
				t.Errorf("stored bytes have %s (%d bytes), want %s (%d)", sum.SHA256, sum.Size, want, len(c.stored))
			}
		})
	}
}

func TestAnArchiveThatLeavesADoubtIsRefused(t *testing.T) {
	deep := strings.Repeat("d/", maxDepth)
	for title, c := range map[string]struct {
		stored []byte
		why    string
	}{
		"nothing at all":               {nil, "gzip header"},
		"not compressed":               {pack(file("message", "x")), "gzip header"},
		"not an archive":               {gz([]byte(strings.Repeat("text", 512))), "reading the archive"},
		"an empty archive":             {gz(pack()), "nothing that Argo would unpack"},
		"only a pipe":                  {gz(pack(special("fifo", tar.TypeFifo))), "nothing that Argo would unpack"},
		"only a link":                  {gz(pack(link("out", "x"))), "single symbolic link"},
		"cut in the compressed bytes":  {gz(pack(honest()...))[:100], "unexpected EOF"},
		"cut in the archive":           {gz(pack(file("message", strings.Repeat("x", 600)))[:1024]), "unexpected EOF"},
		"altered in the middle":        {flip(gz(pack(honest()...)), 200), ""},
		"garbage between members":      {append(append(gz(pack(file("a", "x"))[:512]), "garbage"...), gz(pack(file("a", "x"))[512:])...), ""},
		"an entry twice":               {gz(pack(dir("out"), file("out/a", "x"), file("out/a", "y"))), "twice, or not in the order"},
		"a directory twice":            {gz(pack(dir("out"), dir("out"))), "twice, or not in the order"},
		"not in order":                 {gz(pack(dir("out"), file("out/b", "x"), file("out/a", "x"))), "twice, or not in the order"},
		"in order of bytes only":       {gz(pack(dir("out"), file("out/a.b", "x"), file("out/a/b", "x"))), "twice, or not in the order"},
		"a parent after its child":     {gz(pack(file("out/a", "x"), dir("out"))), "twice, or not in the order"},
		"a skipped entry out of order": {gz(pack(dir("out"), file("out/b", "x"), special("out/a", tar.TypeFifo))), "twice, or not in the order"},
		"a file as a parent":           {gz(pack(dir("out"), file("out/a", "x"), file("out/a/b", "x"))), "not a directory"},
		"a link as a parent":           {gz(pack(dir("out"), link("out/a", "b"), file("out/a/b", "x"))), "not a directory"},
		"a link as a parent of parents": {
			gz(pack(dir("out"), link("out/a", "b"), file("out/a/b/c", "x"))), "not a directory"},
		"a parent's name":   {gz(pack(dir("out"), file("out/../b", "x"))), "component"},
		"its own name":      {gz(pack(dir("out"), file("out/./b", "x"))), "component"},
		"an absolute name":  {gz(pack(file("/message", "x"))), "component"},
		"a trailing slash":  {gz(pack(dir("out/"))), "component"},
		"a doubled slash":   {gz(pack(file("out//a", "x"))), "component"},
		"no name":           {gz(pack(file("", "x"))), "component"},
		"a NUL in a name":   {gz(pack(member{name: "a", body: "x", pax: map[string]string{"path": "a\x00b"}})), ""},
		"a long component":  {gz(pack(file(strings.Repeat("n", 256), "x"))), "component of 256 bytes"},
		"a long path":       {gz(pack(file(strings.Repeat(strings.Repeat("n", 99)+"/", 41)+"x", "x"))), "path of 4101 bytes"},
		"a deep path":       {gz(pack(file(deep+"x", "x"))), "deeper"},
		"a hard link":       {gz(pack(dir("out"), file("out/a", "x"), member{name: "out/b", kind: tar.TypeLink, target: "out/a"})), "of type '1'"},
		"a contiguous file": {gz(pack(special("a", tar.TypeCont))), "of type '7'"},
		"a sparse file":     {gz(pack(special("a", tar.TypeGNUSparse))), ""},
		"a sparse file (PAX)": {gz(pack(member{name: "a", body: "1\n0\n1\n" + strings.Repeat("\x00", 506) + "x",
			pax: map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"}})), "stored sparsely"},
		"a global header": {gz(pack(member{name: "g", kind: tar.TypeXGlobalHeader, body: paxRecord("comment", "x")}, file("message", "x"))),
			"of type 'g'"},
		"an unknown type":                    {gz(pack(special("a", 'V'))), "of type 'V'"},
		"a mode of other bits":               {gz(pack(member{name: "a", mode: 1 << 23, body: "x"})), "no mode of a file"},
		"an absolute link":                   {gz(pack(dir("out"), link("out/a", "/etc"))), "absolute"},
		"a link out of the root":             {gz(pack(dir("out"), dir("out/d"), link("out/d/a", "../../out"))), "leads out"},
		"a link out of one of several roots": {gz(pack(dir("out"), link("out/a", "../b"), file("z", "x"))), "leads out"},
		"a link to nothing":                  {gz(pack(dir("out"), link("out/a", ""))), "link target"},
		"a link too long":                    {gz(pack(dir("out"), link("out/a", strings.Repeat("t", MaxPath)))), "link target"},
		"a huge header":                      {gz(pack(member{name: "a", pax: map[string]string{"comment": strings.Repeat("x", 2<<20)}})), "too long"},
	} {
		t.Run(title, func(t *testing.T) {
			sum, err := Measure(t.Context(), bytes.NewReader(c.stored))
			if reason.Of(err) != reason.OutputUnreadable || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want OutputUnreadable with %q", err, c.why)
			}
			if sum != (Sum{}) {
				t.Errorf("a refused archive has digests: %v", sum)
			}
		})
	}
}

func TestAReadErrorIsNotTheArchivesFault(t *testing.T) {
	broken := errors.New("disk on fire")
	_, err := Measure(t.Context(), io.MultiReader(bytes.NewReader(gz(pack(honest()...))[:50]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || reason.Of(err) != reason.Internal {
		t.Errorf("got %v, want the error of the reader", err)
	}
}

func TestMeasureEndsWithItsContext(t *testing.T) {
	for title, r := range map[string]io.Reader{
		"while bytes come":                     endless{},
		"while a bomb is inflated":             bytes.NewReader(bomb(200)),
		"while the rest of a bomb is inflated": bytes.NewReader(bomb(7)),
		"while what follows is hashed":         io.MultiReader(bytes.NewReader(gz(pack(file("a", "x")))), endless{}),
	} {
		t.Run(title, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := Measure(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want the context's error", err)
			}
		})
	}
}

// endless is stored bytes without an end that begin as an archive does.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	copy(p, gz(pack(file("a", "x"))))
	return len(p), nil
}

// bomb is one file of 64 GiB, of which so many times 64 MiB are there, in a
// thousandth of that.
func bomb(times int) []byte {
	var b bytes.Buffer
	block(&b, "bomb", tar.TypeReg, 0o644, "", "")
	header := b.Bytes()
	copy(header[124:136], "\x80\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00")
	copy(header[148:156], "        ")
	sum := 0
	for _, c := range header {
		sum += int(c)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return append(gz(header), bytes.Repeat(gz(make([]byte, 64<<20)), times)...)
}

func flip(b []byte, at int) []byte {
	b[at] ^= 0x10
	return b
}

func TestOrderIsThatOfFilepathWalk(t *testing.T) {
	root := t.TempDir()
	for _, p := range []string{"a/b/c", "a/b-", "a/b/\x01", "a.b", "a-", "a\x01", "a/\xff", "b", "a0", "ä/x"} {
		if err := os.MkdirAll(filepath.Join(root, p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var visited []string
	err := filepath.Walk(root, func(path string, _ os.FileInfo, err error) error {
		if path != root {
			visited = append(visited, strings.TrimPrefix(path, root+"/"))
		}
		return err
	})
	if err != nil || len(visited) < 10 {
		t.Fatal(err, visited)
	}
	for i, a := range visited {
		for j, b := range visited {
			if walkLess(a, b) != (i < j) {
				t.Errorf("walkLess(%q, %q) = %t, visited as %d and %d", a, b, walkLess(a, b), i, j)
			}
		}
	}
}

func TestPathsAreThoseOfAFileSystem(t *testing.T) {
	for _, path := range []string{"a", "a/b", "...", "-", " ", "\xff", "a/" + strings.Repeat("n", MaxComponent)} {
		if err := checkPath(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
	for _, path := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "a/.", "../a", "a\x00", strings.Repeat("n", MaxComponent+1)} {
		if checkPath(path) == nil {
			t.Errorf("%q is accepted", path)
		}
	}
}

func TestALinkStaysInItsTree(t *testing.T) {
	for title, c := range map[string]struct {
		target string
		depth  int
		why    string // of a refusal
	}{
		"a sibling":                        {"a", 0, ""},
		"itself":                           {".", 0, ""},
		"something below":                  {"./a//b/./c/", 0, ""},
		"a name with dots":                 {"...", 0, ""},
		"the parent":                       {"..", 1, ""},
		"the root":                         {"../..", 2, ""},
		"up and down again":                {"../.././a", 2, ""},
		"from the root, its parent":        {"..", 0, "leads out"},
		"one too far":                      {"../../../a", 2, "leads out"},
		"one too far, hidden":              {".././/..", 1, "leads out"},
		"back behind a name":               {"a/..", 9, "'..' after a name"},
		"back behind a name, further on":   {"../a/b/../c", 9, "'..' after a name"},
		"the root of everything":           {"/", 9, "absolute"},
		"an absolute path":                 {"/a/../b", 9, "absolute"},
		"nothing":                          {"", 9, "empty"},
		"a NUL":                            {"a\x00", 9, "NUL"},
		"more than a file system can hold": {strings.Repeat("n", MaxPath), 9, "too long"},
	} {
		t.Run(title, func(t *testing.T) {
			err := checkTarget(c.target, c.depth)
			if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want %q", err, c.why)
			}
		})
	}
}

// Argo judges a link by its text only. Of two links that look as if they stayed
// in the archive, the second leads out by way of the first; what is then packed
// below it, Argo writes outside. The tree that stays is the same with and
// without it, so none that has such links may have a digest.
func TestLinksThatLeadOutByWayOfEachOtherAreRefused(t *testing.T) {
	deep := []member{dir("out"), dir("out/a"), dir("out/a/b"), dir("out/a/b/c"), dir("out/a/b/c/d"), dir("out/a/b/c/d/e"), dir("out/a/b/c/d/e/f")}
	up := link("out/a/b/c/d/e/f/up", "../../../../..")
	out := link("out/y", "a/b/c/d/e/f/up/../../../../../..")
	exit := []member{dir("out/y/var"), dir("out/y/var/run/argo/ctr"), dir("out/y/var/run/argo/ctr/main"), file("out/y/var/run/argo/ctr/main/exitcode", "0")}
	for title, c := range map[string]struct {
		members []member
		why     string
	}{
		"what was sealed":                {slices.Concat(deep, []member{up, out}), "'..' after a name"},
		"what was uploaded instead":      {slices.Concat(deep, []member{up, out}, exit), "'..' after a name"},
		"entries before the link":        {slices.Concat(deep, []member{up}, exit, []member{out}), "order"},
		"entries below an honest one":    {slices.Concat(deep, []member{up, link("out/y", "a")}, exit), "not a directory"},
		"only the implicit parents":      {slices.Concat(deep, []member{up, link("out/y", "a")}, exit[3:]), "not a directory"},
		"a pipe below a link":            {slices.Concat(deep, []member{up, link("out/y", "a"), special("out/y/var/fifo", tar.TypeFifo)}), "not a directory"},
		"an entry below it after a pipe": {slices.Concat(deep, []member{link("out/y", "a"), special("out/y/fifo", tar.TypeFifo)}, exit[3:]), "not a directory"},
		"the link again after entries":   {slices.Concat(deep, []member{up, link("out/y", "a")}, []member{file("out/z", "x"), file("out/y/z", "x")}), "order"},
		"a link below a link":            {slices.Concat(deep, []member{link("out/y", "a"), link("out/y/z", "b")}), "not a directory"},
		"a link instead of a parent":     {slices.Concat(deep, []member{file("out/y/z", "x"), link("out/y", "a")}), "order"},
	} {
		t.Run(title, func(t *testing.T) {
			_, err := Measure(t.Context(), bytes.NewReader(gz(pack(c.members...))))
			if reason.Of(err) != reason.OutputUnreadable || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want OutputUnreadable with %q", err, c.why)
			}
		})
	}
	t.Run("but links that stay are fine", func(t *testing.T) {
		sum := mustMeasure(t, gz(pack(slices.Concat(deep, []member{up, link("out/y", "a/b/c/d/e/f/up")})...)))
		root := contenttest.Plant(t, t.TempDir(), [2]string{"a/b/c/d/e/f/"}, [2]string{"a/b/c/d/e/f/up", "-> ../../../../.."}, [2]string{"y", "-> a/b/c/d/e/f/up"})
		if got := mustTreeOf(t, root); got != sum.Tree {
			t.Errorf("on disk %s, in the archive %s", got, sum.Tree)
		}
	})
	t.Run("nor has the tree on the disk a digest", func(t *testing.T) {
		root := contenttest.Plant(t, t.TempDir(), [2]string{"a/b/c/d/e/f/"}, [2]string{"a/b/c/d/e/f/up", "-> " + up.target}, [2]string{"y", "-> " + out.target})
		if d, err := TreeOf(root); err == nil || !strings.Contains(err.Error(), "'..' after a name") {
			t.Errorf("got %q, %v", d, err)
		}
	})
}

func FuzzMeasure(f *testing.F) {
	for _, c := range readableArchives() {
		f.Add(c.stored)
	}
	f.Add(gz(pack(honest()...)))
	f.Add(pack(honest()...))
	f.Fuzz(func(t *testing.T, stored []byte) {
		for _, b := range [][]byte{stored, gz(stored)} { // also what is behind gzip
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			sum, err := Measure(ctx, bytes.NewReader(b))
			cancel()
			if err == nil && (sum.Size != int64(len(b)) || sum.SHA256 != contenttest.DigestOf(string(b)) || len(sum.Tree) != 64) {
				t.Errorf("accepted with %+v", sum)
			}
			if err != nil && reason.Of(err) != reason.OutputUnreadable {
				t.Errorf("refused with %v", err)
			}
		}
	})
}

// Where Argo sets a mode on everything it unpacked, exec bits say nothing.
func TestAnArchiveWithExecutableFilesHasATreeWithout(t *testing.T) {
	with, without := []member{dir("out"), script("out/a", "x"), file("out/b", "y"), link("out/c", "a")}, []member{dir("out"), file("out/a", "x"), file("out/b", "y"), link("out/c", "a")}
	for title, c := range map[string]struct{ with, without []member }{
		"a directory":               {with, without},
		"several top-level ones":    {[]member{script("a", "x"), file("b", "x")}, []member{file("a", "x"), file("b", "x")}},
		"a file":                    {[]member{script("a", "x")}, []member{file("a", "x")}},
		"a folder with no header":   {[]member{script("a/b", "x")}, []member{file("a/b", "x")}},
		"what is skipped is not it": {nil, []member{file("a", "x"), special("b", tar.TypeFifo)}},
	} {
		t.Run(title, func(t *testing.T) {
			want := mustMeasure(t, gz(pack(c.without...)))
			if want.Plain != "" {
				t.Errorf("without executable files it is %+v", want)
			}
			if c.with == nil {
				return
			}
			got := mustMeasure(t, gz(pack(c.with...)))
			if got.Plain != want.Tree || got.Tree == want.Tree || got.Validate() != nil {
				t.Errorf("got %+v, want the tree without exec bits %s", got, want.Tree)
			}
		})
	}
}
