// Package etcd reads from etcd itself which key each object lies under: the
// only witness that is not the API server.
//
// It reads headers and names, and keeps no value. It trusts etcd, once it has seen that
// it is the API servers', and the header of each value: a value that claims a key and was not encrypted with it
// counts as that key's, and so holds the key back.
package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

const (
	// page is how many objects are read at once, at most: etcd makes an answer of them
	// in memory, and one object has up to 1.5 MiB.
	page = 100
	// pageBytes is about how large an answer should be.
	pageBytes = 4 << 20
	// examples is how many objects of each key are named.
	examples = 5
)

// Scanner reads the objects of some resources.
type Scanner struct {
	KV clientv3.KV
	// Prefix of the API server's keys, such as /registry.
	Prefix string
	// For is how long one part of a reading takes, about.
	For time.Duration
	// Witness has to be there.
	Witness Witness
}

// Witness is an object that the API server had a moment ago, and that changes all the
// time. An etcd that has it, at the same revision or a later one, is the API server's,
// and neither a copy of it nor a member that was left behind.
type Witness struct {
	// Path below the prefix: leases/NAMESPACE/NAME.
	Path     string
	UID      string
	Revision int64
}

// ErrForeign says that what was read is not the API servers' etcd.
var ErrForeign = errors.New("it is not the etcd that the API servers have (--etcd-endpoint), or not their part of it (--etcd-prefix): it has not the controller's lease as they have it")

func (w Witness) seen(kvs []*mvccpb.KeyValue) bool {
	return w.UID != "" && w.Revision > 0 && len(kvs) == 1 && kvs[0].ModRevision >= w.Revision && bytes.Contains(kvs[0].Value, []byte(w.UID))
}

// Reading is a scan that is under way. It goes on where it was, so that no part of it
// takes long, however many objects there are.
type Reading struct {
	scanner   Scanner
	resources []string
	// found has what was read of each resource that was begun.
	found map[string]*encryption.Scan
	// from is where the resource at work goes on, revision what it is read as of; zero
	// takes the newest.
	from     string
	revision int64
	limit    int64
	// newest is the latest that was read as of.
	newest int64
}

// Begin begins to read every object of the resources, those of each as of one
// revision.
func (s Scanner) Begin(resources []string) *Reading {
	return &Reading{scanner: s, resources: resources, found: map[string]*encryption.Scan{}, limit: page / 10}
}

// Found is what was found of each resource, so far.
func (r *Reading) Found() map[string]encryption.Scan {
	found := map[string]encryption.Scan{}
	for name, scan := range r.found {
		found[name] = *scan
	}
	return found
}

// Revision is the latest that was read as of.
func (r *Reading) Revision() int64 { return r.newest }

// Continue reads on for a while, and says whether all is read.
func (r *Reading) Continue(ctx context.Context) (done bool, err error) {
	for end := time.Now().Add(r.scanner.For); len(r.resources) > 0; {
		more, err := r.page(ctx)
		if err != nil {
			return false, fmt.Errorf("read etcd: %w", err)
		}
		if !more {
			r.resources, r.from, r.revision = r.resources[1:], "", 0
		}
		if time.Now().After(end) {
			break
		}
	}
	return len(r.resources) == 0, nil
}

// page reads some objects of the first resource, and says whether there are more.
func (r *Reading) page(ctx context.Context) (more bool, err error) {
	folder := r.scanner.folder(r.resources[0])
	if r.from == "" {
		r.from = folder
		r.found[r.resources[0]] = &encryption.Scan{Objects: map[encryption.Ref]int{}, Examples: map[encryption.Ref][]string{}}
	}
	resp, revision, err := r.get(ctx, clientv3.GetPrefixRangeEnd(folder))
	if err != nil {
		return false, err
	}
	if r.revision == 0 {
		r.revision = revision // later ones are those of the answer, not of what it read
	}
	r.newest = max(r.newest, r.revision)
	bytes := 0
	for _, kv := range resp.Kvs {
		bytes += len(kv.Value)
		note(r.found[r.resources[0]], header(kv.Value), strings.TrimPrefix(string(kv.Key), folder))
	}
	if !resp.More || len(resp.Kvs) == 0 {
		return false, nil
	}
	r.limit = max(1, min(page, 2*r.limit, int64(pageBytes/(1+bytes/len(resp.Kvs)))))
	r.from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	return true, nil
}

// get asks for some objects and the witness at once, so that no member answers for one
// alone: where several are named, one may be another cluster's. It asks for fewer objects
// where an answer is too large, or does not come; why an answer fails is the client's
// word.
func (r *Reading) get(ctx context.Context, end string) (*etcdserverpb.RangeResponse, int64, error) {
	for {
		resp, err := r.scanner.KV.Txn(ctx).Then(
			clientv3.OpGet(r.scanner.path(r.scanner.Witness.Path)),
			clientv3.OpGet(r.from, clientv3.WithRange(end), clientv3.WithLimit(r.limit), clientv3.WithRev(r.revision)),
		).Commit()
		switch {
		case err == nil:
			if len(resp.Responses) != 2 || !r.scanner.Witness.seen(resp.Responses[0].GetResponseRange().GetKvs()) {
				return nil, 0, ErrForeign
			}
			return resp.Responses[1].GetResponseRange(), resp.Header.GetRevision(), nil
		case errors.Is(err, rpctypes.ErrCompacted) && r.revision != 0:
			// It took longer than etcd keeps a revision. What changed since was written by
			// servers that write with one key, or the reading counts for nothing: the newest
			// revision of the rest is as good.
			r.revision = 0
		case r.limit > 1 && ctx.Err() == nil:
			r.limit = max(1, r.limit/4)
		default:
			return nil, 0, err
		}
	}
}

// Compacted says whether etcd has no revision before one any more: then nobody can read
// what was there before.
func (s Scanner) Compacted(ctx context.Context, revision int64) (bool, error) {
	if revision <= 1 {
		return false, fmt.Errorf("read etcd: there is no revision before %d", revision)
	}
	_, err := s.KV.Get(ctx, s.path(s.Witness.Path), clientv3.WithRev(revision-1), clientv3.WithCountOnly())
	if errors.Is(err, rpctypes.ErrCompacted) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read etcd: %w", err)
	}
	return false, nil
}

func note(scan *encryption.Scan, ref encryption.Ref, name string) {
	scan.Objects[ref]++
	if len(scan.Examples[ref]) < examples {
		scan.Examples[ref] = append(scan.Examples[ref], name)
	}
}

// folder is where the objects of a core resource lie. It is so for Secrets and
// ConfigMaps, and for others not always: nodes are minions there.
func (s Scanner) folder(resource string) string { return s.path(resource + "/") }

func (s Scanner) path(below string) string { return strings.TrimSuffix(s.Prefix, "/") + "/" + below }

// header reads what the API server puts before an encrypted value:
// k8s:enc:<provider>:<version>:<key name>:, and, where a KMS v2 plugin encrypts, the ID of
// the key, behind the plugin's name.
func header(value []byte) encryption.Ref {
	rest, ok := bytes.CutPrefix(value, []byte("k8s:enc:"))
	if !ok {
		return encryption.Ref{Provider: encryption.Identity}
	}
	parts := strings.SplitN(string(rest[:min(len(rest), 1024)]), ":", 4)
	if len(parts) < 4 {
		return encryption.Ref{Provider: "unknown", Name: "no key"}
	}
	ref := encryption.Ref{Provider: encryption.Provider(parts[0]), Name: parts[2]}
	if ref.Provider != encryption.KMS {
		return ref
	}
	id, ok := keyID(rest[len(parts[0])+len(parts[1])+len(parts[2])+3:])
	if parts[1] != "v2" || !ok {
		return encryption.Ref{Provider: "unknown", Name: "no key of a KMS v2 plugin"}
	}
	ref.ID = encryption.IDHash(id)
	return ref
}

const (
	// maxObject bounds what is parsed of a value: the API server stores less.
	maxObject = 4 << 20
	// maxKeyID is the longest ID that the API server takes.
	maxKeyID = 1 << 10
)

// keyID reads the ID of the key that a plugin encrypted with.
func keyID(stored []byte) (string, bool) {
	var o kmstypes.EncryptedObject
	if len(stored) > maxObject || proto.Unmarshal(stored, &o) != nil || len(o.GetEncryptedData()) == 0 {
		return "", false
	}
	return o.GetKeyID(), o.GetKeyID() != "" && len(o.GetKeyID()) <= maxKeyID
}
