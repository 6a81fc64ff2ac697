package archive

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/argoseal/argoseal/pkg/reason"
)

func TestNamesThatAreNoFilesAreNotWritten(t *testing.T) {
	for _, name := range []string{"", "..", "../x", "a/b", "/x"} {
		if err := Keep(t.TempDir(), "a", name, []byte("x")); name != ".." && err == nil {
			t.Errorf("%q is written", name)
		}
		if err := Keep(t.TempDir(), name, "a", []byte("x")); err == nil {
			t.Errorf("namespace %q is written", name)
		}
	}
}

func TestWhatIsThereStays(t *testing.T) {
	folder := t.TempDir()
	for range 2 {
		if err := Keep(folder, "a", "u-1", []byte("bundle")); err != nil {
			t.Fatal(err)
		}
	}
	if err := Keep(folder, "a", "u-1", []byte("another")); reason.Of(err) != reason.BundleInvalid {
		t.Errorf("another bundle under the name: %v", err)
	}
	got, err := os.ReadFile(filepath.Join(folder, "a", "u-1.sigstore.json"))
	if err != nil || !bytes.Equal(got, []byte("bundle")) {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestANameIsOnTheDiskWhoeverWroteIt: an attempt that ended between renaming and syncing leaves
// a file that is there, and that a power cut may take.
func TestANameIsOnTheDiskWhoeverWroteIt(t *testing.T) {
	folder := t.TempDir()
	cut := errors.New("the power is cut")
	if err := keep(folder, "a", "u-1", []byte("bundle"), func(string) error { return cut }); !errors.Is(err, cut) {
		t.Fatal(err)
	}
	var synced []string
	again := func(folder string) error {
		synced = append(synced, folder)
		return sync(folder)
	}
	if err := keep(folder, "a", "u-1", []byte("bundle"), again); err != nil {
		t.Fatal(err)
	}
	if want := []string{filepath.Join(folder, "a"), folder}; !slices.Equal(synced, want) {
		t.Errorf("on the disk are the names in %q, want %q", synced, want)
	}
}
