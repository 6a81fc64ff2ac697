package trust

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/verify"
)

const (
	// lookAgain bounds how long a missed event can go unnoticed.
	lookAgain = time.Minute
	// firstRetry and lastRetry bound the wait after what is missing or cannot be used.
	firstRetry = 200 * time.Millisecond
	lastRetry  = 30 * time.Second
	// loadTimeout bounds the calls of one look.
	loadTimeout = 10 * time.Second
	// maxValue bounds what of a ConfigMap is parsed, in bytes. Package verify has
	// closer bounds.
	maxValue = 1 << 20
)

// Store keeps keys and roots. Its fields are set once; it is safe for concurrent use.
type Store struct {
	// API reads, and writes if MakesTagKey, at the API server itself.
	API client.Client
	// Namespace is Argoseal's own.
	Namespace string
	// MakesTagKey: this program makes the first tag key, and rotates it. Others wait
	// for it.
	MakesTagKey bool
	// Builders are the builder ids of this cluster: the notary's keys speak for them,
	// and for no other.
	Builders []string
	// Usable refuses what the installation's domain is read from, if this program cannot
	// work under it; nil refuses none. All of it is bounded, and not parsed yet.
	Usable func(verify.Sources) error
	Clock  clock.PassiveClock
	Log    logr.Logger

	loading sync.Mutex // one look at a time, so that none puts back what was before

	mu     sync.RWMutex
	tags   *tag.Keys
	root   *verify.Root
	loaded map[string]Loaded
	stale  bool
	// installed is the domain of this installation, and others are those beside it, by
	// the names of their ConfigMaps: the last that were good.
	installed *verify.Domain
	others    map[string]verify.Domain
}

// Loaded says what of an object is in use.
type Loaded struct {
	// Object is its kind and name.
	Object string
	// IDs are those of the keys in it; of the trusted root it is the SHA-256 of its text.
	IDs []string
	// Since is when this program began to use them.
	Since time.Time
}

var (
	errNoTagKey = errors.New("there is no tag key yet")
	// errMissing is in the chain of an error that only says that something is not there
	// yet.
	errMissing = errors.New("not there yet")
)

// Tags are the keys of admission tags. Without them nothing can be decided.
func (s *Store) Tags() (tag.Keys, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.tags == nil {
		return tag.Keys{}, errNoTagKey
	}
	return *s.tags, nil
}

// Root is what seals are verified under, the domain of this installation first: nil as
// long as that is not there.
func (s *Store) Root() *verify.Root {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.root
}

// Loaded says what is in use, in the order of the objects' names.
func (s *Store) Loaded() []Loaded {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Loaded
	for _, l := range s.loaded {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b Loaded) int { return strings.Compare(a.Object, b.Object) })
	return all
}

// Ready is a readiness check: there is a tag key. There may be no trusted root for a
// while after the installation.
func (s *Store) Ready(*http.Request) error {
	_, err := s.Tags()
	return err
}

// SetupWithManager has the manager keep keys and roots in every replica, and watch their
// objects.
func (s *Store) SetupWithManager(ctx context.Context, m manager.Manager) error {
	changed := make(chan struct{}, 1)
	return errors.Join(
		cluster.Watch(ctx, m, &corev1.Secret{}, s.Namespace, v1alpha1.SecretTagKey, changed),
		cluster.Watch(ctx, m, &corev1.ConfigMap{}, s.Namespace, v1alpha1.ConfigMapTrustedRoot, changed),
		cluster.Watch(ctx, m, &corev1.ConfigMap{}, s.Namespace, v1alpha1.ConfigMapNotaryKey, changed),
		cluster.WatchPrefix(ctx, m, &corev1.ConfigMap{}, s.Namespace, v1alpha1.ConfigMapDomainPrefix, changed),
		m.Add(keeper{s, changed}),
	)
}

// Load looks once. On an error what could not be read, or used, stays as it was.
func (s *Store) Load(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	err := errors.Join(s.loadTags(ctx), s.loadRoot(ctx))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = err != nil
	return err
}

// Stale says that something was missing, or could not be read or used, at the last look: what
// was loaded before stays in use.
func (s *Store) Stale() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stale
}

func (s *Store) loadTags(ctx context.Context) error {
	var secret corev1.Secret
	err := s.get(ctx, v1alpha1.SecretTagKey, &secret)
	if errors.Is(err, errMissing) && s.MakesTagKey {
		err = s.makeTagKey(ctx, &secret)
	}
	if err != nil {
		return err
	}
	keys, err := tag.ParseKeys(secret.Data)
	if err != nil {
		return fmt.Errorf("secret %s: %w", secret.Name, err)
	}
	s.mu.Lock()
	s.tags = &keys
	s.note("Secret "+secret.Name, keys.IDs())
	s.mu.Unlock()
	if s.MakesTagKey {
		return s.rotateTagKey(ctx, &secret)
	}
	return nil
}

// note keeps what is in use of an object, and since when. The caller holds mu.
func (s *Store) note(object string, ids []string) {
	if slices.Equal(s.loaded[object].IDs, ids) {
		return
	}
	if s.loaded == nil {
		s.loaded = map[string]Loaded{}
	}
	s.loaded[object] = Loaded{Object: object, IDs: ids, Since: s.Clock.Now()}
	s.Log.Info("Loaded", "object", object, "ids", ids)
}

// get reads an object of ours.
func (s *Store) get(ctx context.Context, name string, into client.Object) error {
	err := s.API.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, into)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s: %w", name, errMissing)
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// value reads one value of a ConfigMap.
func (s *Store) value(ctx context.Context, name, key string) ([]byte, error) {
	var c corev1.ConfigMap
	if err := s.get(ctx, name, &c); err != nil {
		return nil, err
	}
	return valueOf(&c, key, true)
}

func valueOf(c *corev1.ConfigMap, key string, needed bool) ([]byte, error) {
	switch n := len(c.Data[key]); {
	case n == 0 && needed:
		return nil, fmt.Errorf("configmap %s has no key %s", c.Name, key)
	case n > maxValue:
		return nil, fmt.Errorf("configmap %s: %s has %d bytes, at most %d are allowed", c.Name, key, n, maxValue)
	}
	return []byte(c.Data[key]), nil
}

// keeper keeps a store up to date.
type keeper struct {
	*Store
	changed <-chan struct{}
}

// NeedLeaderElection tells a manager to run it in every replica.
func (keeper) NeedLeaderElection() bool { return false }

// Start looks until ctx ends: when something changed, and after a while.
func (k keeper) Start(ctx context.Context) error {
	cluster.Looker{Look: k.Load, Failed: k.say, Changed: k.changed, Every: lookAgain, Retry: backoff()}.Run(ctx)
	return nil
}

func (k keeper) say(err error) {
	if errors.Is(err, errMissing) {
		k.Log.Info("Waiting for keys or roots", "problem", strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	k.Log.Error(err, "Keys or roots cannot be loaded; going on with those before")
}

func backoff() wait.Backoff {
	return wait.Backoff{Duration: firstRetry, Factor: 2, Steps: 32, Cap: lastRetry}
}
