package main

import (
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/reason"
)

func good() options {
	return options{
		namespace:     "argoseal-system",
		rekorURL:      "http://rekor.svc",
		claimDuration: 15 * time.Second,
		workers:       1,
	}
}

func TestFlagsThatCannotWorkAreRefused(t *testing.T) {
	if err := good().check(); err != nil {
		t.Fatalf("good flags are refused: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*options)
		want   string
	}{
		"no namespace":            {func(o *options) { o.namespace = "" }, "--namespace"},
		"no log":                  {func(o *options) { o.rekorURL = "" }, "--rekor-url"},
		"two of them are missing": {func(o *options) { o.namespace, o.rekorURL = "", "" }, "--namespace, --rekor-url"},
		"a claim that is no time": {func(o *options) { o.claimDuration = time.Second }, "--claim-duration"},
		"no workers":              {func(o *options) { o.workers = 0 }, "--workers"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			c.change(&o)
			if err := o.check(); reason.Of(err) != reason.UsageInvalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want one about %s", err, c.want)
			}
		})
	}
}
