package argoexec

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// RandomMode is a mode that a file of a step's may have.
func RandomMode(r *rand.Rand) os.FileMode {
	return []os.FileMode{0o644, 0o755, 0o600, 0o444, 0o111, 0o654, 0o000, 0o755 | os.ModeSetuid, 0o755 | os.ModeSetgid | os.ModeSticky}[r.IntN(9)]
}

// RandomBytes are a file's.
func RandomBytes(r *rand.Rand) []byte {
	b := make([]byte, []int{0, 1, 511, 512, 513, 100_000}[r.IntN(6)])
	for i := range b {
		b[i] = byte(r.Uint32() % 7)
	}
	return b
}

// RandomName is a file's name, often an odd one.
func RandomName(r *rand.Rand) string {
	names := []string{
		"a", "a.b", "a-", "a b", "A", "b", "c\\n", "d\n", "e\t", "\x01", "~", "-n", "*", "?[a]", "$(x)", "'\"", "ü",
		"\xff\xfe", " ", "...", ".hidden", "\r", "日本", strings.Repeat("l", 120), strings.Repeat("x", 255), "z",
	}
	return names[r.IntN(len(names))]
}

// Grow makes a directory with something of every kind below path.
func Grow(t *testing.T, r *rand.Rand, path string, depth int) {
	t.Helper()
	for range r.IntN(7) {
		p := filepath.Join(path, RandomName(r))
		if _, err := os.Lstat(p); err == nil || len(p) > 3000 {
			continue
		}
		switch k := r.IntN(12); {
		case k < 5:
			must(t, os.WriteFile(p, RandomBytes(r), 0o644))
			must(t, os.Chmod(p, RandomMode(r)))
		case k < 8 && depth < 12:
			must(t, os.Mkdir(p, 0o755))
			Grow(t, r, p, depth+1)
		case k == 8:
			must(t, os.Symlink(RandomName(r), p))
		case k == 9:
			must(t, syscall.Mkfifo(p, 0o644))
		case k == 10:
			must(t, syscall.Mknod(p, syscall.S_IFCHR|0o600, 1<<8|3))
		default:
			must(t, os.WriteFile(p, RandomBytes(r), 0o644))
			_ = os.Link(p, p[:len(p)-1]+"+") // a second name of the same file
		}
	}
}
