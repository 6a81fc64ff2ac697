package pin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

func pinOf(t *testing.T, input, path string) Pin {
	t.Helper()
	return Pin{Input: input, Location: "s3://store/bucket/" + input, SHA256: artifact.Digest(contenttest.SumOfX), Archive: content.ArchiveTar, Tree: mustTreeOf(t, path)}
}

func withMode(p Pin, mode int32) Pin {
	p.Mode = &mode
	return p
}

// volume is Argo's volume of inputs with two of them: a directory and a file.
func volume(t *testing.T) (string, []Pin) {
	t.Helper()
	root := contenttest.Plant(t, t.TempDir(), [2]string{"tree/"}, [2]string{"tree/sub/"}, [2]string{"tree/sub/a", "x"}, [2]string{"message", "x"})
	return root, []Pin{pinOf(t, "tree", root+"/tree"), pinOf(t, "message", root+"/message")}
}

func TestInputsAreWhatWasAdmitted(t *testing.T) {
	root, pins := volume(t)
	if err := CheckInputs(root, nil, pins, nil); err != nil {
		t.Error(err)
	}
	t.Run("beside raw ones", func(t *testing.T) {
		contenttest.Plant(t, root, [2]string{"raw", "x"})
		if err := CheckInputs(root, nil, pins, []Raw{{Input: "raw", SHA256: contenttest.SumOfX}}); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatIsNotWhatWasAdmittedIsRefused(t *testing.T) {
	for title, c := range map[string]struct {
		change func(t *testing.T, root string)
		want   reason.Code
		says   string
	}{
		"a changed file":        {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"message", "y"}) }, reason.InputAltered, "message (s3://store/bucket/message): tree digest is"},
		"a changed file within": {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"tree/sub/a", "y"}) }, reason.InputAltered, "tree digest is"},
		"a file more within":    {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"tree/sub/b", "y"}) }, reason.InputAltered, "tree digest is"},
		"an exec bit":           {func(t *testing.T, root string) { chmod(t, root+"/message", 0o755) }, reason.InputAltered, "tree digest is"},
		"a link instead": {func(t *testing.T, root string) {
			remove(t, root+"/message")
			contenttest.Plant(t, root, [2]string{"message", "-> tree/sub/a"})
		}, reason.InputAltered, "symbolic link"},
		"a missing file":            {func(t *testing.T, root string) { remove(t, root+"/message") }, reason.InputMissing, "artifact message"},
		"a missing tree":            {func(t *testing.T, root string) { remove(t, root+"/tree") }, reason.InputMissing, "artifact tree"},
		"what an absent input left": {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"optional", "x"}) }, reason.InputExtra, `"optional"`},
		"a link that leads out":     {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"tree/sub/up", "-> ../.."}) }, reason.InputAltered, "leads out"},
		"a file more":               {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"message.tmp", "x"}) }, reason.InputExtra, `"message.tmp"`},
		"a link more":               {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"z", "-> message"}) }, reason.InputExtra, `"z"`},
		"no volume":                 {func(t *testing.T, root string) { remove(t, root) }, reason.Internal, "opening the volume"},
	} {
		t.Run(title, func(t *testing.T) {
			root, pins := volume(t)
			c.change(t, root)
			err := CheckInputs(root, nil, pins, nil)
			if reason.Of(err) != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %s with %q", err, c.want, c.says)
			}
		})
	}
}

// Nobody measured what comes from outside: it is held to what a policy names,
// and nothing may lie beside it.
func TestInputsThatAPolicyAdmits(t *testing.T) {
	byPolicy := func(pins []Pin, sha256, tree artifact.Digest) []Pin {
		pins[1].Policy, pins[1].SHA256, pins[1].Archive, pins[1].Tree = "datasets", sha256, content.ArchiveDetect, tree
		return pins
	}
	for title, c := range map[string]struct {
		sha256, tree artifact.Digest
		change       func(t *testing.T, root string)
		want         reason.Code
		says         string
	}{
		"a file with the named digest":      {contenttest.SumOfX, content.FileTree(contenttest.SumOfX), nil, "", ""},
		"a file with the named tree digest": {"", content.FileTree(contenttest.SumOfX), nil, "", ""},
		"any content":                       {"", "", func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"message", "y"}) }, "", ""},
		"any content, a tree that leads out": {"", "", func(t *testing.T, root string) {
			remove(t, root+"/message")
			contenttest.Plant(t, root, [2]string{"message/"}, [2]string{"message/up", "-> /etc"})
		}, "", ""},
		"any content, and nothing there":   {"", "", func(t *testing.T, root string) { remove(t, root+"/message") }, "", ""},
		"any content, and another changed": {"", "", func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"tree/sub/a", "y"}) }, reason.InputAltered, "artifact tree"},
		"any content, and one beside it":   {"", "", func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"message2", "y"}) }, reason.InputExtra, "message2"},
		"another file":                     {contenttest.SumOfX, content.FileTree(contenttest.SumOfX), func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"message", "y"}) }, reason.InputAltered, "pin treeSHA256"},
		"a folder instead of the file": {contenttest.SumOfX, content.FileTree(contenttest.SumOfX), func(t *testing.T, root string) {
			remove(t, root+"/message")
			contenttest.Plant(t, root, [2]string{"message/"}, [2]string{"message/x", "x"})
		}, reason.InputAltered, "policy datasets"},
		"another tree": {"", content.FileTree(contenttest.SumOfX), func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"message", "y"}) }, reason.InputAltered, "policy datasets"},
		"no file":      {contenttest.SumOfX, content.FileTree(contenttest.SumOfX), func(t *testing.T, root string) { remove(t, root+"/message") }, reason.InputMissing, ""},
		"half a pin":   {contenttest.SumOfX, "", nil, reason.UsageInvalid, ""},
	} {
		t.Run(title, func(t *testing.T) {
			root, pins := volume(t)
			if c.change != nil {
				c.change(t, root)
			}
			err := CheckInputs(root, nil, byPolicy(pins, c.sha256, c.tree), nil)
			if reason.Of(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q with %q", err, c.want, c.says)
			}
		})
	}
	t.Run("a tree digest is held however Argo made the tree", func(t *testing.T) {
		for _, by := range []content.Archive{content.ArchiveTar, content.ArchiveZip, content.ArchiveNone, content.ArchiveDetect} {
			root, pins := volume(t)
			pins = byPolicy(pins, "", content.FileTree(contenttest.SumOfX))
			pins[1].Archive = by
			if err := CheckInputs(root, nil, pins, nil); err != nil {
				t.Errorf("by %s: %v", by, err)
			}
			contenttest.Plant(t, root, [2]string{"message", "y"})
			if err := CheckInputs(root, nil, pins, nil); reason.Of(err) != reason.InputAltered {
				t.Errorf("by %s: got %v, want InputAltered", by, err)
			}
		}
	})
	t.Run("a pin without a policy has its digests", func(t *testing.T) {
		root, pins := volume(t)
		pins[1].SHA256, pins[1].Tree = "", ""
		if err := CheckInputs(root, nil, pins, nil); reason.Of(err) != reason.UsageInvalid {
			t.Errorf("got %v", err)
		}
	})
}

// An optional input of which nobody knew anything is not there, or main does not
// start.
func TestAnInputThatWasAdmittedAsAbsentIsNotThere(t *testing.T) {
	for title, c := range map[string]struct {
		there []string // what Argo left beside the other input, as plant takes it
		want  reason.Code
	}{
		"nothing":            {nil, ""},
		"a file":             {[]string{"cache", "x"}, reason.NoProvenance},
		"an empty directory": {[]string{"cache/", ""}, reason.NoProvenance},
		"a link to nowhere":  {[]string{"cache", "-> nowhere"}, reason.NoProvenance},
		// Argo gave up on a prefix of which it had some.
		"a part":       {[]string{"cache.tmp/", ""}, reason.NoProvenance},
		"another name": {[]string{"cache2", "x"}, reason.InputExtra},
	} {
		absent := Pin{Input: "cache", Location: "s3://store/bucket/cache", Archive: content.ArchiveDetect, Absent: true}
		t.Run(title, func(t *testing.T) {
			root, pins := volume(t)
			if c.there != nil {
				contenttest.Plant(t, root, [2]string(append(c.there, "")[:2]))
			}
			if err := CheckInputs(root, nil, append(pins, absent), nil); reason.Of(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
		t.Run(title+" on a volume", func(t *testing.T) {
			argo, v, pins, raws := onVolume(t)
			v.Inputs["cache"] = "/mnt/cache"
			if c.there != nil {
				contenttest.Plant(t, v.Dir, [2]string(append(c.there, "")[:2]))
			}
			if err := CheckInputs(argo, []Volume{v}, append(pins, absent), raws); reason.Of(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	// Argo's driver of Azure leaves the empty file that it made before it asked.
	for title, c := range map[string]struct {
		location string
		there    [2]string
		want     reason.Code
	}{
		"what Azure's driver left":       {"azure://acct/data/cache", [2]string{"cache.tmp", ""}, ""},
		"what S3's driver does not":      {"s3://store/bucket/cache", [2]string{"cache.tmp", ""}, reason.NoProvenance},
		"what GCS's driver does not":     {"gs://data/cache", [2]string{"cache.tmp", ""}, reason.NoProvenance},
		"more than Azure's driver left":  {"azure://acct/data/cache", [2]string{"cache.tmp", "x"}, reason.NoProvenance},
		"a folder instead":               {"azure://acct/data/cache", [2]string{"cache.tmp/", ""}, reason.NoProvenance},
		"a link instead":                 {"azure://acct/data/cache", [2]string{"cache.tmp", "-> message"}, reason.NoProvenance},
		"an empty file in its place":     {"azure://acct/data/cache", [2]string{"cache", ""}, reason.NoProvenance},
		"what Azure's left of another":   {"azure://acct/data/cache", [2]string{"other.tmp", ""}, reason.InputExtra},
		"what Azure's left of the other": {"azure://acct/data/cache", [2]string{"message.tmp", ""}, reason.InputExtra},
	} {
		absent := Pin{Input: "cache", Location: c.location, Archive: content.ArchiveDetect, Absent: true}
		t.Run(title, func(t *testing.T) {
			root, pins := volume(t)
			contenttest.Plant(t, root, c.there)
			if err := CheckInputs(root, nil, append(pins, absent), nil); reason.Of(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
		t.Run(title+" on a volume", func(t *testing.T) {
			argo, v, pins, raws := onVolume(t)
			v.Inputs["cache"] = "/mnt/cache"
			contenttest.Plant(t, v.Dir, c.there)
			if err := CheckInputs(argo, []Volume{v}, append(pins, absent), raws); reason.Of(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("nor what any content may be", func(t *testing.T) {
		for there, want := range map[[2]string]reason.Code{{"cache", "x"}: "", {"cache.tmp", ""}: "", {"cache.tmp", "x"}: reason.InputExtra, {"cache.tmp/", ""}: reason.InputExtra} {
			root, pins := volume(t)
			contenttest.Plant(t, root, there)
			given := Pin{Input: "cache", Location: "azure://acct/data/cache", Archive: content.ArchiveDetect, Policy: "p"}
			if err := CheckInputs(root, nil, append(pins, given), nil); reason.Of(err) != want {
				t.Errorf("%q: got %v, want %q", there, err, want)
			}
			given.Location = "s3://store/bucket/cache"
			if err := CheckInputs(root, nil, append(pins, given), nil); (err == nil) != (there[0] == "cache") {
				t.Errorf("%q in S3: got %v", there, err)
			}
		}
	})
	t.Run("nor what a sealed directory does not have", func(t *testing.T) {
		root, pins := volume(t)
		absent := Pin{Input: "cache", Location: "s3://store/bucket/tree/cache", Archive: content.ArchiveTar, Absent: true, Within: "s3://store/bucket/tree/"}
		if err := CheckInputs(root, nil, append(pins, absent), nil); err != nil {
			t.Error(err)
		}
		contenttest.Plant(t, root, [2]string{"cache", "x"})
		if err := CheckInputs(root, nil, append(pins, absent), nil); reason.Of(err) != reason.NoProvenance || !strings.Contains(err.Error(), "the sealed directory") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nor a part of it on a volume that others have", func(t *testing.T) {
		argo, v, pins, raws := onVolume(t)
		v.Inputs["cache"], v.Own = "/mnt/cache", false
		contenttest.Plant(t, v.Dir, [2]string{"cache.tmp", "x"})
		absent := Pin{Input: "cache", Location: "s3://store/bucket/cache", Archive: content.ArchiveTar, Absent: true}
		if err := CheckInputs(argo, []Volume{v}, append(pins, absent), raws); reason.Of(err) != reason.NoProvenance {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nor the folder on a volume in which it would be", func(t *testing.T) {
		argo, v, pins, raws := onVolume(t)
		v.Inputs["cache"] = "/mnt/far/cache"
		absent := Pin{Input: "cache", Location: "s3://store/bucket/cache", Archive: content.ArchiveTar, Absent: true}
		if err := CheckInputs(argo, []Volume{v}, append(pins, absent), raws); err != nil {
			t.Error(err)
		}
	})
}

func TestPinsThatSayNothingAreRefused(t *testing.T) {
	root, pins := volume(t)
	raw := func(input string) Raw { return Raw{Input: input, SHA256: contenttest.SumOfX} }
	bad := func(change func(p *Pin)) []Pin {
		p := pins[0]
		change(&p)
		return []Pin{p, pins[1]}
	}
	for title, c := range map[string]struct {
		pins []Pin
		raws []Raw
	}{
		"no pin":                {nil, []Raw{raw("tree"), raw("message")}},
		"a pin twice":           {append(pins, pins[0]), nil},
		"pinned and raw":        {pins, []Raw{raw("tree")}},
		"a raw input twice":     {pins, []Raw{raw("a"), raw("a")}},
		"a raw path":            {pins, []Raw{raw("../x")}},
		"a raw one of nothing":  {pins, []Raw{{Input: "a"}}},
		"a raw mode too wide":   {pins, []Raw{{Input: "a", SHA256: contenttest.SumOfX, Mode: withMode(Pin{}, 1<<20).Mode}}},
		"no name":               {bad(func(p *Pin) { p.Input = "" }), []Raw{raw("tree")}},
		"a path as a name":      {bad(func(p *Pin) { p.Input = "tree/sub" }), []Raw{raw("tree")}},
		"no tree digest":        {bad(func(p *Pin) { p.Tree = "" }), nil},
		"no digest":             {bad(func(p *Pin) { p.SHA256 = "" }), nil},
		"a seal of nobody's":    {bad(func(p *Pin) { p.Seal = "lib/x" }), nil},
		"a seal of two lines":   {bad(func(p *Pin) { p.Policy, p.Seal = "lib", "lib/\nx" }), nil},
		"a seal of no digest":   {bad(func(p *Pin) { p.Policy, p.Seal, p.SHA256, p.Tree = "lib", "lib/x", "", "" }), nil},
		"a policy of two lines": {bad(func(p *Pin) { p.Policy = "a\nb" }), nil},
		"both there and not":    {bad(func(p *Pin) { p.Absent = true }), nil},
		"absent by a policy": {bad(func(p *Pin) {
			*p = Pin{Input: p.Input, Location: p.Location, Archive: p.Archive, Policy: "p", Absent: true}
		}), nil},
		"absent in no way": {bad(func(p *Pin) { *p = Pin{Input: p.Input, Location: p.Location, Absent: true} }), nil},
		"absent beside": {bad(func(p *Pin) {
			*p = Pin{Input: p.Input, Location: "s3://store/bucket/a", Archive: p.Archive, Absent: true, Within: "s3://store/bucket/b/"}
		}), nil},
		"absent nowhere":        {bad(func(p *Pin) { *p = Pin{Input: p.Input, Archive: p.Archive, Absent: true} }), nil},
		"no location":           {bad(func(p *Pin) { p.Location = "" }), nil},
		"a mode of other bits":  {bad(func(p *Pin) { *p = withMode(*p, 1<<20) }), nil},
		"a mode below anything": {bad(func(p *Pin) { *p = withMode(*p, -1) }), nil},
	} {
		t.Run(title, func(t *testing.T) {
			if err := CheckInputs(root, nil, c.pins, c.raws); reason.Of(err) != reason.UsageInvalid {
				t.Errorf("got %v, want UsageInvalid", err)
			}
		})
	}
}

func TestAModeIsCheckedAsArgoSetsIt(t *testing.T) {
	for title, c := range map[string]struct {
		input  string
		mode   int32       // in the pin
		onDisk os.FileMode // of the root
		want   reason.Code
	}{
		"a file that became executable":         {"message", 0o755, 0o755, ""},
		"a file that stays as it was":           {"message", 0o600, 0o600, ""},
		"a directory":                           {"tree", 0o700, 0o700, ""},
		"bits that Argo drops":                  {"message", 0o4755, 0o755, ""},
		"a file with another mode":              {"message", 0o755, 0o744, reason.InputAltered},
		"a file that should be executable":      {"message", 0o755, 0o644, reason.InputAltered},
		"a directory with another mode":         {"tree", 0o700, 0o755, reason.InputAltered},
		"a directory with none of what it lost": {"tree", 0o755, 0o700, reason.InputAltered},
	} {
		t.Run(title, func(t *testing.T) {
			root, pins := volume(t)
			for i := range pins {
				if pins[i].Input == c.input {
					pins[i] = withMode(pins[i], c.mode)
				}
			}
			chmod(t, filepath.Join(root, c.input), c.onDisk)
			if err := CheckInputs(root, nil, pins, nil); reason.Of(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("within a directory exec bits stay what they were", func(t *testing.T) {
		root, pins := volume(t)
		pins[0] = withMode(pins[0], 0o755)
		chmod(t, root+"/tree/sub/a", 0o755)
		if err := CheckInputs(root, nil, pins, nil); reason.Of(err) != reason.InputAltered {
			t.Errorf("got %v, want InputAltered", err)
		}
	})
	t.Run("another content is not forgiven for its mode", func(t *testing.T) {
		root, pins := volume(t)
		pins[1] = withMode(pins[1], 0o644)
		contenttest.Plant(t, root, [2]string{"message", "y"})
		if err := CheckInputs(root, nil, pins, nil); reason.Of(err) != reason.InputAltered {
			t.Errorf("got %v, want InputAltered", err)
		}
	})
}

func TestParseIsStrict(t *testing.T) {
	pin := withMode(Pin{Input: "in", Location: "s3://s/b/k", SHA256: contenttest.SumOfX, Archive: content.ArchiveTar, Tree: contenttest.SumOfNothing}, 0o755)
	raw, err := json.Marshal(pin)
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	got, err := Parse(good)
	if err != nil || got.Input != "in" || *got.Mode != 0o755 || got.Tree != contenttest.SumOfNothing {
		t.Fatalf("got %+v, %v", got, err)
	}
	for title, bad := range map[string]string{
		"nothing":            "",
		"null":               "null",
		"a list":             "[" + good + "]",
		"an unknown field":   strings.Replace(good, `"input"`, `"x":1,"input"`, 1),
		"something after it": good + "{}",
		"half of it":         good[:40],
		"no tree":            strings.Replace(good, `"tree"`, `"Treee"`, 1),
		"an upper-case hash": strings.Replace(good, "2d711642b", "2D711642B", 1),
		"a mode as a string": strings.Replace(good, "493", `"493"`, 1),
		"too much":           strings.Replace(good, "s3://", "s3://"+strings.Repeat("x", maxPin), 1),
	} {
		t.Run(title, func(t *testing.T) {
			if p, err := Parse(bad); err == nil {
				t.Errorf("accepted as %+v", p)
			}
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestFilesThatArePinnedOneByOne(t *testing.T) {
	pin := Pin{Input: "in", Location: "s3://s/b/k/"}
	if err := pin.Collect([]content.File{{Path: "sub/b", SHA256: contenttest.SumOfNothing}, {Path: "a", SHA256: contenttest.SumOfX}, {Path: "sub/c", SHA256: contenttest.SumOfX}}, []string{"sub"}); err != nil {
		t.Fatal(err)
	}
	for title, c := range map[string]struct {
		entries [][2]string
		want    reason.Code
	}{
		"all are there":        {[][2]string{{"in/a", "x"}, {"in/sub/"}, {"in/sub/b", ""}, {"in/sub/c", "x"}}, ""},
		"one has expired":      {[][2]string{{"in/a", "x"}, {"in/sub/"}, {"in/sub/c", "x"}}, ""},
		"a folder has":         {[][2]string{{"in/a", "x"}}, ""},
		"one is changed":       {[][2]string{{"in/a", "y"}}, reason.InputAltered},
		"one is another's":     {[][2]string{{"in/a", ""}}, reason.InputAltered},
		"one more":             {[][2]string{{"in/a", "x"}, {"in/b", "x"}}, reason.InputAltered},
		"one more in a folder": {[][2]string{{"in/sub/"}, {"in/sub/b", ""}, {"in/sub/d", "x"}}, reason.InputAltered},
		"a folder more":        {[][2]string{{"in/a", "x"}, {"in/more/"}}, reason.InputAltered},
		"a folder for a file":  {[][2]string{{"in/a/"}, {"in/a/x", "x"}}, reason.InputAltered},
		"a file for the whole": {[][2]string{{"in", "x"}}, reason.InputAltered},
		"nothing at all":       {nil, reason.InputMissing},
		"something beside it":  {[][2]string{{"in/a", "x"}, {"other", "x"}}, reason.InputExtra},
	} {
		t.Run(title, func(t *testing.T) {
			entries := c.entries
			if title != "a file for the whole" && entries != nil {
				entries = append([][2]string{{"in/"}}, entries...)
			}
			if err := CheckInputs(contenttest.Plant(t, t.TempDir(), entries...), nil, []Pin{pin}, nil); c.want == "" && err != nil || c.want != "" && reason.Of(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// An optional input may be gone from the store since it was sealed: all of it, and not
// changed.
func TestAnOptionalInputMayBeGone(t *testing.T) {
	for title, c := range map[string]struct {
		change func(t *testing.T, root string)
		want   reason.Code
		needed reason.Code // where it is not optional
	}{
		"all is there":         {func(*testing.T, string) {}, "", ""},
		"a file is gone":       {func(t *testing.T, root string) { remove(t, root+"/message") }, "", reason.InputMissing},
		"a tree is gone":       {func(t *testing.T, root string) { remove(t, root+"/tree") }, "", reason.InputMissing},
		"a part of it is gone": {func(t *testing.T, root string) { remove(t, root+"/tree/sub") }, reason.InputAltered, reason.InputAltered},
		"it is another":        {func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"message", "y"}) }, reason.InputAltered, reason.InputAltered},
		"a part was downloaded": {func(t *testing.T, root string) {
			remove(t, root+"/message")
			contenttest.Plant(t, root, [2]string{"message.tmp", "x"})
		}, reason.InputAltered, reason.InputMissing},
	} {
		t.Run(title, func(t *testing.T) {
			for _, optional := range []bool{true, false} {
				root, pins := volume(t)
				for i := range pins {
					pins[i].Optional = optional
					if err := pins[i].Validate(); err != nil {
						t.Fatal(err)
					}
				}
				c.change(t, root)
				want := map[bool]reason.Code{true: c.want, false: c.needed}[optional]
				if err := CheckInputs(root, nil, pins, nil); (err == nil) != (want == "") || err != nil && reason.Of(err) != want {
					t.Errorf("optional %v: got %v, want %q", optional, err, want)
				}
			}
		})
	}
	if err := (Pin{Input: "in", Location: "s3://s/b/k", Archive: content.ArchiveDetect, Absent: true, Optional: true}).Validate(); err == nil {
		t.Error("it is absent and may be gone")
	}
}

// With recurseMode everything has the mode that Argo set, and the content that was
// sealed.
func TestWhatArgoSetAModeOnIsHeldToItsContent(t *testing.T) {
	// set has Argo's init set a mode on all of an input.
	set := func(t *testing.T, path string, mode os.FileMode) {
		t.Helper()
		err := filepath.WalkDir(path, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chmod(path, mode)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for title, c := range map[string]struct {
		change func(t *testing.T, root string)
		pin    func(p *Pin)
		want   reason.Code
		says   string
	}{
		"all of it": {},
		"without the word that it did, all of it": {pin: func(p *Pin) { p.Recurse, p.Plain = false, "" }, want: reason.InputAltered, says: "tree digest"},
		"the tree as it was sealed":               {pin: func(p *Pin) { p.Plain = "" }, want: reason.InputAltered, says: "tree digest"},
		"another content":                         {change: func(t *testing.T, root string) { contenttest.Plant(t, root, [2]string{"tree/sub/a", "y"}) }, want: reason.InputAltered, says: "tree digest"},
		"a file more": {change: func(t *testing.T, root string) {
			contenttest.Plant(t, root, [2]string{"tree/sub/b", "y"})
			chmod(t, root+"/tree/sub/b", 0o755)
		}, want: reason.InputAltered, says: "tree digest"},
		"a folder more": {change: func(t *testing.T, root string) {
			contenttest.Plant(t, root, [2]string{"tree/sub/c/"})
			chmod(t, root+"/tree/sub/c", 0o755)
		}, want: reason.InputAltered, says: "tree digest"},
		"a file that it missed":      {change: func(t *testing.T, root string) { chmod(t, root+"/tree/sub/a", 0o644) }, want: reason.InputAltered, says: `"sub/a" has mode 0644`},
		"a file with a setuid bit":   {change: func(t *testing.T, root string) { chmod(t, root+"/tree/sub/a", 0o755|os.ModeSetuid) }, want: reason.InputAltered, says: "setuid"},
		"a folder that it missed":    {change: func(t *testing.T, root string) { chmod(t, root+"/tree/sub", 0o700) }, want: reason.InputAltered, says: `"sub" has mode 0700`},
		"the root that it missed":    {change: func(t *testing.T, root string) { chmod(t, root+"/tree", 0o700) }, want: reason.InputAltered, says: `"." has mode 0700`},
		"nothing there":              {change: func(t *testing.T, root string) { remove(t, root+"/tree") }, want: reason.InputMissing},
		"a pin of no mode":           {pin: func(p *Pin) { p.Mode = nil }, want: reason.UsageInvalid},
		"a pin of another tree":      {pin: func(p *Pin) { p.Recurse = false }, want: reason.UsageInvalid},
		"a pin of one tree twice":    {pin: func(p *Pin) { p.Plain = p.Tree }, want: reason.UsageInvalid},
		"a pin of what is no digest": {pin: func(p *Pin) { p.Plain = "x" }, want: reason.UsageInvalid},
		"a pin of what has no modes": {pin: func(p *Pin) { p.Archive = content.ArchiveZip }, want: reason.UsageInvalid},
	} {
		t.Run(title, func(t *testing.T) {
			root, pins := volume(t)
			contenttest.Plant(t, root, [2]string{"tree/run", "#!"}, [2]string{"tree/sub/link", "-> a"})
			chmod(t, root+"/tree/run", 0o644)
			plain := mustTreeOf(t, root+"/tree")
			chmod(t, root+"/tree/run", 0o700)
			pins[0] = withMode(pinOf(t, "tree", root+"/tree"), 0o755)
			pins[0].Recurse, pins[0].Plain = true, plain
			set(t, root+"/tree", 0o755)
			if c.change != nil {
				c.change(t, root)
			}
			if c.pin != nil {
				c.pin(&pins[0])
			}
			if err := CheckInputs(root, nil, pins, nil); reason.Of(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q with %q", err, c.want, c.says)
			}
		})
	}
	t.Run("a file, whatever it was", func(t *testing.T) {
		for _, was := range []os.FileMode{0o644, 0o755} {
			for _, mode := range []os.FileMode{0o600, 0o755} {
				root, pins := volume(t)
				chmod(t, root+"/message", was)
				pins[1] = withMode(pinOf(t, "message", root+"/message"), int32(mode))
				if pins[1].Recurse = true; was == 0o755 {
					pins[1].Plain = content.FileTree(contenttest.SumOfX)
				}
				chmod(t, root+"/message", mode)
				if err := CheckInputs(root, nil, pins, nil); err != nil {
					t.Errorf("%v to %v: %v", was, mode, err)
				}
				contenttest.Plant(t, root, [2]string{"message", "y"})
				if err := CheckInputs(root, nil, pins, nil); reason.Of(err) != reason.InputAltered {
					t.Errorf("%v to %v: got %v", was, mode, err)
				}
			}
		}
	})
}
