package main

import (
	"fmt"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/argoseal/argoseal/pkg/notary/logwatch"
	"github.com/argoseal/argoseal/pkg/tlog"
	"github.com/argoseal/argoseal/pkg/trust"
)

// watchLog holds the log to what it has signed, if it is said where that can be read.
func watchLog(mgr manager.Manager, api client.Client, o options, store func() *trust.Store) (*logwatch.Watcher, error) {
	if o.tilesURL == "" {
		return nil, nil
	}
	tiles, err := tlog.NewWeb(o.tilesURL)
	if err != nil {
		return nil, usage("--rekor-tiles-url: %v", err)
	}
	w := &logwatch.Watcher{
		API: api, URL: o.rekorURL, Tiles: tiles, Events: mgr.GetEventRecorder("argoseal-notary"),
		Clock: clock.RealClock{}, Log: ctrl.Log.WithName("log"),
		TrustedRoot: func() []byte {
			s := store()
			if s == nil || s.Root() == nil {
				return nil
			}
			return s.Root().Domains()[0].TrustedRoot // that of the installation
		},
	}
	if err := metrics.Registry.Register(w.Metrics()); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return w, mgr.Add(w)
}
