package server

import (
	"context"

	"k8s.io/client-go/util/flowcontrol"

	"github.com/argoseal/argoseal/pkg/fairshare"
)

// queuedAtOnce bounds the calls of the API server that wait for the clock at a time. The
// clock is first come, first served; who is next of the others is shared out.
const queuedAtOnce = 4

// throttle bounds how often the API server is called, and shares that out by the host and
// namespace of the request that a call is for: whoever has us look up much waits for those
// who need little.
type throttle struct {
	flowcontrol.RateLimiter
	turns *fairshare.Share
}

// NewThrottle allows so many calls a second, on average, and so many for a moment.
func NewThrottle(perSecond float32, burst int) flowcontrol.RateLimiter {
	return throttle{flowcontrol.NewTokenBucketRateLimiter(perSecond, burst), fairshare.New(queuedAtOnce)}
}

// Wait implements flowcontrol.RateLimiter.
func (t throttle) Wait(ctx context.Context) error {
	var of fairshare.Party // of what we do by ourselves
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		of = v.Party
	}
	release, err := t.turns.Acquire(ctx, of, 1)
	if err != nil {
		return err
	}
	defer release()
	return t.RateLimiter.Wait(ctx)
}
