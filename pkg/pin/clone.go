package pin

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// commit is the one that an input from outside is pinned to; empty for every other.
func (p Pin) commit() string {
	if p.Policy == "" || p.Tree != "" {
		return ""
	}
	g, err := artifact.ParseGit(p.Location)
	if err != nil {
		return ""
	}
	return g.Commit
}

// checkCommit holds a clone to the commit that it is pinned to. The commit has to
// be its HEAD, and git's own hashes bind its files to that. If a repository does
// not have the commit, Argo checks out a branch of that name; from an empty one it
// checks out nothing.
func (p Pin) checkCommit(dir *os.Root, name string) error {
	artifact := fmt.Sprintf("%s (%s)", p.Input, p.Location)
	head, err := headIn(dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return reason.Wrap(reason.InputMissing, err, "there is no clone of it: %v", err).For(artifact)
	case err != nil:
		return reason.Wrap(reason.InputAltered, err, "what is checked out cannot be read: %v", err).For(artifact)
	case head != p.commit():
		return reason.New(reason.InputAltered, "%.80q is checked out: the repository has no such commit (the id of a tag is none)", head).For(artifact)
	}
	return nil
}

// headIn reads what a clone has checked out: a commit, or the name of a ref.
func headIn(dir *os.Root, name string) (string, error) {
	clone, err := content.OpenDir(dir, name)
	if err != nil {
		return "", err
	}
	defer clone.Close()
	git, err := content.OpenDir(clone, ".git")
	if err != nil {
		return "", err
	}
	defer git.Close()
	f, _, err := content.OpenFile(git, "HEAD")
	if err != nil {
		return "", err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, artifact.MaxRemote))
	return strings.TrimSuffix(string(head), "\n"), err
}
