package artifact

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/argoseal/argoseal/pkg/reason"
)

// CheckInputs compares what Argo unpacked in dir, its volume of input
// artifacts, with what admission approved: each pinned input is there and is
// what was pinned, and nothing else is there but the unpinned names (inputs
// that have no seal, such as raw ones, or optional ones that are absent). The
// first thing wrong is an *reason.Error: InputMissing, InputAltered or
// InputExtra.
func CheckInputs(dir string, pins []Pin, unpinned []string) error {
	if len(pins) == 0 {
		return reason.New(reason.UsageInvalid, "there is no pin to check")
	}
	known := make(map[string]bool, len(pins)+len(unpinned))
	for _, p := range pins {
		if err := p.Validate(); err != nil {
			return reason.Wrap(reason.UsageInvalid, err, "%v", err)
		}
		if known[p.Input] {
			return reason.New(reason.UsageInvalid, "input %q is given twice", p.Input)
		}
		known[p.Input] = true
	}
	for _, name := range unpinned {
		if err := CheckName(name); err != nil {
			return reason.Wrap(reason.UsageInvalid, err, "%v", err)
		}
		if known[name] {
			return reason.New(reason.UsageInvalid, "input %q is given twice", name)
		}
		known[name] = true
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return reason.Wrap(reason.Internal, err, "opening the volume of inputs: %v", err)
	}
	defer root.Close()
	for _, p := range pins {
		if err := p.check(root); err != nil {
			return err
		}
	}
	return checkNothingElse(root, known)
}

// check compares one input with its pin.
func (p Pin) check(root *os.Root) error {
	artifact := fmt.Sprintf("%s (%s)", p.Input, p.Location)
	t, err := treeIn(root, p.Input)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return reason.Wrap(reason.InputMissing, err, "it was admitted, and is not there").For(artifact)
	case err != nil:
		return reason.Wrap(reason.InputAltered, err, "it cannot be read as Argo would have left it: %v", err).For(artifact)
	case t.digest != p.Tree && (p.Mode == nil || t.flipped != p.Tree):
		return reason.New(reason.InputAltered, "tree digest is %s, admitted was %s", t.digest, p.Tree).For(artifact)
	case p.Mode != nil && t.mode.Perm() != fs.FileMode(*p.Mode).Perm():
		return reason.New(reason.InputAltered, "mode is %#o, admitted was %#o", t.mode.Perm(), *p.Mode).For(artifact)
	}
	return nil
}

// checkNothingElse refuses any name in the volume that is not known.
func checkNothingElse(root *os.Root, known map[string]bool) error {
	f, err := root.Open(".")
	if err != nil {
		return reason.Wrap(reason.Internal, err, "reading the volume of inputs: %v", err)
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		if i := slices.IndexFunc(names, func(name string) bool { return !known[name] }); i >= 0 {
			return reason.New(reason.InputExtra, "%.80q is there, and no input has that name", names[i])
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return reason.Wrap(reason.Internal, err, "reading the volume of inputs: %v", err)
		}
	}
}
