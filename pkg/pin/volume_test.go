package pin

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/reason"
)

// onVolume is a volume of the step's own with a pinned tree, deep in it, and a
// raw input, and an empty one of Argo's.
func onVolume(t *testing.T) (argo string, v Volume, pins []Pin, raws []Raw) {
	t.Helper()
	dir := plant(t, t.TempDir(), [2]string{"deep/"}, [2]string{"deep/tree/"}, [2]string{"deep/tree/a", "x"}, [2]string{"note", "x"})
	v = Volume{Path: "/mnt", Dir: dir, Own: true, Inputs: map[string]string{"tree": "/mnt/deep/tree", "raw": "/mnt/note"}}
	return t.TempDir(), v, []Pin{pinOf(t, "tree", dir+"/deep/tree")}, []Raw{{Input: "raw", SHA256: sumOfX}}
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
		plant(t, argo, [2]string{"tree", "x"})
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
		"a changed file":   {func(t *testing.T, v *Volume, _ []Pin) { plant(t, v.Dir, [2]string{"deep/tree/a", "y"}) }, reason.InputAltered, "tree (s3://store/bucket/tree): tree digest is"},
		"a missing tree":   {func(t *testing.T, v *Volume, _ []Pin) { remove(t, v.Dir+"/deep/tree") }, reason.InputMissing, "artifact tree"},
		"a missing folder": {func(t *testing.T, v *Volume, _ []Pin) { remove(t, v.Dir+"/deep") }, reason.InputMissing, "artifact tree: its folder is not there"},
		"a link for a folder": {func(t *testing.T, v *Volume, _ []Pin) {
			plant(t, v.Dir, [2]string{"other/"}, [2]string{"other/tree/"}, [2]string{"other/tree/a", "x"})
			remove(t, v.Dir+"/deep")
			plant(t, v.Dir, [2]string{"deep", "-> other"})
		}, reason.InputAltered, "symbolic link"},
		"a link for the input": {func(t *testing.T, v *Volume, _ []Pin) {
			if err := os.Rename(v.Dir+"/deep/tree", v.Dir+"/deep/real"); err != nil {
				t.Fatal(err)
			}
			plant(t, v.Dir, [2]string{"deep/tree", "-> real"})
		}, reason.InputAltered, "symbolic link"},
		"another raw content":        {func(t *testing.T, v *Volume, _ []Pin) { plant(t, v.Dir, [2]string{"note", "y"}) }, reason.InputAltered, "artifact raw: "},
		"a file beside the inputs":   {func(t *testing.T, v *Volume, _ []Pin) { plant(t, v.Dir, [2]string{"x", "x"}) }, reason.InputExtra, `"x" in /mnt `},
		"a file on the way":          {func(t *testing.T, v *Volume, _ []Pin) { plant(t, v.Dir, [2]string{"deep/x", "x"}) }, reason.InputExtra, `"x" in /mnt/deep `},
		"a file beside them, shared": {func(t *testing.T, v *Volume, _ []Pin) { v.Own = false; plant(t, v.Dir, [2]string{"deep/x", "x"}) }, "", ""},
		"a changed file, shared":     {func(t *testing.T, v *Volume, _ []Pin) { v.Own = false; plant(t, v.Dir, [2]string{"deep/tree/a", "y"}) }, reason.InputAltered, "tree digest is"},
		"any content, and none":      {func(t *testing.T, v *Volume, pins []Pin) { pins[0] = anything(pins[0]); remove(t, v.Dir+"/deep") }, "", ""},
		"any content, and one beside": {func(t *testing.T, v *Volume, pins []Pin) {
			pins[0] = anything(pins[0])
			plant(t, v.Dir, [2]string{"deep/x", "x"})
		}, reason.InputExtra, `"x" in /mnt/deep `},
		"no volume":                     {func(t *testing.T, v *Volume, _ []Pin) { remove(t, v.Dir) }, reason.Internal, "opening the volume at"},
		"an input that is none":         {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["other"] = "/mnt/other" }, reason.UsageInvalid, `"other"`},
		"an input that is not on it":    {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["tree"] = "/mnt2/tree" }, reason.UsageInvalid, "does not lie on it"},
		"an input that leads out":       {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["tree"] = "/mnt/../tree" }, reason.UsageInvalid, "does not lie on it"},
		"an input that is the volume":   {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["tree"] = "/mnt" }, reason.UsageInvalid, "does not lie on it"},
		"an input that is all of it":    {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["tree"] = "/mnt/" }, reason.UsageInvalid, "does not lie on it"},
		"an input in another":           {func(t *testing.T, v *Volume, _ []Pin) { v.Inputs["raw"] = "/mnt/deep/tree/a" }, reason.UsageInvalid, "lies in input"},
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
