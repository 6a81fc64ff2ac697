package seal

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"sync"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sigstore/sigstore-go/pkg/root"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
)

const (
	// maxStamp is the size of the largest answer of a timestamp authority that is read, in
	// bytes: one with a chain of certificates has some 5 KiB. Verifiers take no larger one.
	maxStamp = 16 << 10
	// maxSkew is how far the authority's clock may be from ours. A seal with much
	// too early a time would outlive a key that was stolen meanwhile.
	maxSkew = 5 * time.Minute
	// nonceBits is the size of what tells its answer from an older one.
	nonceBits = 64
)

// Timestamps asks an RFC 3161 timestamp authority: one for all of a process, because what is
// wrong with it is wrong for all. It is safe for concurrent use.
type Timestamps struct {
	url      string
	required bool
	client   *http.Client
	timeout  time.Duration
	clock    clock.PassiveClock
	counted  *prometheus.CounterVec

	mu sync.Mutex
	// known has timestamps by the digest of what they are of, for who tries again.
	known *lru.Cache
	// pause is a time in which it is not asked. Once it is over, one at a time is let
	// through, until an answer is of use.
	pause  pause
	pauses int
	trying bool
}

// NewTimestamps makes a client of the authority at a URL. One answer takes at most
// timeout. If timestamps are required, nothing is logged or published without one.
// Else a seal does without, if it gets none.
func NewTimestamps(url string, required bool, timeout time.Duration, c clock.PassiveClock) (*Timestamps, error) {
	if _, err := logHost(url); err != nil {
		return nil, fmt.Errorf("timestamp authority: %w", err)
	}
	if timeout <= 0 {
		return nil, fmt.Errorf("timeout of %s for the timestamp authority is not positive", timeout)
	}
	return &Timestamps{
		url: url, required: required, client: logClient(), timeout: timeout, clock: c, counted: countStamps(), known: lru.New(maxAttempts),
	}, nil
}

// CheckTimestamps refuses a trusted root under which no timestamp verifies.
func CheckTimestamps(trustedRootJSON []byte) error {
	trusted, err := root.NewTrustedRootFromJSON(trustedRootJSON)
	if err != nil {
		return reason.Wrap(reason.TimestampFailed, err, "the trusted root cannot be read: %v", err)
	}
	if len(trusted.TimestampingAuthorities()) == 0 {
		return reason.New(reason.TimestampFailed, "the notary is to ask a timestamp authority, and the trusted root has none")
	}
	return nil
}

// of is the authority's answer about a signature, which check verifies as users of the
// bundle will; nil: there is none, and the seal may go without.
func (t *Timestamps) of(ctx context.Context, signature []byte, check func(response []byte) (time.Time, error)) ([]byte, error) {
	if t == nil {
		return nil, nil
	}
	good := func(response []byte) error {
		at, err := check(response)
		if skew := t.clock.Now().Sub(at).Abs(); err == nil && skew > maxSkew {
			err = reason.New(reason.TimestampFailed, "its clock is %s from ours", skew.Round(time.Second))
		}
		return err
	}
	response, err := t.ask(ctx, sha256.Sum256(signature), good)
	switch {
	case err == nil:
		t.counted.WithLabelValues(stampGood).Inc()
		return response, nil
	case t.required:
		t.counted.WithLabelValues(stampFailed).Inc()
		return nil, reason.Wrap(reason.TimestampFailed, err, "timestamp authority %.200s: %s", t.url, text.Cut(err.Error(), maxLogMessage))
	}
	t.counted.WithLabelValues(stampLeftOut).Inc()
	return nil, nil
}

// ask gives an answer that is kept, or a new one, once good finds it so.
func (t *Timestamps) ask(ctx context.Context, digest [sha256.Size]byte, good func([]byte) error) ([]byte, error) {
	if response, ok := t.kept(digest); ok && safely(func() error { return good(response) }) == nil {
		return response, nil
	}
	turn, err := t.enter()
	if err != nil {
		return nil, err
	}
	response, err := t.request(ctx, digest)
	if err == nil {
		err = safely(func() error { return good(response) })
	}
	t.answered(turn, digest, response, err)
	return response, err
}

// request asks for a timestamp of a digest, and holds the answer to what was asked.
func (t *Timestamps) request(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), nonceBits))
	if err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	asked, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Certificates: true, Nonce: nonce}).Marshal()
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(asked))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", "application/timestamp-query")
	request.Header.Set("User-Agent", "argoseal")
	response, err := t.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxStamp+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer: %w", err)
	case response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated:
		return nil, fmt.Errorf("it answers %d %q", response.StatusCode, text.Cut(string(answer), maxLogMessage))
	case len(answer) > maxStamp:
		return nil, fmt.Errorf("its answer has more than %d bytes", maxStamp)
	}
	return answer, safely(func() error {
		stamp, err := timestamp.ParseResponse(answer)
		switch {
		case err != nil:
			return fmt.Errorf("its answer: %w", err)
		case stamp.Nonce == nil || stamp.Nonce.Cmp(nonce) != 0:
			return errors.New("its answer is to another request: the nonce is not ours")
		case stamp.HashAlgorithm != crypto.SHA256 || !bytes.Equal(stamp.HashedMessage, digest[:]):
			return errors.New("its answer is about another digest")
		}
		return nil
	})
}

// safely turns a panic of the parser of answers into an error about that one
// answer.
func safely(read func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its answer cannot be read: %v", p)
		}
	}()
	return read()
}

func (t *Timestamps) kept(digest [sha256.Size]byte) ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	response, ok := t.known.Get(digest)
	if !ok {
		return nil, false
	}
	return response.([]byte), true
}

// enter says whether the authority may be asked. The turn is how many pauses there were.
func (t *Timestamps) enter() (turn int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pause.length == 0 {
		return t.pauses, nil
	}
	now := t.clock.Now()
	if now.Before(t.pause.until) {
		return 0, &PausedError{Who: whoStamps, Until: t.pause.until, Why: t.pause.why}
	}
	if t.trying {
		return 0, &PausedError{Who: whoStamps, Until: now.Add(firstPause), Why: t.pause.why}
	}
	t.trying = true
	return t.pauses, nil
}

// answered notes how an answer was. What was asked before a pause does not extend it.
func (t *Timestamps) answered(turn int, digest [sha256.Size]byte, response []byte, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case why == nil:
		t.known.Add(digest, response)
		t.pause = pause{}
	case turn == t.pauses:
		t.pauses++
		t.pause.extend(t.clock.Now(), lost, why)
	default:
		return // whoever is let through now is another
	}
	t.trying = false
}
