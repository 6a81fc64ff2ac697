package content

import (
	"errors"
	"fmt"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Archive is an archive strategy: what Argo makes of a path when it stores an
// output, or of the stored bytes when it fetches an input. The zero value is no
// strategy.
type Archive string

const (
	// ArchiveTar packs and unpacks tar+gzip.
	ArchiveTar Archive = "tar"
	// ArchiveZip packs and unpacks zip.
	ArchiveZip Archive = "zip"
	// ArchiveNone leaves a file as it is, and the files of a directory.
	ArchiveNone Archive = "none"
	// ArchiveDetect is the strategy of an input that names none: Argo unpacks what
	// begins like tar+gzip, and leaves everything else as it is.
	ArchiveDetect Archive = "detect"
)

// Form says what the stored bytes of an output are to whoever fetches them. The
// zero value is no form.
type Form string

const (
	// FormTar is an archive of Argo's; the tree digest is of what it unpacks to.
	FormTar Form = "tar"
	// FormZip is a zip of Argo's; the tree digest is of what it unpacks to.
	FormZip Form = "zip"
	// FormFile is a file that was stored as it is; the tree digest is the file's.
	FormFile Form = "file"
	// FormLookalike is a file that was stored as it is, and that Argo would
	// unpack for an input without a strategy. Nobody has looked at what is in it.
	FormLookalike Form = "lookalike"
	// FormDirectory is a directory of which each file was stored as it is. There
	// are no stored bytes of the whole. Both of its digests are of the manifest of
	// what is there once it has been fetched.
	FormDirectory Form = "directory"
	// FormLookalikes is a directory with at least one file that is a lookalike.
	FormLookalikes Form = "lookalikes"
)

// IsDirectory says whether it is a directory of which each file was stored.
func (f Form) IsDirectory() bool { return f == FormDirectory || f == FormLookalikes }

// FormsOf lists the forms that an output stored with this strategy can have.
func FormsOf(stored Archive) []Form {
	switch stored {
	case ArchiveTar:
		return []Form{FormTar}
	case ArchiveZip:
		return []Form{FormZip}
	case ArchiveNone:
		return []Form{FormFile, FormLookalike, FormDirectory, FormLookalikes}
	case ArchiveDetect: // nothing is stored so
	}
	return nil
}

// FileTree is the tree digest of a file with this content, as Argo leaves one
// that it does not unpack: not executable.
func FileTree(content artifact.Digest) artifact.Digest {
	m := newManifest()
	m.file(false, content, rootPath)
	return m.digest()
}

// Validate wants both digests, a size and a form that goes with them.
func (s Sum) Validate() error {
	for _, d := range []artifact.Digest{s.SHA256, s.Tree} {
		if _, err := artifact.ParseDigest(string(d)); err != nil {
			return err
		}
	}
	if s.Plain != "" {
		if _, err := artifact.ParseDigest(string(s.Plain)); err != nil || s.Form != FormTar || s.Plain == s.Tree {
			return fmt.Errorf("a %s has no other tree digest without exec bits, or not this one", s.Form)
		}
	}
	switch s.Form {
	case FormTar, FormZip:
	case FormFile, FormLookalike:
		if s.Tree != FileTree(s.SHA256) {
			return fmt.Errorf("tree digest is not that of a %s with the digest of the stored bytes", s.Form)
		}
	case FormDirectory, FormLookalikes:
		if s.Tree != s.SHA256 {
			return errors.New("a directory has two digests")
		}
	default:
		return fmt.Errorf("%.40q is not a form of stored bytes", s.Form)
	}
	if s.Size < 0 {
		return fmt.Errorf("size %d is negative", s.Size)
	}
	return nil
}

// Fetched says what Argo leaves of these stored bytes in an input with the given
// strategy: the tree digest, and the strategy that Argo ends up with, never
// ArchiveDetect. If nobody measured what the bytes unpack to, it is an
// ArchiveMismatch: what is unpacked unseen can also write beside the input.
func (s Sum) Fetched(by Archive) (artifact.Digest, Archive, error) {
	how := by
	if by == ArchiveDetect {
		switch s.Form {
		case FormTar:
			how = ArchiveTar
		case FormFile, FormZip, FormDirectory, FormLookalikes: // Argo never takes anything for a zip, nor a folder for an archive
			how = ArchiveNone
		case FormLookalike: // Argo unpacks it, and nobody measured what that gives
		}
	}
	switch {
	case how == ArchiveNone && s.Form.IsDirectory():
		return s.Tree, how, nil
	case how == ArchiveNone:
		return FileTree(s.SHA256), how, nil
	case how == ArchiveTar && s.Form == FormTar, how == ArchiveZip && s.Form == FormZip:
		return s.Tree, how, nil
	case how == ArchiveDetect && s.Form == FormLookalike:
		return "", "", reason.New(reason.ArchiveMismatch, "it was stored without an archive, looks like tar+gzip, and the input has no strategy, so Argo would unpack it")
	}
	return "", "", reason.New(reason.ArchiveMismatch, "it was sealed as %s, and the input's strategy is %s", s.Form, by)
}

// IsDirectory says whether what was fetched is a directory that was stored
// without an archive.
func IsDirectory(stored artifact.Digest, how Archive, tree artifact.Digest) bool {
	return how == ArchiveNone && tree == stored
}

// CheckFetched wants a result that Fetched can have given: two digests and a
// strategy. If nothing is unpacked, the tree has to be that of the file or, for a
// directory, both digests have to be the same.
func CheckFetched(stored artifact.Digest, how Archive, tree artifact.Digest) error {
	for _, d := range []artifact.Digest{stored, tree} {
		if _, err := artifact.ParseDigest(string(d)); err != nil {
			return err
		}
	}
	switch how {
	case ArchiveTar, ArchiveZip:
		return nil
	case ArchiveNone:
		if tree != FileTree(stored) && !IsDirectory(stored, how, tree) {
			return errors.New("tree digest is not that of the file or directory itself")
		}
		return nil
	case ArchiveDetect: // it never ends with that
	}
	return fmt.Errorf("%.40q is not what Argo does to stored bytes", how)
}

// CheckOutside wants what can be said of an input that nobody sealed. That is what
// Argo is told to do to the stored bytes, which may be to find out by itself, and
// the digest of what it leaves, if one is pinned. The digest of the stored bytes
// pins a file that the step gets as it is stored. If Argo finds an archive in it
// and unpacks it, the tree is not the pinned one.
func CheckOutside(stored artifact.Digest, how Archive, tree artifact.Digest) error {
	unpacked := false
	switch how {
	case ArchiveTar, ArchiveZip:
		unpacked = true
	case ArchiveNone, ArchiveDetect:
	default:
		return fmt.Errorf("%.40q is not what Argo does to stored bytes", how)
	}
	switch {
	case stored != "" && unpacked:
		return fmt.Errorf("sha256 is that of a file as it is stored, and the input's strategy is %s: only treeSHA256 can pin what Argo unpacks", how)
	case stored != "":
		return CheckFetched(stored, ArchiveNone, tree)
	case tree != "":
		_, err := artifact.ParseDigest(string(tree))
		return err
	}
	return nil
}
