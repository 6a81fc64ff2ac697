package kms_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/argoseal/argoseal/pkg/sentinel/kms"
)

// A socket is its owner's alone, whatever the umask is. One whose process was killed is
// replaced, and one that somebody answers at, or what is no socket, is not.
func TestTheSocketIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(folder(t), "kms.sock")
	l, err := kms.Listen(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("its mode is %s, %v", info.Mode(), err)
	}
	if _, err := kms.Listen(t.Context(), "unix://"+path); !errors.Is(err, kms.ErrInUse) {
		t.Errorf("a second one gives %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as if it was killed
	_ = l.Close()
	if l, err = kms.Listen(t.Context(), "unix://"+path); err != nil {
		t.Fatalf("the socket of one that is gone: %v", err)
	}
	_ = l.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := kms.Listen(t.Context(), "unix://"+path); !errors.Is(err, kms.ErrNotSocket) {
		t.Errorf("a file gives %v", err)
	}
	for _, address := range []string{"", path, "unix://kms.sock", "unix:///@kms", "tcp://127.0.0.1:1"} {
		if _, err := kms.Listen(t.Context(), address); !errors.Is(err, kms.ErrAddress) {
			t.Errorf("%q gives %v", address, err)
		}
	}
}

// Where others may write, they could put a socket of theirs, which would be given the
// seeds.
func TestTheFolderIsOursAlone(t *testing.T) {
	in := folder(t)
	for mode, fine := range map[fs.FileMode]bool{0o700: true, 0o755: true, 0o770: false, 0o702: false, fs.ModeSticky | 0o777: false} {
		if err := os.Chmod(in, mode); err != nil {
			t.Fatal(err)
		}
		l, err := kms.Listen(t.Context(), "unix://"+filepath.Join(in, "kms.sock"))
		if fine != (err == nil) || !fine && !errors.Is(err, kms.ErrFolder) {
			t.Errorf("with mode %s it says %v", mode, err)
		}
		if l != nil {
			_ = l.Close()
		}
	}
	if _, err := kms.Listen(t.Context(), "unix://"+filepath.Join(in, "none", "kms.sock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a folder it says %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to somebody else")
	}
	if err := errors.Join(os.Chmod(in, 0o700), os.Chown(in, 65534, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := kms.Listen(t.Context(), "unix://"+filepath.Join(in, "kms.sock")); !errors.Is(err, kms.ErrFolder) {
		t.Errorf("in somebody else's folder it says %v", err)
	}
}

// Of two that start at once where a socket was left, one gets it, and the other does not
// take it away.
func TestOneOfTwoThatStartAtOnce(t *testing.T) {
	path := filepath.Join(folder(t), "kms.sock")
	l, err := kms.Listen(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as if it was killed
	_ = l.Close()
	other, err := os.Open(path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kms.Listen(t.Context(), "unix://"+path); !errors.Is(err, kms.ErrInUse) {
		t.Errorf("while another one replaces the socket it says %v", err)
	}
	if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("it has replaced it: %v", err)
	}
	_ = other.Close()
	if l, err = kms.Listen(t.Context(), "unix://"+path); err != nil {
		t.Fatalf("once the other is gone it says %v", err)
	}
	_ = l.Close()
	if err := errors.Join(os.Remove(path+".lock"), os.Symlink("/dev/null", path+".lock")); err != nil {
		t.Fatal(err)
	}
	if l, err := kms.Listen(t.Context(), "unix://"+path); err == nil {
		t.Errorf("a link is taken for the lock: %v", l)
	}
}
