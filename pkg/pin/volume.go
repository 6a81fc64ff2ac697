package pin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Volume is a volume of the step's own on which inputs lie, as verify sees it.
type Volume struct {
	// Path is where main mounts it.
	Path string `json:"path"`
	// Dir is where verify mounts the same part of it.
	Dir string `json:"dir"`
	// Own says that only Argo's init can have written to it before verify: then
	// nothing but inputs may be there.
	Own bool `json:"own,omitempty"`
	// Inputs are the paths of the inputs on it, as main sees them, by name.
	Inputs map[string]string `json:"inputs"`
}

// maxVolume bounds a volume's text; one argument of a process can have no more.
const maxVolume = 128 << 10

// ParseVolume reads a volume strictly: one JSON object, no unknown field,
// nothing after it, and valid.
func ParseVolume(s string) (Volume, error) {
	if len(s) > maxVolume {
		return Volume{}, fmt.Errorf("volume has %d bytes, at most %d are read", len(s), maxVolume)
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.DisallowUnknownFields()
	var v Volume
	if err := d.Decode(&v); err != nil {
		return Volume{}, fmt.Errorf("reading the volume: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Volume{}, errors.New("reading the volume: there is something after it")
	}
	return v, v.Validate()
}

// Validate wants inputs whose paths lie below the volume's, each at one of its own.
func (v Volume) Validate() error {
	if !path.IsAbs(v.Path) || path.Clean(v.Path) != v.Path || !path.IsAbs(v.Dir) || len(v.Inputs) == 0 {
		return fmt.Errorf("volume at %.200q: it has no usable path, no folder or no inputs", v.Path)
	}
	for name, at := range v.Inputs {
		if err := artifact.CheckName(name); err != nil {
			return err
		}
		if rest := v.below(at); len(at) > content.MaxPath || !fs.ValidPath(rest) || rest == "." {
			return fmt.Errorf("volume at %.200q: input %q does not lie on it", v.Path, name)
		}
	}
	for name, at := range v.Inputs {
		for other, above := range v.Inputs {
			if other != name && at == above {
				return fmt.Errorf("volume at %.200q: input %q lies where input %q does", v.Path, name, other)
			}
		}
	}
	return nil
}

// below gives a path of main's within the volume; empty if it is not on it.
func (v Volume) below(at string) string {
	rest, found := strings.CutPrefix(at, strings.TrimSuffix(v.Path, "/")+"/")
	if !found {
		return ""
	}
	return rest
}

// within are the paths, relative to an input, of other inputs in it.
func (v Volume) within(input string) []string {
	var paths []string
	for _, at := range v.Inputs {
		if rest, found := strings.CutPrefix(at, v.Inputs[input]+"/"); found && v.Inputs[input] != "" {
			paths = append(paths, rest)
		}
	}
	return paths
}

// look calls see with the folder in which an input lies, and its name there.
// It follows no link on the way: main's mount shows the same folders.
func (v Volume) look(input string, see func(dir *os.Root, name string) error) error {
	dir, err := os.OpenRoot(v.Dir)
	if err != nil {
		return reason.Wrap(reason.Internal, err, "opening the volume at %.200q: %v", v.Path, err)
	}
	names := strings.Split(v.below(v.Inputs[input]), "/")
	for _, name := range names[:len(names)-1] {
		next, err := content.OpenDir(dir, name)
		dir.Close()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return reason.Wrap(reason.InputMissing, err, "its folder is not there").For(input)
		case err != nil:
			return reason.Wrap(reason.InputAltered, err, "its folder cannot be opened as Argo would have left it: %v", err).For(input)
		}
		dir = next
	}
	defer dir.Close()
	return see(dir, names[len(names)-1])
}

// checkNothingElse refuses everything on a volume of the step's own but the inputs,
// the folders that lead to them, and, for the inputs in left, what Argo leaves of a
// missing one.
func (v Volume) checkNothingElse(left map[string]bool) error {
	if !v.Own {
		return nil
	}
	root, err := os.OpenRoot(v.Dir)
	if err != nil {
		return reason.Wrap(reason.Internal, err, "opening the volume at %.200q: %v", v.Path, err)
	}
	defer root.Close()
	var inputs []string
	for name, at := range v.Inputs {
		if !v.inAnother(name) {
			inputs = append(inputs, v.below(at))
		}
		if left[name] {
			inputs = append(inputs, v.below(at)+downloading)
		}
	}
	return onlyThese(root, v.Path, inputs)
}

// inAnother says whether an input lies in another one, which is checked without it.
func (v Volume) inAnother(input string) bool {
	for name, at := range v.Inputs {
		if name != input && strings.HasPrefix(v.Inputs[input], at+"/") {
			return true
		}
	}
	return false
}

// onlyThese refuses every name in dir, which is main's place, that does not lead
// to one of the relative paths.
func onlyThese(dir *os.Root, place string, paths []string) error {
	known, deeper := map[string]bool{}, map[string][]string{}
	for _, p := range paths {
		name, rest, more := strings.Cut(p, "/")
		known[name] = true
		if more {
			deeper[name] = append(deeper[name], rest)
		}
	}
	if err := checkNothingElse(dir, place, known); err != nil {
		return err
	}
	for name, rest := range deeper {
		below, err := content.OpenDir(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // An input may be missing if any content will do.
		}
		if err != nil {
			return reason.Wrap(reason.InputAltered, err, "%.200q cannot be opened as Argo would have left it: %v", path.Join(place, name), err)
		}
		err = onlyThese(below, path.Join(place, name), rest)
		below.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// volumesOf says on which volume each input lies; those of Argo's own volume are
// left out.
func volumesOf(volumes []Volume, known map[string]bool) (map[string]Volume, error) {
	on := map[string]Volume{}
	for _, v := range volumes {
		if err := v.Validate(); err != nil {
			return nil, err
		}
		for name := range v.Inputs {
			if _, twice := on[name]; twice || !known[name] {
				return nil, fmt.Errorf("volume at %.200q: input %q is on another one too, or is none", v.Path, name)
			}
			on[name] = v
		}
	}
	return on, nil
}
