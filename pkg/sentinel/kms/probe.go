package kms

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"time"

	"k8s.io/kms/pkg/service"

	"github.com/argoseal/argoseal/pkg/text"
)

// again is how soon a probe that failed is repeated, at the latest.
const again = 10 * time.Second

var (
	errNotProbed = errors.New("the key was not tried yet")
	errOther     = errors.New("the key service gives back something else than it was given")
	errOld       = errors.New("nobody knows whether the key can be used: the last probe is too old")
)

// Probe goes on to try the key that is written with, at intervals, until the context ends.
// The API server asks for the status more often than a key service wants to be asked.
func (p *Plugin) Probe(ctx context.Context) {
	for {
		wait := p.every
		if p.Usable() != nil {
			wait = min(p.every, again)
		}
		select {
		case <-ctx.Done():
			return
		case <-p.clock.After(wait):
			p.ProbeOnce(ctx)
		}
	}
}

// ProbeOnce encrypts something with the key, and decrypts it again.
func (p *Plugin) ProbeOnce(ctx context.Context) {
	err := p.tried(ctx)
	if ctx.Err() != nil {
		return // it is we who end
	}
	p.metrics.count("probe", err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if (err == nil) != (p.failed == nil) {
		if err != nil {
			p.log.Info("The key cannot be used", "key", p.write.ID, "error", err.Error())
		} else {
			p.log.Info("The key can be used", "key", p.write.ID)
		}
	}
	p.probed, p.failed = p.clock.Now(), err
	p.metrics.probed(p.probed, err)
}

func (p *Plugin) tried(ctx context.Context) error {
	plain := make([]byte, 32)
	_, _ = rand.Read(plain) // it never fails
	encrypted, err := p.encrypt(ctx, plain)
	if err != nil {
		return err
	}
	got, err := ask(ctx, encrypted, p.write.Keeper.Decrypt)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(plain, got) != 1 {
		return errOther
	}
	return nil
}

// Usable says why the key cannot be used; nil if it can. A probe counts for a while
// longer than until the next has to have ended.
func (p *Plugin) Usable() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.failed != nil:
		return p.failed
	case p.clock.Since(p.probed) > p.every+3*maxCall:
		return errOld
	}
	return nil
}

// Status answers from the last probe.
func (p *Plugin) Status(context.Context) (*service.StatusResponse, error) {
	says := "ok"
	if err := p.Usable(); err != nil {
		says = text.Cut(err.Error(), maxText)
	}
	return &service.StatusResponse{Version: "v2", Healthz: says, KeyID: p.write.ID}, nil
}
