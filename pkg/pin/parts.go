package pin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// MaxFiles and maxPinned are how many files, and bytes, the lists in a pin can have:
// what an admission tag has room for.
const (
	MaxFiles  = 512
	maxPinned = 32 << 10
)

// Part is one of what several steps stored below one key: an object, or a
// directory without an archive.
type Part struct {
	// Path is relative to the key; that of a directory ends in a slash.
	Path string
	// SHA256 and Tree are those of a Sum.
	SHA256, Tree artifact.Digest
}

// Collect pins what several steps stored below the pin's location: files, in any
// order, those of directories included, and the paths of the directories, without
// a slash at the end. It says why these make no directory, or no pin has room.
func (p *Pin) Collect(files []content.File, dirs []string) error {
	list, err := content.NewFiles(files)
	if err != nil {
		return err
	}
	p.Tree, p.Files, p.Dirs = list.Tree(), list.String(), ""
	p.SHA256, p.Archive = p.Tree, content.ArchiveNone
	for _, dir := range slices.SortedFunc(slices.Values(dirs), content.WalkCompare) {
		p.Dirs += dir + "\n"
	}
	return p.validateParts()
}

// Parts are what several steps stored, in order; none if the pin has no Files.
func (p Pin) Parts() ([]Part, error) {
	if p.Files == "" && p.Dirs == "" {
		return nil, nil
	}
	files, err := p.files()
	if err != nil {
		return nil, err
	}
	var dirs []string
	if p.Dirs != "" {
		dirs = strings.Split(strings.TrimSuffix(p.Dirs, "\n"), "\n")
	}
	var parts []Part
	for len(files) > 0 {
		if len(dirs) > 0 {
			if below := files.Below(dirs[0]); len(below) > 0 {
				tree := below.Tree()
				parts = append(parts, Part{Path: dirs[0] + "/", SHA256: tree, Tree: tree})
				files, dirs = files[len(below):], dirs[1:]
				continue
			}
		}
		parts = append(parts, Part{Path: files[0].Path, SHA256: files[0].SHA256, Tree: content.FileTree(files[0].SHA256)})
		files = files[1:]
	}
	if len(dirs) > 0 {
		return nil, fmt.Errorf("directory %.80q has no file, lies in another, is there twice or not in order", dirs[0])
	}
	return parts, nil
}

// files are those of a pin that has some, within its limits.
func (p Pin) files() (content.Files, error) {
	files, err := content.ParseFiles(p.Files)
	if err != nil {
		return nil, err
	}
	if size := len(p.Files) + len(p.Dirs); len(files) > MaxFiles || size > maxPinned {
		return nil, fmt.Errorf("there are %d files, listed in %d bytes, and a pin has room for %d in %d", len(files), size, MaxFiles, maxPinned)
	}
	if p.Dirs != "" && !strings.HasSuffix(p.Dirs, "\n") {
		return nil, errors.New("list of directories does not end with a line")
	}
	return files, nil
}

// validateParts wants lists that give the tree, for a prefix without a seal of its
// own.
func (p Pin) validateParts() error {
	parts, err := p.Parts()
	if err != nil || parts == nil {
		return err
	}
	files, err := p.files()
	switch {
	case err != nil:
		return err
	case files.Tree() != p.Tree || !content.IsDirectory(p.SHA256, p.Archive, p.Tree):
		return errors.New("its files are not those of its tree")
	case p.Within != "" || p.Seal != "" || p.Policy != "":
		return errors.New("its parts have one seal each, and it has another")
	}
	return nil
}
