package controller

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// turned is a shelf that notes for which namespace it was asked, each time for a second.
type turned struct {
	*shelf
	now *time.Time
	of  []string
}

func (s *turned) Open(ctx context.Context, bucket, key string) (io.ReadCloser, int64, error) {
	namespace, _, _ := strings.Cut(key, "/")
	s.of = append(s.of, namespace)
	*s.now = s.now.Add(time.Second)
	return s.shelf.Open(ctx, bucket, key)
}

// directory stores empty files, and gives a seal of them whose record lists none.
func (s *turned) directory(t *testing.T, namespace, name string, files int) client.Object {
	t.Helper()
	var list []content.File
	for i := range files {
		s.objects[fmt.Sprintf("%s/%s/%d", namespace, name, i)] = ""
		list = append(list, content.File{Path: fmt.Sprint(i), SHA256: artifact.DigestOfText("")})
	}
	tree, err := content.NewFiles(list)
	check(t, err)
	seal := sealed(t, name, namespace+"/"+name+"/", "", 1)
	seal.Namespace, seal.Spec.SHA256, seal.Spec.TreeDigest = namespace, string(tree.Tree()), string(tree.Tree())
	return seal
}

// However many files the directories of one namespace have whose records do not list them,
// those of another are compared before: none waits for more than a share. Where there is time,
// all are compared.
func TestVeryManyFilesOfOneNamespaceKeepNobodyElsesFromBeingCompared(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	const dirs, files, share = 20, 50, 100
	for name, c := range map[string]struct {
		every   time.Duration
		unknown bool
	}{
		"with time for all": {24 * time.Hour, false}, "with time for the others": {10 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1e9, 0)
			store := &turned{shelf: &shelf{objects: map[string]string{}}, now: &now}
			var all []client.Object
			directory := func(namespace, name string, files int) { all = append(all, store.directory(t, namespace, name, files)) }
			for i := range dirs {
				directory("many", fmt.Sprint("d", i), files)
			}
			for i := range 5 {
				directory("team", fmt.Sprint("d", i), 3)
			}
			s := scrubber(t, scheme, store, all...)
			s.unlisted, s.Every, s.Clock = share, c.every, moving{now: &now}
			got, err := s.Pass(t.Context())
			check(t, err)
			before := 0
			for i, n := 0, 0; n < 5*3 && i < len(store.of); i++ {
				if store.of[i] == "team" {
					n++
				} else {
					before++
				}
			}
			if most := share + files; before > most {
				t.Errorf("%d files of another namespace were read before, at most %d may be", before, most)
			}
			if got.Altered+got.Unreadable > 0 || got.Intact+got.Unknown != dirs+5 || got.Intact < 5 || c.unknown != (got.Unknown > 0) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// moody is a store in which somebody takes away what made the first look short.
type moody struct{ *turned }

func (s moody) Open(ctx context.Context, bucket, key string) (io.ReadCloser, int64, error) {
	object, size, err := s.turned.Open(ctx, bucket, key)
	if strings.HasSuffix(key, "/!") {
		delete(s.objects, key)
	}
	return object, size, err
}

// However much there is to read in the second looks at one namespace's directories, those of
// another are compared in between.
func TestSecondLooksAtOneNamespaceKeepNobodyElsesFromBeingCompared(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	const dirs, files, share = 20, 50, 100
	now := time.Unix(1e9, 0)
	store := moody{&turned{shelf: &shelf{objects: map[string]string{}}, now: &now}}
	var all []client.Object
	directory := func(namespace, name string, files int) { all = append(all, store.directory(t, namespace, name, files)) }
	for i := range dirs {
		directory("many", fmt.Sprint("d", i), files)
		store.objects[fmt.Sprintf("many/d%d/!", i)] = "larger than what was sealed"
	}
	for i := range 40 {
		directory("team", fmt.Sprint("d", i), 3)
	}
	s := scrubber(t, scheme, store, all...)
	s.unlisted, s.most, s.Every, s.Clock = share, 1, 24*time.Hour, moving{now: &now}
	got, err := s.Pass(t.Context())
	check(t, err)
	before := 0
	for i, n := 0, 0; n < 40*3 && i < len(store.of); i++ {
		if store.of[i] == "team" {
			n++
		} else {
			before++
		}
	}
	// A second look is begun as long as there is some of the share, and each first one reads one.
	if most := share + files + dirs; before > most {
		t.Errorf("%d files of another namespace were read before, at most %d may be", before, most)
	}
	if got.Altered+got.Unreadable+got.Unknown > 0 || got.Intact != dirs+40 {
		t.Errorf("got %+v", got)
	}
}

// What was found altered is told, though its namespace has had its share meanwhile.
func TestWhatWasFoundAlteredIsNotPutOff(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	now := time.Unix(1e9, 0)
	store := &turned{shelf: &shelf{objects: map[string]string{"many/d/0": "other"}}, now: &now}
	tree, err := content.NewFiles([]content.File{{Path: "0", SHA256: artifact.DigestOfText("")}})
	check(t, err)
	seal := sealed(t, "d", "many/d/", "", 1)
	seal.Namespace, seal.Spec.SHA256, seal.Spec.TreeDigest = "many", string(tree.Tree()), string(tree.Tree())
	s := scrubber(t, scheme, store, seal)
	s.unlisted, s.Every, s.Clock = 1, time.Second, moving{now: &now} // the first look takes all of it
	got, err := s.Pass(t.Context())
	check(t, err)
	if got.Altered != 1 {
		t.Errorf("got %+v", got)
	}
}
