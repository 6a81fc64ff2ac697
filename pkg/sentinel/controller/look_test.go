package controller

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/sentinel/agent"
	"github.com/argoseal/argoseal/pkg/sentinel/apiserver"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// An etcd that has nothing of what the API serves is another's: that nothing there
// lies under the old key proves nothing.
func TestAnEmptyEtcdProvesNothingWhereTheAPIServesObjects(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	for name, c := range map[string]struct {
		lies   int
		serves bool
		err    error
		ok     bool
	}{
		"objects in etcd":               {lies: 3, serves: true, ok: true},
		"none, and none are served":     {ok: true},
		"none, and some are served":     {serves: true},
		"none, and nobody knows":        {err: errors.New("down")},
		"some, and nobody needs to ask": {lies: 1, err: errors.New("down"), ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Reconciler{
				Mapper: mapper,
				Clock:  clock.RealClock{},
				Scan: func(context.Context, []string) (Reading, error) {
					return reading{{Provider: encryption.Identity}: c.lies}, nil
				},
				Serves: func(context.Context, schema.GroupVersionResource) (bool, error) { return c.serves, c.err },
			}
			scan, err := r.scan(t.Context(), []string{"secrets"})
			if (err == nil) != c.ok || c.ok && (scan == nil || scan.Total() != c.lies) {
				t.Errorf("%v, %v", scan, err)
			}
			if _, err := r.scan(t.Context(), []string{"secret.s"}); err == nil {
				t.Error("a resource that there is not is scanned")
			}
		})
	}
}

// reading has read all at once.
type reading map[encryption.Ref]int

func (reading) Continue(context.Context) (bool, error) { return true, nil }

func (reading) Revision() int64 { return 7 }

func (r reading) Found() map[string]encryption.Scan {
	return map[string]encryption.Scan{"secrets": {Objects: r, Examples: map[encryption.Ref][]string{}}}
}

// local is the agent of a file on this machine.
type local struct{ *agent.File }

func (l local) Read(_ context.Context, term int64) ([]byte, string, error) { return l.File.Read(term) }

func (l local) Write(_ context.Context, content []byte, replaces string, term int64) error {
	return l.File.Write(content, replaces, term)
}

func (l local) Kept(_ context.Context, term int64) (map[string][]byte, error) {
	return l.File.Kept(term)
}

func (l local) Forget(_ context.Context, hash string, term int64) error {
	return l.File.Forget(hash, term)
}

// put makes a file with a content, and the agent of it.
func put(t *testing.T, content string) local {
	t.Helper()
	l := local{&agent.File{Path: filepath.Join(t.TempDir(), "config.yaml")}}
	if err := os.WriteFile(l.Path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}

// What the server runs with is never put back by something else.
func TestAFileThatTheServerRunsWithIsNotDamaged(t *testing.T) {
	const legacy = "kind: EncryptionConfig\napiVersion: v1\nresources: []\n"
	for loaded, want := range map[string]encryption.FileProblem{
		encryption.Hash([]byte(legacy)):  encryption.FileForeign,
		encryption.Hash([]byte("other")): encryption.FileDamaged,
	} {
		s := Server{Name: "cp", File: put(t, legacy), Loaded: func(context.Context) (apiserver.Loaded, error) {
			return apiserver.Loaded{Hash: loaded}, nil
		}}
		if seen, _, _ := see(t.Context(), s, []string{"secrets"}, 1); seen.FileProblem != want {
			t.Errorf("it is %q (%s), want %q", seen.FileProblem, seen.Detail, want)
		}
	}
}
