package artifact

import "fmt"

// MaxName is the longest artifact name: Argo's own suffix ".tmpdir" still
// makes a file name of it.
const MaxName = 248

// CheckName allows what Argo allows in an artifact's name, and dots.
// Such a name is one file name and one field of a measurement's line.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName || name == "." || name == ".." {
		return fmt.Errorf("artifact name %.80q is empty, too long or reserved", name)
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("artifact name %.80q has other characters than letters, digits, '-', '_' and '.'", name)
		}
	}
	return nil
}
