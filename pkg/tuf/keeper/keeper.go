package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
	"github.com/argoseal/argoseal/pkg/tuf"
	"github.com/argoseal/argoseal/pkg/verify"
)

const (
	// lookTimeout bounds one look: some small files, and calls of the API server.
	lookTimeout = 2 * time.Minute
	// onlineBefore is how long before its end metadata that a program signs is told of: it
	// does so every few days, whoever looks.
	onlineBefore = 24 * time.Hour
	// notifyAgain is how long nothing is said again that was said.
	notifyAgain = 24 * time.Hour
	// maxNote keeps an event's note within what Kubernetes allows.
	maxNote = 1000
)

// retry is how soon it looks again after an error.
var retry = wait.Backoff{Duration: 5 * time.Second, Factor: 2, Steps: 32, Cap: 15 * time.Minute}

// Keeper keeps one trusted root. Its fields are set once; one goroutine looks.
type Keeper struct {
	// API reads and writes at the API server itself.
	API client.Client
	// Namespace is Argoseal's own, Domain the name of the trust domain.
	Namespace, Domain string
	Repository        *tuf.Repository
	// Create: the ConfigMap of the installation's own domain is made here if it is not there.
	// Where a private log runs, that makes it, and refuses one without itself.
	Create bool
	// Every is the time between two looks.
	Every time.Duration
	// WarnBefore is how long before its end metadata that people sign is told of.
	WarnBefore time.Duration
	Events     events.EventRecorder
	Log        logr.Logger
	// Now is the API server's time where nil.
	Now func(context.Context) (time.Time, error)

	mu       sync.Mutex
	last     tuf.Record
	notified map[string]time.Time
}

// Check refuses what cannot work.
func (k *Keeper) Check() error {
	switch {
	case k.Every < time.Minute:
		return errors.New("a TUF repository is read once a minute at most")
	case k.WarnBefore < 0:
		return errors.New("nobody is told of an end after it")
	}
	return nil
}

// Start looks until ctx ends.
func (k *Keeper) Start(ctx context.Context) error {
	cluster.Looker{
		Look: k.Look, Every: k.Every, Retry: retry,
		Failed: func(err error) {
			k.Log.Error(err, "The TUF repository does not say what to trust; what was trusted before stays trusted")
		},
	}.Run(ctx)
	return nil
}

// object is the name of the ConfigMap.
func (k *Keeper) object() string {
	if k.Domain == v1alpha1.DomainInstalled {
		return v1alpha1.ConfigMapTrustedRoot
	}
	return v1alpha1.ConfigMapDomainPrefix + k.Domain
}

// Look reads the repository once, and has the trusted root follow it. On an error that stays as
// it was, but what had verified of the repository until then counts from now on.
func (k *Keeper) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	now, err := k.now(ctx)
	if err != nil {
		return err
	}
	c, there, err := k.read(ctx)
	if err != nil {
		return err
	}
	before, err := tuf.ParseRecord([]byte(c.Data[v1alpha1.FollowedKey]))
	if err != nil {
		return fmt.Errorf("configmap %s, key %s: %w", c.Name, v1alpha1.FollowedKey, err)
	}
	k.keep(before)
	after := before
	after.URL = k.Repository.URL()
	var target []byte
	var left []string
	trusted := []byte(c.Data[v1alpha1.TrustedRootKey])
	after.State, target, err = k.Repository.Read(ctx, before.State, now)
	if err == nil {
		trusted, left, err = k.follow(ctx, trusted, before.Target, target, now)
	}
	if err == nil {
		after.Target, after.Read = target, now.UTC()
	}
	if written := k.write(ctx, c, there, trusted, after); written != nil {
		return errors.Join(err, written)
	}
	k.keep(after)
	if err != nil {
		err = refused(err)
		k.say(c, now, reason.Of(err), actionFollow, err.Error())
	} else if string(trusted) != c.Data[v1alpha1.TrustedRootKey] {
		k.changed(c, left)
	}
	k.warn(c, after, now)
	return err
}

// now is the API server's time.
func (k *Keeper) now(ctx context.Context) (time.Time, error) {
	if k.Now != nil {
		return k.Now(ctx)
	}
	return cluster.Now(ctx, k.API, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, GenerateName: v1alpha1.ConfigMapTrustedRoot + "-"}})
}

// read gives the ConfigMap, which may not be there yet if it is made here. Those of other
// domains say more than a trusted root, so that somebody has to make them.
func (k *Keeper) read(ctx context.Context) (*corev1.ConfigMap, bool, error) {
	c := &corev1.ConfigMap{}
	err := k.API.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: k.object()}, c)
	if apierrors.IsNotFound(err) && k.Create && k.Domain == v1alpha1.DomainInstalled {
		c.Namespace, c.Name = k.Namespace, k.object()
		c.Labels = map[string]string{"app.kubernetes.io/part-of": "argoseal"}
		return c, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("configmap %s: %w", k.object(), err)
	}
	return c, true, nil
}

// follow gives the trusted root that follows the target. One that the programs would refuse is
// an error.
func (k *Keeper) follow(ctx context.Context, current, before, target []byte, now time.Time) ([]byte, []string, error) {
	made, left, err := verify.Followed{Current: current, Before: before, Next: target, At: now.UTC().Truncate(time.Second)}.Root()
	if err != nil {
		return current, nil, err
	}
	var signers corev1.ConfigMap
	name := k.object()
	if k.Domain == v1alpha1.DomainInstalled {
		name = v1alpha1.ConfigMapNotaryKey
	}
	err = k.API.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: name}, &signers)
	if apierrors.IsNotFound(err) { // a new installation: nobody has signed yet
		return made, left, nil
	}
	if err != nil {
		return current, nil, fmt.Errorf("%w: configmap %s: %w", tuf.ErrAway, name, err)
	}
	d, err := verify.ParseDomain(k.Domain, verify.Sources{
		TrustedRoot: made, Keys: []byte(signers.Data[v1alpha1.NotaryKeyKey]), Rules: []byte(signers.Data[v1alpha1.RulesKey]),
	})
	if err == nil {
		d.AnyBuilder = len(d.Builders)+len(d.Attests) == 0 && !d.Reproduces && !d.Describes // each program knows those of its cluster
		_, err = verify.New(d)
	}
	if err != nil {
		return current, nil, fmt.Errorf("under it nothing would verify: %w", err)
	}
	return made, left, nil
}

// write writes what has changed.
func (k *Keeper) write(ctx context.Context, c *corev1.ConfigMap, there bool, trusted []byte, r tuf.Record) error {
	raw, err := r.JSON()
	if err != nil {
		return err
	}
	if len(trusted) == 0 || string(raw) == c.Data[v1alpha1.FollowedKey] && string(trusted) == c.Data[v1alpha1.TrustedRootKey] {
		return nil
	}
	next := c.DeepCopy()
	if next.Data == nil {
		next.Data = map[string]string{}
	}
	next.Data[v1alpha1.FollowedKey], next.Data[v1alpha1.TrustedRootKey] = string(raw), string(trusted)
	if there {
		err = k.API.Update(ctx, next)
	} else {
		err = k.API.Create(ctx, next)
	}
	if err != nil {
		return fmt.Errorf("configmap %s: %w", c.Name, err)
	}
	c.UID = next.UID // for events
	return nil
}

// refused gives an error its code: the repository is away, or shows what does not hold.
func refused(err error) error {
	code := reason.RootRefused
	if errors.Is(err, tuf.ErrAway) {
		code = reason.RootUnread
	}
	return reason.Wrap(code, err, "%s", text.Cut(err.Error(), maxNote))
}

// changed tells of another trusted root.
func (k *Keeper) changed(c *corev1.ConfigMap, left []string) {
	kind, note := corev1.EventTypeNormal, "the trusted root follows the TUF repository"
	if len(left) > 0 {
		kind = corev1.EventTypeWarning
		note += ", which has not any more, so that they take no seals from now on: " + strings.Join(left, ", ")
	}
	k.Log.Info("The trusted root has changed", "configMap", c.Name, "ended", left)
	k.event(c, kind, reason.RootChanged, actionFollow, note)
}

// warn tells of metadata that ends soon.
func (k *Keeper) warn(c *corev1.ConfigMap, r tuf.Record, now time.Time) {
	for _, role := range tuf.Roles() {
		signed, known := r.Roles[role]
		before := k.WarnBefore
		if role == tuf.RoleSnapshot || role == tuf.RoleTimestamp {
			before = min(before, onlineBefore)
		}
		if !known || now.Before(signed.Until.Add(-before)) {
			continue
		}
		k.say(c, now, reason.RootExpires, actionOf(role),
			fmt.Sprintf("%s.json of the TUF repository %.200s, version %d, ends at %s, and there is no newer one", role, r.URL, signed.Version, signed.Until.UTC().Format(time.RFC3339)))
	}
}

// say warns in the log and by an event, and not again for a while.
func (k *Keeper) say(c *corev1.ConfigMap, now time.Time, code reason.Code, action, note string) {
	if at, before := k.notified[note]; before && now.Before(at.Add(notifyAgain)) {
		return
	}
	if k.notified == nil || len(k.notified) > 100 {
		k.notified = map[string]time.Time{}
	}
	k.notified[note] = now
	k.Log.Info("The trusted root may not stay up to date", "code", code, "problem", note)
	k.event(c, corev1.EventTypeWarning, code, action, note)
}

// actionFollow is the action of events.
const actionFollow = "Follow"

// actionOf is that of events about one file of metadata. client-go makes one event of those of
// some minutes that have object, reason and action in common, and keeps the first one's words.
func actionOf(role tuf.Role) string {
	return actionFollow + strings.ToUpper(string(role[:1])) + string(role[1:])
}

func (k *Keeper) event(c *corev1.ConfigMap, kind string, code reason.Code, action, note string) {
	//argoseal:event ConfigMap | Normal, Warning | `RootChanged`, `RootExpires`, `RootRefused`, `RootUnread` | the trusted root in it follows a TUF repository, and has changed, or may not stay up to date
	k.Events.Eventf(c, nil, kind, string(code), action, "%s", text.Cut(note, maxNote))
}

func (k *Keeper) keep(r tuf.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = r
}

// roles are those of which something is known.
func (k *Keeper) roles() ([]tuf.Role, tuf.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known := slices.DeleteFunc(tuf.Roles(), func(r tuf.Role) bool { _, ok := k.last.Roles[r]; return !ok })
	return known, k.last
}
