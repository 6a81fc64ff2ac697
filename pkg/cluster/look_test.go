package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// TestLooker: it looks at once, when something changed, sooner after errors, and after a
// while; each error is told once in a row.
func TestLooker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		changed := make(chan struct{}, 1)
		answers := []error{errors.New("down"), errors.New("down"), errors.New("other"), nil, errors.New("down")}
		var looked []time.Duration
		var told []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			Looker{
				Look: func(context.Context) error {
					looked = append(looked, time.Since(began))
					if n := len(looked); n <= len(answers) {
						return answers[n-1]
					}
					return nil
				},
				Failed: func(err error) { told = append(told, err.Error()) }, Changed: changed, Gather: time.Second,
				Every: time.Minute, Retry: wait.Backoff{Duration: 2 * time.Second, Factor: 2, Steps: 32, Cap: 30 * time.Second},
			}.Run(ctx)
		}()
		time.Sleep(20 * time.Second) // after the fourth look, at 14 s
		changed <- struct{}{}
		time.Sleep(90 * time.Second)
		cancel()
		<-done
		s := time.Second
		if want := []time.Duration{0, 2 * s, 6 * s, 14 * s, 21 * s, 23 * s, 83 * s}; !slices.Equal(looked, want) {
			t.Errorf("it looked at %v, want %v", looked, want)
		}
		if want := []string{"down", "other", "down"}; !slices.Equal(told, want) {
			t.Errorf("it told %v, want %v", told, want)
		}
	})
}
