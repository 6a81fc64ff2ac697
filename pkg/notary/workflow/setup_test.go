package workflow

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

// However many workflows of one namespace end, another's has its turn.
func TestNamespacesTakeTurnsAtTheirStatements(t *testing.T) {
	q := newQueue("", workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](time.Millisecond, time.Second))
	defer q.ShutDown()
	for i := range 1000 {
		q.Add(types.NamespacedName{Namespace: "many", Name: fmt.Sprint(i)})
	}
	q.Add(types.NamespacedName{Namespace: "team", Name: "w"})
	for range 2 {
		k, _ := q.Get()
		q.Done(k)
		if k.Namespace == "team" {
			return
		}
	}
	t.Error("another namespace's is not among the first two")
}
