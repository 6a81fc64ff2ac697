package pin

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// onVolume is a volume of the step's own with a pinned tree, deep in it, and a
// raw input, and an empty one of Argo's.
func onVolume(t *testing.T) (argo string, v Volume, pins []Pin, raws []Raw) {
	t.Helper()
	dir := contenttest.Plant(t, t.TempDir(), [2]string{"deep/"}, [2]string{"deep/tree/"}, [2]string{"deep/tree/a", "x"}, [2]string{"note", "x"})
	v = Volume{Path: "/mnt", Dir: dir, Own: true, Inputs: map[string]string{"tree": "/mnt/deep/tree", "raw": "/mnt/note"}}
	return t.TempDir(), v, []Pin{pinOf(t, "tree", dir+"/deep/tree")}, []Raw{{Input: "raw", SHA256: contenttest.SumOfX}}
}

func TestInputsOnAVolumeAreLookedForThere(t *testing.T) {
	argo, v, pins, raws := onVolume(t)
	if err := CheckInputs(argo, []Volume{v}, pins, raws); err != nil {
		t.Error(err)
	}
	t.Run("and nowhere else", func(t *testing.T) {
		if err := CheckInputs(v.Dir, nil, pins, raws); reason.Of(err) != reason.InputMissing {
			t.Errorf("got %v", err)
		}
		contenttest.Plant(t, argo, [2]string{"tree", "x"})
		if err := CheckInputs(argo, []Volume{v}, pins, raws); reason.Of(err) != reason.InputExtra {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhatLiesOnAVolumeIsHeldToItsPin(t *testing.T) {
	for title, c := range map[string]struct {
		change func(t *testing.T, v *Volume, pins []Pin)
		want   reason.Code
		says   string
	}{
		"a changed file":   {func(t *testing.T, v *Volume, _ []Pin) { contenttest.Plant(t, v.Dir, [2]string{"deep/tree/a", "y"}) }, reason.InputAltered, "tree (s3://store/bucket/tree): tree digest is"},
		"a missing tree":   {func(t *testing.T, v *Volume, _ []Pin) { remove(t, v.Dir+"/deep/tree") }, reason.InputMissing, "artifact tree"},
		"a missing folder": {func(t *testing.T, v *Volume, _ []Pin) { remove(t, v.Dir+"/deep") }, reason.InputMissing, "artifact tree: its folder is not there"},
		"a link for a folder": {func(t *testing.T, v *Volume, _ []Pin) {
			contenttest.Plant(t, v.Dir, [2]string{"other/"}, [2]string{"other/tree/"}, [2]string{"other/tree/a", "x"})
			remove(t, v.Dir+"/deep")
			contenttest.Plant(t, v.Dir, [2]string{"deep", "-> other"})
		}, reason.InputAltered, "symbolic link"},
		"a link for the input": {func(t *testing.T, v *Volume, _ []Pin) {
			if err := os.Rename(v.Dir+"/deep/tree", v.Dir+"/deep/real"); err != nil {
				t.Fatal(err)
			}
			contenttest.Plant(t, v.Dir, [2]string{"deep/tree", "-> real"})
		}, reason.InputAltered, "symbolic link"},
		"another raw content":      {func(t *testing.T, v *Volume, _ []Pin) { contenttest.Plant(t, v.Dir, [2]string{"note", "y"}) }, reason.InputAltered, "artifact raw: "},
		"a file beside the inputs": {func(t *testing.T, v *Volume, _ []Pin) { contenttest.Plant(t, v.Dir, [2]string{"x", "x"}) }, reason.InputExtra, `"x" in /mnt `},
		"a file on the way":        {func(t *testing.T, v *Volume, _ []Pin) { contenttest.Plant(t, v.Dir, [2]string{"deep/x", "x"}) }, reason.InputExtra, `"x" in /mnt/deep `},
		"a file beside them, shared": {func(t *testing.T, v *Volume, _ []Pin) {
			v.Own = false
			contenttest.Plant(t, v.Dir, [2]string{"deep/x", "x"})
		}, "", ""},
		"a changed file, shared": {func(t *testing.T, v *Volume, _ []Pin) {
			v.Own = false
			contenttest.Plant(t, v.Dir, [2]string{"deep/tree/a", "y"})
		}, reason.InputAltered, "tree digest is"},
		"any content, and none": {func(t *testing.T, v *Volume, pins []Pin) { pins[0] = anything(pins[0]); remove(t, v.Dir+"/deep") }, "", ""},
		"any content, and one beside": {func(t *testing.T, v *Volume, pins []Pin) {
			pins[0] = anything(pins[0])
			contenttest.Plant(t, v.Dir, [2]string{"deep/x", "x"})
		}, reason.InputExtra, `"x" in /mnt/deep `},
		"no volume":                     {func(t *testing.T, v *Volume, _ []Pin) { remove(t, v.Dir) }, reason.Internal, "opening the volume at"},
		"an input that is none":         {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["other"] = "/mnt/other" }, reason.UsageInvalid, `"other"`},
		"an input that is not on it":    {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["tree"] = "/mnt2/tree" }, reason.UsageInvalid, "does not lie on it"},
		"an input that leads out":       {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["tree"] = "/mnt/../tree" }, reason.UsageInvalid, "does not lie on it"},
		"an input that is the volume":   {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["tree"] = "/mnt" }, reason.UsageInvalid, "does not lie on it"},
		"an input that is all of it":    {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["tree"] = "/mnt/" }, reason.UsageInvalid, "does not lie on it"},
		"an input where another is":     {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["raw"] = "/mnt/deep/tree" }, reason.UsageInvalid, "lies where input"},
		"a name that is none":           {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["../x"] = "/mnt/x" }, reason.UsageInvalid, ""},
		"a path that is not clean":      {func(t *testing.T, v *Volume, _ []Pin) { v.Path = "/mnt/" }, reason.UsageInvalid, "no usable path"},
		"a folder that is not absolute": {func(t *testing.T, v *Volume, _ []Pin) { v.Dir = "mnt" }, reason.UsageInvalid, "no folder"},
		"no inputs":                     {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs = nil }, reason.UsageInvalid, "no inputs"},
	} {
		t.Run(title, func(t *testing.T) {
			argo, v, pins, raws := onVolume(t)
			c.change(t, &v, pins)
			err := CheckInputs(argo, []Volume{v}, pins, raws)
			if reason.Of(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q with %q", err, c.want, c.says)
			}
		})
	}
	t.Run("an input on two volumes", func(t *testing.T) {
		argo, v, pins, raws := onVolume(t)
		if err := CheckInputs(argo, []Volume{v, v}, pins, raws); reason.Of(err) != reason.UsageInvalid {
			t.Errorf("got %v", err)
		}
	})
}

// anything is a pin of an input from outside that a policy admits whatever it is.
func anything(p Pin) Pin {
	p.Policy, p.SHA256, p.Tree = "datasets", "", ""
	return p
}

func TestVolumesAreReadStrictly(t *testing.T) {
	good, err := json.Marshal(Volume{Path: "/mnt", Dir: "/argoseal/volumes/0", Inputs: map[string]string{"a": "/mnt/a"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseVolume(string(good)); err != nil {
		t.Errorf("%s: %v", good, err)
	}
	for title, text := range map[string]string{
		"a field more":      strings.Replace(string(good), "{", `{"x":1,`, 1),
		"something after":   string(good) + "{}",
		"no JSON":           "mnt",
		"no inputs":         `{"path":"/mnt","dir":"/x"}`,
		"more than is read": `{"path":"/mnt","dir":"/x","inputs":{"a":"/mnt/` + strings.Repeat("a", maxVolume) + `"}}`,
	} {
		if v, err := ParseVolume(text); err == nil {
			t.Errorf("%s: got %+v", title, v)
		}
	}
}

// On a volume Argo puts one input into the folder of another. Each is checked for
// itself, the outer one without the inner ones and the folders that lead to them.
func TestWhatIsPutIntoAnInputOnAVolumeIsNoPartOfIt(t *testing.T) {
	for title, c := range map[string]struct {
		outer  [][2]string // what the outer input has beside its file a, before the inner ones come
		change func(t *testing.T, v *Volume, outer *Pin)
		want   reason.Code
		says   string
	}{
		"nothing of that name":               {},
		"a folder for it":                    {outer: [][2]string{{"conf/"}, {"conf/own", "x"}}},
		"an empty folder for it":             {outer: [][2]string{{"conf/"}, {"conf/deep/"}}},
		"a link beside it":                   {outer: [][2]string{{"link", "-> a"}}},
		"a name that it is the beginning of": {outer: [][2]string{{"conf.d", "x"}, {"conf-", "x"}}},
		"a file of that name":                {outer: [][2]string{{"note", "own"}}, want: reason.InputAltered, says: "tree digest"},
		"a file in its place":                {outer: [][2]string{{"conf/"}, {"conf/deep/"}, {"conf/deep/model", "own"}}, want: reason.InputAltered, says: "tree digest"},
		"a changed file": {change: func(t *testing.T, v *Volume, _ *Pin) {
			contenttest.Plant(t, v.Dir, [2]string{"deep/tree/a", "y"})
		}, want: reason.InputAltered, says: "artifact tree"},
		"a file more": {change: func(t *testing.T, v *Volume, _ *Pin) {
			contenttest.Plant(t, v.Dir, [2]string{"deep/tree/b", "y"})
		}, want: reason.InputAltered, says: "artifact tree"},
		"a file more on the way": {change: func(t *testing.T, v *Volume, _ *Pin) {
			contenttest.Plant(t, v.Dir, [2]string{"deep/tree/conf/b", "y"})
		}, want: reason.InputAltered, says: "artifact tree"},
		"a folder more on the way": {change: func(t *testing.T, v *Volume, _ *Pin) {
			contenttest.Plant(t, v.Dir, [2]string{"deep/tree/conf/b/"})
		}, want: reason.InputAltered, says: "artifact tree"},
		"a file more beside them": {change: func(t *testing.T, v *Volume, _ *Pin) {
			contenttest.Plant(t, v.Dir, [2]string{"deep/b", "y"})
		}, want: reason.InputExtra},
		"a change of the inner one": {change: func(t *testing.T, v *Volume, _ *Pin) {
			contenttest.Plant(t, v.Dir, [2]string{"deep/tree/conf/deep/model", "y"})
		}, want: reason.InputAltered, says: "artifact model"},
		"a change of a raw one": {change: func(t *testing.T, v *Volume, _ *Pin) {
			contenttest.Plant(t, v.Dir, [2]string{"deep/tree/note", "y"})
		}, want: reason.InputAltered, says: "artifact raw"},
		"no inner one": {change: func(t *testing.T, v *Volume, _ *Pin) {
			remove(t, v.Dir+"/deep/tree/note")
		}, want: reason.InputMissing, says: "artifact raw"},
		"a mode on all of the outer one": {change: func(t *testing.T, v *Volume, outer *Pin) {
			*outer = withMode(*outer, 0o750)
			outer.Recurse = true
			chmod(t, v.Dir+"/deep/tree", 0o750)
			chmod(t, v.Dir+"/deep/tree/a", 0o750)
			chmod(t, v.Dir+"/deep/tree/conf", 0o700)
		}},
		"a mode on the outer one alone": {change: func(t *testing.T, v *Volume, outer *Pin) {
			*outer = withMode(*outer, 0o750)
			chmod(t, v.Dir+"/deep/tree", 0o750)
		}},
		"another mode than that": {change: func(t *testing.T, v *Volume, outer *Pin) {
			*outer = withMode(*outer, 0o750)
		}, want: reason.InputAltered, says: "mode is"},
		"no outer one, which is not there": {change: func(t *testing.T, v *Volume, outer *Pin) {
			remove(t, v.Dir+"/deep/tree/a")
			*outer = Pin{Input: outer.Input, Location: outer.Location, Archive: outer.Archive, Absent: true}
		}},
		"something of an outer one that is not there": {change: func(t *testing.T, v *Volume, outer *Pin) {
			*outer = Pin{Input: outer.Input, Location: outer.Location, Archive: outer.Archive, Absent: true}
		}, want: reason.NoProvenance},
	} {
		t.Run(title, func(t *testing.T) {
			argo, v, pins, raws := onVolume(t)
			remove(t, v.Dir+"/note")
			contenttest.Plant(t, v.Dir+"/deep/tree", c.outer...)
			pins[0] = pinOf(t, "tree", v.Dir+"/deep/tree")
			contenttest.Plant(t, v.Dir+"/deep/tree", [2]string{"note", "x"}, [2]string{"conf/deep/"}, [2]string{"conf/deep/model", "x"})
			v.Inputs["raw"], v.Inputs["model"] = "/mnt/deep/tree/note", "/mnt/deep/tree/conf/deep/model"
			pins = append(pins, pinOf(t, "model", v.Dir+"/deep/tree/conf/deep/model"))
			if c.change != nil {
				c.change(t, &v, &pins[0])
			}
			err := CheckInputs(argo, []Volume{v}, pins, raws)
			if reason.Of(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q with %q", err, c.want, c.says)
			}
		})
	}
}
