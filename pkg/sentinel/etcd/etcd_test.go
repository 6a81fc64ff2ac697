package etcd

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
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

// store has keys, of which each answer gives two, at a revision that goes on.
type store struct {
	clientv3.KV
	keys    []string
	asked   []int64
	current int64
}

func (s *store) Get(_ context.Context, from string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	op := clientv3.OpGet(from, opts...)
	s.asked = append(s.asked, op.Rev())
	s.current++
	resp := &clientv3.GetResponse{Header: &etcdserverpb.ResponseHeader{Revision: s.current}}
	for _, k := range s.keys {
		switch {
		case k < from:
		case len(resp.Kvs) == 2:
			resp.More = true
		default:
			resp.Kvs = append(resp.Kvs, &mvccpb.KeyValue{Key: []byte(k), Value: []byte("k8s:enc:secretbox:v1:key:…")})
		}
	}
	return resp, nil
}

func TestAScanReadsAllPagesAsOfOneRevision(t *testing.T) {
	s := &store{current: 41}
	for i := range 5 {
		s.keys = append(s.keys, fmt.Sprintf("/registry/secrets/ns/s%d", i))
	}
	scan, err := Scanner{KV: s, Prefix: "/registry"}.Scan(t.Context(), []string{"secrets"})
	if err != nil || scan.Total() != 5 || !slices.Equal(s.asked, []int64{0, 42, 42}) {
		t.Errorf("%d objects, read at %v, %v", scan.Total(), s.asked, err)
	}
}
