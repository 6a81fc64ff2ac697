package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

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
				Scan: func(context.Context, []string) (encryption.Scan, error) {
					return encryption.Scan{Objects: map[encryption.Ref]int{{Provider: encryption.Identity}: c.lies}}, nil
				},
				Serves: func(context.Context, schema.GroupVersionResource) (bool, error) { return c.serves, c.err },
			}
			scan, err := r.scan(t.Context(), []string{"secrets"})
			if (err == nil) != c.ok || c.ok && scan.Total() != c.lies {
				t.Errorf("%d objects, %v", scan.Total(), err)
			}
			if _, err := r.scan(t.Context(), []string{"secret.s"}); err == nil {
				t.Error("a resource that there is not is scanned")
			}
		})
	}
}

// file is an agent's.
type file string

func (f file) Read(context.Context) ([]byte, string, error) {
	return []byte(f), encryption.Hash([]byte(f)), nil
}
func (file) Write(context.Context, []byte, string) error { return errors.New("not asked for") }

// What the server runs with is never put back by something else.
func TestAFileThatTheServerRunsWithIsNotDamaged(t *testing.T) {
	const legacy = "kind: EncryptionConfig\napiVersion: v1\nresources: []\n"
	for loaded, want := range map[string]encryption.FileProblem{
		encryption.Hash([]byte(legacy)):  encryption.FileForeign,
		encryption.Hash([]byte("other")): encryption.FileDamaged,
	} {
		s := Server{Name: "cp", File: file(legacy), Loaded: func(context.Context) (apiserver.Loaded, error) {
			return apiserver.Loaded{Hash: loaded, For: time.Hour}, nil
		}}
		if seen, _ := see(t.Context(), s, []string{"secrets"}); seen.FileProblem != want {
			t.Errorf("it is %q (%s), want %q", seen.FileProblem, seen.Detail, want)
		}
	}
}
