package followed

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/argo/controller"
)

// most is how many objects of a kind are read of a namespace. More is an error: what is
// left out could be Argo.
const most = 1000

// Found is what runs now, without repetitions.
type Found struct {
	// Controllers are user names.
	Controllers, ExecutorImages, ExecutorEnv []string
	// PlainStores are the endpoints that Argo's configuration speaks to without TLS.
	PlainStores []string
	// Deployments are those of controllers.
	Deployments []*appsv1.Deployment
	// Untold are Deployments whose executor nothing tells.
	Untold []string
	// Unread are namespaces and Deployments that could not be read. As long as
	// there is one, whatever was known before may still run there.
	Unread []Unread
}

// Unread is a namespace, or a Deployment in it, that could not be read.
type Unread struct {
	// Deployment is nil where the whole namespace could not be.
	Deployment *appsv1.Deployment
	Err        error
}

// find looks at the Deployments of namespaces, and at those of their ReplicaSets
// that still have pods. If one of them cannot be read, the others still count.
func find(ctx context.Context, api client.Reader, namespaces []string) Found {
	var f Found
	for _, ns := range namespaces {
		if err := f.look(ctx, api, ns); err != nil {
			f.Unread = append(f.Unread, Unread{Err: fmt.Errorf("namespace %s: %w", ns, err)})
		}
	}
	for _, names := range []*[]string{&f.Controllers, &f.ExecutorImages, &f.ExecutorEnv, &f.PlainStores, &f.Untold} {
		slices.Sort(*names)
		*names = slices.Compact(*names)
	}
	return f
}

// err is what could not be read; nil if all could be.
func (f *Found) err() error {
	var all []error
	for _, u := range f.Unread {
		all = append(all, u.Err)
	}
	return errors.Join(all...)
}

// look adds what runs in one namespace. On an error nothing is known of it.
func (f *Found) look(ctx context.Context, api client.Reader, ns string) error {
	var deployments appsv1.DeploymentList
	var sets appsv1.ReplicaSetList
	if err := errors.Join(
		api.List(ctx, &deployments, client.InNamespace(ns), client.Limit(most)),
		api.List(ctx, &sets, client.InNamespace(ns), client.Limit(most)),
	); err != nil {
		return err
	}
	if deployments.Continue != "" || sets.Continue != "" {
		return fmt.Errorf("it has more than %d Deployments or ReplicaSets", most)
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		if err := f.add(ctx, api, d, sets.Items); err != nil {
			f.Unread = append(f.Unread, Unread{d, fmt.Errorf("deployment %s/%s: %w", ns, d.Name, err)})
		}
	}
	return nil
}

// add adds what a Deployment runs, and is to run, if that is a controller. On an
// error not all of it is known.
func (f *Found) add(ctx context.Context, api client.Reader, d *appsv1.Deployment, sets []appsv1.ReplicaSet) error {
	all := controller.Of(&d.Spec.Template.Spec)
	if len(all) == 0 {
		return nil
	}
	f.Deployments = append(f.Deployments, d)
	for _, s := range sets {
		owner := metav1.GetControllerOf(&s)
		if owner != nil && owner.Kind == "Deployment" && owner.UID == d.UID && s.Status.Replicas > 0 {
			all = append(all, controller.Of(&s.Spec.Template.Spec)...)
		}
	}
	var failed []error
	for _, c := range all {
		f.Controllers = append(f.Controllers, username(d.Namespace, c.Account))
		if err := f.configured(ctx, api, d, c); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// configured adds what a controller makes its executors of, by its ConfigMap.
func (f *Found) configured(ctx context.Context, api client.Reader, d *appsv1.Deployment, c controller.Controller) error {
	var settings corev1.ConfigMap
	if err := api.Get(ctx, client.ObjectKey{Namespace: d.Namespace, Name: c.ConfigMap}, &settings); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("configmap %s: %w", c.ConfigMap, err)
	}
	executor, err := c.Executor(settings.Data)
	if err != nil {
		return err
	}
	stores, err := c.PlainStores(settings.Data)
	if err != nil {
		return err
	}
	f.PlainStores = append(f.PlainStores, stores...)
	f.ExecutorEnv = append(f.ExecutorEnv, executor.Env...)
	if executor.Image == "" {
		f.Untold = append(f.Untold, d.Namespace+"/"+d.Name)
	} else {
		f.ExecutorImages = append(f.ExecutorImages, executor.Image)
	}
	return nil
}
