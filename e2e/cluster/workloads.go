//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/argoseal/argoseal/e2e/cluster/image"
	"github.com/argoseal/argoseal/e2e/cluster/kube"
	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// loadImages builds the images of the workloads and tests and, once
// containerd answers, loads them. It writes their references to refs.
func (c *cluster) loadImages(ctx context.Context, containerd <-chan struct{}, refs map[string]string) error {
	specs, err := part.TestImages(ctx)
	if err != nil {
		return err
	}
	for _, w := range c.workloads {
		specs = append(specs, w.Images()...)
	}
	var images []*image.Image
	var markers []string
	for _, spec := range specs {
		img, err := image.Build(spec)
		if err != nil {
			return err
		}
		refs[spec.Name] = img.Ref()
		// What has been loaded into this containerd is written down, so that
		// the gigabyte is not moved again to repair something else.
		sum := sha256.Sum256([]byte(img.Tagged() + " " + img.Ref()))
		marker := c.layout.Path("run", "image-"+hex.EncodeToString(sum[:8]))
		if _, err := os.Stat(marker); err == nil {
			continue
		}
		images, markers = append(images, img), append(markers, marker)
	}
	if len(images) == 0 {
		return nil
	}
	select {
	case <-containerd:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := part.Load(ctx, c.layout, images...); err != nil {
		return err
	}
	for _, marker := range markers {
		if err := os.WriteFile(marker, nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ensureWorkloads applies everything that lives in the cluster and waits for
// it.
func (c *cluster) ensureWorkloads(ctx context.Context, loaded <-chan struct{}, refs map[string]string) error {
	config, err := kube.Config(c.layout.Kubeconfig())
	if err != nil {
		return err
	}
	applier, err := kube.NewApplier(config)
	if err != nil {
		return err
	}
	storage, err := part.Storage(c.layout)
	if err != nil {
		return err
	}
	if err := applier.Apply(ctx, storage); err != nil {
		return err
	}
	select {
	case <-loaded:
	case <-ctx.Done():
		return ctx.Err()
	}
	params := part.Params{Layout: c.layout, Image: refs, RequeueTime: c.requeue}
	for _, w := range c.workloads {
		objects, err := w.Objects(ctx, params)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		if err := applier.Apply(ctx, objects); err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
	}
	if err := c.awaitWorkloads(ctx); err != nil {
		return err
	}
	return errors.Join(c.makeBucket(ctx), os.WriteFile(c.appliedMarker(), nil, 0o644))
}

// appliedMarker is a file that says which form of the workloads has been
// applied with which settings, so that an `up` that changes them is no no-op.
func (c *cluster) appliedMarker() string {
	return c.layout.Path("run", "applied-"+part.Fingerprint(c.workloads)+"-"+c.requeue)
}

// awaitWorkloads waits until [cluster.workloadsReady] holds.
func (c *cluster) awaitWorkloads(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		err := c.workloadsReady(ctx)
		if err == nil {
			return nil
		}
		c.progress.Note(err.Error())
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// workloadsReady tells what is missing: the node, or replicas of a workload.
func (c *cluster) workloadsReady(ctx context.Context) error {
	config, err := kube.Config(c.layout.Kubeconfig())
	if err != nil {
		return err
	}
	config.Timeout = 5 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(nodes.Items, nodeReady) {
		return fmt.Errorf("the node is not ready")
	}
	for _, w := range c.workloads {
		d, err := client.AppsV1().Deployments(w.Namespace).Get(ctx, w.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !available(d) {
			return fmt.Errorf("%s/%s is not ready", w.Namespace, w.Name)
		}
	}
	return nil
}

func nodeReady(n corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// available is true if the Deployment's current form runs in full.
func available(d *appsv1.Deployment) bool {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	return d.Status.ObservedGeneration >= d.Generation &&
		d.Status.UpdatedReplicas == want && d.Status.AvailableReplicas == want && d.Status.Replicas == want
}

// healthy tells whether every part answers, so that there is nothing to do.
func (c *cluster) healthy(ctx context.Context) error {
	if _, err := os.Stat(c.layout.Kubeconfig()); err != nil {
		return err
	}
	s, found, err := loadState(c.layout)
	if err != nil || !found || s.Boot != boot() {
		return fmt.Errorf("no cluster of this boot: %w", err)
	}
	c.procs.Dir = c.layout.Path("procs")
	for _, h := range part.Hosts() {
		if r, ok := c.procs.Get(h.Name); !ok || !r.Alive() || !c.current(h, r) {
			return fmt.Errorf("%s does not run", h.Name)
		}
		if err := h.Probe(ctx, c.layout); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	if _, err := os.Stat(c.appliedMarker()); err != nil {
		return err
	}
	if err := c.workloadsReady(ctx); err != nil {
		return err
	}
	return c.makeBucket(ctx)
}

// makeBucket makes the artifact bucket in the S3 store.
func (c *cluster) makeBucket(ctx context.Context) error {
	endpoint := strings.TrimPrefix(c.layout.S3Endpoint(), "http://")
	client, err := minio.New(endpoint, &minio.Options{
		Creds:  credentials.NewStaticV4(part.S3AccessKey, part.S3SecretKey, ""),
		Region: part.S3Region,
		// No proxy: the address is this machine's own.
		Transport: directTransport(),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		exists, err := client.BucketExists(ctx, part.S3Bucket)
		if err == nil && !exists {
			err = client.MakeBucket(ctx, part.S3Bucket, minio.MakeBucketOptions{Region: part.S3Region})
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("S3 store at %s: %w", endpoint, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// directTransport is an HTTP transport that uses no proxy.
func directTransport() http.RoundTripper {
	return &http.Transport{ResponseHeaderTimeout: 10 * time.Second, IdleConnTimeout: 10 * time.Second}
}
