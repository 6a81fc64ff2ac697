package kms

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/kms/pkg/service"

	"github.com/argoseal/argoseal/pkg/text"
)

// again is how soon a probe that failed is repeated, at the latest.
const again = 10 * time.Second

var (
	errNotProbed = errors.New("it was not tried yet")
	errOther     = errors.New("the key service gives back something else than it was given")
	errOld       = errors.New("nobody knows whether the keys can be used: the last probe is too old")
)

// tried is a key, and what probes found of it.
type tried struct {
	Key
	role string // write or read
	// failed is why it cannot be used; nil if it can.
	failed error
	// doubted says that it can be used, but that the last probe failed.
	doubted bool
}

// Probe goes on to try the keys, at intervals, until the context ends. The API server asks
// for the status more often than a key service wants to be asked.
func (p *Plugin) Probe(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.clock.After(p.wait()):
			p.ProbeOnce(ctx)
		}
	}
}

// wait is how long to wait for the next probe.
func (p *Plugin) wait() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.keys {
		if k.failed != nil || k.doubted {
			return min(p.every, again)
		}
	}
	return p.every
}

// ProbeOnce encrypts something with each key, and decrypts it again. All are tried at once,
// so that it takes two calls' time, however many there are.
func (p *Plugin) ProbeOnce(ctx context.Context) {
	errs := make([]error, len(p.keys))
	var all sync.WaitGroup
	for i, k := range p.keys {
		all.Go(func() { errs[i] = k.try(ctx) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return // it is we who end
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, k := range p.keys {
		p.found(k, errs[i])
	}
	p.probed = p.clock.Now()
	p.metrics.probed(p.probed)
}

// found takes in what a probe of a key found. A key that could be used is given up after
// two probes in a row that failed. One may fail by chance, and when this key cannot be
// used, all API servers stop being ready at once.
func (p *Plugin) found(k *tried, err error) {
	p.metrics.count("probe", err)
	before := k.failed
	k.doubted = err != nil && before == nil && !k.doubted
	switch {
	case k.doubted:
		p.log.Info("A probe of the key failed, and is repeated", "key", k.ID, "error", err.Error())
		return
	case err != nil && (before == nil || errors.Is(before, errNotProbed)):
		p.log.Info("The key cannot be used", "key", k.ID, "role", k.role, "error", err.Error())
	case err == nil && before != nil:
		p.log.Info("The key can be used", "key", k.ID, "role", k.role)
	}
	k.failed = err
	p.metrics.usableKey(k)
}

func (k Key) try(ctx context.Context) error {
	plain := make([]byte, 32)
	_, _ = rand.Read(plain) // it never fails
	encrypted, err := k.encrypt(ctx, plain)
	if err != nil {
		return err
	}
	got, err := ask(ctx, encrypted, k.Keeper.Decrypt)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(plain, got) != 1 {
		return errOther
	}
	return nil
}

// Usable says which keys cannot be used, and why; nil if all can.
func (p *Plugin) Usable() error { return p.usable(p.keys) }

// usable says which of some keys cannot be used. A probe counts for a while longer than
// until the next has to have ended.
func (p *Plugin) usable(keys []*tried) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, k := range keys {
		if k.failed != nil {
			errs = append(errs, fmt.Errorf("key %s: %w", k.ID, k.failed))
		}
	}
	if len(errs) == 0 && p.clock.Since(p.probed) > p.every+3*maxCall {
		return errOld
	}
	return errors.Join(errs...)
}

// Status answers from the last probes of the key that is written with. For one that is only
// read with no API server shall stop being ready.
func (p *Plugin) Status(context.Context) (*service.StatusResponse, error) {
	says := "ok"
	if err := p.usable(p.keys[:1]); err != nil {
		says = text.Cut(err.Error(), maxText)
	}
	return &service.StatusResponse{Version: "v2", Healthz: says, KeyID: p.keys[0].ID}, nil
}
