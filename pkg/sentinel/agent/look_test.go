package agent

import (
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// A sole operator that was paused is the last who looked. What it had decided on before,
// it may not do afterwards, although the file is the same.
func TestWhatWasDecidedLongAgoIsNotDone(t *testing.T) {
	f := &File{Path: filepath.Join(t.TempDir(), "config.yaml")}
	look := func(ago time.Duration) string {
		t.Helper()
		_, hash, err := f.Read(7)
		if err != nil {
			t.Fatal(err)
		}
		f.looked = f.looked.Add(-ago)
		return hash
	}
	hash := look(maxLook + time.Second)
	if err := f.Write([]byte("one"), hash, 7); !errors.Is(err, ErrOutdated) {
		t.Errorf("it writes what it decided on long ago: %v", err)
	}
	if err := f.Write([]byte("one"), look(maxLook-time.Minute), 7); err != nil {
		t.Errorf("a moment after a look: %v", err)
	}
	hash = look(maxLook + time.Second)
	if err := f.Forget(hash, 7); !errors.Is(err, ErrOutdated) {
		t.Errorf("it has keys forgotten that it decided on long ago: %v", err)
	}
	if err := f.Forget(look(0), 7); err != nil {
		t.Errorf("a moment after a look: %v", err)
	}
}
