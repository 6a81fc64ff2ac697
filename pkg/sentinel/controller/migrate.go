package controller

import (
	"cmp"
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/migration"
)

// migrate rewrites some pages. The servers are looked at again before the next. What cannot
// be rewritten is said, and holds up nothing behind it.
func (r *Reconciler) migrate(ctx context.Context, o *v1alpha1.SecretEncryption, write encryption.Ref) error {
	m := &r.migrated
	if m.key != write {
		*m = migrated{key: write}
	}
	wait := whileHalt
	if m.failed != nil {
		wait = whileRest // a cluster is not gone through again and again for one object
	}
	if r.Clock.Since(m.at) < wait {
		return m.failed // what it left will not give way at once
	}
	resources, err := r.resources(o.Spec.Resources)
	if err != nil {
		return err
	}
	var record migration.Record
	if from := o.Status.Migration; from != nil && from.Key == write.String() {
		record = migration.Record{Resource: int(from.Resource), Continue: from.Continue, Done: from.Done}
	}
	for end := r.Clock.Now().Add(migrateFor); !record.Finished && r.Clock.Now().Before(end); {
		next, err := r.Migrator.Page(ctx, resources, record)
		if err != nil && next == record {
			return err // the page was not gone through
		}
		record = next
		m.failing = cmp.Or(m.failing, err)
		// Stored with what is reported next, or all is done again.
		o.Status.Migration = &v1alpha1.EncryptionMigration{
			Key: write.String(), Resource: int32(record.Resource), Continue: record.Continue, Done: record.Done,
		}
	}
	if record.Finished {
		// Whether it left anything is for the next scan to say; then all is done again.
		o.Status.Migration = nil
		m.at, m.failed, m.failing = r.Clock.Now(), m.failing, nil
	}
	return cmp.Or(m.failing, m.failed)
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
