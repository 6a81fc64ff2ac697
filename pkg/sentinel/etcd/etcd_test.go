package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestHeader(t *testing.T) {
	for value, want := range map[string]string{
		"k8s:enc:secretbox:v1:r0-20260101t000000z-00:\x00\x01:": "secretbox/r0-20260101t000000z-00",
		"k8s:enc:aescbc:v1:key1:…":                              "aescbc/key1",
		"k8s:enc:kms:v2:my-kms:…":                               "kms/my-kms",
		"k8s\x00\n\f\n\x02v1":                                   "identity",
		`{"kind":"Secret"}`:                                     "identity",
		"":                                                      "identity",
		"k8s:enc:secretbox":                                     "unknown/no key",
	} {
		if got := header([]byte(value)); got.String() != want {
			t.Errorf("%q: %s, not %s", value, got, want)
		}
	}
}

func TestFolder(t *testing.T) {
	for _, prefix := range []string{"/registry", "/registry/"} {
		if got := (Scanner{Prefix: prefix}).folder("secrets"); got != "/registry/secrets/" {
			t.Errorf("%s: %s", prefix, got)
		}
	}
}

// store has keys, of which each answer gives two at most, at a revision that goes on.
type store struct {
	clientv3.KV
	keys    []string
	value   string
	asked   []int64
	current int64
	// compacted is the one answer that is an error, by its number; tooMany is the number
	// of objects with which none comes.
	compacted int
	tooMany   int64
}

func (s *store) Get(_ context.Context, from string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	op := clientv3.OpGet(from, opts...)
	s.asked = append(s.asked, op.Rev())
	if len(s.asked) == s.compacted {
		return nil, rpctypes.ErrCompacted
	}
	if s.tooMany > 0 && op.Limit() >= s.tooMany {
		return nil, errors.New("the answer is too large")
	}
	s.current++
	resp := &clientv3.GetResponse{Header: &etcdserverpb.ResponseHeader{Revision: s.current}}
	for _, k := range s.keys {
		switch {
		case k < from || k >= string(op.RangeBytes()):
		case len(resp.Kvs) == 2:
			resp.More = true
		default:
			resp.Kvs = append(resp.Kvs, &mvccpb.KeyValue{Key: []byte(k), Value: []byte("k8s:enc:secretbox:v1:key:" + s.value)})
		}
	}
	return resp, nil
}

func (s *store) fill(resource string, n int) {
	for i := range n {
		s.keys = append(s.keys, fmt.Sprintf("/registry/%s/ns/s%d", resource, i))
	}
}

// read reads to the end and counts the parts.
func read(t *testing.T, r *Reading) (parts int) {
	t.Helper()
	for done := false; !done; parts++ {
		var err error
		if done, err = r.Continue(t.Context()); err != nil || parts > 50 {
			t.Fatal(parts, err)
		}
	}
	return parts
}

func TestAScanReadsAllPagesAsOfOneRevision(t *testing.T) {
	s := &store{current: 41}
	s.fill("configmaps", 1)
	s.fill("secrets", 5)
	r := Scanner{KV: s, Prefix: "/registry", For: time.Minute}.Begin([]string{"secrets", "configmaps"})
	if parts := read(t, r); parts != 1 {
		t.Errorf("it took %d parts", parts)
	}
	found := r.Found()
	if found["secrets"].Total() != 5 || found["configmaps"].Total() != 1 || !slices.Equal(s.asked, []int64{0, 42, 42, 0}) {
		t.Errorf("%v, read at %v", found, s.asked)
	}
}

// A large cluster is read in parts, none of which begins anew, even where etcd has
// forgotten the revision meanwhile.
func TestAScanGoesOnWhereItWas(t *testing.T) {
	s := &store{compacted: 3}
	s.fill("secrets", 9)
	r := Scanner{KV: s, Prefix: "/registry"}.Begin([]string{"secrets"})
	if parts := read(t, r); parts != 5 {
		t.Errorf("it took %d parts, not one a page", parts)
	}
	if total := r.Found()["secrets"].Total(); total != 9 || !slices.Equal(s.asked, []int64{0, 1, 1, 0, 3, 3}) {
		t.Errorf("%d objects, read at %v", total, s.asked)
	}
}

func TestAnAnswerHasABoundedSize(t *testing.T) {
	s := &store{tooMany: 3}
	s.fill("secrets", 5)
	r := Scanner{KV: s, Prefix: "/registry", For: time.Minute}.Begin([]string{"secrets"})
	if read(t, r); r.Found()["secrets"].Total() != 5 {
		t.Errorf("%v", r.Found())
	}
	s = &store{tooMany: 1}
	s.fill("secrets", 5)
	if _, err := (Scanner{KV: s, Prefix: "/registry", For: time.Minute}).Begin([]string{"secrets"}).Continue(t.Context()); err == nil {
		t.Error("an etcd that never answers is read")
	}
	s = &store{value: strings.Repeat("x", pageBytes/3)}
	s.fill("secrets", 8)
	r = Scanner{KV: s, Prefix: "/registry", For: time.Minute}.Begin([]string{"secrets"})
	if read(t, r); r.limit > 3 {
		t.Errorf("it asks for %d objects of %d bytes each", r.limit, pageBytes/3)
	}
}
