package pin

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// MaxFiles and maxPinned bound the lists in a pin, in files and in bytes: an
// admission tag has no more room.
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
	// Seal is the name of its ArtifactSeal; empty if that is the one of its place.
	Seal string
}

// Collect pins what several steps stored below the pin's location. files are all of
// them, in any order, those of directories included. dirs are the paths of the
// directories, without a slash at the end. It says why the files make no directory,
// or why no pin has room for them.
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

// Attribute notes which seal vouches for each of the pin's files, by their paths.
// It is for files whose places do not show it. It says why no pin has room for
// that.
func (p *Pin) Attribute(seals map[string]string) error {
	files, err := p.files()
	if err != nil {
		return err
	}
	number := map[string]int{}
	var of []string
	p.Dirs, p.Seals = "", ""
	for _, f := range files {
		seal := seals[f.Path]
		if _, known := number[seal]; !known {
			number[seal] = len(number)
			p.Seals += seal + "\n"
		}
		of = append(of, strconv.Itoa(number[seal]))
	}
	p.Of = strings.Join(of, ",")
	return p.validateParts()
}

func sealName(s string) bool {
	return s != "" && len(s) <= maxPolicy && !strings.ContainsFunc(s, artifact.IsControl)
}

// attributed are the names of the files' seals, in the order of the files; none where
// each is that of its place.
func (p Pin) attributed(files int) ([]string, error) {
	if p.Seals == "" && p.Of == "" {
		return make([]string, files), nil
	}
	seals := strings.Split(strings.TrimSuffix(p.Seals, "\n"), "\n")
	for _, seal := range seals {
		if !sealName(seal) {
			return nil, fmt.Errorf("%.80q is no name of a seal", seal)
		}
	}
	numbers := strings.Split(p.Of, ",")
	if len(numbers) != files || p.Dirs != "" || !strings.HasSuffix(p.Seals, "\n") {
		return nil, fmt.Errorf("there are %d files, and the seals of %d are named", files, len(numbers))
	}
	var of []string
	for _, number := range numbers {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n >= uint64(len(seals)) || strconv.FormatUint(n, 10) != number {
			return nil, fmt.Errorf("%.20q is not the number of one of %d seals", number, len(seals))
		}
		of = append(of, seals[n])
	}
	return of, nil
}

// Parts are what several steps stored, in order; none if the pin has no Files.
func (p Pin) Parts() ([]Part, error) {
	if p.Files == "" && p.Dirs == "" && p.Of == "" {
		return nil, nil
	}
	files, err := p.files()
	if err != nil {
		return nil, err
	}
	seals, err := p.attributed(len(files))
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
		seal := seals[len(seals)-len(files)]
		parts = append(parts, Part{Path: files[0].Path, SHA256: files[0].SHA256, Tree: content.FileTree(files[0].SHA256), Seal: seal})
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
	if size := len(p.Files) + len(p.Dirs) + len(p.Seals) + len(p.Of); len(files) > MaxFiles || size > maxPinned {
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
