package pki

import (
	"os"
	"path/filepath"
	"testing"
)

// What an authority has issued it knows again, and nothing else: not what another one
// issued, and no certificate without its key.
func TestAnAuthorityKnowsWhatItHasIssued(t *testing.T) {
	dir, leaf := t.TempDir(), Leaf{Name: "registry", CommonName: "registry", Hosts: []string{"10.96.0.22"}}
	made, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if made.Issued(leaf) {
		t.Error("it has issued nothing yet")
	}
	if err := made.Issue(leaf); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !opened.Issued(leaf) || !made.Issued(leaf) {
		t.Error("it does not know what it has issued")
	}
	if err := opened.Issue(Leaf{Name: "other", CommonName: "other"}); err != nil || !made.Issued(Leaf{Name: "other"}) {
		t.Errorf("the one that was opened is another: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "other.key")); err != nil || made.Issued(Leaf{Name: "other"}) {
		t.Errorf("a certificate without its key counts: %v", err)
	}
	another, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if another.Issued(leaf) {
		t.Error("what another one issued counts")
	}
}
