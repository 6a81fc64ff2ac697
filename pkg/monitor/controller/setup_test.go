package controller

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

// However many workflows of one namespace change, another's has its turn.
func TestNamespacesTakeTurnsAtTheirSums(t *testing.T) {
	q := newQueue("", workqueue.NewTypedItemExponentialFailureRateLimiter[Key](time.Millisecond, time.Second))
	defer q.ShutDown()
	for i := range 1000 {
		q.Add(Key{Namespace: "many", Name: fmt.Sprint(i), UID: types.UID(fmt.Sprint(i))})
	}
	q.Add(Key{Namespace: "team", Name: "w", UID: "u"})
	for range 2 {
		k, _ := q.Get()
		q.Done(k)
		if k.Namespace == "team" {
			return
		}
	}
	t.Error("another namespace's is not among the first two")
}
