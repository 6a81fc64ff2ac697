package pin

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// What Argo's init leaves beside the inputs. Only init has run when it is
// checked; main and wait write more there, later.
const (
	// modeProgram and modeTemplate are the modes of Argo's copy of argoexec and of the
	// template; init has no umask.
	modeProgram  fs.FileMode = 0o555
	modeTemplate fs.FileMode = 0o444

	// maxText bounds how much is read of a file whose content is part of the
	// template. A whole template has to fit into an environment variable.
	maxText = 4 << 20
	// chunk is how much of argoexec is compared at a time, in bytes. It has some hundred
	// million of them.
	chunk = 256 << 10
)

// CheckRun compares dir, Argo's volume /var/run/argo, with what init leaves
// there: its copy of argoexec, the template with the given digest, and nothing
// else. A store that keeps ".." in its keys, or an archive with links, could have made
// init write there. program is the argoexec that init copied: that of the executor's own
// image, which no download reaches.
// The first thing wrong is an *reason.Error as in CheckInputs.
func CheckRun(dir string, template artifact.Digest, program string) error {
	return checkVolume(dir, layout.PathRun, map[string]func(*os.Root, string) error{
		layout.FileExecutor: func(root *os.Root, name string) error {
			if err := checkMode(root, name, modeProgram); err != nil {
				return err
			}
			return checkSame(root, name, program)
		},
		layout.FileTemplate: func(root *os.Root, name string) error {
			if err := checkFile(root, name, template); err != nil {
				return err
			}
			return checkMode(root, name, modeTemplate)
		},
	}, template)
}

// checkSame wants a file to have every byte of another one, which is trusted, and no more.
func checkSame(root *os.Root, name, trusted string) error {
	want, err := os.Open(trusted)
	if err != nil {
		return reason.Wrap(reason.Internal, err, "opening what init copied: %v", err)
	}
	defer want.Close()
	have, _, err := content.OpenFile(root, name)
	if err != nil {
		return reason.Wrap(reason.InputAltered, err, "it cannot be read as Argo would have left it: %v", err).For(name)
	}
	defer have.Close()
	a, b := make([]byte, chunk), make([]byte, chunk)
	for {
		n, wanted := io.ReadFull(want, a)
		m, had := io.ReadFull(have, b)
		switch {
		case failed(wanted):
			return reason.Wrap(reason.Internal, wanted, "reading what init copied: %v", wanted)
		case failed(had):
			return reason.Wrap(reason.InputAltered, had, "reading it: %v", had).For(name)
		case !bytes.Equal(a[:n], b[:m]):
			return reason.New(reason.InputAltered, "it is not the one of the executor's image: a download wrote there").For(name)
		case wanted != nil: // both have ended
			return nil
		}
	}
}

// failed says whether io.ReadFull gave an error other than that of a file's end.
func failed(err error) bool {
	return err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// CheckStaging compares dir, Argo's volume /argo/staging, with what init leaves
// there for a script: the script with the given digest, and nothing else.
func CheckStaging(dir string, script artifact.Digest) error {
	return checkVolume(dir, layout.PathStaging, map[string]func(*os.Root, string) error{
		layout.FileScript: func(root *os.Root, name string) error {
			return checkFile(root, name, script)
		},
	}, script)
}

// checkVolume wants the files in dir, which is Argo's place, and nothing else.
func checkVolume(dir, place string, files map[string]func(*os.Root, string) error, digest artifact.Digest) error {
	if _, err := artifact.ParseDigest(string(digest)); err != nil {
		return reason.Wrap(reason.UsageInvalid, err, "%s: %v", place, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return reason.Wrap(reason.Internal, err, "opening %s: %v", place, err)
	}
	defer root.Close()
	known := make(map[string]bool, len(files))
	for name := range files {
		known[name] = true
	}
	if err := checkNothingElse(root, place, known); err != nil {
		return err
	}
	for name, check := range files {
		if err := check(root, name); err != nil {
			return err
		}
	}
	return nil
}

// checkMode wants a file with a mode and one name, as init makes it.
func checkMode(root *os.Root, name string, mode fs.FileMode) error {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return reason.Wrap(reason.InputMissing, err, "init leaves it, and it is not there").For(name)
	case err != nil:
		return reason.Wrap(reason.InputAltered, err, "%v", err).For(name)
	case info.Mode() != mode:
		return reason.New(reason.InputAltered, "mode is %s, init leaves a file of mode %s", info.Mode(), mode).For(name)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Nlink != 1 {
		return reason.New(reason.InputAltered, "it has another name").For(name)
	}
	return nil
}

// checkFile is checkText where the file's mode does not matter.
func checkFile(root *os.Root, name string, want artifact.Digest) error {
	if _, problem := checkText(root, name, want); problem != nil {
		return problem
	}
	return nil
}

// checkText wants a regular file with a content whose digest is known.
func checkText(root *os.Root, name string, want artifact.Digest) (fs.FileInfo, *reason.Error) {
	f, info, err := content.OpenFile(root, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, reason.Wrap(reason.InputMissing, err, "the template has it, and it is not there").For(name)
	case err != nil:
		return nil, reason.Wrap(reason.InputAltered, err, "it cannot be read as Argo would have left it: %v", err).For(name)
	}
	defer f.Close()
	content := sha256.New()
	n, err := io.Copy(content, io.LimitReader(f, maxText+1))
	switch {
	case err != nil:
		return nil, reason.Wrap(reason.InputAltered, err, "reading it: %v", err).For(name)
	case n > maxText:
		return nil, reason.New(reason.InputAltered, "it has more than %d bytes", maxText).For(name)
	}
	if sum := artifact.DigestOf(content); sum != want {
		return nil, reason.New(reason.InputAltered, "digest is %s, by the template it is %s", sum, want).For(name)
	}
	return info, nil
}

// checkNothingElse refuses any name in the volume that is not known.
func checkNothingElse(root *os.Root, place string, known map[string]bool) error {
	f, err := root.Open(".")
	if err != nil {
		return reason.Wrap(reason.Internal, err, "reading %s: %v", place, err)
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		if i := slices.IndexFunc(names, func(name string) bool { return !known[name] }); i >= 0 {
			return reason.New(reason.InputExtra, "%.80q in %s is there, and is nothing that Argo was to leave", names[i], place)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return reason.Wrap(reason.Internal, err, "reading %s: %v", place, err)
		}
	}
}
