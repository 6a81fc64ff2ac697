// Package keyring makes and loads the keys that only the notary has, and joins them with
// what it shares with the webhook (package trust). All of them lie in Argoseal's own
// namespace.
//
// What it makes it makes once: two replicas that race agree on whichever was
// created first, and nothing that exists is ever overwritten. It trusts whoever
// may write Secrets and ConfigMaps in that namespace.
package keyring

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Material is one consistent set of keys and roots. It is immutable.
type Material struct {
	// Tags open admission tags.
	Tags tag.Keys
	// Root is what seals are verified under.
	Root *verify.Root
	// Sealer signs, and records in the log.
	Sealer *seal.Sealer
}

// Keyring gives out the current Material.
type Keyring struct {
	trust    *trust.Store
	signer   atomic.Pointer[seal.Signer]
	recorder *seal.Recorder
	others   []*seal.Recorder
	stamps   *seal.Timestamps
	fulcio   *seal.Fulcio
}

// New makes a keyring of what the store has loaded, which Usable should have let pass, and
// of who records seals; see seal.New.
func New(store *trust.Store, signer *seal.Signer, recorder *seal.Recorder, others ...*seal.Recorder) *Keyring {
	k := &Keyring{trust: store, recorder: recorder, others: others}
	k.signer.Store(signer)
	return k
}

// Timestamped has an authority asked about each seal.
func (k *Keyring) Timestamped(by *seal.Timestamps) { k.stamps = by }

// Certified has Fulcio certify the keys that sign: there is no signing key beside.
func (k *Keyring) Certified(by *seal.Fulcio) { k.fulcio = by }

// Use has another key sign from now on. What was begun ends under the one before.
func (k *Keyring) Use(signer *seal.Signer) {
	if before := k.signer.Load(); before == nil || before.Hint() != signer.Hint() {
		k.signer.Store(signer)
	}
}

// Signer is the one that signs now.
func (k *Keyring) Signer() *seal.Signer { return k.signer.Load() }

// Knows says whether seals verify here under the key of that hint.
func (k *Keyring) Knows(hint string) bool {
	root := k.trust.Root()
	return root != nil && slices.Contains(root.KeyHints(), hint)
}

// Current gives the material, or nil as long as the tag key or the trusted root
// has not been there.
func (k *Keyring) Current() *Material {
	tags, err := k.trust.Tags()
	root := k.trust.Root()
	if err != nil || root == nil {
		return nil
	}
	var signs seal.Signs = k.signer.Load()
	if k.fulcio != nil {
		signs = k.fulcio
	}
	return &Material{Tags: tags, Root: root, Sealer: seal.New(signs, k.recorder, root, k.others...).Timestamped(k.stamps)}
}

// Load looks for newer tag keys and roots. On an error the material stays as it was: the
// last good one.
func (k *Keyring) Load(ctx context.Context) error { return k.trust.Load(ctx) }

// Usable gives a function that refuses what is trusted, if no seal could verify under it.
// The trusted root has to have the log at logURL and all others. The key of the current
// signer, which may change, has to be published, or the identity that Fulcio certifies.
func (k *Keyring) Usable(logURL string, others ...string) func(verify.Sources) error {
	return func(from verify.Sources) error {
		for _, url := range append([]string{logURL}, others...) {
			if err := seal.CheckLog(from.TrustedRoot, url); err != nil {
				return err
			}
		}
		if k.fulcio == nil {
			return published(k.Signer(), from.Keys)
		}
		if err := seal.CheckFulcio(from.TrustedRoot); err != nil {
			return err
		}
		return identified(k.fulcio, from)
	}
}
