package kms

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"google.golang.org/grpc"
	kmsapi "k8s.io/kms/apis/v2"
	"k8s.io/kms/pkg/service"
)

const (
	// maxMessage bounds a request: seed, ID, UID, and some room.
	maxMessage = 8 << 10
	// atOnce are answered on a connection, and others wait. One API server connects.
	atOnce = 32
)

// Errors of [Listen].
var (
	ErrAddress   = errors.New("the address is not unix:///PATH")
	ErrInUse     = errors.New("another process answers at the socket, or is about to")
	ErrNotSocket = errors.New("what lies there is no socket")
	ErrFolder    = errors.New("others could put a socket of theirs in its place")
)

// Listen makes a socket for its owner alone, and beside it a file with .lock behind its name. One that was left by a process that is gone
// is replaced; one that somebody answers at is not.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix://")
	// The API server takes /@ for a name that is no file's, so that it has no owner.
	if !ok || !filepath.IsAbs(path) || strings.HasPrefix(path, "/@") {
		return nil, fmt.Errorf("%w: %q", ErrAddress, address)
	}
	if err := ours(filepath.Dir(path)); err != nil {
		return nil, err
	}
	free, err := alone(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer free()
	if err := vacate(ctx, path); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// There is no moment at which others may open it.
	before := syscall.Umask(0o177)
	defer syscall.Umask(before)
	return (&net.ListenConfig{}).Listen(ctx, "unix", path)
}

// ours refuses a folder that others than us and root may write to, or own. Whoever may,
// can put a socket there, and is given the seeds in plain.
func ours(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if mode := info.Mode(); mode.Perm()&0o022 != 0 || owner != 0 && int(owner) != os.Geteuid() {
		return fmt.Errorf("%w: folder %s has mode %s, owner %d", ErrFolder, folder, mode, owner)
	}
	return nil
}

// alone holds a lock while a socket is replaced: of two that find it stale at once, the
// second would remove what the first had made. The lock's file stays, since whoever waits
// for it may have it open; the lock itself goes with its holder.
func alone(path string) (free func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// vacate removes a socket that nobody answers at.
func vacate(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return ErrNotSocket
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(ErrInUse, c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// Serve answers at a socket until the context ends; what was asked before is still
// answered.
func Serve(ctx context.Context, l net.Listener, p *Plugin) error {
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxConcurrentStreams(atOnce), grpc.ConnectionTimeout(maxCall))
	// Its own way to serve leaves the socket to the umask, and one that is stale where it is.
	kmsapi.RegisterKeyManagementServiceServer(server, service.NewGRPCService("", maxCall, p))
	stop := context.AfterFunc(ctx, server.GracefulStop)
	defer stop()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}
