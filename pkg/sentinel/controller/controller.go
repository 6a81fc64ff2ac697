package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/agent"
	"github.com/argoseal/argoseal/pkg/sentinel/apiserver"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/migration"
)

// Files keeps the file of one API server: agent.Client does.
type Files interface {
	Read(ctx context.Context, term int64) (content []byte, hash string, err error)
	Write(ctx context.Context, content []byte, replaces string, term int64) error
	Kept(ctx context.Context, term int64) (map[string][]byte, error)
	Forget(ctx context.Context, hash string, term int64) error
}

// Server is one API server.
type Server struct {
	Name string
	File Files
	// Loaded asks the server what it runs with.
	Loaded func(context.Context) (apiserver.Loaded, error)
	// Plugins asks the server whether it can use the KMS plugins that it runs with.
	Plugins func(context.Context) error
}

// Reading is a scan of etcd that goes on in parts: etcd.Reading is.
type Reading interface {
	Continue(context.Context) (done bool, err error)
	Found() map[string]encryption.Scan
	// Revision is the latest that was read as of.
	Revision() int64
}

// Reconciler takes one step at a time.
type Reconciler struct {
	Client client.Client
	Mapper meta.RESTMapper
	Events events.EventRecorder
	// Metrics may be nil.
	Metrics *Metrics
	// Clock has to be one that only goes on: the system's has such a part.
	Clock  clock.PassiveClock
	Random io.Reader

	Servers []Server
	// Registered are the names of all API servers that the cluster has, by their ID.
	Registered func(context.Context) (map[string]string, error)
	// Term says that it is this operator's turn, or returns an error; agents refuse a
	// term that is over.
	Term func(context.Context) (int64, error)
	// Scan begins to read etcd, and sees to it that it is the API servers'.
	Scan func(ctx context.Context, resources []string) (Reading, error)
	// Compacted says whether etcd has no revision before this one any more.
	Compacted func(ctx context.Context, revision int64) (bool, error)
	// Serves says whether the API serves any object of a resource.
	Serves   func(ctx context.Context, resource schema.GroupVersionResource) (bool, error)
	Migrator migration.Migrator
	// Settle is encryption.Want's.
	Settle time.Duration

	memory
}

// How soon to look again. The API server looks at its file once a minute; while
// there is nothing to do, a look proves that all is as it was.
const (
	soon       = 500 * time.Millisecond
	whileWait  = 5 * time.Second // a look reads all metrics of each server, and slows it for as long
	whileHalt  = 10 * time.Second
	whileRest  = time.Minute
	migrateFor = 5 * time.Second
	// maxSettle is the longest between two looks while all settles.
	maxSettle = 30 * time.Second
)

// SetupWithManager lets changes of the resource, and time, drive the reconciler.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("secretencryption").
		For(&v1alpha1.SecretEncryption{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

// Reconcile takes the next step.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var object v1alpha1.SecretEncryption
	if err := r.Client.Get(ctx, req.NamespacedName, &object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if object.Name != v1alpha1.SecretEncryptionName {
		return ctrl.Result{}, nil
	}
	term, err := r.Term(ctx)
	if err != nil {
		return ctrl.Result{}, err // who is not sure that it is their turn says nothing, either
	}
	want := r.want(&object)
	look, step := r.decide(ctx, object.Spec.Resources, want, term)
	// A file that is put back has no new key: its server goes down without it, whatever
	// becomes of the escrow.
	if err = r.depositAll(ctx, &object, look); err == nil || step.Reason == encryption.FileRepaired {
		acted, actErr := r.act(ctx, &object, look, step, want)
		step, err = acted, errors.Join(err, actErr)
	}
	if errors.Is(err, agent.ErrChanged) || errors.Is(err, agent.ErrOutdated) || apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: soon}, nil // look again at what it is now, and whose turn
	}
	if err != nil {
		step = encryption.Step{Reason: failed(step.Reason, err), Message: err.Error(), Write: step.Write}
	}
	if ready := meta.FindStatusCondition(object.Status.Conditions, v1alpha1.ConditionReady); step.Action == encryption.ScanEtcd && ready != nil && ready.ObservedGeneration == object.Generation {
		return ctrl.Result{RequeueAfter: soon}, nil // what was said last holds until all is read
	}
	if err := r.report(ctx, &object, look.observed, step); err != nil {
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: soon}, nil
		}
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: r.wait(step.Action)}, nil
}

// decide looks at all that the next step depends on.
func (r *Reconciler) decide(ctx context.Context, resources []string, want encryption.Want, term int64) (look, encryption.Step) {
	l := r.look(ctx, resources, term)
	r.remember(&l, r.Clock.Now())
	step := encryption.Next(l.observed, want)
	if step.Action != encryption.ScanEtcd {
		r.reading = nil // what was read so far was read while another thing was to be done
		return l, step
	}
	scan, err := r.scan(ctx, resources)
	switch {
	case err != nil:
		r.reading = nil
		return l, encryption.Step{Reason: "EtcdUnseen", Message: err.Error(), Write: step.Write}
	case scan == nil:
		step.Message = fmt.Sprintf("reading etcd: %d objects so far", r.read())
		return l, step
	}
	l.observed.Scan = scan
	r.rememberScan(&l.observed, r.Clock.Now())
	if err := r.compacted(ctx, &l.observed, want.Settle); err != nil {
		return l, encryption.Step{Reason: "EtcdUnseen", Message: err.Error(), Write: step.Write}
	}
	step = encryption.Next(l.observed, want)
	if step.Reason == encryption.Unreadable {
		if l.observed.Kept, err = r.kept(ctx, resources, term); err != nil {
			step.Message += "; what was kept is not known: " + err.Error()
			return l, step
		}
		step = encryption.Next(l.observed, want)
	}
	return l, step
}

// scan reads etcd on, and returns nothing while there is more. Where it holds nothing
// of what the API serves, it is not the API servers' etcd, or not their prefix: nothing
// there would prove that nothing lies under a key.
func (r *Reconciler) scan(ctx context.Context, names []string) (*encryption.Scan, error) {
	if r.reading == nil {
		began := r.Clock.Now()
		reading, err := r.Scan(ctx, names)
		if err != nil {
			return nil, err
		}
		r.reading, r.began = reading, began
	}
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	if done, err := r.reading.Continue(ctx); err != nil || !done {
		return nil, err
	}
	all := encryption.Scan{Objects: map[encryption.Ref]int{}, Examples: map[encryption.Ref][]string{}}
	for _, name := range names {
		resource, err := r.resource(name)
		if err != nil {
			return nil, err
		}
		found := r.reading.Found()[name]
		if found.Total() == 0 {
			if serves, err := r.Serves(ctx, resource); err != nil {
				return nil, fmt.Errorf("list %s: %w", name, err)
			} else if serves {
				return nil, fmt.Errorf("the API serves %s, and etcd has none: is it the API servers' (--etcd-endpoint), under their prefix (--etcd-prefix)?", name)
			}
		}
		all.Add(found)
	}
	r.readAt, r.reading = r.reading.Revision(), nil
	return &all, nil
}

// compacted asks etcd, once all has been clean for long enough, whether it has forgotten
// what was before: until then a list of an old revision reads it.
func (r *Reconciler) compacted(ctx context.Context, o *encryption.Observed, settle time.Duration) error {
	clean := &r.clean
	if clean.since.IsZero() || o.Clean < settle {
		return nil
	}
	if clean.revision == 0 {
		clean.revision = r.readAt // as of it all was clean, and nothing was under way any more
	}
	if !clean.compacted {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		var err error
		if clean.compacted, err = r.Compacted(ctx, clean.revision); err != nil {
			return err
		}
	}
	o.Compacted = clean.compacted
	return nil
}

func (r *Reconciler) wait(a encryption.Action) time.Duration {
	switch a {
	case encryption.AwaitLoad:
		return whileWait
	case encryption.AwaitSettle:
		return min(maxSettle, max(whileWait, r.Settle/12))
	case encryption.WriteFiles, encryption.AddKey, encryption.Migrate, encryption.ScanEtcd:
		return soon
	case encryption.Rest:
		return whileRest
	default:
		return whileHalt
	}
}

func (r *Reconciler) want(o *v1alpha1.SecretEncryption) encryption.Want {
	w := encryption.Want{
		Provider: encryption.Provider(o.Spec.Provider),
		Rotation: o.Spec.Rotation,
		Now:      r.Clock.Now(),
		Settle:   r.Settle,
	}
	if o.Spec.MaxKeyAge != nil {
		w.MaxAge = o.Spec.MaxKeyAge.Duration
	}
	if p := o.Spec.KMS; p != nil {
		w.Plugin = encryption.Plugin{Name: p.Name, Endpoint: p.Endpoint, Timeout: p.Timeout.Duration}
	}
	return w
}

// act does what the step says, and returns it as it was done.
func (r *Reconciler) act(ctx context.Context, o *v1alpha1.SecretEncryption, l look, step encryption.Step, want encryption.Want) (encryption.Step, error) {
	switch step.Action {
	case encryption.AddKey:
		key, err := r.newKey(want)
		if err != nil {
			return step, err
		}
		if step, err = step.With(key); err != nil {
			return step, err
		}
		if err := r.deposit(ctx, o, l.keysWith(), key); err != nil {
			return step, err
		}
		return step, r.write(ctx, o.Spec.Resources, l, step)
	case encryption.WriteFiles:
		return step, r.write(ctx, o.Spec.Resources, l, step)
	case encryption.Migrate:
		return step, r.migrate(ctx, o, step.Write)
	case encryption.Rest:
		return step, r.forget(ctx, l, want)
	default:
		return step, nil
	}
}

// newKey makes a key, or takes the one that was made before and that no file got: else
// each attempt would leave one in escrow.
func (r *Reconciler) newKey(want encryption.Want) (encryption.Key, error) {
	if want.Provider == encryption.KMS {
		return want.Plugin.Key()
	}
	if r.pending.Name != "" && want.SatisfiedBy(r.pending.Ref) {
		return r.pending, nil
	}
	key, err := encryption.NewKey(want.Provider, want.Rotation, r.Clock.Now(), r.Random)
	if err == nil {
		r.pending = key
	}
	return key, err
}

// write writes the step's files, each in place of the one that was looked at.
func (r *Reconciler) write(ctx context.Context, resources []string, l look, step encryption.Step) error {
	for _, name := range slices.Sorted(maps.Keys(step.Files)) {
		content, err := step.Files[name].Render(resources)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(r.Servers, func(s Server) bool { return s.Name == name })
		if i < 0 {
			return fmt.Errorf("no server is called %s", name)
		}
		if err := r.Servers[i].File.Write(ctx, content, l.hashes[name], l.term); err != nil {
			return fmt.Errorf("write the file of %s: %w", name, err)
		}
		log.FromContext(ctx).Info("Wrote a file", "server", name, "reason", step.Reason, "keys", fmt.Sprint(step.Files[name].Refs()))
	}
	return nil
}

// forget has the nodes forget what they kept, once etcd has held nothing under those
// keys for long enough.
func (r *Reconciler) forget(ctx context.Context, l look, want encryption.Want) error {
	if !l.observed.Settled(want) {
		return nil
	}
	for _, s := range r.Servers {
		hash := l.hashes[s.Name]
		if r.forgot[s.Name] == hash {
			continue
		}
		if err := s.File.Forget(ctx, hash, l.term); err != nil {
			return fmt.Errorf("have %s forget the keys that are no longer used: %w", s.Name, err)
		}
		r.forgot[s.Name] = hash
	}
	return nil
}
