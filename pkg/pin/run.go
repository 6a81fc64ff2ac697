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
	"time"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// What Argo's init leaves beside the inputs. Only init has run when it is
// checked; main and wait write more there, later.
const (
	// modeProgram and modeTemplate are the modes of Argo's copy of argoexec and of the
	// template; init has no umask. A download that makes a file by itself has another
	// mode (S3 objects get 0600), but keeps that of one that is there already.
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
// init write there. executor is the argoexec that init copied: that of the executor's own
// image, which no download reaches. If it is empty, nobody knows what argoexec has to be,
// and the order decides in which the two were made: that is enough for one download, and
// two together can forge it.
// The first thing wrong is an *reason.Error as in CheckInputs.
func CheckRun(dir string, template artifact.Digest, executor string) error {
	var program, text fs.FileInfo
	err := checkVolume(dir, layout.PathRun, map[string]func(*os.Root, string) error{
		layout.FileExecutor: func(root *os.Root, name string) (err error) {
			if program, err = checkMode(root, name, modeProgram); err != nil || executor == "" {
				return err
			}
			return checkSame(root, name, executor)
		},
		layout.FileTemplate: func(root *os.Root, name string) (err error) {
			if err := checkFile(root, name, template); err != nil {
				return err
			}
			text, err = checkMode(root, name, modeTemplate)
			return err
		},
	}, template)
	if err != nil || executor != "" {
		return err
	}
	return checkOrder(dir, program, text)
}

// checkOrder wants nothing in dir to have changed since init made it. Init makes that first, then the template, and then it
// downloads. To make the template moves the folder's own time, and nothing moves it
// later: a download that makes, removes or renames something there leaves something
// more, or another template. So argoexec is as init left it if it is not newer than the
// folder. That is the time of its last change of any kind, which the kernel keeps and
// nobody sets: a download can write to the very file (Argo's drivers of GCS and Azure do,
// and so does an archive through its own links), and give it any time of modification.
// And the template is not older than the folder, or something was there and is gone.
func checkOrder(dir string, program, template fs.FileInfo) error {
	folder, err := os.Stat(dir)
	if err != nil {
		return reason.Wrap(reason.Internal, err, "reading %s: %v", layout.PathRun, err)
	}
	of := func(info fs.FileInfo, name string) (time.Time, error) {
		if at := changed(info); !at.IsZero() {
			return at, nil
		}
		return time.Time{}, reason.New(reason.Internal, "nobody says when it was changed").For(name)
	}
	written, err := of(program, layout.FileExecutor)
	if err != nil {
		return err
	}
	made, err := of(template, layout.FileTemplate)
	switch {
	case err != nil:
		return err
	case written.After(folder.ModTime()):
		return reason.New(reason.InputAltered, "it was changed after Argo's init had made it and the template: by a download, or by an init that ran twice (then the step has to run again)").For(layout.FileExecutor)
	case folder.ModTime().After(made):
		return reason.New(reason.InputExtra, "something was in %s after Argo's init had made the template, and is gone", layout.PathRun)
	}
	return nil
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
func checkMode(root *os.Root, name string, mode fs.FileMode) (fs.FileInfo, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, reason.Wrap(reason.InputMissing, err, "init leaves it, and it is not there").For(name)
	case err != nil:
		return nil, reason.Wrap(reason.InputAltered, err, "%v", err).For(name)
	case info.Mode() != mode:
		return nil, reason.New(reason.InputAltered, "mode is %s, init leaves a file of mode %s", info.Mode(), mode).For(name)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Nlink != 1 {
		return nil, reason.New(reason.InputAltered, "it has another name").For(name)
	}
	return info, nil
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
