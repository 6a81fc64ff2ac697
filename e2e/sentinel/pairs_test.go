//go:build e2e

package sentinel

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// TestEveryPairOfProviders: three API servers that never stop go over from each provider
// to each other, one after another, while Secrets are read and written through each. Each
// pair begins when the one before is proven from etcd, and nothing else is in the files.
// It takes some minutes a pair: ARGOSEAL_SENTINEL_PAIRS names a part of the walk.
func TestEveryPairOfProviders(t *testing.T) {
	stops := []encryption.Provider{encryption.Identity, encryption.Secretbox, encryption.AESGCM, encryption.AESCBC, encryption.KMS}
	whole := walk(stops)
	pairs, err := portion(whole, os.Getenv("ARGOSEAL_SENTINEL_PAIRS"))
	if err != nil {
		t.Fatalf("ARGOSEAL_SENTINEL_PAIRS: %v", err)
	}
	s := set(t)
	s.sweeps = false
	k := &keyed{plane: s.plane}
	k.seedService()
	k.startService()
	k.startPlugin(firstKey)
	k.usable(true)
	load := start(s.plane)
	s.proveStored(encryption.Ref{Provider: encryption.Identity})
	s.must(s.operator.Start())

	if from := pairs[0].from; from != encryption.Identity {
		t.Logf("the way in: from identity to %s in %s", from, s.goesTo(from, k.spec()).Round(time.Second))
	}
	at := slices.Index(whole, pairs[0])
	for i, p := range pairs {
		reads, writes := load.reads.Load(), load.writes.Load()
		took := s.goesTo(p.to, k.spec())
		t.Logf("pair %d of %d: from %s to %s in %s: %d reads and %d writes, %d errors", at+i+1, len(whole), p.from, p.to,
			took.Round(time.Second), load.reads.Load()-reads, load.writes.Load()-writes, load.wrongs())
	}
	load.finish(t)
	keys := func(p pair) bool {
		return encryption.Ref{Provider: p.from}.Kept() || encryption.Ref{Provider: p.to}.Kept()
	}
	if slices.ContainsFunc(pairs, keys) {
		s.showsNoKey()
		s.escrowHasAll()
	}
}

// goesTo has all go over to a provider, and proves from etcd that they have. It says how
// long that took.
func (s *scene) goesTo(provider encryption.Provider, plugin *v1alpha1.SecretKMS) time.Duration {
	s.t.Helper()
	if provider != encryption.KMS {
		plugin = nil
	}
	began := time.Now()
	s.wants(string(provider), 0, plugin)
	s.until(4*phase, "all is under "+string(provider), s.onlyKey(provider))
	took := time.Since(began)
	if provider == encryption.KMS {
		s.underPlugin(firstKey)
		return took
	}
	c, err := s.config()
	s.must(err)
	s.proveStored(c.WriteRef())
	return took
}
