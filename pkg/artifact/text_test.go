package artifact

import "testing"

// FuzzTexts: what is read from arguments, annotations and addresses is spelled in
// one way only, and reading it again gives the same.
func FuzzTexts(f *testing.F) {
	for _, text := range []string{
		"s3://store:7070/bucket/a//b/../c", "s3://store/bucket/folder/", "s3://store/bucket/%41", "s3://[::1]:9000/b/k",
		"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", "",
		"git+https://example.com/acme/app@0123456789abcdef0123456789abcdef01234567",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if l, err := ParseLocation(text); err == nil && l.URI() != text {
			t.Errorf("location %q is spelled %q", text, l.URI())
		}
		if d, err := ParseDigest(text); err == nil && string(d) != text {
			t.Errorf("digest %q is spelled %q", text, d)
		}
		if g, err := ParseGit(text); err == nil && g.URI() != text {
			t.Errorf("revision %q is spelled %q", text, g.URI())
		}
	})
}
