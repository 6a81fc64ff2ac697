package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/notary/logwatch"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/early"
	"github.com/argoseal/argoseal/pkg/verify"
)

// checkLogs refuses what says nothing of a log, or the same log twice.
func (o options) checkLogs() error {
	switch {
	case o.rekorVersion != 1 && o.rekorVersion != 2:
		return usage("--rekor-version is 1 or 2")
	case o.alsoURL != "" && o.alsoVersion != 1 && o.alsoVersion != 2:
		return usage("--also-rekor-version is 1 or 2")
	case o.alsoURL != "" && strings.TrimRight(o.alsoURL, "/") == strings.TrimRight(o.rekorURL, "/"):
		return usage("--also-rekor-url is the log of --rekor-url")
	case o.tilesURL != "" && o.rekorVersion != 2:
		return usage("--rekor-tiles-url is for a Rekor v2: a Rekor v1 has no tiles")
	case o.ownLog && (sigstores(o.rekorURL) || sigstores(o.tilesURL)):
		return usage("--own-rekor is for a log of this installation's own, and %s is everybody's: leave it out", o.rekorURL)
	}
	return nil
}

// sigstores says whether a URL is of Sigstore's public service, which is nobody's own.
func sigstores(at string) bool {
	u, err := url.Parse(at)
	if err != nil {
		return false // its client refuses it
	}
	host := strings.ToLower(strings.TrimRight(u.Hostname(), "."))
	return host == "sigstore.dev" || strings.HasSuffix(host, ".sigstore.dev")
}

// logURLs are those of all logs that have to have a seal.
func (o options) logURLs() []string {
	if o.alsoURL == "" {
		return []string{o.rekorURL}
	}
	return []string{o.rekorURL, o.alsoURL}
}

// recorders are those of all logs, the first of which may be watched. own is that one if it
// proves entries by its tiles; else nil.
func (o options) recorders(watch *logwatch.Watcher) (all []*seal.Recorder, own *early.Log, err error) {
	versions := []int{o.rekorVersion, o.alsoVersion}
	for i, at := range o.logURLs() {
		newLog := seal.NewRekorV2
		if versions[i] == 1 {
			newLog = seal.NewRekorV1
		}
		log, err := newLog(at, o.claimDuration*2/3)
		if err != nil {
			return nil, nil, err
		}
		if i == 0 && watch != nil {
			if log, own, err = o.guarded(watch, log); err != nil {
				return nil, nil, err
			}
		}
		recorder := seal.NewRecorder(log, clock.RealClock{}).Only(at)
		if versions[i] == 1 {
			recorder = recorder.Promises()
		}
		all = append(all, recorder)
	}
	if o.ownLog && own == nil { // the chart says so of its own log, whatever else it is told
		ctrl.Log.Info("--own-rekor does nothing without --rekor-tiles-url: entries are proven by the log's answers alone")
	}
	return all, own, nil
}

// guarded is a log that is watched. If it is this installation's own, nobody waits for its
// answer where what it publishes is sooner.
func (o options) guarded(watch *logwatch.Watcher, log seal.Log) (seal.Log, *early.Log, error) {
	if !o.ownLog {
		return watch.Guard(log), nil, nil
	}
	sooner := early.New(log, watch.Tiles, watch.Open)
	for _, m := range sooner.Metrics() {
		if err := metrics.Registry.Register(m); err != nil {
			return nil, nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return watch.GuardEarly(sooner.AppendAfter), sooner, nil
}

// timestamps is the client of the authority; nil: none is asked.
func (o options) timestamps() (*seal.Timestamps, error) {
	if o.stampsURL == "" {
		return nil, nil
	}
	// The log, which is asked next, needs its share of a claim.
	t, err := seal.NewTimestamps(o.stampsURL, o.stampsRequired, o.claimDuration/5, clock.RealClock{})
	if err != nil {
		return nil, usage("--timestamps-url: %v", err)
	}
	return t, metrics.Registry.Register(t.Metrics())
}

// usable refuses a trusted root without an authority, too, where one is asked.
func (o options) usable(before func(verify.Sources) error) func(verify.Sources) error {
	if o.stampsURL == "" {
		return before
	}
	return func(from verify.Sources) error {
		if err := seal.CheckTimestamps(from.TrustedRoot); err != nil {
			return err
		}
		return before(from)
	}
}

// hasVersion says whether a log is a Rekor of that version.
func (o options) hasVersion(version int) bool {
	return o.rekorVersion == version || o.alsoURL != "" && o.alsoVersion == version
}

// signerOf gives the key that signs, if it may for these logs.
func signerOf(ctx context.Context, api client.Client, o options) (*seal.Signer, error) {
	fits := func(s *seal.Signer) error {
		if o.hasVersion(1) {
			if err := s.FitsRekorV1(); err != nil {
				return err
			}
		}
		if o.hasVersion(2) {
			return s.FitsRekorV2(ctx)
		}
		return nil
	}
	if o.signingKey != "" {
		return keyring.ServiceSigner(ctx, api, o.namespace, o.signingKey, fits)
	}
	s, err := keyring.Signer(ctx, api, o.namespace)
	if err == nil {
		err = fits(s)
	}
	return s, err
}
