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
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
)

// under is what the API server stores behind a plugin's name.
func under(t *testing.T, keyID string) string {
	t.Helper()
	raw, err := proto.Marshal(&kmstypes.EncryptedObject{
		KeyID: keyID, EncryptedData: []byte("data"), EncryptedDEKSource: []byte("seed"),
		EncryptedDEKSourceType: kmstypes.EncryptedDEKSourceType_HKDF_SHA256_XNONCE_AES_GCM_SEED,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestHeader(t *testing.T) {
	const damaged = "unknown/no key of a KMS v2 plugin"
	long := strings.Repeat("x", 1025)
	// A field that is unknown, and so would be no error.
	tooLong := string(protowire.AppendBytes(protowire.AppendTag(nil, 100, protowire.BytesType), make([]byte, maxObject)))
	for value, want := range map[string]string{
		"k8s:enc:secretbox:v1:r0-20260101t000000z-00:\x00\x01:": "secretbox/r0-20260101t000000z-00",
		"k8s:enc:aescbc:v1:key1:…":                              "aescbc/key1",
		"k8s:enc:kms:v2:my-kms:…":                               damaged,
		"k8s:enc:kms:v1:my-kms:" + under(t, "key"):              damaged,
		"k8s:enc:kms:v2:my-kms:":                                damaged,
		"k8s:enc:kms:v2:my-kms:" + under(t, ""):                 damaged,
		"k8s:enc:kms:v2:my-kms:" + under(t, long):               damaged,
		"k8s:enc:kms:v2:my-kms:" + under(t, "key")[:10]:         damaged,
		"k8s:enc:kms:v2:my-kms:" + under(t, "key") + tooLong:    damaged,
		"k8s:enc:kms:v2:my-kms:" + under(t, "key"):              "kms/my-kms@sha256:2c70e12b7a0646f9",
		"k8s:enc:kms:v2:my-kms:" + under(t, long[:1024]):        "kms/my-kms@sha256:49abd65bbf7f7e40",
		"k8s\x00\n\f\n\x02v1":                                   "identity",
		`{"kind":"Secret"}`:                                     "identity",
		"":                                                      "identity",
		"k8s:enc:secretbox":                                     "unknown/no key",
	} {
		if got := header([]byte(value)); got.String() != want {
			t.Errorf("%.80q: %s, not %s", value, got, want)
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

// witness is what the API server has said of its etcd, which store has.
var witness = Witness{Path: "leases/ns/l", UID: "f00d", Revision: 40}

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
	// lease is the witness, none if there is none; from answers on that many it is lost.
	lease *mvccpb.KeyValue
	lost  int
	// oldest is the revision that was compacted to; broken is why nothing is answered.
	oldest int64
	broken error
}

func newStore() *store {
	return &store{lease: &mvccpb.KeyValue{Key: []byte("/registry/leases/ns/l"), Value: []byte("k8s\x00 … f00d …"), ModRevision: 40}}
}

func (s *store) Txn(context.Context) clientv3.Txn { return &txn{store: s} }

// txn is one of two reads.
type txn struct {
	clientv3.Txn
	store *store
	ops   []clientv3.Op
}

func (t *txn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.ops = ops
	return t
}

func (t *txn) Commit() (*clientv3.TxnResponse, error) {
	var first etcdserverpb.RangeResponse
	if l := t.store.lease; l != nil && string(l.Key) == string(t.ops[0].KeyBytes()) && (t.store.lost == 0 || len(t.store.asked) < t.store.lost) {
		first.Kvs = append(first.Kvs, l)
	}
	second, err := t.store.get(t.ops[1])
	if err != nil {
		return nil, err
	}
	of := func(r *etcdserverpb.RangeResponse) *etcdserverpb.ResponseOp {
		return &etcdserverpb.ResponseOp{Response: &etcdserverpb.ResponseOp_ResponseRange{ResponseRange: r}}
	}
	return &clientv3.TxnResponse{Header: second.Header, Responses: []*etcdserverpb.ResponseOp{of(&first), of(second)}}, nil
}

func (s *store) Get(_ context.Context, _ string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if s.broken != nil {
		return nil, s.broken
	}
	if clientv3.OpGet("", options...).Rev() < s.oldest {
		return nil, rpctypes.ErrCompacted
	}
	return &clientv3.GetResponse{}, nil
}

func (s *store) get(op clientv3.Op) (*etcdserverpb.RangeResponse, error) {
	from := string(op.KeyBytes())
	s.asked = append(s.asked, op.Rev())
	if len(s.asked) == s.compacted {
		return nil, rpctypes.ErrCompacted
	}
	if s.tooMany > 0 && op.Limit() >= s.tooMany {
		return nil, errors.New("the answer is too large")
	}
	s.current++
	resp := &etcdserverpb.RangeResponse{Header: &etcdserverpb.ResponseHeader{Revision: s.current}}
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
	s := newStore()
	s.current = 41
	s.fill("configmaps", 1)
	s.fill("secrets", 5)
	r := Scanner{KV: s, Prefix: "/registry", For: time.Minute, Witness: witness}.Begin([]string{"secrets", "configmaps"})
	if parts := read(t, r); parts != 1 {
		t.Errorf("it took %d parts", parts)
	}
	found := r.Found()
	if r.Revision() != 45 {
		t.Errorf("the latest that was read as of is %d", r.Revision())
	}
	if found["secrets"].Total() != 5 || found["configmaps"].Total() != 1 || !slices.Equal(s.asked, []int64{0, 42, 42, 0}) {
		t.Errorf("%v, read at %v", found, s.asked)
	}
}

// A large cluster is read in parts, none of which begins anew, even where etcd has
// forgotten the revision meanwhile.
func TestAScanGoesOnWhereItWas(t *testing.T) {
	s := newStore()
	s.compacted = 3
	s.fill("secrets", 9)
	r := Scanner{KV: s, Prefix: "/registry", Witness: witness}.Begin([]string{"secrets"})
	if parts := read(t, r); parts != 5 {
		t.Errorf("it took %d parts, not one a page", parts)
	}
	if total := r.Found()["secrets"].Total(); total != 9 || !slices.Equal(s.asked, []int64{0, 1, 1, 0, 3, 3}) {
		t.Errorf("%d objects, read at %v", total, s.asked)
	}
}

func TestAnAnswerHasABoundedSize(t *testing.T) {
	s := newStore()
	s.tooMany = 3
	s.fill("secrets", 5)
	r := Scanner{KV: s, Prefix: "/registry", For: time.Minute, Witness: witness}.Begin([]string{"secrets"})
	if read(t, r); r.Found()["secrets"].Total() != 5 {
		t.Errorf("%v", r.Found())
	}
	s = newStore()
	s.tooMany = 1
	s.fill("secrets", 5)
	if _, err := (Scanner{KV: s, Prefix: "/registry", For: time.Minute, Witness: witness}).Begin([]string{"secrets"}).Continue(t.Context()); err == nil {
		t.Error("an etcd that never answers is read")
	}
	s = newStore()
	s.value = strings.Repeat("x", pageBytes/3)
	s.fill("secrets", 8)
	r = Scanner{KV: s, Prefix: "/registry", For: time.Minute, Witness: witness}.Begin([]string{"secrets"})
	if read(t, r); r.limit > 3 {
		t.Errorf("it asks for %d objects of %d bytes each", r.limit, pageBytes/3)
	}
}

// An etcd with objects in it proves nothing, if it is not the one that the API server
// speaks to: another cluster's, one that a backup was restored to, a member that was left
// behind, or one of these among those that are named.
func TestAnotherEtcdIsNotRead(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*store, *Scanner)
		foreign bool
	}{
		"the API server's":            {change: func(*store, *Scanner) {}},
		"one that went on since":      {change: func(s *store, _ *Scanner) { s.lease.ModRevision = 4000 }},
		"another cluster's":           {change: func(s *store, _ *Scanner) { s.lease.Value = []byte("k8s\x00 … beef …") }, foreign: true},
		"an older copy":               {change: func(s *store, _ *Scanner) { s.lease.ModRevision = 39 }, foreign: true},
		"one without the lease":       {change: func(s *store, _ *Scanner) { s.lease = nil }, foreign: true},
		"another prefix":              {change: func(_ *store, r *Scanner) { r.Prefix = "/other" }, foreign: true},
		"another for the second page": {change: func(s *store, _ *Scanner) { s.lost = 2 }, foreign: true},
		"nobody knows which it is":    {change: func(_ *store, r *Scanner) { r.Witness.UID = "" }, foreign: true},
		"nobody knows how new it is":  {change: func(_ *store, r *Scanner) { r.Witness.Revision = 0 }, foreign: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			s.fill("secrets", 5)
			scanner := Scanner{KV: s, Prefix: "/registry", For: time.Minute, Witness: witness}
			c.change(s, &scanner)
			r := scanner.Begin([]string{"secrets"})
			done, err := r.Continue(t.Context())
			if errors.Is(err, ErrForeign) != c.foreign || done == c.foreign {
				t.Errorf("done: %v, %v", done, err)
			}
		})
	}
}

// What is before a revision cannot be read any more once etcd has compacted to that one,
// and not before; who cannot tell does not say so.
func TestCompacted(t *testing.T) {
	for name, c := range map[string]struct {
		revision, oldest int64
		broken           error
		compacted, fails bool
	}{
		"nothing was compacted":    {revision: 40},
		"what is before":           {revision: 40, oldest: 40, compacted: true},
		"more than that":           {revision: 40, oldest: 50, compacted: true},
		"all but the one before":   {revision: 40, oldest: 39},
		"no answer":                {revision: 40, oldest: 40, broken: rpctypes.ErrNoLeader, fails: true},
		"another cluster's":        {revision: 40, broken: rpctypes.ErrFutureRev, fails: true},
		"nobody knows since when":  {oldest: 50, fails: true},
		"there is nothing before":  {revision: 1, oldest: 50, fails: true},
		"a number that is nothing": {revision: -3, oldest: 50, fails: true},
	} {
		got, err := Scanner{KV: &store{oldest: c.oldest, broken: c.broken}}.Compacted(t.Context(), c.revision)
		if got != c.compacted || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
