package notary

import (
	"context"
	"sync"
	"time"

	"github.com/argoseal/argoseal/pkg/epoch"
)

const (
	// momentPause is how long apart two questions about a namespace are. One is four
	// calls of the API server, and its answer is for all who waited for it.
	momentPause = 100 * time.Millisecond
	// momentTimeout bounds one question.
	momentTimeout = 10 * time.Second
)

// moments asks since when the guards have held for several pods at once. What counts
// is that a pod's question is put after all else was read of it: so an answer is for
// those who asked before the question was put, and never for later ones. Its zero value
// is ready.
type moments struct {
	mu     sync.Mutex
	spaces map[string]*questions
}

// questions are those about one namespace.
type questions struct {
	// next is not put yet.
	next *question
	// put is when the last one was.
	put time.Time
}

type question struct {
	answered chan struct{}
	moment   epoch.Moment
	err      error
}

// of gives the answer to a question that is put after this call.
func (m *moments) of(ctx context.Context, namespace string, ask func(context.Context, string) (epoch.Moment, error)) (epoch.Moment, error) {
	m.mu.Lock()
	if m.spaces == nil {
		m.spaces = map[string]*questions{}
	}
	about := m.spaces[namespace]
	if about == nil {
		about = &questions{}
		m.spaces[namespace] = about
	}
	q := about.next
	if q == nil {
		q = &question{answered: make(chan struct{})}
		about.next = q
		time.AfterFunc(max(0, momentPause-time.Since(about.put)), func() { m.put(context.WithoutCancel(ctx), namespace, q, ask) })
	}
	m.mu.Unlock()
	select {
	case <-q.answered:
		return q.moment, q.err
	case <-ctx.Done():
		return epoch.Moment{}, ctx.Err()
	}
}

// put puts a question. Whoever asks from here on waits for the next one.
func (m *moments) put(ctx context.Context, namespace string, q *question, ask func(context.Context, string) (epoch.Moment, error)) {
	m.mu.Lock()
	about := m.spaces[namespace]
	about.next, about.put = nil, time.Now()
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, momentTimeout)
	defer cancel()
	q.moment, q.err = ask(ctx, namespace)
	close(q.answered)
	time.AfterFunc(momentPause, func() { m.forget(namespace) })
}

// forget forgets a namespace about which nobody asks any more.
func (m *moments) forget(namespace string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if about := m.spaces[namespace]; about != nil && about.next == nil && time.Since(about.put) >= momentPause {
		delete(m.spaces, namespace)
	}
}
