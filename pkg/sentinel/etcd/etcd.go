// Package etcd reads from etcd itself which key each object lies under: the
// only witness that is not the API server.
//
// It reads headers and names, and keeps no value. It trusts etcd, and the
// header of each value: a value that claims a key and was not encrypted with it
// counts as that key's, and so holds the key back.
package etcd

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

const (
	// page is how many objects are read at once.
	page = 100
	// examples is how many objects of each key are named.
	examples = 5
)

// Scanner reads the objects of some resources.
type Scanner struct {
	KV clientv3.KV
	// Prefix of the API server's keys, such as /registry.
	Prefix string
}

// Scan reads every object of the resources, those of each as of one revision.
func (s Scanner) Scan(ctx context.Context, resources []string) (encryption.Scan, error) {
	scan := encryption.Scan{Objects: map[encryption.Ref]int{}, Examples: map[encryption.Ref][]string{}}
	for _, r := range resources {
		if err := s.scan(ctx, s.folder(r), &scan); err != nil {
			return encryption.Scan{}, fmt.Errorf("read etcd: %w", err)
		}
	}
	return scan, nil
}

// folder is where the objects of a core resource lie. It is so for Secrets and
// ConfigMaps, and for others not always: nodes are minions there.
func (s Scanner) folder(resource string) string {
	return strings.TrimSuffix(s.Prefix, "/") + "/" + resource + "/"
}

func (s Scanner) scan(ctx context.Context, folder string, scan *encryption.Scan) error {
	from, end, revision := folder, clientv3.GetPrefixRangeEnd(folder), int64(0)
	for {
		resp, err := s.KV.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(page), clientv3.WithRev(revision))
		if err != nil {
			return err
		}
		if revision == 0 {
			revision = resp.Header.Revision // later ones are those of the answer, not of what it read
		}
		for _, kv := range resp.Kvs {
			ref := header(kv.Value)
			scan.Objects[ref]++
			if len(scan.Examples[ref]) < examples {
				scan.Examples[ref] = append(scan.Examples[ref], strings.TrimPrefix(string(kv.Key), folder))
			}
		}
		if !resp.More || len(resp.Kvs) == 0 {
			return nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// header reads what the API server puts before an encrypted value:
// k8s:enc:<provider>:<version>:<key name>:
func header(value []byte) encryption.Ref {
	rest, ok := bytes.CutPrefix(value, []byte("k8s:enc:"))
	if !ok {
		return encryption.Ref{Provider: encryption.Identity}
	}
	parts := strings.SplitN(string(rest[:min(len(rest), 1024)]), ":", 4)
	if len(parts) < 4 {
		return encryption.Ref{Provider: "unknown", Name: "no key"}
	}
	return encryption.Ref{Provider: encryption.Provider(parts[0]), Name: parts[2]}
}

// ScanWithin is Scan with a time limit, for who has none.
func (s Scanner) ScanWithin(limit time.Duration) func(context.Context, []string) (encryption.Scan, error) {
	return func(ctx context.Context, resources []string) (encryption.Scan, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return s.Scan(ctx, resources)
	}
}
