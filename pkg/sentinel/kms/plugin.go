package kms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/kms/pkg/service"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/text"
)

const (
	// maxData bounds everything that comes and goes: the API server takes an ID and a
	// seed that is encrypted up to 1 KiB. A seed has 32 bytes.
	maxData = 1 << 10
	// maxText bounds what is said of an error: the key service wrote it.
	maxText = 512
	// perSecond and burst bound how often the key service is asked. An API server that
	// starts asks once for each seed that objects lie under.
	perSecond, burst = 50, 200
	// maxCall bounds a call of the key service. The API server waits 3 s, if it is not
	// told otherwise: what takes longer is of no use to it, and no probe may call it so.
	maxCall = 2500 * time.Millisecond
)

// Keeper encrypts and decrypts with one key of a key service; *secrets.Keeper of
// gocloud.dev/secrets does.
type Keeper interface {
	Encrypt(ctx context.Context, plain []byte) ([]byte, error)
	Decrypt(ctx context.Context, encrypted []byte) ([]byte, error)
}

// Key is a key of a key service.
type Key struct {
	// ID is public, and never another key's.
	ID     string
	Keeper Keeper
}

// Error says why something was refused, or failed.
type Error struct {
	Code codes.Code
	Says string
	// Cause is the key service's error, if it is that.
	Cause error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Says
	}
	return text.Cut(e.Says+": "+e.Cause.Error(), maxText)
}

// Unwrap gives the key service's error.
func (e *Error) Unwrap() error { return e.Cause }

// GRPCStatus is what the API server is told.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Error()) }

// Plugin answers an API server; see [service.Service].
type Plugin struct {
	keys    []*tried          // the first is the one that is written with
	keepers map[string]Keeper // by ID
	limit   *rate.Limiter
	every   time.Duration // between two probes
	clock   clock.Clock
	metrics *Metrics
	log     logr.Logger

	mu     sync.Mutex
	probed time.Time // when the last probe ended
}

var _ service.Service = (*Plugin)(nil)

// New makes a plugin that writes with one key, and reads with it and with others. It tries
// all of them at intervals.
func New(write Key, read []Key, every time.Duration, c clock.Clock, m *Metrics, log logr.Logger) (*Plugin, error) {
	p := &Plugin{
		keepers: map[string]Keeper{}, limit: rate.NewLimiter(perSecond, burst),
		every: every, clock: c, metrics: m, log: log,
	}
	role := "write"
	for _, k := range append([]Key{write}, read...) {
		if k.ID == "" || len(k.ID) > maxData {
			return nil, fmt.Errorf("the ID of a key has %d bytes, not 1 to %d", len(k.ID), maxData)
		}
		if _, twice := p.keepers[k.ID]; twice {
			return nil, fmt.Errorf("key %s is given twice", k.ID)
		}
		p.keepers[k.ID] = k.Keeper
		p.keys = append(p.keys, &tried{Key: k, role: role, failed: errNotProbed})
		role = "read"
	}
	return p, nil
}

// Encrypt encrypts a seed with the key that is written with.
func (p *Plugin) Encrypt(ctx context.Context, uid string, plain []byte) (*service.EncryptResponse, error) {
	write := p.keys[0]
	encrypted, err := p.bounded(ctx, "what is to be encrypted", plain, write.encrypt)
	if err := p.done("encrypt", uid, err); err != nil {
		return nil, err
	}
	return &service.EncryptResponse{Ciphertext: encrypted, KeyID: write.ID}, nil
}

func (k Key) encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	encrypted, err := ask(ctx, plain, k.Keeper.Encrypt)
	if err != nil {
		return nil, err
	}
	return encrypted, sized("what is encrypted", encrypted, codes.Internal)
}

// Decrypt decrypts a seed with the key that it is said to lie under.
func (p *Plugin) Decrypt(ctx context.Context, uid string, r *service.DecryptRequest) ([]byte, error) {
	plain, err := p.decrypt(ctx, r)
	return plain, p.done("decrypt", uid, err)
}

func (p *Plugin) decrypt(ctx context.Context, r *service.DecryptRequest) ([]byte, error) {
	keeper, known := p.keepers[r.KeyID]
	if !known {
		// Nothing else is tried: what lies under a key of somebody else's is not ours.
		return nil, &Error{Code: codes.FailedPrecondition, Says: fmt.Sprintf("key %q is none of ours", text.Cut(r.KeyID, maxText/2))}
	}
	if len(r.Annotations) > 0 {
		return nil, &Error{Code: codes.InvalidArgument, Says: "it has annotations, which we make none of"}
	}
	return p.bounded(ctx, "what is to be decrypted", r.Ciphertext, func(ctx context.Context, encrypted []byte) ([]byte, error) {
		return ask(ctx, encrypted, keeper.Decrypt)
	})
}

// bounded does what the API server wants of some data, as often as may be.
func (p *Plugin) bounded(ctx context.Context, what string, data []byte, do func(context.Context, []byte) ([]byte, error)) ([]byte, error) {
	if err := sized(what, data, codes.InvalidArgument); err != nil {
		return nil, err
	}
	waits, cancel := context.WithTimeout(ctx, maxCall)
	defer cancel()
	if err := p.limit.Wait(waits); err != nil {
		return nil, &Error{Code: codes.ResourceExhausted, Says: "there are too many requests"}
	}
	return do(ctx, data)
}

func sized(what string, data []byte, code codes.Code) error {
	if n := len(data); n == 0 || n > maxData {
		return &Error{Code: code, Says: fmt.Sprintf("%s has %d bytes, not 1 to %d", what, n, maxData)}
	}
	return nil
}

// ask asks the key service, for as long as the API server waits, and never longer than
// maxCall.
func ask(ctx context.Context, data []byte, call func(context.Context, []byte) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, maxCall)
	defer cancel()
	got, err := call(ctx, data)
	if err != nil {
		return nil, &Error{Code: codes.Unavailable, Says: "the key service", Cause: err}
	}
	return got, nil
}

// done counts what came of a request, and logs what failed.
func (p *Plugin) done(operation, uid string, err error) error {
	p.metrics.count(operation, err)
	if err != nil {
		p.log.Info("Failed", "operation", operation, "uid", text.Cut(uid, 64), "error", err.Error())
	}
	return err
}

// refused says whether it was us, and not the key service, by whom something failed.
func refused(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Cause == nil
}
