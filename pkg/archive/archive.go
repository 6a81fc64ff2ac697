// Package archive writes seals to a folder, in which stock tools verify them without the
// cluster: NAMESPACE/NAME.sigstore.json. It deletes nothing, and trusts what is there as
// little as what is written: a file that differs is an error.
package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/argoseal/argoseal/pkg/reason"
)

// What is stated of a whole workflow has its UID as its name, with one of these behind it.
const (
	Workflow = ".workflow"
	Summary  = ".summary"
)

// suffix is how Sigstore's programs call a bundle's file.
const suffix = ".sigstore.json"

// Keep writes a bundle, whole or not at all, so that it is on the disk when it returns.
func Keep(folder, namespace, name string, bundle []byte) error {
	return keep(folder, namespace, name, bundle, sync)
}

func keep(folder, namespace, name string, bundle []byte, sync func(folder string) error) error {
	inside := filepath.Join(namespace, name+suffix)
	if namespace == "" || name == "" || filepath.Base(namespace) != namespace || filepath.Base(name) != name || !filepath.IsLocal(inside) {
		return fmt.Errorf("%.80q of namespace %.80q is no name of a file", name, namespace)
	}
	path := filepath.Join(folder, inside)
	switch there, err := os.ReadFile(path); {
	case err == nil && bytes.Equal(there, bundle):
		// Who wrote it may have ended before its name was on the disk.
		return errors.Join(sync(filepath.Dir(path)), sync(folder))
	case err == nil:
		return reason.New(reason.BundleInvalid, "%s is there, and is not what %s/%s has", path, namespace, name)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	part := path + ".part"
	if err := write(part, bundle); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return errors.Join(sync(filepath.Dir(path)), sync(folder))
}

func write(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640) //nolint:gosec // bundles are public, and an archive is for its group, too
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// sync has a folder's names on the disk.
func sync(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
