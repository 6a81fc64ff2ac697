package server

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/fairshare"
)

// Whoever has us call the API server without end does not keep others' calls waiting.
func TestCallsOfTheAPIServerAreSharedOut(t *testing.T) {
	limiter := NewThrottle(100, 1)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	of := func(host, namespace string) context.Context {
		return context.WithValue(ctx, visitKey{}, &visit{Party: fairshare.Party{Host: host, Namespace: namespace}})
	}
	for i := range 200 {
		all.Go(func() {
			for ctx.Err() == nil {
				_ = limiter.Wait(of(fmt.Sprint("10.0.0.", i%2), fmt.Sprint("flood-", i)))
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	for _, of := range []context.Context{of("api", "team"), ctx} {
		start := time.Now()
		for range 5 {
			check(t, limiter.Wait(of))
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("five calls wait for %s", took)
		}
	}
}
