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
	Read(ctx context.Context) (content []byte, hash string, err error)
	Write(ctx context.Context, content []byte, replaces string) error
}

// Server is one API server.
type Server struct {
	Name string
	File Files
	// Loaded asks the server what it runs with.
	Loaded func(context.Context) (apiserver.Loaded, error)
}

// Reconciler takes one step at a time.
type Reconciler struct {
	Client client.Client
	Mapper meta.RESTMapper
	Events events.EventRecorder
	Clock  clock.PassiveClock
	Random io.Reader

	Servers []Server
	Scan    func(ctx context.Context, resources []string) (encryption.Scan, error)
	// Serves says whether the API serves any object of a resource.
	Serves   func(ctx context.Context, resource schema.GroupVersionResource) (bool, error)
	Migrator migration.Migrator
	// Settle is encryption.Want's.
	Settle time.Duration

	// migrated is the key that the last migration brought all objects under that it
	// could, and when it ended.
	migrated struct {
		key encryption.Ref
		at  time.Time
	}
}

// How soon to look again. The API server looks at its file once a minute; while
// there is nothing to do, a look proves that all is as it was.
const (
	soon       = 500 * time.Millisecond
	whileWait  = 2 * time.Second
	whileHalt  = 10 * time.Second
	whileRest  = time.Minute
	migrateFor = 5 * time.Second
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
	want := r.want(&object)
	look := r.look(ctx, object.Spec.Resources)
	step := encryption.Next(look.observed, want)
	if step.Action == encryption.ScanEtcd {
		scan, err := r.scan(ctx, object.Spec.Resources)
		if err != nil {
			step = encryption.Step{Reason: "EtcdUnseen", Message: err.Error(), Write: step.Write}
		} else {
			look.observed.Scan = &scan
			step = encryption.Next(look.observed, want)
		}
	}
	step, err := r.act(ctx, &object, look, step, want)
	if errors.Is(err, agent.ErrChanged) {
		return ctrl.Result{RequeueAfter: soon}, nil // look again at what it is now
	}
	if err != nil {
		step = encryption.Step{Reason: encryption.Reason(string(step.Reason) + "Failed"), Message: err.Error(), Write: step.Write}
	}
	if err := r.report(ctx, &object, look.observed, step); err != nil {
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: soon}, nil
		}
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: wait(step.Action)}, nil
}

// scan reads etcd. Where it holds nothing of what the API serves, it is not the API
// servers' etcd, or not their prefix: nothing there would prove that nothing lies
// under a key.
func (r *Reconciler) scan(ctx context.Context, names []string) (encryption.Scan, error) {
	all := encryption.Scan{Objects: map[encryption.Ref]int{}, Examples: map[encryption.Ref][]string{}}
	for _, name := range names {
		resource, err := r.resource(name)
		if err != nil {
			return all, err
		}
		found, err := r.Scan(ctx, []string{name})
		if err != nil {
			return all, err
		}
		if found.Total() == 0 {
			if serves, err := r.Serves(ctx, resource); err != nil {
				return all, fmt.Errorf("list %s: %w", name, err)
			} else if serves {
				return all, fmt.Errorf("the API serves %s, and etcd has none: is it the API servers' (--etcd-endpoint), under their prefix (--etcd-prefix)?", name)
			}
		}
		all.Add(found)
	}
	return all, nil
}

func wait(a encryption.Action) time.Duration {
	switch a {
	case encryption.AwaitLoad, encryption.AwaitSettle:
		return whileWait
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
	return w
}

// act does what the step says, and returns it as it was done.
func (r *Reconciler) act(ctx context.Context, o *v1alpha1.SecretEncryption, l look, step encryption.Step, want encryption.Want) (encryption.Step, error) {
	switch step.Action {
	case encryption.AddKey:
		key, err := encryption.NewKey(want.Provider, want.Rotation, r.Clock.Now(), r.Random)
		if err != nil {
			return step, err
		}
		if step, err = step.With(key); err != nil {
			return step, err
		}
		return step, r.write(ctx, o.Spec.Resources, l, step)
	case encryption.WriteFiles:
		return step, r.write(ctx, o.Spec.Resources, l, step)
	case encryption.Migrate:
		return step, r.migrate(ctx, o, step.Write)
	default:
		return step, nil
	}
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
		if err := r.Servers[i].File.Write(ctx, content, l.hashes[name]); err != nil {
			return fmt.Errorf("write the file of %s: %w", name, err)
		}
		log.FromContext(ctx).Info("Wrote a file", "server", name, "reason", step.Reason, "keys", fmt.Sprint(step.Files[name].Refs()))
	}
	return nil
}

// migrate rewrites some pages. The servers are looked at again before the next.
func (r *Reconciler) migrate(ctx context.Context, o *v1alpha1.SecretEncryption, write encryption.Ref) error {
	if r.migrated.key == write && r.Clock.Since(r.migrated.at) < whileHalt {
		return nil // what it left will not give way at once
	}
	resources, err := r.resources(o.Spec.Resources)
	if err != nil {
		return err
	}
	var record migration.Record
	if m := o.Status.Migration; m != nil && m.Key == write.String() {
		record = migration.Record{Resource: int(m.Resource), Continue: m.Continue, Done: m.Done}
	}
	for end := r.Clock.Now().Add(migrateFor); !record.Finished && r.Clock.Now().Before(end); {
		if record, err = r.Migrator.Page(ctx, resources, record); err != nil {
			break
		}
	}
	o.Status.Migration = &v1alpha1.EncryptionMigration{
		Key: write.String(), Resource: int32(record.Resource), Continue: record.Continue, Done: record.Done,
	}
	if record.Finished {
		// Whether it left anything is for the next scan to say; then all is done again.
		o.Status.Migration = nil
		r.migrated.key, r.migrated.at = write, r.Clock.Now()
	}
	return err
}

func (r *Reconciler) resources(names []string) ([]schema.GroupVersionResource, error) {
	var all []schema.GroupVersionResource
	for _, name := range names {
		gvr, err := r.resource(name)
		if err != nil {
			return nil, err
		}
		all = append(all, gvr)
	}
	return all, nil
}

func (r *Reconciler) resource(name string) (schema.GroupVersionResource, error) {
	gvr, err := r.Mapper.ResourceFor(schema.ParseGroupResource(name).WithVersion(""))
	if err != nil {
		return gvr, fmt.Errorf("resource %s: %w", name, err)
	}
	return gvr, nil
}
