package pin

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// CheckInputs compares what Argo left with what admission approved: in dir, its
// volume of input artifacts, and on volumes of the step's own. Each pinned input
// has to be there and be what was pinned; a clone has to have its commit. An input
// that is pinned to no content may be anything, or not be there. One that is pinned
// as absent may not be there. Each raw input has to be what the template says.
// Nothing else may be there. The first thing wrong is a *reason.Error:
// InputMissing, InputAltered, InputExtra or, for an input that was admitted as
// absent, NoProvenance.
func CheckInputs(dir string, volumes []Volume, pins []Pin, raws []Raw) error {
	if len(pins) == 0 {
		return reason.New(reason.UsageInvalid, "there is no pin to check")
	}
	known := make(map[string]bool, len(pins)+len(raws))
	know := func(name string, problem error) error {
		switch {
		case problem != nil:
			return reason.Wrap(reason.UsageInvalid, problem, "%v", problem)
		case known[name]:
			return reason.New(reason.UsageInvalid, "input %q is given twice", name)
		}
		known[name] = true
		return nil
	}
	for _, p := range pins {
		if err := know(p.Input, p.Validate()); err != nil {
			return err
		}
	}
	for _, r := range raws {
		if err := know(r.Input, r.Validate()); err != nil {
			return err
		}
	}
	on, err := volumesOf(volumes, known)
	if err != nil {
		return reason.Wrap(reason.UsageInvalid, err, "%v", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return reason.Wrap(reason.Internal, err, "opening the volume of inputs: %v", err)
	}
	defer root.Close()
	look := func(input string, see func(*os.Root, string) error) error {
		if v, found := on[input]; found {
			return v.look(input, see)
		}
		return see(root, input)
	}
	for _, p := range pins {
		within := on[p.Input].within(p.Input)
		check := func(dir *os.Root, name string) error { return p.check(dir, name, within) }
		switch {
		case p.Absent:
			check = func(dir *os.Root, name string) error { return p.checkAbsent(dir, name, within) }
		case p.commit() != "":
			check = p.checkCommit
		case p.AnyContent() && p.kind().LeavesEmptyFile:
			check = p.checkLeft
		case p.AnyContent():
			continue
		}
		err := look(p.Input, check)
		if (p.Absent || p.Optional || p.AnyContent()) && reason.Of(err) == reason.InputMissing {
			continue
		}
		if err != nil {
			return err
		}
	}
	for _, r := range raws {
		if err := look(r.Input, r.check); err != nil {
			return err
		}
	}
	left := map[string]bool{} // looked at by checkAbsent or checkLeft
	for _, p := range pins {
		if (p.Absent || p.AnyContent()) && p.kind().LeavesEmptyFile {
			left[p.Input] = true
			known[p.Input+downloading] = true
		}
	}
	for _, v := range volumes {
		if err := v.checkNothingElse(left); err != nil {
			return err
		}
	}
	for name := range on {
		delete(known, name)
		delete(known, name+downloading)
	}
	return checkNothingElse(root, layout.PathInputs, known)
}

// check compares one input, which has that name in dir, with its pin, without what
// other inputs put within it.
func (p Pin) check(dir *os.Root, name string, within []string) error {
	artifact := fmt.Sprintf("%s (%s)", p.Input, artifact.Shown(p.Location))
	want, err := p.present(dir, name)
	if err != nil {
		return reason.Wrap(reason.InputAltered, err, "%v", err).For(artifact)
	}
	t, err := p.read(dir, name, within, want)
	if p.Optional && (errors.Is(err, fs.ErrNotExist) || err == nil && t.Digest != want && within != nil) && p.checkAbsent(dir, name, within) == nil {
		return nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && p.Optional:
		return reason.New(reason.InputAltered, "it is optional and not there, but a part of it was downloaded").For(artifact)
	case errors.Is(err, fs.ErrNotExist):
		return reason.Wrap(reason.InputMissing, err, "it was admitted, and is not there").For(artifact)
	case err != nil:
		return reason.Wrap(reason.InputAltered, err, "it cannot be read as Argo would have left it: %v", err).For(artifact)
	case t.Digest != want && (p.Mode == nil || p.Recurse || t.Flipped != want):
		return reason.New(reason.InputAltered, "tree digest is %s, admitted was %s%s", t.Digest, want, p.hint()).For(artifact)
	case p.Mode != nil && t.Mode.Perm() != fs.FileMode(*p.Mode).Perm():
		return reason.New(reason.InputAltered, "mode is %#o, admitted was %#o", t.Mode.Perm(), *p.Mode).For(artifact)
	}
	return nil
}

// read reads the tree. If Argo set its mode on all of it, everything has to have
// that mode, and the digest is without exec bits. A folder in which there are only
// other inputs may be the tree's, or Argo may have made it for them. Then either
// reading may be the wanted one.
func (p Pin) read(dir *os.Root, name string, within []string, want artifact.Digest) (content.Tree, error) {
	if !p.Recurse && within == nil {
		return content.TreeIn(dir, name)
	}
	info, err := dir.Lstat(name)
	if err != nil {
		return content.Tree{}, err
	}
	r := content.Reading{Without: within}
	if p.Recurse {
		mode := fs.FileMode(*p.Mode).Perm()
		r.Set = &mode
	}
	t := content.Tree{Mode: info.Mode()}
	if t.Digest, err = r.TreeIn(dir, name); err != nil || within == nil || t.Digest == want {
		return t, err
	}
	r.Lean = true
	t.Digest, err = r.TreeIn(dir, name)
	return t, err
}

// downloading ends the name under which Argo downloads an input.
const downloading = ".tmp"

// kind is the kind of store that the input lies in; the zero value if it lies in none.
func (p Pin) kind() artifact.StoreKind {
	l, err := artifact.ParseLocation(p.Location)
	if err != nil {
		return artifact.StoreKind{}
	}
	return l.Scheme.Kind()
}

// checkAbsent wants nothing to have that name in dir, nor the name under which Argo
// downloads it: if a prefix was gone at the next try, a part of it stays there.
// Other inputs within it may be there, in folders that Argo made for them.
func (p Pin) checkAbsent(dir *os.Root, name string, within []string) error {
	artifact := fmt.Sprintf("%s (%s)", p.Input, artifact.Shown(p.Location))
	if within != nil {
		r := content.Reading{Without: within, Lean: true}
		if t, err := r.TreeIn(dir, name); err == nil && t == content.Files(nil).Tree() {
			return nil
		}
	}
	for _, name := range []string{name, name + downloading} {
		switch info, err := dir.Lstat(name); {
		case err == nil && strings.HasSuffix(name, downloading) && p.kind().LeavesEmptyFile && isEmpty(info):
		case err == nil:
			return reason.New(reason.NoProvenance, "%s and was admitted as absent, but something was downloaded", p.why()).For(artifact)
		case !errors.Is(err, fs.ErrNotExist):
			return reason.Wrap(reason.InputAltered, err, "it cannot be looked at: %v", err).For(artifact)
		}
	}
	return nil
}

// checkLeft is for an input of any content that is missing. It wants nothing beside
// it but what Argo then leaves.
func (p Pin) checkLeft(dir *os.Root, name string) error {
	switch info, err := dir.Lstat(name + downloading); {
	case err == nil && !isEmpty(info):
		return reason.New(reason.InputExtra, "%.80q is there, and is nothing that Argo was to leave", name+downloading).For(p.Input)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return reason.Wrap(reason.InputAltered, err, "it cannot be looked at: %v", err).For(p.Input)
	}
	return nil
}

func isEmpty(info fs.FileInfo) bool { return info.Mode().IsRegular() && info.Size() == 0 }

// why says why an input may be absent.
func (p Pin) why() string {
	if p.Within != "" {
		return "the sealed directory that it is to lie in does not have it,"
	}
	return "it is optional"
}

// present is the tree digest that the input must have: the pinned one or, if its
// files are pinned one by one, that of the files that are there.
func (p Pin) present(dir *os.Root, name string) (artifact.Digest, error) {
	if p.Files == "" {
		return cmp.Or(p.Plain, p.Tree), nil
	}
	files, err := content.ParseFiles(p.Files)
	if err != nil {
		return "", err
	}
	there := slices.DeleteFunc(files, func(f content.File) bool {
		_, err := dir.Lstat(name + "/" + f.Path)
		return errors.Is(err, fs.ErrNotExist)
	})
	return there.Tree(), nil
}

// hint says what else may be wrong, if a policy names the digest, or if it is that
// of many objects.
func (p Pin) hint() string {
	switch {
	case content.IsDirectory(p.SHA256, p.Archive, p.Tree) && p.kind().ListsByPrefix:
		return " (a directory without an archive: every object whose key begins with its key is a part of it, whoever stored it)"
	case content.IsDirectory(p.SHA256, p.Archive, p.Tree):
		return " (a directory without an archive: every object below its key is a part of it, whoever stored it)"
	case p.Policy == "":
		return ""
	case p.Recurse && p.SHA256 == "":
		return fmt.Sprintf(" by policy %s (with recurseMode: that of the files with none executable)", p.Policy)
	case p.SHA256 != "":
		return fmt.Sprintf(" (one file with sha256:%s, by policy %s: for what Argo unpacks it has to pin treeSHA256)", p.SHA256, p.Policy)
	}
	return fmt.Sprintf(" by policy %s", p.Policy)
}
