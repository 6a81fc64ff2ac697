//go:build integration

package main

import (
	"flag"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// promised is when a Revocation counts.
	promised = 5 * time.Second
	// calm is how long nothing may be admitted before that is the end: longer than a
	// webhook goes by what it has read, should it hear of nothing.
	calm = 2500 * time.Millisecond
)

// revocations are what `make bench` measures; 0: a test holds the promise with two of them.
var revocations = flag.Int("revocations", 0, "how many Revocations to make, and to say how long each took to count")

// answer is one to the question whether a consumer may begin.
type answer struct {
	asked, heard time.Time
	err          error
}

// revoked takes back trust in what a consumer takes, while its pod is asked for without
// pause.
func (c *testCluster) revoked(t *testing.T) {
	rounds, says := *revocations, *revocations > 0
	if !says {
		rounds = 2
	}
	s := c.sealedScene(t, c.notary, nil)
	var stored, last []float64
	for i := range rounds {
		eventually(t, "trust in the artifact", func() error {
			_, err := s.create(t, s.argo, s.consume, metav1.DryRunAll)
			return err
		})
		var mu sync.Mutex
		var answers []answer
		asking, stop := sync.WaitGroup{}, make(chan struct{})
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a := answer{asked: time.Now()}
				_, a.err = s.create(t, s.argo, s.consume, metav1.DryRunAll)
				a.heard = time.Now()
				mu.Lock()
				answers = append(answers, a)
				mu.Unlock()
			}
		})
		time.Sleep(200 * time.Millisecond)
		r := &v1alpha1.Revocation{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", s.namespace, i)},
			Spec:       v1alpha1.RevocationSpec{Reason: "a test", Workflows: []string{string(s.workflow)}},
		}
		began := time.Now()
		check(t, c.admin.Create(t.Context(), r))
		there := time.Now()
		eventually(t, "refusals, and nothing else", func() error {
			mu.Lock()
			defer mu.Unlock()
			admitted := slices.IndexFunc(answers, func(a answer) bool { return a.err == nil && time.Since(a.heard) < calm })
			if admitted >= 0 || time.Since(there) < calm {
				return fmt.Errorf("%d answers, of which one is yes", len(answers))
			}
			return nil
		})
		close(stop)
		asking.Wait()
		end, no := there, 0
		for _, a := range answers {
			switch {
			case a.err != nil:
				refused(t, a.err, http.StatusForbidden, reason.Revoked, "a test")
				no++
			case a.asked.After(there.Add(promised)):
				t.Errorf("%s after the Revocation was stored a consumer is admitted", a.asked.Sub(there))
			case a.heard.After(end):
				end = a.heard
			}
		}
		if no == 0 {
			t.Error("nothing was refused")
		}
		check(t, c.admin.Delete(t.Context(), r))
		stored, last = append(stored, there.Sub(began).Seconds()), append(last, end.Sub(began).Seconds())
		if says {
			fmt.Printf("progress: run %d of %d: stored after %.3f s, the last consumer was admitted after %.3f s; %d were asked for\n", i+1, rounds, stored[i], last[i], len(answers))
		}
	}
	if says {
		for i := range rounds {
			fmt.Printf("revocation %d: %.4f stored-s %.4f last-s \n", i, stored[i], last[i])
		}
	}
}
