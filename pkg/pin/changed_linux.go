package pin

import (
	"io/fs"
	"syscall"
	"time"
)

// changed is when a file, its content or its mode, was last changed. The kernel keeps
// that time, and nobody can set it.
func changed(info fs.FileInfo) time.Time {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}
	}
	return time.Unix(s.Ctim.Unix())
}
